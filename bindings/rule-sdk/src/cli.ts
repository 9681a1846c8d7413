#!/usr/bin/env node
// `stagedoor-rule build`: the one command from TypeScript to a component; `stagedoor-rule flatten` makes
// one core module of a component that another tool has built of many.

import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { build, type BuildResult } from './build.js';
import { flattened } from './flatten.js';

const USAGE =
  'usage: stagedoor-rule build [ENTRY] [--out FILE.wasm]\n  (src/rule.ts, dist/rule.wasm)\n' +
  '       stagedoor-rule flatten COMPONENT.wasm --out FILE.wasm';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { out: { type: 'string', short: 'o' }, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  const [command, given, ...rest] = positionals;
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  let built: BuildResult;
  if (command === 'build' && rest.length === 0) {
    built = await build(given ?? 'src/rule.ts', values.out ?? 'dist/rule.wasm');
  } else if (command === 'flatten' && given !== undefined && values.out && rest.length === 0) {
    built = await flatten(given, values.out);
  } else {
    console.error(USAGE);
    return 2;
  }
  console.log(`${built.file}: ${built.bytes} bytes`);
  return 0;
}

async function flatten(component: string, out: string): Promise<BuildResult> {
  const bytes = flattened(await readFile(component));
  await writeFile(out, bytes);
  return { file: out, bytes: bytes.length };
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
