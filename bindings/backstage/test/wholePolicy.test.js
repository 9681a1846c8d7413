'use strict';

// The rule of the catalog that stands for all policies: whatever it does not know, it closes, and
// says why.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const {
  createConditionTransformer,
} = require('@backstage/plugin-permission-node');
const { Engine } = require('@stagedoor/node');

const { start, READ, DELETE, REFRESH, PROXY } = require('./backend.js');
const { policyDirectory, simple } = require('./policies.js');
const { queryOf, RULE, WholePolicy } = require('../dist/wholePolicy.js');

const policies = `${simple}
@id("payments-by-name")
permit (
  principal is Backstage::User,
  action == Backstage::Action::"catalog.entity.refresh",
  resource is Backstage::CatalogEntity
) when { resource.name like "payments-*" };
@id("nobody-deletes-secrets")
forbid (
  principal,
  action == Backstage::Action::"catalog.entity.delete",
  resource is Backstage::CatalogEntity
) when { resource.name like "*-secret" };
`;
const ana = {
  userEntityRef: 'user:default/ana',
  ownershipEntityRefs: ['user:default/ana', 'group:default/payments'],
};
const entity = (name, owner) => ({
  apiVersion: 'backstage.io/v1alpha1',
  kind: 'Component',
  metadata: { name, namespace: 'default' },
  spec: { type: 'service', owner },
  relations: [{ type: 'ownedBy', targetRef: owner }],
});

/** The rule in use, with policies in force and what it told. */
async function whole(t, texts = policies) {
  const engine = await Engine.load({
    texts: [{ name: 'a.cedar', text: texts }],
    platform: 'backstage',
  });
  t.after(() => engine.close());
  const told = [];
  const rule = new WholePolicy();
  const served = { engine };
  rule.serve({
    engine: () => served.engine,
    budget: { leaves: 64, depth: 16, bytes: 1_647 },
    onClosed: (code, message) => told.push({ code, message }),
  });
  rule.registered({ warn() {} });
  rule.seen(`{"description": "process ${rule.id}"}`);
  const params = (permission, user = ana) => {
    const answer = engine.decideBackstage(permission, user);
    const decision = rule.enforced(permission, user, answer);
    assert.equal(decision.conditions?.rule, RULE, JSON.stringify(decision));
    return decision.conditions.params;
  };
  return { rule, engine, params, told, served };
}

test('single entities are decided by the policies, lists by what rules can say', async t => {
  const { rule, params, told } = await whole(t);
  const remove = params(DELETE);
  const own = 'group:default/payments';
  assert.equal(rule.applies(entity('ledger', own), remove), true);
  assert.equal(rule.applies(entity('ledger-secret', own), remove), false);
  assert.equal(
    rule.applies(entity('ledger', 'group:default/x'), remove),
    false,
  );
  // What Backstage tells no owner of has none, whatever stands in its specification.
  const { relations, ...alone } = entity('ledger', own);
  assert.equal(relations.length, 1);
  assert.equal(rule.applies(alone, remove), false);
  // Backstage's rules cannot say the name's end: closed in lists, and without the rule.
  assert.equal(rule.listed(remove).result, 'DENY');
  const refresh = params(REFRESH);
  assert.equal(
    rule.applies(entity('payments-1', 'group:default/x'), refresh),
    true,
  );
  assert.equal(rule.applies(entity('search-1', own), refresh), false);
  assert.equal(rule.listed(refresh).result, 'DENY');
  assert.deepEqual(told, []);
});

test('what is allowed or denied anyway stays so, and so does what is not about entities', async t => {
  const { rule, engine } = await whole(t);
  for (const permission of [
    READ,
    PROXY,
    // The frontend asks by the name: conditions would be an error.
    { name: 'catalog.entity.delete', attributes: {} },
    { name: 'no.such', attributes: {}, resourceType: 'catalog-entity' },
  ]) {
    const answer = engine.decideBackstage(permission, ana);
    assert.equal(rule.enforced(permission, ana, answer), answer.decision);
  }
  const answer = engine.decideBackstage(DELETE, { service: 'plugin:x' });
  const decision = rule.enforced(DELETE, { service: 'plugin:x' }, answer);
  assert.equal(decision, answer.decision);
});

test('what may be allowed is not recorded as a denial, nor as cut', async t => {
  const { rule, engine } = await whole(t);
  const queries = [REFRESH, DELETE, PROXY, { ...READ, name: 'no.such' }].map(
    permission => ({ permission }),
  );
  const answers = queries.map(({ permission }) =>
    engine.decideBackstage(permission, ana),
  );
  const batch = { queries, user: ana, answers, microseconds: 1 };
  const results = ({ answers: told }) =>
    told.map(({ decision }) => decision.result);
  assert.deepEqual(results(batch), ['DENY', 'DENY', 'ALLOW', 'DENY']);
  const recorded = rule.recorded(batch);
  assert.deepEqual(results(recorded), [
    'CONDITIONAL',
    'CONDITIONAL',
    'ALLOW',
    'DENY',
  ]);
  assert.equal(recorded.answers[0].decision.conditions.rule, RULE);
  const findings = rule
    .withoutNarrowed(batch)
    .answers.map(each => each.findings.map(({ code }) => code));
  assert.deepEqual(findings, [[], [], [], ['permission::unknown']]);
  // Without the rule everything is as it was.
  rule.seen(undefined);
  assert.equal(rule.recorded(batch), batch);
  assert.equal(rule.withoutNarrowed(batch), batch);
});

