import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const readonly = names => Object.fromEntries(names.map(name => [name, 'readonly']));
const globals = readonly(['__dirname', 'console', 'process', 'require', 'URL', 'WebAssembly']);
const hosts = readonly(['document', 'fetch', 'postMessage', 'Response', 'Worker']);

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
  {
    // What runs in pages and workers, and what bundlers take.
    files: ['test/hosts/**/*.js'],
    languageOptions: { sourceType: 'module', globals: { ...globals, ...hosts } },
  },
  { files: ['test/hosts/**/*.mjs'], languageOptions: { globals: { ...globals, ...hosts } } },
);
