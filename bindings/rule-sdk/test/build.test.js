// The one command from TypeScript to a component.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { bytes, COMPONENT, Reader, section, sections, u32 } from '../dist/binary.js';
import { flattened } from '../dist/flatten.js';

const sdk = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'stagedoor-rule-'));
after(() => rmSync(folder, { recursive: true }));
const modules = join(folder, 'node_modules');
symlinkSync(join(sdk, 'node_modules'), modules);

function run(...args) {
  const cli = join(sdk, 'dist/cli.js');
  return spawnSync('node', [cli, ...args], { cwd: folder, encoding: 'utf8' });
}

const entry = `import { defineRule, yes } from ${JSON.stringify(join(sdk, 'dist/index.js'))};
  export default defineRule({ name: 'r', version: '1', inputs: [], arguments: { type: 'object' },
    evaluate: (): { holds: boolean } => yes() });`;

test('a rule becomes a component', () => {
  writeFileSync(join(folder, 'rule.ts'), entry);
  const { status, stdout, stderr } = run('build', 'rule.ts', '--out', 'out/r.wasm');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^out\/r\.wasm: \d+ bytes$/m);
  const component = readFileSync(join(folder, 'out/r.wasm'));
  assert.deepEqual(component.subarray(0, 8), Buffer.from(COMPONENT));
  // One module, which imports nothing, and the contract's types.
  const modules = sections(component).filter(({ id }) => id === 1);
  assert.equal(modules.length, 1);
  const imports = sections(modules[0].body).filter(({ id }) => id === 2);
  assert.equal(imports.length, 0);
  const nested = sections(component).filter(({ id }) => id === 4);
  assert.ok(nested.every(({ body }) => sections(body).every(({ id }) => id !== 1)));
});

test('a component is flattened by the command', () => {
  // One that is flat already stays a rule.
  writeFileSync(join(folder, 'again.ts'), entry);
  assert.equal(run('build', 'again.ts', '--out', 'built.wasm').status, 0);
  const { status, stdout, stderr } = run('flatten', 'built.wasm', '--out', 'flat.wasm');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^flat\.wasm: \d+ bytes$/m);
  const flat = sections(readFileSync(join(folder, 'flat.wasm')));
  assert.equal(flat.filter(({ id }) => id === 1).length, 1);
});

test('what is no component of a rule is refused', () => {
  const empty = bytes(COMPONENT);
  assert.throws(() => flattened(empty), /does not follow the contract/);
  assert.throws(() => flattened(empty.subarray(0, 5)), /ends too early/);
  assert.throws(() => flattened(bytes(COMPONENT, 1, u32(300), 0)), /ends too early/);
  // An instance of a module that is not there, and a function of a kind that there is not.
  assert.throws(() => flattened(bytes(COMPONENT, section(2, 1, 0, 7, 0))), /no such module/);
  assert.throws(() => flattened(bytes(COMPONENT, section(8, 1, 9))), /unknown kind, 9/);
});

test('numbers are read as they were written', () => {
  for (const number of [0, 1, 127, 128, 300, 16_383, 16_384, 2 ** 32 - 1]) {
    assert.equal(new Reader(u32(number)).u32(), number);
  }
  assert.throws(() => new Reader(Buffer.alloc(6, 0xff)).u32(), /too long/);
});

test('what is wrong is told', () => {
  writeFileSync(join(folder, 'broken.ts'), 'export default {');
  writeFileSync(join(folder, 'imports.ts'), `import fs from 'node:fs'; export default fs;`);
  writeFileSync(join(folder, 'throws.ts'), `throw new Error('not today'); export default 1;`);
  for (const [args, code, says] of [
    [['build', 'missing.ts'], 1, /missing\.ts/],
    [['build', 'broken.ts'], 1, /broken\.ts:1:16/],
    [['build', 'imports.ts'], 1, /node:fs/],
    [['build', 'throws.ts'], 1, /not today/],
    [['make'], 2, /usage/],
    [['build', 'a', 'b'], 2, /usage/],
    [['build', '--fast'], 1, /--fast/],
    [[], 2, /usage/],
    [['flatten', 'a.wasm'], 2, /usage/],
    [['flatten', 'missing.wasm', '--out', 'b.wasm'], 1, /missing\.wasm/],
    [['flatten', 'broken.ts', '--out', 'b.wasm'], 1, /is not a component/],
  ]) {
    const { status, stderr } = run(...args);
    assert.equal(status, code, args.join(' '));
    assert.match(stderr, says);
  }
});
