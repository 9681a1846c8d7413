import { init } from '@stagedoor/wasm';
import { answers } from '../answers.js';

init(new URL('@stagedoor/wasm/stagedoor.wasm', import.meta.url))
  .then(answers)
  .catch(error => `${error.code}: ${error.message}\n${error.help}`)
  .then(text => (document.body.textContent = text));
