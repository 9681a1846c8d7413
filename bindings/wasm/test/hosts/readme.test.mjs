// The README shows the code and the commands that are run here.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import * as commands from './commands.mjs';
import { here } from './project.mjs';

const readme = readFileSync(join(here, '../../README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```\w+\n([^]*?)^```$/gm)].map(([, block]) => block);
const app = path => readFileSync(join(here, 'apps', path), 'utf8');

for (const path of [
  'answers.js',
  'node/main.mjs',
  'vite/page.js',
  'vite/worker.js',
  'vite/starts-worker.js',
  'webpack/server.js',
  'esbuild/server.js',
  'workerd/worker.js',
  'workerd/workerd.capnp',
]) {
  test(path, () => assert.ok(blocks.includes(app(path)), 'the README shows something else'));
}

const programs = { DENO: 'deno ', BUN: 'bun ' };
for (const [name, line] of Object.entries(commands)) {
  const written = Array.isArray(line) ? programs[name] + line.join(' ') : line;
  test(name, () =>
    assert.ok(blocks.includes(`${written}\n`), `the README does not have ${written}`),
  );
}

// Where the README says in what a file differs from one that it shows, it differs in that alone.
const [url, webpack, loader] = [
  "import url from '@stagedoor/wasm/stagedoor.wasm?url';\n",
  "init(new URL('@stagedoor/wasm/stagedoor.wasm', import.meta.url))\n",
  "import url from '@stagedoor/wasm/stagedoor.wasm';\n",
];
for (const name of ['page', 'worker']) {
  test(`webpack/${name}.js`, () => {
    assert.ok(blocks.includes(webpack));
    const changed = app(`vite/${name}.js`).replace(url, '').replace('init(url)\n', webpack);
    assert.equal(app(`webpack/${name}.js`), changed);
  });
}
test('webpack/starts-worker.js', () => {
  assert.equal(app('webpack/starts-worker.js'), app('vite/starts-worker.js'));
});
test('esbuild/page.js', () => {
  assert.ok(blocks.includes(loader));
  assert.equal(app('esbuild/page.js'), app('vite/page.js').replace(url, loader));
});
test('esbuild/server-module.js', () => {
  const read = "new URL('stagedoor.wasm', import.meta.url)";
  assert.ok(readme.includes(`\`${read}\``));
  const changed = app('esbuild/server.js')
    .replace("import { join } from 'node:path';\n", '')
    .replace("join(__dirname, 'stagedoor.wasm')", read);
  assert.equal(app('esbuild/server-module.js'), changed);
});
