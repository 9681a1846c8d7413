'use strict';

const assert = require('node:assert/strict');
const { cpSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');

const { Answers } = require('../answers.js');
const { Engine } = require('../main.js');
const { texts } = require('./shop.js');

const shipped = join(__dirname, '../../../policies/backstage');
const engine = Engine.loadSync({ directory: shipped, platform: 'backstage' });

const READ = {
  type: 'resource',
  name: 'catalog.entity.read',
  attributes: { action: 'read' },
  resourceType: 'catalog-entity',
};
const DELETE = { ...READ, name: 'catalog.entity.delete', attributes: { action: 'delete' } };
const PROXY = { type: 'basic', name: 'kubernetes.proxy', attributes: {} };

const user = (...groups) => ({
  userEntityRef: 'user:default/ana',
  ownershipEntityRefs: ['user:default/ana', ...groups.map(name => `group:default/${name}`)],
});
const result = (permission, who) => engine.decideBackstage(permission, who).decision.result;

test('decisions are Backstage’s own', () => {
  assert.equal(result(PROXY, user('engineering')), 'DENY');
  assert.equal(result(PROXY, user('on-call')), 'ALLOW');
  const answer = engine.decideBackstage(DELETE, user('team-a'));
  assert.deepEqual(Object.keys(answer), [
    'decision',
    'reasons',
    'errors',
    'findings',
    'revision',
    'mayKeep',
  ]);
  assert.equal(answer.revision, engine.revision);
  assert.ok(answer.reasons.includes('owners-manage'));
  assert.deepEqual([answer.errors, answer.findings], [[], []]);
  const { result: conditional, pluginId, resourceType, conditions } = answer.decision;
  assert.deepEqual(
    [conditional, pluginId, resourceType],
    ['CONDITIONAL', 'catalog', 'catalog-entity'],
  );
  const leaves = JSON.stringify(conditions);
  assert.ok(leaves.includes('"rule":"IS_ENTITY_OWNER"'), leaves);
  assert.ok(leaves.includes('["group:default/team-a","user:default/ana"]'), leaves);
});

test('the same question has the same answer, frozen; another order of references too', () => {
  const once = engine.decideBackstage(DELETE, user('a', 'b'));
  assert.equal(engine.decideBackstage({ ...DELETE }, user('a', 'b')), once);
  assert.equal(engine.decideBackstageBatch([PROXY, DELETE], user('a', 'b'))[1], once);
  assert.deepEqual(engine.decideBackstage(DELETE, user('b', 'a')), once);
  const frozen = value =>
    Object.isFrozen(value) &&
    Object.values(value).every(each => typeof each !== 'object' || frozen(each));
  assert.ok(frozen(once));
  assert.throws(() => {
    once.decision.result = 'ALLOW';
  }, TypeError);
});

test('no two questions are taken for one', () => {
  // What would be alike if parts were joined.
  const claims = [
    ['group:default/a', 'group:default/b'],
    ['group:default/a,group:default/b'],
    ['group:default/agroup:default/b'],
    ['group:default/a\u0000group:default/b'],
    ['group:default/ab'],
  ];
  const seen = claims.map(refs =>
    JSON.stringify(
      engine.decideBackstage(DELETE, { userEntityRef: 'user:default/x', ownershipEntityRefs: refs })
        .decision,
    ),
  );
  assert.equal(new Set(seen).size, seen.length);
  assert.equal(result({ ...READ, attributes: {} }, user()), 'DENY');
  assert.equal(result({ ...READ, resourceType: undefined }, user()), 'DENY');
  assert.equal(result({ ...READ, resourceType: 'catalog-entityx' }, user()), 'DENY');
  assert.notEqual(result(READ, user()), 'DENY');
});

test('whoever cannot be made out is denied', () => {
  const reason = (permission, who) => {
    const { decision, errors } = engine.decideBackstage(permission, who);
    assert.deepEqual(decision, { result: 'DENY' });
    assert.equal(errors.length, 1);
    return errors[0];
  };
  assert.match(reason(PROXY, undefined), /nobody/);
  assert.match(reason(PROXY, null), /nobody/);
  assert.match(reason(PROXY, { userEntityRef: 'ana' }), /`ana` is not a full entity reference/);
  // A reference that is none takes nothing from the others.
  const odd = engine.decideBackstage(PROXY, { ...user(), ownershipEntityRefs: ['group:a'] });
  assert.equal(odd.decision.result, result(PROXY, user()));
  assert.deepEqual(
    odd.findings.map(({ code }) => code),
    ['user::reference'],
  );
  assert.match(reason({ name: 'no.such' }, user('platform-admins')), /unknown permission/);
  assert.equal(result(PROXY, { service: 'plugin:catalog' }), 'DENY');
});

test('misuse throws, and spoils nothing', () => {
  const misuse = (permission, who) =>
    assert.throws(() => engine.decideBackstage(permission, who), { code: 'argument::type' });
  misuse();
  misuse('catalog.entity.read', user());
  misuse({}, user());
  misuse({ name: 7 }, user());
  misuse({ ...READ, attributes: 'read' }, user());
  misuse({ ...READ, attributes: { action: null } }, user());
  misuse({ ...READ, resourceType: {} }, user());
  misuse(READ, 'user:default/ana');
  misuse(READ, {});
  // A key that nobody knows would lose the user's groups, and whatever forbids by them.
  misuse(READ, { ...user('a'), ownershipEntityRef: [] });
  engine.decideBackstage(READ, user());
  misuse(READ, { ...user(), ownershipEntityRef: [] });
  for (const group of [{ entityRef: 'group:default/a', parent: [], parents: [] }, {}, 7]) {
    assert.throws(() => engine.setGroups([group]), { code: 'argument::type' });
  }
  assert.throws(() => engine.setGroups('x'), { code: 'argument::type' });
  misuse(READ, { userEntityRef: 'user:default/ana', ownershipEntityRefs: 'x' });
  misuse(READ, { userEntityRef: 'user:default/ana', ownershipEntityRefs: [7] });
  assert.throws(() => engine.decideBackstageBatch(READ, user()), { code: 'argument::type' });
  assert.throws(() => engine.decideBackstageBatch(Array(2), user()), { code: 'argument::type' });
  assert.throws(() => Engine.prototype.decideBackstage.call({}, READ, user()), TypeError);
  assert.throws(() => Object.create(engine).decideBackstage(READ, user()));
  assert.throws(() => engine.decideBackstage(READ, { userEntityRef: 'x'.repeat(1 << 20) }), {
    code: 'argument::size',
  });
  const many = { userEntityRef: 'user:default/x', ownershipEntityRefs: Array(10_001).fill('a') };
  assert.throws(() => engine.decideBackstage(READ, many), { code: 'argument::size' });
  // Nothing is copied of what is too long.
  many.ownershipEntityRefs.length = 4_000_000_000;
  assert.throws(() => engine.decideBackstage(READ, many), { code: 'argument::size' });
  const other = Engine.loadSync({ texts });
  assert.throws(() => other.decideBackstage(READ, user()), { code: 'engine::platform' });
});

test('a getter may ask the engine, or close it', () => {
  const again = {
    get name() {
      assert.equal(result(PROXY, user('on-call')), 'ALLOW');
      return PROXY.name;
    },
    attributes: {},
  };
  assert.equal(result(again, user('on-call')), 'ALLOW');
  const doomed = Engine.loadSync({ directory: shipped, platform: 'backstage' });
  const closing = {
    get name() {
      doomed.close();
      return PROXY.name;
    },
    attributes: {},
  };
  doomed.decideBackstage(PROXY, user('on-call'));
  assert.equal(doomed.decideBackstage(closing, user('on-call')).decision.result, 'ALLOW');
  assert.throws(() => doomed.decideBackstage(PROXY, user()), { code: 'engine::closed' });
});

test('a batch answers as one by one', () => {
  const permissions = [READ, PROXY, DELETE, { name: 'no.such' }, PROXY];
  const who = user('on-call', 'team-a');
  assert.deepEqual(
    engine.decideBackstageBatch(permissions, who),
    permissions.map(permission => engine.decideBackstage(permission, who)),
  );
  assert.deepEqual(engine.decideBackstageBatch([], who), []);
});

test('a reload drops what was answered before', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true }));
  cpSync(join(shipped, 'kubernetes.cedar'), join(directory, 'kubernetes.cedar'));
  const own = await Engine.load({ directory, platform: 'backstage' });
  const allowed = () => own.decideBackstage(PROXY, user('on-call')).decision.result;
  assert.equal(allowed(), 'ALLOW');
  writeFileSync(join(directory, 'stop.cedar'), '@id("stop") forbid (principal, action, resource);');
  assert.equal(allowed(), 'ALLOW');
  await own.reload();
  assert.equal(allowed(), 'DENY');
  rmSync(join(directory, 'stop.cedar'));
  await own.reload();
  assert.equal(allowed(), 'ALLOW');
  // What other plugins define is read as well.
  const playlist = { name: 'playlist.list.create', attributes: { action: 'create' } };
  const grant =
    '@id("p") permit (principal, action == Backstage::Action::"playlist.list.create", resource);';
  assert.equal(own.decideBackstage(playlist, user()).decision.result, 'DENY');
  writeFileSync(join(directory, 'p.cedar'), grant);
  await assert.rejects(own.reload(), { name: 'StagedoorError' });
  const about =
    'pluginId: playlist\npermissions:\n  - name: playlist.list.create\n    attributes: {action: create}\n';
  writeFileSync(join(directory, 'playlist.permissions.yaml'), about);
  await own.reload();
  assert.equal(own.decideBackstage(playlist, user()).decision.result, 'ALLOW');
  writeFileSync(join(directory, 'playlist.permissions.yaml'), 'pluginId: [');
  await assert.rejects(own.reload(), { code: 'permissions::file' });
  assert.equal(own.decideBackstage(playlist, user()).decision.result, 'ALLOW');
});

