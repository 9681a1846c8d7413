import { init } from '@stagedoor/wasm';
import module from '@stagedoor/wasm/stagedoor.wasm';
import { answers } from '../answers.js';

await init(module);

export default {
  fetch: () => new Response(answers()),
};
