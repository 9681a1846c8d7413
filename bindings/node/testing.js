'use strict';

// Tests of policies in the test runner of a repository: node:test, Jest or Vitest.

const { AssertionError } = require('node:assert');
const { basename } = require('node:path');

const { runPolicyTestFiles } = require('./main.js');

/** Makes a test of every case of the test files; they are decided at once, here. */
function runPolicyTests(paths, runner = runnerAtHand()) {
  const { describe, it } = runner;
  if (typeof describe !== 'function' || typeof it !== 'function') {
    throw new TypeError('a runner has the functions `describe` and `it`');
  }
  const files = new Map();
  for (const one of JSON.parse(runPolicyTestFiles([paths].flat()))) {
    const suites = files.get(one.file) ?? new Map();
    files.set(one.file, suites);
    suites.set(one.suite, [...(suites.get(one.suite) ?? []), one]);
  }
  for (const [file, suites] of files) {
    describe(basename(file), () => {
      for (const [suite, cases] of suites) {
        const define = () => cases.forEach(one => it(one.name, () => check(one)));
        if (suite === null) define();
        else describe(suite, define);
      }
    });
  }
}

function check({ file, line, failures }) {
  if (failures.length === 0) return;
  const message = [`${file}:${line}`, ...failures].join('\n  ');
  throw new AssertionError({ message, stackStartFn: check });
}

function runnerAtHand() {
  const { describe, it } = globalThis;
  if (describe && it) return { describe, it };
  if (process.env.VITEST) {
    throw new Error(
      "Vitest has no globals here: runPolicyTests(paths, { describe, it }), imported from 'vitest'",
    );
  }
  return require('node:test');
}

const list = ids => (ids.length === 0 ? 'no policy' : ids.map(id => `\`${id}\``).join(', '));

/** Says what was decided and why, from the engine's explanation. */
function told(engine, request, entities) {
  const { decision, reasons, errors, nearest } = engine.explain(request, entities);
  const lines = [`${decision}, by ${list(reasons)}`];
  for (const { policy, failed } of nearest.slice(0, 1)) {
    for (const { text } of failed) lines.push(`\`${policy}\` would permit it, but for: ${text}`);
  }
  for (const { policy, message } of errors) lines.push(`\`${policy}\`: ${message}`);
  return lines.join('\n  ');
}

function matcher(wanted, because) {
  return (engine, request, entities) => {
    const { decision, reasons } = engine.decide(request, entities);
    const fits = ids => ids.length === reasons.length && ids.every(id => reasons.includes(id));
    const pass = decision === wanted && (because === undefined || fits(because));
    const expected = because === undefined ? wanted : `${wanted}, by ${list(because)}`;
    const message = () =>
      `expected ${pass ? 'anything but ' : ''}${expected}\nreceived ${told(engine, request, entities)}`;
    return { pass, message };
  };
}

/** Matchers for `expect.extend` of Jest and Vitest. What cannot be decided is thrown. */
const policyMatchers = {
  toAllow: matcher('allow'),
  toDeny: matcher('deny'),
  toAllowBecauseOf: (engine, request, policies, entities) =>
    matcher('allow', [policies].flat())(engine, request, entities),
  toDenyBecauseOf: (engine, request, policies, entities) =>
    matcher('deny', [policies].flat())(engine, request, entities),
};

function asserted(name) {
  return function assertion(...args) {
    const { pass, message } = policyMatchers[name](...args);
    if (!pass) throw new AssertionError({ message: message(), stackStartFn: assertion });
  };
}

module.exports.runPolicyTests = runPolicyTests;
module.exports.policyMatchers = policyMatchers;
module.exports.assertAllows = asserted('toAllow');
module.exports.assertDenies = asserted('toDeny');
module.exports.assertAllowsBecauseOf = asserted('toAllowBecauseOf');
module.exports.assertDeniesBecauseOf = asserted('toDenyBecauseOf');
