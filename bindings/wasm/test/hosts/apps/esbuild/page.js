import { init } from '@stagedoor/wasm';
import url from '@stagedoor/wasm/stagedoor.wasm';
import { answers } from '../answers.js';

init(url)
  .then(answers)
  .catch(error => `${error.code}: ${error.message}\n${error.help}`)
  .then(text => (document.body.textContent = text));
