// The engine as WebAssembly, in Node: the module and files are found by themselves.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { StagedoorError } from './error.js';
import { files } from './files.js';
import { readFilesBy } from './options.js';
import { findBy } from './runtime.js';

findBy(() => {
  try {
    return readFileSync(join(__dirname, '../stagedoor.wasm'));
  } catch (cause) {
    // A bundler takes the code and leaves the file; one that makes an ECMAScript module also
    // leaves no `__dirname`.
    const left = cause instanceof ReferenceError || (cause as { code?: unknown }).code === 'ENOENT';
    const message = left
      ? 'the module is not beside the code, as in a bundle: call `initSync` with `stagedoor.wasm` first'
      : `the module cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    const help = left
      ? 'copy `@stagedoor/wasm/stagedoor.wasm` beside the bundle, and call ' +
        'initSync(readFileSync(path)) before anything else, or leave the package out of the bundle'
      : 'let the process read `stagedoor.wasm` in the package, or call `initSync` with its bytes first';
    throw new StagedoorError({ code: 'module::missing', message, help }, { cause });
  }
});
readFilesBy(files);

export * from './index.js';
