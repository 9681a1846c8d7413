// The engine as WebAssembly, in Node: the module and files are found by themselves.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { files } from './files.js';
import { readFilesBy } from './options.js';
import { findBy } from './runtime.js';

findBy(() => readFileSync(join(__dirname, '../stagedoor.wasm')));
readFilesBy(files);

export * from './index.js';
