// Bundles by Vite and webpack, with nothing set but where they are.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import * as vite from 'vite';
import webpack from 'webpack';

/** Writes the page that has a script. */
export function page(folder, script) {
  const html = `<!doctype html><title>Stagedoor</title><body></body>
<script type="module" src="./${script}"></script>\n`;
  writeFileSync(join(folder, 'index.html'), html);
}

/** What Vite makes of a page. */
export async function viteBuild(root, outDir) {
  const build = { outDir, emptyOutDir: true };
  await vite.build({ root, build, configFile: false, logLevel: 'error' });
}

/** Vite's server for development. */
export async function viteServer(root, folder) {
  const server = { host: '127.0.0.1', port: 0, hmr: false, fs: { allow: [folder] } };
  const cacheDir = join(folder, 'vite');
  const options = { root, server, cacheDir, configFile: false, logLevel: 'error' };
  return (await vite.createServer(options)).listen();
}

/** What webpack makes of a file: `main.js` in `path`. */
export async function webpackBuild(entry, path, target) {
  const output = { path, filename: target === 'node' ? 'main.cjs' : 'main.js' };
  const options = { mode: 'production', target, entry, output, performance: { hints: false } };
  const compiler = webpack({ ...options, context: path });
  const stats = await new Promise((done, failed) =>
    compiler.run((error, stats) => (error ? failed(error) : done(stats))),
  );
  await new Promise(done => compiler.close(done));
  if (stats.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }));
}
