import js from '@eslint/js';
import a11y from 'eslint-plugin-jsx-a11y';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

const globals = Object.fromEntries(
  [
    'console',
    'process',
    'setTimeout',
    'URL',
    'URLSearchParams',
    'fetch',
    'Buffer',
  ].map(name => [name, 'readonly']),
);

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [
      tseslint.configs.recommendedTypeChecked,
      a11y.flatConfigs.recommended,
      hooks.configs.flat.recommended,
    ],
    languageOptions: { parserOptions: { project: './tsconfig.json' } },
  },
  { files: ['**/*.mjs'], languageOptions: { globals } },
);