test('whoever changes a user or a permission changes the question', () => {
  const who = user('a');
  const first = JSON.stringify(engine.decideBackstage(DELETE, who).decision);
  who.ownershipEntityRefs.push('group:default/late');
  const second = JSON.stringify(engine.decideBackstage(DELETE, who).decision);
  assert.ok(!first.includes('late') && second.includes('late'));
  who.ownershipEntityRefs.length = 2;
  assert.equal(JSON.stringify(engine.decideBackstage(DELETE, who).decision), first);
  const permission = { ...READ };
  assert.notEqual(result(permission, who), 'DENY');
  permission.attributes = {};
  assert.equal(result(permission, who), 'DENY');
  // A getter that tells another user the second time: what is kept is what was asked.
  let times = 0;
  const two = {
    get userEntityRef() {
      times += 1;
      return times % 2 ? 'user:default/one' : 'user:default/two';
    },
  };
  for (let n = 0; n < 4; n += 1) engine.decideBackstage(DELETE, two);
  for (const name of ['one', 'two']) {
    const { decision } = engine.decideBackstage(DELETE, { userEntityRef: `user:default/${name}` });
    assert.match(JSON.stringify(decision), new RegExp(`"claims":\\["user:default/${name}"\\]`));
  }
});

test('groups count from the moment that they are set', () => {
  const own = Engine.loadSync({ directory: shipped, platform: 'backstage' });
  const allowed = () => own.decideBackstage(PROXY, user('web')).decision.result;
  assert.equal(allowed(), 'DENY');
  const { generation } = own;
  own.setGroups([{ entityRef: 'group:default/web', parents: ['group:default/on-call'] }]);
  assert.notEqual(own.generation, generation);
  assert.equal(allowed(), 'ALLOW');
  own.setGroups([]);
  assert.equal(allowed(), 'DENY');
  own.close();
  assert.throws(() => own.generation, { code: 'engine::closed' });
});

