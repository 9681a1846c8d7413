// Reads the command's formats with the schemas and parsers that others publish, and fails if one
// of them objects or understands something else: `node check.mjs FOLDER`.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { error, notice, warning } from '@actions/core';
import Ajv2020 from 'ajv/dist/2020.js';
import Ajv4 from 'ajv-draft-04';
import formats from 'ajv-formats';
import lcov from 'lcov-parse';
import { Parser } from 'tap-parser';
import { parse as parseResults } from 'test-results-parser';

const require = createRequire(import.meta.url);
const folder = process.argv[2];
const path = name => join(folder, name);
const text = name => readFileSync(path(name), 'utf8');
const json = name => JSON.parse(text(name));
const expected = json('expected.json');

function conforms(validate, value, name) {
  assert.ok(validate(value), `${name}: ${JSON.stringify(validate.errors?.slice(0, 3), null, 1)}`);
}

/** SARIF 2.1.0, by its JSON schema. */
function sarif() {
  const schema = require('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json');
  // One of the schema's patterns is no regular expression with the flag `u`.
  const ajv = new Ajv4({ strict: false, allErrors: true, unicodeRegExp: false });
  formats.default(ajv);
  const validate = ajv.compile(schema);
  for (const name of ['lint.sarif', 'audit.sarif', 'test.sarif']) {
    const log = json(name);
    conforms(validate, log, name);
    assert.ok(log.runs[0].results.length > 0, name);
  }
  const broken = json('lint.sarif');
  broken.runs[0].results[0].colour = 'red';
  assert.equal(validate(broken), false, 'the schema refuses nothing');
}

/** Test files, by the JSON schema that ships for editors. */
function testFiles() {
  const schema = json('test-file.schema.json');
  const ajv = new Ajv2020({ strict: false });
  assert.ok(ajv.validateSchema(schema), JSON.stringify(ajv.errors));
  // Widths of numbers, of which the schema says the bounds, too.
  for (const width of ['uint', 'uint32', 'uint64', 'int64', 'double']) ajv.addFormat(width, true);
  const validate = ajv.compile(schema);
  const names = readdirSync(path('test-files'));
  assert.ok(names.length > 5, `${names}`);
  for (const name of names) {
    const file = json(join('test-files', name));
    conforms(validate, file, name);
    assert.equal(validate({ ...file, cases_: [] }), false, `${name}: an unknown key`);
  }
}

/** The Test Anything Protocol. */
function tap() {
  const found = Parser.parse(text('report.tap'), { strict: true });
  const tests = found.filter(([what]) => what === 'assert').map(([, test]) => test);
  const [, all] = found.find(([what]) => what === 'complete');
  assert.deepEqual(all.failures.filter(failure => failure.tapError), []);
  assert.deepEqual([all.count, all.pass, all.fail], [tests.length, expected.passed, expected.failed]);
  assert.equal(all.plan.end, expected.passed + expected.failed);
  const failed = tests.filter(test => !test.ok);
  assert.ok(failed.every(test => /expected allow/.test(test.diag.message)), `${failed}`);
  const names = tests.map(test => test.name);
  assert.ok(names.some(name => name.endsWith(expected.name)), names[0]);
}

/** JUnit's XML. */
function junit() {
  const results = parseResults({ type: 'junit', files: [path('report.xml')] });
  assert.deepEqual([results.passed, results.failed], [expected.passed, expected.failed]);
  const cases = results.suites.flatMap(suite => suite.cases);
  const failed = cases.filter(one => one.status === 'FAIL');
  assert.deepEqual(failed.map(one => one.name), [expected.name]);
  assert.match(failed[0].failure, /expected allow/);
}

/** Coverage, as lcov has it. */
async function coverage() {
  const files = await new Promise((resolve, reject) =>
    lcov(text('lcov.info'), (problem, files) => (problem ? reject(problem) : resolve(files))));
  const counted = json('coverage.json');
  const names = new Set(counted.policies.map(policy => policy.file));
  assert.deepEqual(new Set(files.map(file => file.file)), names);
  for (const { file, functions, branches, lines } of files) {
    const policies = counted.policies.filter(policy => policy.file === file);
    assert.deepEqual(functions.details.map(f => [f.name, f.line, f.hit]),
      policies.map(policy => [policy.policy.replaceAll(',', ';'), policy.line, policy.determined]));
    const clauses = policies.flatMap(p => p.clauses).filter(clause => clause.state !== 'fixed');
    assert.equal(branches.found, 2 * clauses.length);
    const taken = clauses.flatMap(c => [c.true_mattered, c.false_mattered]).filter(n => n > 0);
    assert.equal(branches.hit, taken.length);
    for (const part of [functions, branches, lines]) assert.equal(part.found, part.details.length);
  }
}

/** Annotations: what GitHub's own toolkit writes for the values that its runner reads. */
function annotations(name, count) {
  const lines = text(name).split('\n').filter(line => line.startsWith('::'));
  assert.equal(lines.length, count, name);
  for (const line of lines) {
    const [, command, properties, data] = line.match(/^::(\w+) ([^:]*)::(.*)$/);
    // As the runner's `ActionCommand` takes it apart.
    const plain = value => value.replace(/%0D/g, '\r').replace(/%0A/g, '\n').replace(/%25/g, '%');
    const property = value => plain(value.replace(/%3A/g, ':').replace(/%2C/g, ','));
    const { line: startLine, col: startColumn, ...more } = Object.fromEntries(
      properties.split(',').map(pair => [pair.split('=')[0], property(pair.replace(/^\w+=/, ''))]));
    const written = [];
    const { write } = process.stdout;
    process.stdout.write = chunk => written.push(chunk);
    try {
      ({ error, notice, warning })[command](plain(data), { startLine, startColumn, ...more });
    } finally {
      process.stdout.write = write;
    }
    const sorted = line => {
      const [, head, rest] = line.trimEnd().match(/^(::\w+ [^:]*)::(.*)$/);
      return [head.split(/[ ,](?=\w+=)/).sort(), rest];
    };
    assert.deepEqual(sorted(line), sorted(written.join('')), name);
  }
}

sarif();
testFiles();
tap();
junit();
await coverage();
annotations('test.github', expected.failed);
annotations('lint.github', expected.findings);
