'use strict';

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');

const { packages, program } = require('../program.js');

const here = join(__dirname, '..');
const unix = {
  skip: process.platform === 'win32' && 'skipped: the programs here are shell scripts',
};

/** Lays the package out as it is installed, with a program for this platform. */
function installed(t, script, mode = 0o755) {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-cli-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const scope = join(folder, 'node_modules/@stagedoor');
  for (const file of ['package.json', 'program.js', 'bin']) {
    cpSync(join(here, file), join(scope, 'cli', file), { recursive: true });
  }
  if (script !== undefined) {
    const own = join(folder, 'node_modules', packages(process)[0]);
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, 'stagedoor'), script);
    chmodSync(join(own, 'stagedoor'), mode);
  }
  return join(scope, 'cli/bin/stagedoor.js');
}

test('each platform has its package', () => {
  const report = { getReport: () => ({ header: { glibcVersionRuntime: '2.36' } }) };
  const musl = { getReport: () => ({ header: {} }) };
  const all = [
    [{ platform: 'linux', arch: 'x64', report }, ['linux-x64-gnu', 'linux-x64-musl']],
    [{ platform: 'linux', arch: 'arm64', report: musl }, ['linux-arm64-musl']],
    [{ platform: 'darwin', arch: 'arm64' }, ['darwin-arm64']],
    [{ platform: 'win32', arch: 'x64' }, ['win32-x64-msvc']],
  ];
  for (const [platform, names] of all) {
    assert.deepEqual(
      packages(platform),
      names.map(name => `@stagedoor/cli-${name}`),
    );
  }
});

test('a platform without a program is told what to do', () => {
  const resolve = name => require.resolve(`/nonexistent/${name}`);
  const platform = { platform: 'linux', arch: 'riscv64' };
  assert.throws(() => program({ resolve, platform }), /linux-riscv64.*cargo install --locked/);
});

test('arguments, input, output and exit code are those of the program', unix, t => {
  const launcher = installed(t, '#!/bin/sh\nread line\necho "$line: $*"\necho err >&2\nexit 3\n');
  const args = [launcher, 'check', 'a b'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    input: 'in\n',
    encoding: 'utf8',
  });
  assert.deepEqual(
    { status, stdout, stderr },
    { status: 3, stdout: 'in: check a b\n', stderr: 'err\n' },
  );
});

test('without the program it says so, by a code that decides nothing', t => {
  const { status, stderr } = spawnSync(process.execPath, [installed(t)], { encoding: 'utf8' });
  assert.equal(status, 127);
  assert.match(stderr, /lacks its program for \S+, which is in @stagedoor\/cli-/);
});

test('a program that cannot be started is told', unix, t => {
  const launcher = installed(t, '#!/bin/sh\n', 0o644);
  const { status, stderr } = spawnSync(process.execPath, [launcher], { encoding: 'utf8' });
  assert.equal(status, 127);
  assert.match(stderr, /cannot be started: .*EACCES/);
});

test('signals reach the program, and its end by one is the launcher’s', unix, async t => {
  const launcher = installed(
    t,
    '#!/bin/sh\ntrap "echo stopped; exit 7" TERM\necho ready\nwhile :; do sleep 0.05; done\n',
  );
  const child = spawn(process.execPath, [launcher], { timeout: 60_000, killSignal: 'SIGKILL' });
  let printed = '';
  child.stdout.on('data', data => {
    printed += data;
    if (printed === 'ready\n') child.kill('SIGTERM');
  });
  const [code] = await new Promise(done => child.on('close', (...ended) => done(ended)));
  assert.deepEqual({ code, printed }, { code: 7, printed: 'ready\nstopped\n' });

  const killed = installed(t, '#!/bin/sh\nkill -KILL $$\n');
  assert.equal(spawnSync(process.execPath, [killed]).signal, 'SIGKILL');
});