test('the same question is answered by the same rule, which is short', async t => {
  const { rule, engine, params } = await whole(t);
  const many = {
    userEntityRef: 'user:default/ana',
    ownershipEntityRefs: Array.from(
      { length: 2_000 },
      (_, n) => `group:default/g-${n}`,
    ),
  };
  assert.equal(params(DELETE, many), params(DELETE, many));
  const answer = engine.decideBackstage(DELETE, many);
  const { length } = JSON.stringify(rule.enforced(DELETE, many, answer));
  assert.ok(length < 300, `${length}`);
  // Nothing of the claims is cut in the list.
  const { rule: other, params: of } = await whole(t, simple);
  const listed = other.listed(of(DELETE, many));
  assert.equal(listed.conditions.params.claims.length, 2_001);
});

test('other policies, other users, another process: closed, with the reason', async t => {
  const { rule, params, told, served } = await whole(t);
  const own = entity('ledger', 'group:default/payments');
  const remove = params(DELETE);
  const closed = (given, code) => {
    told.length = 0;
    assert.equal(rule.applies(own, given), false);
    assert.deepEqual(rule.listed(given), { result: 'DENY' });
    assert.deepEqual(
      told.map(each => each.code),
      [code, code],
    );
    assert.match(told[0].message, /is denied/);
  };
  closed({ ...remove, revision: 'f00d' }, 'whole-policy::revision');
  closed({ ...remove, claims: 'unknown' }, 'whole-policy::claims');
  // The claims of one user are not those of another.
  closed({ ...remove, user: 'user:default/ben' }, 'whole-policy::claims');
  const { engine } = served;
  served.engine = undefined;
  closed(remove, 'whole-policy::no-policies');
  served.engine = engine;
  assert.equal(rule.applies(own, remove), true);

  const warned = [];
  const elsewhere = new WholePolicy();
  elsewhere.registered({ warn: message => warned.push(message) });
  assert.equal(elsewhere.applies(own, remove), false);
  assert.deepEqual(elsewhere.listed(remove), { result: 'DENY' });
  assert.equal(warned.length, 1);
  assert.match(warned[0], /has no policies/);
});

test('whatever fails is a plain no: never a promise, never a throw', async t => {
  const { rule, params, told, engine } = await whole(t);
  const remove = params(DELETE);
  const circle = {};
  circle.circle = circle;
  const deep = { ...entity('ledger', 'group:default/payments') };
  let at = deep;
  for (let level = 0; level < 20_000; level += 1) at = at.spec = { x: 1 };
  for (const odd of [
    undefined,
    null,
    1,
    'x',
    [],
    {},
    circle,
    { kind: 'Component' },
    { ...entity('ledger', 'group:default/payments'), kind: 7 },
    deep,
  ]) {
    told.length = 0;
    assert.equal(rule.applies(odd, remove), false);
    assert.equal(told.length, 1);
    assert.equal(told[0].code, 'whole-policy::failed');
  }
  const own = entity('ledger', 'group:default/payments');
  assert.equal(rule.applies(own, { ...remove, permission: 'no.such' }), false);
  assert.deepEqual(rule.listed({ ...remove, permission: 'no.such' }), {
    result: 'DENY',
  });
  assert.equal(rule.applies(own, { ...remove, permission: PROXY.name }), false);
  assert.deepEqual(rule.listed({ ...remove, permission: PROXY.name }), {
    result: 'DENY',
  });
  engine.close();
  assert.equal(rule.applies(own, remove), false);
  assert.deepEqual(rule.listed(remove), { result: 'DENY' });
});

test('it is answered only while the catalog of this process says so', async t => {
  const { rule, engine } = await whole(t);
  const answer = engine.decideBackstage(DELETE, ana);
  const isUsed = () => rule.enforced(DELETE, ana, answer) !== answer.decision;
  assert.equal(isUsed(), true);
  rule.seen(undefined);
  assert.equal(isUsed(), false);
  rule.seen(`process ${rule.id}`);
  assert.equal(isUsed(), true);
  // Another process behind the same address: now and then it would be asked.
  assert.match(
    rule.seen(`{"name": "${RULE}"} of another process`),
    /not that of this process/,
  );
  rule.seen(`process ${rule.id}`);
  assert.equal(isUsed(), false);
  assert.match(rule.unused, /not that of this process/);
});

test('without the module of the catalog nothing changes', async t => {
  const directory = policyDirectory(t, { 'a.cedar': policies });
  const { authorize } = await start(t, { directory });
  const [remove] = await authorize([DELETE]);
  assert.equal(remove.result, 'DENY');
  assert.equal(
    new WholePolicy().unused,
    'the module of the catalog is not installed',
  );
});

test('users that asked last are remembered longest, and no more than there is room for', async t => {
  const { rule, engine } = await whole(t);
  const owned = Array.from(
    { length: 10_000 },
    (_, n) => `group:default/g-${n}`,
  );
  const user = n => ({
    userEntityRef: `user:default/u${n}`,
    ownershipEntityRefs: owned,
  });
  const answer = engine.decideBackstage(DELETE, user(0));
  const params = asks =>
    rule.enforced(DELETE, asks, { ...answer }).conditions.params;
  const first = params(user(0));
  const own = entity('ledger', 'group:default/g-1');
  assert.equal(rule.applies(own, first), true);
  const all = Array.from({ length: 60 }, (_, n) => params(user(n + 1)));
  assert.equal(rule.applies(own, first), false);
  assert.equal(rule.applies(own, all.at(-1)), true);
  // Whoever asks again is known again.
  assert.equal(rule.applies(own, params(user(0))), true);
});

test('nothing and everything are said without empty lists', () => {
  const transform = createConditionTransformer([]);
  for (const result of ['ALLOW', 'DENY']) {
    const query = queryOf({ result }, transform);
    assert.equal(query.key, 'kind');
    assert.equal(query.values?.length, result === 'DENY' ? 0 : undefined);
  }
});
