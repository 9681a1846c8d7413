#!/usr/bin/env node
// `stagedoor-rule build`: the one command from TypeScript to a component.

import { parseArgs } from 'node:util';

import { build } from './build.js';

const USAGE =
  'usage: stagedoor-rule build [ENTRY] [--out FILE.wasm]\n  (src/rule.ts, dist/rule.wasm)';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { out: { type: 'string', short: 'o' }, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  const [command, entry = 'src/rule.ts', ...rest] = positionals;
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (command !== 'build' || rest.length > 0) {
    console.error(USAGE);
    return 2;
  }
  const { file, bytes } = await build(entry, values.out ?? 'dist/rule.wasm');
  console.log(`${file}: ${bytes} bytes`);
  return 0;
}

main().then(
  code => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
