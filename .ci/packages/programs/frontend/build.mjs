// Bundles the app, and says what of it is Stagedoor's.

import assert from 'node:assert/strict';

import { build } from 'esbuild';

const { metafile } = await build({
  entryPoints: ['index.jsx'],
  outdir: 'public',
  bundle: true,
  splitting: true,
  format: 'esm',
  metafile: true,
  logLevel: 'error',
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'window' },
  // Its other entry streams as Node does.
  alias: { 'csv-stringify/lib/sync': 'csv-stringify/lib/browser/sync.js' },
  loader: { '.svg': 'dataurl', '.woff': 'file', '.woff2': 'file' },
  jsx: 'automatic',
});
const ours = Object.keys(metafile.inputs).filter(path =>
  path.includes('backstage-plugin-stagedoor'),
);
assert.ok(ours.some(path => path.endsWith('.css')) && ours.length > 5, `of ours: ${ours}`);
console.log(`${ours.length} files of the plugin are in the bundle`);
