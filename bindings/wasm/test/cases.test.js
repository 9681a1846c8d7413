'use strict';

const { shareCases } = require('../../cases.js');
const wasm = require('@stagedoor/wasm');

shareCases(wasm);