test('the answers that are kept are bounded, whatever is asked', () => {
  for (const cacheSize of [0, 1, 10]) {
    const own = Engine.loadSync({ directory: shipped, platform: 'backstage', cacheSize });
    assert.equal(own.cacheSize, cacheSize);
    for (let n = 0; n < 200; n += 1) {
      const who = { userEntityRef: `user:default/u${n % 50}` };
      const { decision } = own.decideBackstage(n % 2 ? DELETE : READ, who);
      assert.notEqual(decision.result, 'DENY');
      assert.ok(JSON.stringify(decision).includes(n % 2 ? `u${n % 50}"` : 'result'));
    }
    const twice = [0, 1].map(() => own.decideBackstage(DELETE, user('x')));
    assert.equal(twice[0] === twice[1], cacheSize > 0);
  }
});

test('what is kept is bounded in answers, in references and in names', () => {
  const answers = new Answers(10);
  const kept = (who, name) => {
    const known = answers.of(who);
    answers.keep(known, { name, attributes: {} }, { name });
    assert.ok(answers.size <= 10);
    return answers.of(who).answer({ name });
  };
  // One user, many permissions; then many users, some with many references.
  for (let n = 0; n < 100; n += 1) assert.ok(kept(user('a'), `p${n}`));
  let found = 0;
  for (let n = 0; n < 100; n += 1) found += answers.of(user('a')).answer({ name: `p${n}` }) ? 1 : 0;
  assert.equal(found, answers.size);
  for (let n = 0; n < 100; n += 1) assert.ok(kept(user(...Array(200).fill(`g${n}`)), 'p'));
  // 50 references for each of the ten answers: two users and not three.
  assert.ok(answers.size <= 2);
  assert.equal(kept(user('a'), 'p'.repeat(1_000)), undefined);
  assert.equal(new Answers(0).of({ userEntityRef: 7 }), undefined);
});

test('an entity that nests without end is refused, and the process goes on', () => {
  const who = { userEntityRef: 'user:default/ana', ownershipEntityRefs: [] };
  const entity = depth => {
    const whole = {
      apiVersion: 'backstage.io/v1alpha1',
      kind: 'Component',
      metadata: { name: 'ledger' },
      spec: {},
      relations: [],
    };
    let at = whole.spec;
    for (let level = 0; level < depth; level += 1) at = at.x = {};
    return whole;
  };
  const explain = given => engine.explainBackstage('catalog.entity.read', who, given);
  assert.equal(explain(entity(10)).decision, 'allow');
  const circle = entity(1);
  circle.spec.circle = circle;
  for (const given of [entity(100), entity(2_000), entity(50_000), circle]) {
    assert.throws(() => explain(given), { name: 'StagedoorError' });
  }
  const decide = text => engine.decideBackstageEntity('catalog.entity.read', who, text);
  assert.equal(decide(JSON.stringify(entity(10))).decision, 'allow');
  for (const text of [JSON.stringify(entity(2_000)), '', '{}', '[', 'x: 1']) {
    assert.throws(() => decide(text), { name: 'StagedoorError' });
  }
});
