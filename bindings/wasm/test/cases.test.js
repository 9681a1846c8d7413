'use strict';

const { shareCases, shareWireCases } = require('../../cases.js');
const wasm = require('@stagedoor/wasm');

shareCases(wasm);
shareWireCases(wasm);
