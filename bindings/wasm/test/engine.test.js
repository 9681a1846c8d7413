'use strict';

const assert = require('node:assert/strict');
const {
  mkdtempSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { after, test } = require('node:test');

const { Engine, Entities, StagedoorError, initSync } = require('@stagedoor/wasm');

const module_ = join(__dirname, '../dist/stagedoor.wasm');

const SCHEMA = `
  entity Team; entity User in [Team] = { level?: Long };
  entity Service = { tier: String };
  action deploy appliesTo { principal: User, resource: Service, context: { ip?: ipaddr, mfa?: Bool } };`;
const POLICIES = `
  @id("team-deploys") permit (principal in Team::"pay", action, resource);
  @id("no-gold-without-mfa") forbid (principal, action, resource is Service)
  when { resource.tier == "gold" && !(context has mfa && context.mfa) };
  @id("from-home") permit (principal, action, resource)
  when { context has ip && context.ip.isLoopback() };`;
const texts = [
  { name: 's.cedarschema', text: SCHEMA },
  { name: 'p.cedar', text: POLICIES },
];

const people = () => new Entities([{ uid: 'User::"ana"', parents: ['Team::"pay"'] }]);
const deploy = (tier, context, principal = 'User::"ana"') => ({
  principal,
  action: { type: 'Action', id: 'deploy' },
  resource: 'Service::"ledger"',
  ...(context && { context }),
  entities: [{ uid: 'Service::"ledger"', attrs: { tier } }],
});

test('the module imports nothing', () => {
  const module = new WebAssembly.Module(readFileSync(module_));
  assert.deepEqual(WebAssembly.Module.imports(module), []);
});

test('decisions, reasons and explanations', () => {
  const engine = Engine.loadSync({ texts });
  assert.equal(engine.policyCount, 3);
  assert.match(engine.revision, /^[0-9a-f]{32,}$/);
  const allowed = engine.decide(deploy('silver'), people());
  const { revision } = engine;
  const answer = (decision, reasons) => ({ decision, reasons, errors: [], revision });
  assert.deepEqual(allowed, answer('allow', ['team-deploys']));
  const denied = engine.decide(deploy('gold'), people());
  assert.deepEqual(denied, answer('deny', ['no-gold-without-mfa']));
  assert.ok(engine.isAllowed(deploy('gold', { mfa: true }), people()));
  assert.ok(!engine.isAllowed(deploy('silver')));
  // What the schema tells of the context is left out.
  assert.ok(engine.isAllowed(deploy('silver', { ip: '127.0.0.1' })));
  const explained = engine.explain(deploy('silver'));
  assert.equal(explained.decision, 'deny');
  assert.equal(explained.nearest[0].failed[0].file, 'p.cedar');
  assert.ok(explained.policies.some(({ status }) => status === 'not-satisfied'));
});

test('a batch denies what cannot be decided', () => {
  const engine = Engine.loadSync({ texts });
  const batch = [deploy('silver'), deploy(1.5), deploy(1n), 7, deploy('gold'), deploy('silver')];
  const decided = engine.decideBatch(batch, people());
  assert.deepEqual(
    decided.map(({ decision }) => decision),
    ['allow', 'deny', 'deny', 'deny', 'deny', 'allow'],
  );
  assert.deepEqual(
    decided.map(({ code }) => code),
    [undefined, 'argument::type', 'entities::schema', 'argument::type', undefined, undefined],
  );
});

test('policies that do not load are told with their place', () => {
  const schema = { name: 's.cedarschema', text: SCHEMA };
  const text = 'permit (principal, action, resource)\nwhen { 1 + };';
  const wrong = [schema, { name: 'p.cedar', text }];
  assert.throws(
    () => Engine.loadSync({ texts: wrong }),
    error =>
      error instanceof StagedoorError &&
      error.code === 'policy::parse' &&
      error.file === 'p.cedar' &&
      error.line === 2 &&
      error.problems.length > 0,
  );
  // There is no host for rules here: a guard is not left out in silence. A rule is named as everywhere.
  for (const guard of ['r', `r@sha256:${'0a'.repeat(32)}`]) {
    const text = `@id("x") @guard("${guard}") permit (principal, action, resource);`;
    assert.throws(
      () => Engine.loadSync({ texts: [schema, { name: 'p.cedar', text }] }),
      error => error.code === 'guard::no-rules' && error.line === 1,
    );
  }
  const misnamed = '@id("x") @guard("r@sha256:12") permit (principal, action, resource);';
  assert.throws(
    () => Engine.loadSync({ texts: [schema, { name: 'p.cedar', text: misnamed }] }),
    error => error.code === 'guard::name',
  );
});

test('options are checked', () => {
  for (const [options, code] of [
    [undefined, 'argument::type'],
    [{}, 'argument::option'],
    [{ text: [] }, 'argument::option'],
    [{ texts: 'x' }, 'argument::type'],
    [{ texts, platform: 'nomad' }, 'argument::option'],
    [{ texts, platform: 'backstage', exactCedar: true }, 'argument::option'],
    [{ directory: '.', bundle: 'b.json' }, 'argument::option'],
    [{ texts, cacheSize: -1 }, 'argument::type'],
    [{ texts: [{ name: 'x', text: '', txt: '' }] }, 'argument::type'],
    [{ texts, budget: { leafs: 1 } }, 'argument::type'],
    [{ directory: '/nowhere' }, 'file::read'],
    [{ files: ['x.txt'] }, 'file::read'],
    [{ texts, limits: { policyBytes: 0.5 } }, 'argument::type'],
    [{ texts, limits: { bytes: 1 } }, 'argument::option'],
    [{ texts, limits: { operators: 2000 } }, 'argument::option'],
    [{ texts, limits: { policyBytes: 10 } }, 'limit::policy-bytes'],
  ]) {
    assert.throws(
      () => Engine.loadSync(options),
      error => error.code === code || assert.fail(`${JSON.stringify(options)}: ${error.stack}`),
    );
  }
});

test('requests and entities are checked', () => {
  const engine = Engine.loadSync({ texts });
  const circle = {};
  circle.circle = circle;
  let wide = [];
  for (let n = 0; n < 40; n++) wide = [wide, wide];
  for (const [context, code] of [
    [{ mfa: null }, 'argument::type'],
    [{ mfa: 0.5 }, 'argument::type'],
    [{ mfa: 2 ** 53 }, 'argument::type'],
    [{ mfa: 2n ** 63n }, 'argument::type'],
    [{ mfa: '\ud800' }, 'argument::unicode'],
    [{ mfa: new Map() }, 'argument::type'],
    [{ mfa: new Date() }, 'argument::type'],
    [{ mfa: new Uint8Array(3) }, 'argument::type'],
    [{ mfa: () => true }, 'argument::type'],
    [circle, 'limit::nesting'],
    [{ wide }, 'argument::size'],
    [[], 'argument::type'],
    [{ ip: { __extn: { fn: 'ip', arg: '1")' } } }, 'argument::type'],
    [{ other: true }, 'request::schema'],
    [{ ip: { __extn: { fn: 'ip', arg: '::1', at: 1 } } }, 'argument::type'],
  ]) {
    assert.throws(
      () => engine.decide(deploy('silver', context)),
      error => error.code === code || assert.fail(`${code}: ${error.stack}`),
    );
  }
  assert.throws(() => engine.decide(deploy('silver', undefined, 'ana')), { code: 'request::uid' });
  assert.throws(() => engine.decide(deploy('silver'), []), { code: 'argument::type' });
  assert.throws(() => new Entities([{ uid: 'T::"a"' }, { uid: 'T::"a"' }]), {
    code: 'entities::duplicate',
  });
  assert.throws(() => new Entities([{ uid: 'T::"a"', attributes: {} }]), {
    code: 'argument::type',
  });
  assert.throws(() => Entities.fromJson('[]}},{'), { code: 'entities::json' });
  // Names that a careless reader would take for its own.
  const proto = JSON.parse('{"__proto__": {"mfa": true}}');
  assert.throws(() => engine.decide(deploy('gold', proto)), { code: 'request::schema' });
});

test('keys that nobody knows are refused, with the nearest', () => {
  const engine = Engine.loadSync({ texts });
  const refused = (request, message) =>
    assert.throws(() => engine.decide(request), { code: 'argument::type', message });
  refused({ ...deploy('gold'), ctx: {} }, /unknown key `ctx`: did you mean `context`\?/);
  refused(deploy('gold', undefined, { type: 'User', id: 'a', idd: 'b' }), /did you mean `id`\?/);
  refused({ ...deploy('gold'), entities: [{ uid: 'User::"x"', tag: {} }] }, /`tags`\?/);
  assert.throws(() => Engine.loadSync({ texts, platfrom: 'backstage' }), /did you mean `platform`/);
});

test('a bundle without the file is told as such', () => {
  const { execFileSync } = require('node:child_process');
  const { cpSync } = require('node:fs');
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-wasm-'));
  after(() => rmSync(folder, { recursive: true }));
  cpSync(join(__dirname, '../dist/cjs'), join(folder, 'cjs'), { recursive: true });
  const script = `
    const { Engine } = require('./cjs/node.js');
    try { Engine.loadSync({ texts: [{ name: 'p.cedar', text: '' }] }); }
    catch ({ name, code, help }) { console.log(name, code, /initSync/.test(help)); }`;
  const told = execFileSync(process.execPath, ['-e', script], { cwd: folder, encoding: 'utf8' });
  assert.equal(told.trim(), 'StagedoorError module::missing true');
});

test('files are read again, and what is wrong leaves those before in force', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-wasm-'));
  after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'more'));
  writeFileSync(join(folder, 's.cedarschema'), SCHEMA);
  writeFileSync(join(folder, 'more/p.cedar'), POLICIES);
  writeFileSync(join(folder, '.hidden.cedar'), 'this is not read');
  mkdirSync(join(folder, 'node_modules'));
  writeFileSync(join(folder, 'node_modules/p.cedar'), 'nor is this');
  const engine = await Engine.load({ directory: folder });
  assert.ok(engine.isAllowed(deploy('silver'), people()));
  assert.equal((await engine.reload()).changed, false);
  writeFileSync(join(folder, 'more/p.cedar'), 'permit (');
  await assert.rejects(engine.reload(), { code: 'policy::parse' });
  assert.ok(engine.isAllowed(deploy('silver'), people()));
  writeFileSync(join(folder, 'more/p.cedar'), '@id("none") forbid (principal, action, resource);');
  const { changed, revision } = engine.reloadSync();
  assert.ok(changed && revision === engine.revision);
  assert.deepEqual(engine.decide(deploy('silver'), people()).reasons, ['none']);
  symlinkSync('/dev/zero', join(folder, 'device.cedar'));
  assert.throws(() => engine.reloadSync(), { code: 'file::special' });
  rmSync(join(folder, 'device.cedar'));
  symlinkSync(join(folder, 'more'), join(folder, 'linked'));
  assert.throws(() => engine.reloadSync(), { code: 'directory::link' });
  assert.ok(!engine.isAllowed(deploy('silver'), people()));
});

