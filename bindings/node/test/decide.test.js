'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { DecisionLog, Engine, Entities } = require('../main.js');
const { texts, entities, deploy } = require('./shop.js');

const engine = Engine.loadSync({ texts });
const store = new Entities(entities);
const read = { ...deploy, principal: 'User::"ben"', action: 'Action::"read"', context: {} };

test('a decision names the policies that determined it', () => {
  const { revision } = engine;
  const decided = (asked, decision, reasons) =>
    assert.deepEqual(engine.decide(asked, store), { decision, reasons, errors: [], revision });
  decided(deploy, 'allow', ['team-deploys']);
  decided({ ...deploy, context: undefined }, 'deny', ['needs-mfa']);
  decided({ ...deploy, action: 'Action::"read"' }, 'deny', []);
  decided(read, 'allow', ['owner-reads']);
});

test('isAllowed says the same in one word', () => {
  assert.equal(engine.isAllowed(deploy, store), true);
  assert.equal(engine.isAllowed({ ...deploy, context: {} }, store), false);
});

test('ids are texts or pairs, with whatever is in them', () => {
  const names = ['ana', '', 'a b', 'ä€😀', 'a::"b', 'back\\slash', 'new\nline', 'x'.repeat(5000)];
  for (const id of names) {
    const pair = { type: 'User', id };
    const own = [{ uid: pair, parents: ['Team::"payments"'] }, entities[2]];
    const asked = { ...deploy, principal: pair, entities: own };
    assert.equal(engine.isAllowed(asked), true, JSON.stringify(id));
    const text = `User::"${id.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
    assert.equal(engine.isAllowed({ ...asked, principal: text }), true, text);
    assert.equal(engine.isAllowed({ ...asked, principal: { type: 'User', id: `${id}!` } }), false);
  }
});

test('entities of a request lie over those that are prepared', () => {
  const silver = { uid: 'Service::"blog"', attrs: { tier: 'silver', tags: [] } };
  const asked = { ...deploy, resource: silver.uid };
  assert.equal(engine.isAllowed({ ...asked, entities: [silver] }, store), false);
  const gold = { ...silver, attrs: { tier: 'gold', tags: [] } };
  assert.equal(engine.isAllowed({ ...asked, entities: [gold] }, store), true);
  assert.equal(engine.isAllowed(asked, store.with([gold])), true);
  assert.equal(store.size, 3);
  assert.equal(store.with([gold]).size, 4);
  assert.throws(() => engine.decide({ ...deploy, entities: [entities[2]] }, store), {
    code: 'entities::duplicate',
  });
});

test('values keep their types', () => {
  const plain = { ...read, principal: 'User::"zoe"' };
  const reasons = context => engine.decide({ ...plain, context }, store).reasons;
  assert.deepEqual(reasons({ ip: { __extn: { fn: 'ip', arg: '10.1.2.3' } } }), ['office']);
  assert.deepEqual(reasons({ ip: { __extn: { fn: 'ip', arg: '11.1.2.3' } } }), []);
  for (const id of [7, 7n]) {
    assert.deepEqual(reasons({ ticket: { id, labels: ['ok', 'ok', 'x'] } }), ['ticket']);
  }
  assert.deepEqual(reasons({ ticket: { id: 7, labels: [] } }), []);
  assert.deepEqual(reasons({ ticket: undefined }), []);
  const longest = 9223372036854775807n;
  const many = { uid: 'Service::"s"', attrs: { tier: 'gold', tags: [], replicas: longest } };
  const overflow = engine.decide({ ...deploy, resource: many.uid, entities: [many] }, store);
  assert.equal(overflow.decision, 'deny');
  assert.deepEqual(overflow.reasons, ['limits']);
  assert.equal(overflow.errors[0].policy, 'limits');
  assert.match(overflow.errors[0].message, /overflow/);
});

test('what is not a value of Cedar is refused, and said where', () => {
  const context = (value, at) =>
    assert.throws(
      () => engine.decide({ ...deploy, context: value }, store),
      error => {
        assert.equal(error.name, 'StagedoorError');
        assert.match(error.code, /^(argument|entities|limit|request)::/);
        assert.ok(error.message.includes(at), `${error.message} lacks ${at}`);
        return error instanceof Error;
      },
    );
  context({ mfa: null }, 'context.mfa');
  context({ mfa: 1.5 }, 'context.mfa');
  context({ mfa: NaN }, 'context.mfa');
  context({ mfa: Infinity }, 'context.mfa');
  context({ mfa: 2 ** 53 }, 'context.mfa');
  context({ mfa: 2n ** 63n }, 'context.mfa');
  context({ mfa: () => true }, 'context.mfa');
  context({ mfa: Symbol('x') }, 'context.mfa');
  context({ mfa: new Date(0) }, 'context.mfa');
  context({ mfa: new Map() }, 'context.mfa');
  context({ mfa: Buffer.from('x') }, 'context.mfa');
  context({ mfa: '\ud800' }, 'context.mfa');
  context({ '\udc00': true }, 'half of a character');
  context({ ticket: { id: 7, labels: [[], null] } }, 'context.ticket.labels[1]');
  context({ ip: { __extn: { fn: 'ip', arg: '1.1.1.1") || ip("2.2.2.2' } } }, 'context.ip');
  context({ ip: { __extn: { fn: 'unknown', arg: 'x' } } }, 'context.ip');
  context({ ip: { __extn: { fn: 'ip' } } }, 'context.ip');
  context({ mfa: { __entity: 'x' } }, 'context.mfa');
  context([], 'context');
  context('x', 'context');
  const cycle = {};
  cycle.self = cycle;
  context(cycle, 'nests deeper');
  // The schema knows neither of these.
  context({ other: 1 }, 'other');
  context({ mfa: 'yes' }, 'mfa');
});

test('a request that the schema does not know is refused', () => {
  const refused = (asked, code) =>
    assert.throws(() => engine.decide({ ...deploy, ...asked }, store), { code });
  refused({ action: 'Action::"fly"' }, 'request::schema');
  refused({ resource: 'User::"ana"' }, 'request::schema');
  refused({ principal: 'ana' }, 'request::uid');
  refused({ principal: 'User::"ana" ' }, 'request::uid');
  refused({ principal: '' }, 'request::uid');
  refused({ principal: undefined }, 'argument::type');
  refused({ principal: 7 }, 'argument::type');
  refused({ principal: {} }, 'argument::type');
  refused({ principal: { type: 'User' } }, 'argument::type');
  refused({ principal: { type: 'no type', id: '' } }, 'request::uid');
  refused({ principal: { type: 'User', id: 'x'.repeat(70_000) } }, 'limit::string-bytes');
  refused({ principal: { type: 'User', id: 'x'.repeat(1 << 20) } }, 'argument::size');
  refused({ entities: {} }, 'argument::type');
  refused({ entities: [{}] }, 'argument::type');
  refused({ entities: [{ uid: 'User::"x"', attributes: {} }] }, 'argument::type');
  refused({ entities: [{ uid: 'User::"x"', parents: 'Team::"x"' }] }, 'argument::type');
  refused({ entities: [{ uid: 'User::"x"', attrs: { age: 7 } }] }, 'entities::schema');
});

test('keys that nobody knows are refused, with the nearest', () => {
  const refused = (asked, message) =>
    assert.throws(() => engine.decide({ ...deploy, ...asked }, store), {
      code: 'argument::type',
      message,
    });
  refused({ ctx: { mfa: false } }, /unknown key `ctx`: did you mean `context`\?/);
  refused({ entites: [] }, /did you mean `entities`\?/);
  refused({ colour: 1 }, /the keys are `principal`, /);
  refused({ principal: { type: 'User', id: 'ana', idd: 'x' } }, /did you mean `id`\?/);
  refused({ entities: [{ uid: 'User::"x"', tag: {} }] }, /entities\[0\]: .* `tags`\?/);
  refused({ context: { ip: { __extn: { fn: 'ip', arg: '::1', at: 1 } } } }, /`context.ip`: /);
  assert.throws(() => new Entities([{ uid: 'User::"x"', attributes: {} }]), /did you mean `attrs`/);
  const { action, principal } = engine;
  assert.throws(() => action.call(engine, { type: 'Action', id: 'deploy', ids: [] }), /`id`\?/);
  assert.throws(() => principal.call(engine, { type: 'User', name: 'x' }), /unknown key `name`/);
});

test('what JavaScript throws on the way comes out as it is', () => {
  const thrown = new RangeError('mine');
  const trap = () => {
    throw thrown;
  };
  const asked = {
    ...deploy,
    context: {
      get mfa() {
        return trap();
      },
    },
  };
  assert.throws(
    () => engine.decide(asked, store),
    error => error === thrown,
  );
  const proxy = new Proxy(deploy, { get: trap });
  assert.throws(
    () => engine.decide(proxy, store),
    error => error === thrown,
  );
  const keys = new Proxy({}, { ownKeys: trap });
  assert.throws(
    () => engine.decide({ ...deploy, context: keys }, store),
    e => e === thrown,
  );
});

test('Kubernetes gets the status of its review', () => {
  const text = `@id("reads") permit (principal, action in k8s::Action::"readOnly", resource is k8s::Resource)
    when { resource.resource == "pods" };`;
  const options = { texts: [{ name: 'p.cedar', text }], platform: 'kubernetes' };
  const kubernetes = Engine.loadSync(options);
  const review = verb => ({
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user: 'ana', resourceAttributes: { verb, version: 'v1', resource: 'pods' } },
  });
  assert.equal(kubernetes.reviewAccess(review('get')).allowed, true);
  assert.equal(kubernetes.reviewAccess(review('delete')).allowed, false);
  assert.throws(() => kubernetes.reviewAccess({ kind: 'Pod' }), { code: 'review::refused' });
  assert.throws(() => kubernetes.reviewAccess(7), { code: 'argument::type' });
  assert.throws(() => engine.reviewAccess(review('get')), { code: 'engine::platform' });
});

test('objects that nest without end are refused, and the process goes on', () => {
  const nested = depth => {
    const whole = {};
    let at = whole;
    for (let level = 0; level < depth; level += 1) at = at.x = {};
    return whole;
  };
  const circle = {};
  circle.x = circle;
  const query = { principal: 'User::"ana"', action: 'Action::"read"', resourceType: 'Doc' };
  for (const odd of [nested(200), nested(2_000), nested(50_000), circle]) {
    const refused = { name: 'StagedoorError', code: 'limit::nesting' };
    assert.throws(() => engine.query({ ...query, openContext: false, context: odd }), refused);
    assert.throws(() => engine.list({ ...query, openContext: false, context: odd }), refused);
    assert.throws(() => engine.reviewAccess(odd), refused);
    const log = new DecisionLog(() => {});
    assert.throws(() => log.record({ request: odd }), refused);
  }
  for (const odd of [() => 1, Symbol('x'), NaN, new Map([['a', 1]]), 2n ** 70n, '\ud800']) {
    const given = { ...query, openContext: false, context: { odd } };
    assert.throws(() => engine.query(given), { name: 'StagedoorError' });
  }
});

test('misuse of the handles is an error', () => {
  assert.throws(() => new Engine(), Error);
  assert.throws(() => Engine.prototype.decide.call({}, deploy, store), Error);
  assert.throws(() => Engine.prototype.decide.call(store, deploy, store), Error);
  assert.throws(() => engine.decide(), { code: 'argument::type' });
  assert.throws(() => engine.decide(deploy, {}), { code: 'argument::type' });
  assert.throws(() => engine.decide(deploy, engine), { code: 'argument::type' });
  assert.throws(() => engine.decide(deploy, [entities]), { code: 'argument::type' });
  assert.throws(() => new Entities(), { code: 'argument::type' });
  assert.throws(() => new Entities([{ uid: 'User::"a"' }, { uid: 'User::"a"' }]), {
    code: 'entities::duplicate',
  });
  const cycle = [
    { uid: 'Team::"a"', parents: ['Team::"b"'] },
    { uid: 'Team::"b"', parents: ['Team::"a"'] },
  ];
  assert.throws(() => new Entities(cycle), { code: 'entities::cycle' });
});

test('one bad request of a batch is denied and spoils no other', () => {
  const answers = engine.decideBatch(
    [deploy, { ...deploy, action: 'Action::"fly"' }, read, 7],
    store,
  );
  assert.deepEqual(
    answers.map(answer => answer.decision),
    ['allow', 'deny', 'allow', 'deny'],
  );
  assert.deepEqual(
    answers.map(answer => answer.code),
    [undefined, 'request::schema', undefined, 'argument::type'],
  );
  assert.deepEqual(engine.decideBatch([], store), []);
  assert.throws(() => engine.decideBatch(deploy, store), { code: 'argument::type' });
});

test('an explanation says which clause failed', () => {
  const silver = { uid: 'Service::"blog"', attrs: { tier: 'silver', tags: [] } };
  const asked = { ...deploy, resource: silver.uid, entities: [silver] };
  const { decision, policies, nearest, revision } = engine.explain(asked, store);
  assert.equal(decision, 'deny');
  assert.equal(revision, engine.revision);
  const tried = policies.find(policy => policy.policy === 'team-deploys');
  assert.equal(tried.status, 'not-satisfied');
  assert.deepEqual(tried.failed.text, 'resource.tier == "gold"');
  assert.equal(tried.failed.file, 'shop.cedar');
  assert.equal(tried.failed.line, 4);
  assert.equal(nearest[0].policy, 'team-deploys');
  assert.equal(nearest[0].failed.length, 1);
});

test('entities are read from JSON, with the schema as its key', () => {
  const json = JSON.stringify([
    {
      uid: { type: 'User', id: 'ana' },
      attrs: { joined: '2024-01-01' },
      parents: [{ type: 'Team', id: 'payments' }],
    },
    { uid: { type: 'Service', id: 'ledger' }, attrs: { tier: 'gold', tags: [] }, parents: [] },
  ]);
  const people = Entities.fromJson(json, engine);
  assert.equal(engine.isAllowed(deploy, people), true);
  assert.throws(() => Entities.fromJson('[{', engine), { code: 'entities::json' });
  assert.throws(
    () =>
      Entities.fromJson(
        '[{"uid": {"type": "Moon", "id": "m"}, "attrs": {}, "parents": []}]',
        engine,
      ),
    {
      name: 'StagedoorError',
    },
  );
  assert.throws(() => Entities.fromJson(7), { code: 'argument::type' });
});
