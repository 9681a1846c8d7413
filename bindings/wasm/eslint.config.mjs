import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const globals = Object.fromEntries(
  ['__dirname', 'console', 'process', 'require', 'URL', 'WebAssembly'].map(name => [
    name,
    'readonly',
  ]),
);

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json' } },
  },
  { files: ['**/*.mjs'], languageOptions: { globals } },
  { files: ['**/*.js'], languageOptions: { sourceType: 'commonjs', globals } },
);
