import { readFileSync } from 'node:fs';
import { initSync } from '@stagedoor/wasm';
import { answers } from '../answers.js';

initSync(readFileSync(new URL('@stagedoor/wasm/stagedoor.wasm', import.meta.url)));
console.log(answers());
