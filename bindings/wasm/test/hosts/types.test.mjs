// TypeScript takes the module's import, however it resolves names.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { here, project, run } from './project.mjs';

const tsc = join(here, 'node_modules/typescript/bin/tsc');
const strict = ['--noEmit', '--strict', '--target', 'ES2022', '--lib', 'ES2024,DOM'];

test('types', { timeout: 300_000 }, () => {
  const folder = project();
  for (const resolution of [
    ['--module', 'node16'],
    ['--module', 'nodenext'],
    ['--module', 'esnext', '--moduleResolution', 'bundler'],
  ]) {
    const args = [tsc, ...strict, ...resolution, 'types/main.mts'];
    const { status, stdout } = run(process.execPath, args, folder);
    assert.equal(status, 0, `${resolution}: ${stdout}`);
  }
});
