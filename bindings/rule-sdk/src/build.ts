// From TypeScript to a component.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { componentize } from 'componentize-qjs';
import { build as bundle } from 'esbuild';

import { flattened } from './flatten.js';

const contract = fileURLToPath(new URL('../wit', import.meta.url));
const guard = fileURLToPath(new URL('component.js', import.meta.url));

/** Where a component was written, and how large it is. */
export interface BuildResult {
  readonly file: string;
  readonly bytes: number;
}

/** Builds the rule that is the default export of a module. */
export async function build(entry: string, out: string): Promise<BuildResult> {
  const path = resolve(entry);
  const bundled = await bundle({
    stdin: {
      contents: `import rule from ${JSON.stringify(path)};
        import { guardOf } from ${JSON.stringify(guard)};
        export const guard = guardOf(rule);`,
      resolveDir: dirname(path),
    },
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2023',
    minify: true,
    write: false,
    logLevel: 'silent',
  });
  const { component } = await componentize({
    witPath: contract,
    world: 'rule',
    jsSource: bundled.outputFiles[0]?.text ?? '',
    // Imports nothing: a clock or randomness would trap.
    stubWasi: true,
    sync: true,
    // It lives for one call.
    disableGc: true,
  });
  const bytes = flattened(component);
  const file = resolve(out);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, bytes);
  return { file: join(out), bytes: bytes.length };
}
