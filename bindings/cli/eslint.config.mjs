import js from '@eslint/js';

const globals = Object.fromEntries(
  ['__dirname', 'console', 'module', 'process', 'require', 'URL', 'setTimeout'].map(name => [
    name,
    'readonly',
  ]),
);

export default [
  { ignores: ['**/node_modules/'] },
  js.configs.recommended,
  { files: ['**/*.js'], languageOptions: { sourceType: 'commonjs', globals } },
];
