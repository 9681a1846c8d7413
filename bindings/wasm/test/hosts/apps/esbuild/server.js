import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { initSync } from '@stagedoor/wasm';
import { answers } from '../answers.js';

initSync(readFileSync(join(__dirname, 'stagedoor.wasm')));
console.log(answers());
