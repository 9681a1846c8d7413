'use strict';

const { shareCases, shareDirectories, shareWireCases } = require('../../cases.js');
const wasm = require('@stagedoor/wasm');

shareCases(wasm);
shareDirectories(wasm, { hasRules: false });
shareWireCases(wasm);
