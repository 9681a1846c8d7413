// Bundles the example's app.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { build } from 'esbuild';

const here = import.meta.dirname;

/** What the app reads of its configuration. */
const CONFIG = {
  app: { title: 'Stagedoor', baseUrl: '/' },
  permission: { enabled: true },
};

/** Bundles the app into a folder, to be served from `origin` together with the backend's API. */
export async function buildApp(folder, origin) {
  await build({
    absWorkingDir: join(here, '..'),
    entryPoints: [join(here, 'index.tsx')],
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    minify: true,
    sourcemap: false,
    logLevel: 'error',
    // Old packages ask for these.
    define: {
      'process.env.NODE_ENV': '"production"',
      // The configuration is in the page.
      'process.env.APP_CONFIG': '[]',
      'process.env': '{}',
      global: 'window',
    },
    // Its other entry streams as Node does.
    alias: { 'csv-stringify/lib/sync': 'csv-stringify/lib/browser/sync.js' },
    loader: { '.svg': 'dataurl', '.woff': 'file', '.woff2': 'file' },
    jsx: 'automatic',
  });
  const { app, ...others } = CONFIG;
  const data = {
    ...others,
    app: { ...app, baseUrl: origin },
    backend: { baseUrl: origin },
  };
  const config = JSON.stringify([{ context: 'app', data }]);
  const page = readFileSync(join(here, 'index.html'), 'utf8');
  writeFileSync(
    join(folder, 'index.html'),
    page.replace('<!-- config -->', () => config.replaceAll('<', '\\u003c')),
  );
}
