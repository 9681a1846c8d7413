import js from '@eslint/js';

const globals = Object.fromEntries(
  ['__dirname', 'AbortController', 'Buffer', 'console', 'module', 'performance', 'process']
    .concat(['fetch', 'require', 'setImmediate', 'setInterval', 'URL'])
    .concat(['clearTimeout', 'setTimeout'])
    .map(name => [name, 'readonly']),
);

export default [
  { ignores: ['index.js', '**/node_modules/'] },
  js.configs.recommended,
  { files: ['**/*.mjs'], languageOptions: { globals } },
  { files: ['**/*.js'], languageOptions: { sourceType: 'commonjs', globals } },
  {
    files: ['test/runners/jest.spec.js'],
    languageOptions: { globals: { expect: 'readonly', test: 'readonly' } },
  },
];
