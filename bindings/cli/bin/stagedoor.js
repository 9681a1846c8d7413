#!/usr/bin/env node
'use strict';

// Runs the program of this platform in place of itself, as far as Node can: the same input, output
// and exit code, and signals are handed on.

const { spawn } = require('node:child_process');

const { program } = require('../program.js');

/** Not a code of the program's own, which says what was decided or found: no such command. */
const NOT_FOUND = 127;

function run(path) {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  let child;
  // Before there is a program: a signal in between would end the launcher alone, and the program
  // would go on without it. What arrives is handed on in a later turn, when there is one.
  for (const signal of signals) process.on(signal, () => child?.kill(signal));
  child = spawn(path, process.argv.slice(2), { stdio: 'inherit', windowsHide: true });
  child.on('error', error => fail(`\`${path}\` cannot be started: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exitCode = code;
      return;
    }
    // So that a shell sees the same end.
    for (const each of signals) process.removeAllListeners(each);
    process.kill(process.pid, signal);
  });
}

function fail(message) {
  console.error(message);
  process.exitCode = NOT_FOUND;
}

let path;
try {
  path = program();
} catch (error) {
  fail(error.message);
}
if (path !== undefined) run(path);