test('a directory is walked by the same rules as everywhere', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-wasm-'));
  after(() => rmSync(folder, { recursive: true }));
  const place = name => join(folder, name);
  const kept = ['a.cedar', 's.cedarschema'];
  writeFileSync(place('a.cedar'), 'permit (principal, action, resource);');
  writeFileSync(place('s.cedarschema'), SCHEMA);
  const set = JSON.stringify({ staticPolicies: {}, templates: {}, templateLinks: [] });
  const load = () => Engine.loadSync({ directory: folder });
  const alone = load().revision;
  // Each is refused alike by the command and the addon.
  for (const [make, code] of [
    [() => writeFileSync(place('no.CEDAR'), 'x'), 'file::unread'],
    [() => writeFileSync(place('no.cedar.txt'), 'x'), 'file::unread'],
    [() => writeFileSync(place('forbids.json'), set), 'file::unread'],
    [() => writeFileSync(place('empty.cedar'), ' '), 'file::empty'],
    [() => writeFileSync(place('latin.cedar'), new Uint8Array([0xe9])), 'file::utf8'],
    [() => symlinkSync('/nowhere/at/all', place('gone.cedar')), 'file::read'],
    [() => symlinkSync(folder, place('around')), 'directory::link'],
  ]) {
    make();
    assert.throws(load, error => error.code === code || assert.fail(`${code}: ${error.stack}`));
    for (const name of readdirSync(folder).filter(name => !kept.includes(name))) {
      rmSync(place(name), { recursive: true });
    }
  }
  // And these are told.
  writeFileSync(place('a.cedar.bak'), 'forbid (principal, action, resource);');
  writeFileSync(place('README.md'), '# Policies');
  symlinkSync('/nowhere/at/all', place('elsewhere'));
  const { revision, warnings } = load();
  assert.equal(revision, alone);
  assert.deepEqual(warnings.map(({ code }) => code).sort(), ['file::link', 'file::unread']);
});

