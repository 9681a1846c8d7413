// Rules without WebAssembly, and what the component makes of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';

import { build } from 'esbuild';

import { ask, defineRule, entityOf, extensionOf, no, yes } from '../dist/index.js';

const rule = defineRule({
  name: 'on-call',
  version: '1.2.3',
  inputs: ['principal', 'context'],
  arguments: {
    type: 'object',
    required: ['people'],
    properties: { people: { type: 'array', items: { type: 'string' } } },
  },
  evaluate: ({ principal, context, related }, { people }) => {
    const deputy = entityOf(context.deputy);
    if (deputy && related(deputy)?.tags.away === true) {
      throw new Error('the deputy is away');
    }
    return people.includes(principal.uid.id) ? yes() : no(`${principal.uid.id} is not on call`);
  },
});

const ana = { uid: { type: 'User', id: 'ana' } };

test('a rule is asked', () => {
  assert.deepEqual(ask(rule, { principal: ana, context: {} }, { people: ['ana'] }), yes());
  const refused = ask(rule, { principal: ana, context: {} }, { people: [] });
  assert.deepEqual(refused, { holds: false, reason: 'ana is not on call' });
});

test('entities that an input refers to', () => {
  const bob = { type: 'User', id: 'bob' };
  const context = { deputy: { __entity: bob } };
  const related = [{ uid: bob, tags: { away: true } }];
  assert.throws(() => ask(rule, { principal: ana, context, related }, { people: [] }), /away/);
  assert.equal(ask(rule, { principal: ana, context }, { people: [] }).holds, false);
  assert.deepEqual(extensionOf({ __extn: { fn: 'ip', arg: '::1' } }), { fn: 'ip', arg: '::1' });
  for (const none of [undefined, 1, 'x', [], {}, { __entity: 1 }, { __entity: { type: 'T' } }]) {
    assert.equal(entityOf(none), undefined);
    assert.equal(extensionOf(none), undefined);
  }
});

/** Returns the contract's `guard` of a rule, as the component has it: in a world of its own. */
async function guardOf(evaluate, inputs = ['context']) {
  const bundled = await build({
    stdin: {
      contents: `import { guardOf } from './dist/component.js';
        guard = guardOf({ name: 'r', version: '1', inputs: ${JSON.stringify(inputs)},
          arguments: { type: 'object' }, evaluate: ${evaluate} });`,
      resolveDir: new URL('..', import.meta.url).pathname,
    },
    bundle: true,
    write: false,
  });
  const world = { guard: undefined, performance: {} };
  runInNewContext(bundled.outputFiles[0].text, world);
  return world.guard;
}

const wire = {
  principal: null,
  action: null,
  resource: null,
  context: '{"n":9223372036854775807,"m":12,"s":"1234567890123456789"}',
  related: [],
  arguments: '{}',
};

test('the contract', async () => {
  const guard = await guardOf(`({ context }) => ({ holds: context.m === 12 })`);
  const { inputs, argumentsSchema } = guard.describe();
  assert.deepEqual(
    { ...inputs },
    { principal: false, action: false, resource: false, context: true },
  );
  assert.equal(argumentsSchema, '{"type":"object"}');
  assert.deepEqual({ ...guard.evaluate(wire) }, { holds: true, reason: null });
});

test('integers are exact', async () => {
  const told = `({ context }) => ({ holds: true, reason: [context.n, context.m, context.s]
    .map(value => typeof value + ' ' + value).join() })`;
  const guard = await guardOf(told);
  const reason = 'bigint 9223372036854775807,number 12,string 1234567890123456789';
  assert.equal(guard.evaluate(wire).reason, reason);
  // What looks like the mark of such an integer is not taken for one.
  const context = '{"n":12345678901234567890,"m":{"__integer":"1"},"s":"x"}';
  assert.match(guard.evaluate({ ...wire, context }).reason, /^bigint .*,object \[object/);
  // Fractions stay what they are beside it, however many digits they have.
  const fractions = '{"n":0.30000000000000004,"m":1.2345678901234568e-5,"s":[[-9007199254740993]]}';
  assert.equal(
    guard.evaluate({ ...wire, context: fractions }).reason,
    'number 0.30000000000000004,number 0.000012345678901234568,object -9007199254740993',
  );
});

test('an input is read once, and related entities stand by themselves', async () => {
  const guard = await guardOf(
    `({ resource, related }) => ({
      holds: resource.attributes === resource.attributes,
      reason: related(resource.attributes.owner.__entity)?.tags.team,
    })`,
    ['resource'],
  );
  const owner = { type: 'User', id: 'ana' };
  const entity = (uid, attributes, tags) => ({ uid, attributes, tags, ancestors: [] });
  const resource = entity(owner, JSON.stringify({ owner: { __entity: owner } }), '{}');
  const related = [entity(owner, '{}', '{"team":"pay"}')];
  const verdict = guard.evaluate({ ...wire, resource, related });
  assert.deepEqual({ ...verdict }, { holds: true, reason: 'pay' });
});

test('what varies is missing', async () => {
  for (const [what, says] of [
    ['Date.now()', /no clock/],
    ['new Date()', /no clock/],
    ['Date()', /no clock/],
    ['new (new Date(0).constructor)()', /no clock/],
    ['Math.random()', /no randomness/],
  ]) {
    const guard = await guardOf(`() => ({ holds: ${what} !== 0 })`);
    assert.throws(() => guard.evaluate(wire), says, what);
  }
  for (const what of ['performance', 'crypto', 'setTimeout', 'setInterval']) {
    const guard = await guardOf(`() => ({ holds: typeof ${what} === 'undefined' })`);
    assert.ok(guard.evaluate(wire).holds, what);
  }
  const dates = await guardOf(`() => ({ holds: new Date('2026-01-02').getUTCDate() === 2 })`);
  assert.ok(dates.evaluate(wire).holds);
});

test('what is no verdict, and what is not declared, is an error', async () => {
  for (const [evaluate, says] of [
    [`() => undefined`, /no verdict/],
    [`() => ({ holds: 'yes' })`, /no verdict/],
    [`async () => ({ holds: true })`, /no verdict/],
    [`({ principal }) => ({ holds: !!principal })`, /principal without declaring/],
    [`() => { throw 'as text' }`, /as text/],
  ]) {
    const guard = await guardOf(evaluate);
    assert.throws(() => guard.evaluate(wire), says);
  }
});
