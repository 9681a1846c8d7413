// Browsers: what each bundler makes of a page and of a worker, and what stands in the way of one.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { page, viteBuild, viteServer, webpackBuild } from './bundle.mjs';
import { command, project } from './project.mjs';
import { ESBUILD_PAGE } from './commands.mjs';
import { serve, shown, skip } from './page.mjs';

const options = { skip, timeout: 300_000 };
const folder = skip ? undefined : project();
const built = skip ? undefined : join(folder, 'app/vite');

before(async () => {
  if (skip) return;
  page(join(folder, 'vite'), 'page.js');
  await viteBuild(join(folder, 'vite'), built);
});

test('Vite', options, async () => {
  assert.equal(await shown(await serve(built)), 'allow deny');
});

test('Vite, while developing', options, async () => {
  const server = await viteServer(join(folder, 'vite'), folder);
  after(() => server.close());
  const { port } = server.httpServer.address();
  assert.equal(await shown(`http://127.0.0.1:${port}`), 'allow deny');
});

test('webpack', options, async () => {
  const out = join(folder, 'app/webpack');
  mkdirSync(out, { recursive: true });
  await webpackBuild(join(folder, 'webpack/page.js'), out, 'web');
  page(out, 'main.js');
  assert.equal(await shown(await serve(out)), 'allow deny');
});

test('esbuild', options, async () => {
  command(ESBUILD_PAGE, folder);
  page(join(folder, 'public'), 'page.js');
  assert.equal(await shown(await serve(join(folder, 'public'))), 'allow deny');
});

test('a worker by Vite', options, async () => {
  page(join(folder, 'vite'), 'starts-worker.js');
  const out = join(folder, 'app/vite-worker');
  await viteBuild(join(folder, 'vite'), out);
  assert.equal(await shown(await serve(out)), 'allow deny');
});

test('a worker by webpack', options, async () => {
  const out = join(folder, 'app/webpack-worker');
  mkdirSync(out, { recursive: true });
  await webpackBuild(join(folder, 'webpack/starts-worker.js'), out, 'web');
  page(out, 'main.js');
  assert.equal(await shown(await serve(out)), 'allow deny');
});

test('a policy that does not allow WebAssembly', options, async () => {
  const headers = { 'content-security-policy': "default-src 'self'" };
  const text = await shown(await serve(built, { headers }));
  assert.match(text, /^module::refused: /);
  assert.match(text, /'wasm-unsafe-eval'/);
});

test('a policy that allows it', options, async () => {
  const headers = {
    'content-security-policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
  };
  assert.equal(await shown(await serve(built, { headers })), 'allow deny');
});

test('a module that is not served', options, async () => {
  const wasm = response => response.writeHead(404).end();
  const text = await shown(await serve(built, { wasm }));
  assert.match(text, /^module::missing: .*\.wasm` is answered with 404\n.*give `init` its URL/);
});

test('a server that hangs up', options, async () => {
  const text = await shown(await serve(built, { wasm: response => response.destroy() }));
  assert.match(text, /^module::missing: .*\.wasm` could not be fetched: /);
});

test('an index page in place of the module', options, async () => {
  const wasm = response =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype');
  assert.match(await shown(await serve(built, { wasm })), /^module::invalid: /);
});
