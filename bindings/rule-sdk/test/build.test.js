// The one command from TypeScript to a component.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

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
  const bytes = readFileSync(join(folder, 'out/r.wasm'));
  // WebAssembly, and the layer of components.
  assert.equal(bytes.subarray(0, 8).toString('hex'), '0061736d0d000100');
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
  ]) {
    const { status, stderr } = run(...args);
    assert.equal(status, code, args.join(' '));
    assert.match(stderr, says);
  }
});
