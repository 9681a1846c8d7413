// Cloudflare's workerd, Deno and Bun.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { BUN, DENO, ESBUILD_WORKERD } from './commands.mjs';
import { command, program, project, run, wasmOf } from './project.mjs';

const system = `${process.platform}-${process.arch}`;
const workerd = program(`@cloudflare/workerd-${system.replace('x64', '64')}`, 'bin/workerd');
const deno = ['', '-glibc']
  .map(libc => program(`@deno/${system}${libc}`, 'deno'))
  .find(path => path !== undefined);
const bun = program(`@oven/bun-${system.replace('arm64', 'aarch64')}`, 'bin/bun');
const given = (path, name) => ({
  skip: path === undefined && `skipped: npm has no ${name} for ${system}`,
  timeout: 300_000,
});

const folder = project();

/** Starts workerd with what is in `app`, and returns what it answers. */
async function served(configuration) {
  writeFileSync(join(folder, 'app/workerd.capnp'), configuration);
  const args = ['serve', 'workerd.capnp', '--socket-addr=http=127.0.0.1:0', '--control-fd=3'];
  const stdio = ['ignore', 'ignore', 'pipe', 'pipe'];
  const child = spawn(workerd, args, { cwd: join(folder, 'app'), stdio });
  const ended = new Promise(done => child.on('exit', done));
  after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  let complaints = '';
  child.stderr.on('data', text => (complaints += text));
  const port = await new Promise((done, failed) => {
    let told = '';
    child.stdio[3].on('data', text => {
      told += text;
      for (const line of told.split('\n').slice(0, -1)) {
        const event = JSON.parse(line);
        if (event.event === 'listen') done(event.port);
      }
    });
    ended.then(code => failed(new Error(`workerd ended with ${code}: ${complaints}`)));
  });
  const answer = await fetch(`http://127.0.0.1:${port}/`);
  return [answer.status, await answer.text(), complaints];
}

test('workerd', given(workerd, 'workerd'), async () => {
  command(ESBUILD_WORKERD, folder);
  copyFileSync(wasmOf(folder), join(folder, 'app/stagedoor.wasm'));
  const configuration = readFileSync(join(folder, 'workerd/workerd.capnp'), 'utf8');
  assert.deepEqual(await served(configuration), [200, 'allow deny', '']);
  // Without FinalizationRegistry.
  const older = configuration.replace('2025-05-05', '2024-01-01');
  assert.notEqual(older, configuration);
  assert.deepEqual(await served(older), [200, 'allow deny', '']);
});

test('Deno', given(deno, 'deno'), () => {
  const env = { DENO_DIR: join(folder, 'deno'), DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' };
  const ended = run(deno, DENO, folder, env);
  assert.deepEqual([ended.status, ended.stdout], [0, 'allow deny\n'], ended.stderr);
});

test('Deno without the right to read', given(deno, 'deno'), () => {
  const env = { DENO_DIR: join(folder, 'deno'), DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' };
  const args = DENO.map(arg => (arg === '--allow-read' ? '--no-prompt' : arg));
  const ended = run(deno, args, folder, env);
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /the module cannot be read: .*--allow-read/);
});

test('Bun', given(bun, 'bun'), () => {
  const ended = run(bun, BUN, folder, { HOME: folder });
  assert.deepEqual([ended.status, ended.stdout], [0, 'allow deny\n'], ended.stderr);
});
