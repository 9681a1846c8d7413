import { answers } from '../answers.js';

console.log(answers());
