import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const globals = Object.fromEntries(
  [
    '__dirname',
    'Buffer',
    'console',
    'fetch',
    'module',
    'performance',
    'process',
  ]
    .concat([
      'require',
      'setImmediate',
      'setTimeout',
      'clearTimeout',
      'URL',
      'URLSearchParams',
    ])
    .map(name => [name, 'readonly']),
);

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'node24/', '**/*.mjs'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json' } },
  },
  {
    files: ['**/*.js'],
    languageOptions: { sourceType: 'commonjs', globals },
  },
);
