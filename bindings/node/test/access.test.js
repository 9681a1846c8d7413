'use strict';

// Why somebody has a permission of Backstage's, and what other policies would change.

const assert = require('node:assert/strict');
const { join } = require('node:path');
const { test } = require('node:test');

const { Engine } = require('../main.js');
const { texts } = require('./shop.js');

const directory = join(__dirname, '../../../policies/backstage');
const engine = Engine.loadSync({ directory, platform: 'backstage' });

const user = (name, ...groups) => ({
  userEntityRef: `user:default/${name}`,
  ownershipEntityRefs: [`user:default/${name}`, ...groups.map(group => `group:default/${group}`)],
});
const ledger = {
  apiVersion: 'backstage.io/v1alpha1',
  kind: 'Component',
  metadata: { name: 'ledger', namespace: 'default', annotations: {} },
  spec: { type: 'service', lifecycle: 'production', owner: 'payments' },
  relations: [{ type: 'ownedBy', targetRef: 'group:default/payments' }],
};
const REFRESH = 'catalog.entity.refresh';
const DELETE = 'catalog.entity.delete';

test('a decision about an entity is explained', () => {
  const allowed = engine.explainBackstage(REFRESH, user('ana', 'payments'), ledger);
  assert.equal(allowed.decision, 'allow');
  assert.deepEqual(allowed.reasons, ['owners-manage']);
  assert.equal(allowed.revision, engine.revision);
  const forbidden = engine.explainBackstage(DELETE, user('ana', 'payments'), ledger);
  assert.deepEqual([forbidden.decision, forbidden.reasons], ['deny', ['production-stays']]);
  const denied = engine.explainBackstage(REFRESH, user('bo', 'search'), ledger);
  assert.deepEqual([denied.decision, denied.reasons], ['deny', []]);
  assert.ok(denied.nearest.some(({ policy }) => policy === 'owners-manage'));
  const owners = denied.policies.find(({ policy }) => policy === 'owners-manage');
  assert.equal(owners.status, 'not-satisfied');
  assert.match(owners.failed.text, /resource\.owners/);
});

test('a permission that is about no resource is explained', () => {
  const denied = engine.explainBackstage('kubernetes.proxy', user('ana'));
  assert.equal(denied.decision, 'deny');
  assert.equal(denied.nearest[0].policy, 'on-call-proxy');
  assert.equal(
    engine.explainBackstage('kubernetes.proxy', user('ana', 'on-call'), null).decision,
    'allow',
  );
});

test('what cannot be explained says why', () => {
  const ana = user('ana');
  for (const [args, code] of [
    [['no.such', ana], 'permission::unknown'],
    [['kubernetes.proxy', ana, ledger], 'permission::resource'],
    [[REFRESH, ana], 'permission::resource'],
    [[REFRESH, ana, 'component:default/ledger'], 'argument::type'],
    [[REFRESH, ana, [ledger]], 'argument::type'],
    [[REFRESH, ana, { kind: 'Component' }], 'permissions::file'],
    [[REFRESH, null, ledger], 'user::reference'],
    [[REFRESH, { userEntityRef: 'ana' }, ledger], 'user::reference'],
    [[REFRESH, { ...ana, groups: [] }, ledger], 'argument::type'],
  ]) {
    assert.throws(
      () => engine.explainBackstage(...args),
      { name: 'StagedoorError', code },
      JSON.stringify(args),
    );
  }
  const shop = Engine.loadSync({ texts });
  const platform = { name: 'StagedoorError', code: 'engine::platform' };
  assert.throws(() => shop.explainBackstage(REFRESH, ana, ledger), platform);
  assert.throws(() => shop.backstageResiduals(REFRESH, ana), platform);
  assert.throws(() => engine.compareBackstage(shop), platform);
  shop.close();
});

test('without a resource each policy says what is left of it', () => {
  const applies = (permission, who) =>
    Object.fromEntries(
      engine.backstageResiduals(permission, who).map(each => [each.policy, each.applies]),
    );
  const ana = applies(DELETE, user('ana', 'payments'));
  assert.equal(ana['owners-manage'], 'some');
  assert.equal(ana['platform-admins'], undefined);
  assert.equal(applies(DELETE, user('cleo', 'platform-admins'))['platform-admins'], 'always');
  const [owners] = engine
    .backstageResiduals(DELETE, user('ana', 'payments'))
    .filter(({ policy }) => policy === 'owners-manage');
  assert.equal(owners.effect, 'permit');
  assert.match(owners.file, /catalog\.cedar$/);
  assert.ok(owners.line > 1);
  assert.match(owners.condition, /group:default\/payments/);
  assert.deepEqual(engine.backstageResiduals('kubernetes.proxy', user('ana')), []);
  assert.throws(() => engine.backstageResiduals('no.such', user('ana')), {
    code: 'permission::unknown',
  });
});

test('what other policies change is told for all requests, and by name', async () => {
  const person = (name, ...groups) => ({
    apiVersion: 'backstage.io/v1alpha1',
    kind: 'User',
    metadata: { name },
    relations: groups.map(group => ({ type: 'memberOf', targetRef: `group:default/${group}` })),
  });
  const catalog = JSON.stringify([ledger, person('ana', 'payments'), person('ben', 'on-call')]);
  const text = `@id("all-proxy") permit (
    principal is Backstage::User,
    action == Backstage::Action::"kubernetes.proxy",
    resource
  );`;
  const others = await Engine.load({
    directory,
    texts: [{ name: 'new.cedar', text }],
    platform: 'backstage',
  });
  const found = await engine.compareBackstage(others, catalog);
  assert.deepEqual(found.policies, { added: ['all-proxy'], removed: [], changed: [] });
  assert.equal(found.meaning.verdict, 'widened');
  assert.deepEqual(found.meaning.rows[0].policies, ['all-proxy']);
  assert.deepEqual([found.widened, found.narrowed, found.leftOut], [1, 0, 0]);
  assert.deepEqual(found.rows[0].who, ['user:default/ana']);
  assert.deepEqual(found.rows[0].actions, ['kubernetes.proxy']);

  // The other way round, and without a catalog.
  const back = await others.compareBackstage(engine);
  assert.deepEqual([back.meaning.verdict, back.asked, back.rows], ['narrowed', 0, []]);
  const few = await engine.compareBackstage(others, catalog, 10);
  assert.ok(few.asked <= 10 && few.leftOut > 0, JSON.stringify([few.asked, few.leftOut]));
  await assert.rejects(engine.compareBackstage(others, '[{'), { name: 'StagedoorError' });
  others.close();
  assert.throws(() => engine.compareBackstage(others), { code: 'engine::closed' });
});
