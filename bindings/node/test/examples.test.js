'use strict';

// Runs each example as a reader would, and compares what it prints with what it says it does.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');

const folder = join(__dirname, '../examples');
const examples = readdirSync(folder).filter(name => name.endsWith('.mjs'));
assert.ok(examples.length > 0, 'there are no examples');

for (const name of examples) {
  test(name, () => {
    const path = join(folder, name);
    const said = /\/\* Prints:\n([^]*)\*\/\n$/.exec(readFileSync(path, 'utf8'));
    assert.ok(said, 'the example does not say what it prints');
    assert.equal(execFileSync(process.execPath, [path], { encoding: 'utf8' }), said[1]);
  });
}
