import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ask, type CedarRecord, type Verdict } from '@stagedoor/rule-sdk';

import rule from './rule.js';
import { matches, parseTemplate } from './template.js';

type Arguments = Parameters<typeof rule.evaluate>[1];

const object = { type: 'k8s::admission::AdmittedObject', id: 'new' };

function name(attributes: CedarRecord, args: Arguments, fields: CedarRecord = {}): Verdict {
  const uid = { type: 'k8s::admission::Resource', id: 'r' };
  const resource = { uid, attributes: { ...attributes, object: { __entity: { ...object } } } };
  return ask(rule, { resource, related: [{ uid: object, tags: fields }] }, args);
}

test('names have the form of the template', () => {
  const forms: [string, string, boolean][] = [
    ['{namespace}-<words>', 'pay-api', true],
    ['{namespace}-<words>', 'pay-', false],
    ['{namespace}-<words>', 'pay', false],
    ['{namespace}-<words>', 'payments-api', false],
    ['{namespace}-<words>', 'xpay-api', false],
    ['{namespace}-<word>-<number>', 'pay-api-12', true],
    ['{namespace}-<word>-<number>', 'pay-api-v2-12', false],
    ['{namespace}-<words>-<number>', 'pay-api-v2-12', true],
    ['{namespace}-<words>-<number>', 'pay-api-v2-12-x', false],
    ['<letters>', 'api', true],
    ['<letters>', 'api2', false],
    ['<words>', 'API', false],
    ['<words>', 'api\n', false],
    ['exact.name', 'exact.name', true],
    ['exact.name', 'exact-name', false],
  ];
  for (const [template, given, fits] of forms) {
    const verdict = name({ name: given, namespace: 'pay' }, { template });
    assert.equal(verdict.holds, fits, `${given} against ${template}`);
  }
});

test('one of several forms is enough, and the reason names them', () => {
  const args = { templates: ['<word>', '{namespace}-<word>'] };
  assert.ok(name({ name: 'pay-api', namespace: 'pay' }, args).holds);
  const refused = name({ name: 'x-api', namespace: 'pay' }, args);
  assert.equal(refused.reason, '`x-api` has not the form <word> or {namespace}-<word>');
  assert.ok(!name({ name: 'a'.repeat(64) }, { template: '<word>', maxLength: 63 }).holds);
});

test('fields of the object under admission', () => {
  const args = { template: '{/metadata/labels/team}-<words>' };
  const team = (teams: string[]) =>
    name({ name: 'pay-api' }, args, { '/metadata/labels/team': teams });
  assert.ok(team(['pay']).holds);
  assert.ok(!team(['search']).holds);
  assert.throws(() => team(['pay', 'search']), /no single text/);
  assert.throws(() => team([]), /no single text/);
  assert.throws(() => name({ name: 'pay-api' }, args), /no single text/);
});

test('fields that are not there, and templates that cannot be read, give no verdict', () => {
  for (const [attributes, args, says] of [
    [{ name: 'a' }, { template: '{namespace}' }, /no single text `namespace`/],
    [{ name: 'a' }, { template: '{constructor}' }, /no single text `constructor`/],
    [{}, { template: '<word>' }, /no single text `name`/],
    [{ name: 1 }, { template: '<word>' }, /no single text `name`/],
    [{ name: 'a' }, {}, /either/],
    [{ name: 'a' }, { template: '<word>', templates: ['<word>'] }, /either/],
    [{ name: 'a' }, { template: '<toString>' }, /none of <word>/],
    [{ name: 'a' }, { template: 'a{' }, /cannot be read from `\{`/],
  ] as const) {
    assert.throws(() => name(attributes, args), says);
  }
});

test('templates that cannot be read are refused when policies load', () => {
  rule.validate?.({ template: '{namespace}-<words>' });
  for (const [args, says] of [
    [{}, /either/],
    [{ template: '<toString>' }, /none of <word>/],
    [{ templates: ['<word>', 'a{'] }, /cannot be read from `\{`/],
  ] as const) {
    assert.throws(() => rule.validate?.(args), says);
  }
});

test('no name takes long', () => {
  const template = parseTemplate('<words>-'.repeat(30) + '<number>');
  assert.ok(!matches('-'.repeat(250) + 'x', template, () => ''));
  assert.ok(matches(`${'a-'.repeat(30)}1`, template, () => ''));
});
