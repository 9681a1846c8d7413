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
    // A bundler takes the code and leaves the file.
    const message =
      'the module is not beside the code, as in a bundle: call `initSync` with `stagedoor.wasm` first';
    const help =
      'copy `@stagedoor/wasm/stagedoor.wasm` beside the bundle, and call ' +
      'initSync(readFileSync(path)) before anything else, or leave the package out of the bundle';
    throw new StagedoorError({ code: 'module::missing', message, help }, { cause });
  }
});
readFilesBy(files);

export * from './index.js';
