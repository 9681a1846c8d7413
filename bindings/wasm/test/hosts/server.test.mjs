// Node: the package itself, and bundles for servers, which leave the module behind.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { build } from 'esbuild';

import { webpackBuild } from './bundle.mjs';
import { ESBUILD_MODULE, ESBUILD_SERVER } from './commands.mjs';
import { command, project, run, wasmOf } from './project.mjs';

const options = { timeout: 300_000 };
const folder = project();

const decides = path => {
  const { status, stdout, stderr } = run(process.execPath, [path], folder);
  assert.equal(stderr, '');
  assert.deepEqual([status, stdout], [0, 'allow deny\n']);
};

const misses = path => {
  const told = 'error => console.log(JSON.stringify({ ...error, text: error.message }))';
  const script = `import(${JSON.stringify(pathToFileURL(path))}).catch(${told})`;
  const { stdout, stderr } = run(process.execPath, ['--eval', script], folder);
  assert.equal(stderr, '');
  const { name, code, text, help } = JSON.parse(stdout);
  assert.deepEqual([name, code], ['StagedoorError', 'module::missing']);
  assert.match(text, /not beside the code, as in a bundle/);
  assert.match(help, /initSync\(readFileSync\(path\)\)/);
};

test('Node', options, () => decides('node/main.mjs'));

test('esbuild leaves the module behind, and the error says so', options, async () => {
  const outfile = join(folder, 'esbuild-left/main.cjs');
  const entryPoints = [join(folder, 'node/main.mjs')];
  await build({ entryPoints, outfile, bundle: true, platform: 'node', logLevel: 'error' });
  misses(outfile);
});

test('esbuild, with the module copied', options, () => {
  command(ESBUILD_SERVER, folder);
  copyFileSync(wasmOf(folder), join(folder, 'app/stagedoor.wasm'));
  decides('app/server.cjs');
});

test('esbuild, with the package left out', options, async () => {
  const outfile = join(folder, 'app/external.cjs');
  const entryPoints = [join(folder, 'node/main.mjs')];
  const external = ['@stagedoor/wasm'];
  await build({ entryPoints, outfile, external, bundle: true, platform: 'node' });
  decides(outfile);
});

test('esbuild, a bundle that is an ECMAScript module', options, () => {
  command(ESBUILD_MODULE, folder);
  copyFileSync(wasmOf(folder), join(folder, 'app/stagedoor.wasm'));
  decides('app/server.mjs');
});

test('webpack leaves the module behind, and the error says so', options, async () => {
  const path = join(folder, 'webpack-left');
  mkdirSync(path, { recursive: true });
  await webpackBuild(join(folder, 'node/main.mjs'), path, 'node');
  misses(join(path, 'main.cjs'));
});

test('webpack, with the module as an asset', options, async () => {
  const path = join(folder, 'webpack-server');
  mkdirSync(path, { recursive: true });
  await webpackBuild(join(folder, 'webpack/server.js'), path, 'node');
  decides(join(path, 'main.cjs'));
});