test('a module that cannot be had says what to do', async () => {
  const { init } = require('@stagedoor/wasm');
  const page = status => Promise.resolve(new globalThis.Response('no', { status }));
  await assert.rejects(init(page(404)), { name: 'StagedoorError', code: 'module::missing' });
  await assert.rejects(init(page(200)), { name: 'StagedoorError', code: 'module::invalid' });
  await assert.rejects(init(Promise.reject(new TypeError('no network'))), {
    name: 'StagedoorError',
    code: 'module::missing',
  });
  await assert.rejects(init('nowhere.wasm'), {
    code: 'module::missing',
    message: /`nowhere\.wasm` could not be fetched: /,
  });
  for (const nothing of [undefined, null, 3, {}]) {
    await assert.rejects(init(nothing), { name: 'StagedoorError', code: 'module::invalid' });
  }
  assert.throws(() => initSync(new Uint8Array([1, 2, 3])), { code: 'module::invalid' });
  // A module, of somebody else's.
  const empty = new Uint8Array([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  assert.throws(() => initSync(empty), { code: 'module::invalid', message: /no `stagedoor_call`/ });
  // What was there before goes on.
  assert.ok(Engine.loadSync({ texts }).revision);
});

test('Backstage gets conditions, and the same denials as from the addon', () => {
  const directory = join(__dirname, '../../../policies/backstage');
  const engine = Engine.loadSync({ directory, platform: 'backstage' });
  engine.setGroups([
    { entityRef: 'group:default/payments', parents: ['group:default/engineering'] },
  ]);
  const permission = {
    name: 'catalog.entity.read',
    attributes: { action: 'read' },
    resourceType: 'catalog-entity',
  };
  const user = {
    userEntityRef: 'user:default/bob',
    ownershipEntityRefs: ['user:default/bob', 'group:default/payments'],
  };
  const answer = engine.decideBackstage(permission, user);
  assert.equal(answer.decision.result, 'CONDITIONAL');
  assert.equal(answer.decision.pluginId, 'catalog');
  assert.ok(Object.isFrozen(answer.decision.conditions));
  assert.equal(answer.revision, engine.revision);
  for (const [asked, who] of [
    [permission, undefined],
    [permission, { userEntityRef: 'bob' }],
    [{ name: 'nobody.knows' }, user],
  ]) {
    const { decision, errors } = engine.decideBackstage(asked, who);
    assert.equal(decision.result, 'DENY');
    assert.equal(errors.length, 1);
  }
  // A setting outlives other groups.
  const tight = Engine.loadSync({ directory, platform: 'backstage', budget: { leaves: 1 } });
  tight.setGroups([]);
  const cut = tight.decideBackstage(permission, user);
  assert.ok(cut.findings.some(({ code }) => code === 'conditions::over-budget'));
  const loops = ['a', 'b'].map((name, n) => ({
    entityRef: `group:default/${name}`,
    parents: [`group:default/${'ba'[n]}`],
  }));
  assert.deepEqual(
    engine.setGroups(loops).map(({ code }) => code),
    ['groups::circle'],
  );
  assert.throws(() => engine.setGroups([{ ...loops[0], parent: [] }]), { code: 'argument::type' });
  assert.equal(engine.decideBackstage(permission, user).decision.result, 'CONDITIONAL');
  assert.throws(() => engine.reviewAccess({}), { code: 'engine::platform' });
});

test('Kubernetes gets the status of its review', () => {
  const text = `@id("reads") permit (principal, action in k8s::Action::"readOnly", resource is k8s::Resource)
    when { resource.resource == "pods" };`;
  const engine = Engine.loadSync({ texts: [{ name: 'p.cedar', text }], platform: 'kubernetes' });
  const review = verb => ({
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user: 'ana', resourceAttributes: { verb, version: 'v1', resource: 'pods' } },
  });
  assert.equal(engine.reviewAccess(review('get')).allowed, true);
  assert.equal(engine.reviewAccess(review('delete')).allowed, false);
  assert.throws(() => engine.reviewAccess({ kind: 'Pod' }), { code: 'review::refused' });
});

test('policies that nest without end harm nobody', () => {
  const engine = Engine.loadSync({ texts });
  const people_ = people();
  for (const open of ['(', '!', '[', 'if true then false else ', 'a.b(']) {
    const text = `permit (principal, action, resource) when { ${open.repeat(200_000)}`;
    assert.throws(() => Engine.loadSync({ texts: [{ name: 'p.cedar', text }] }), StagedoorError);
    assert.ok(engine.isAllowed(deploy('silver'), people_));
  }
});

test('the widest policy that the limits let through loads, and a wider one is told', () => {
  const loads = condition => {
    const text = `permit (principal, action, resource) when { ${condition} };`;
    return Engine.loadSync({ texts: [texts[0], { name: 'p.cedar', text }] }).policyCount;
  };
  const many = (each, operator, count) => Array(count).fill(each).join(operator);
  const widest = [
    `${many('1', ' * ', 100)} >= 0`,
    `${many('1', ' - ', 100)} <= 0`,
    many('principal == principal', ' || ', 50),
    many('1 == 1', ' && ', 50),
  ];
  for (const condition of widest) assert.equal(loads(condition), 1);
  assert.throws(() => loads(`${many('1', ' * ', 102)} >= 0`), { code: 'limit::operators' });
});

test('what was closed is closed', () => {
  const engine = Engine.loadSync({ texts });
  engine.close();
  engine.close();
  assert.throws(() => engine.decide(deploy('silver')), { code: 'engine::closed' });
  assert.throws(() => engine.revision, { code: 'engine::closed' });
});

test('after a trap the policies are loaded again', () => {
  const engine = Engine.loadSync({ texts });
  const entities = people().with([{ uid: 'User::"bo"' }]);
  assert.equal(entities.size, 2);
  const before = engine.revision;
  // Another module in place of this one is what a trap comes to.
  initSync(new WebAssembly.Module(readFileSync(module_)));
  assert.ok(engine.isAllowed(deploy('silver'), entities));
  assert.equal(engine.revision, before);
});
