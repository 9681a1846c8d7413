'use strict';

// Policies that ask custom rules. Run by cargo, which makes the rules (`tests/node.rs`).

const assert = require('node:assert/strict');
const { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');

const { shareWireCases } = require('../../../cases.js');
const { Engine } = require('../../main.js');

const rules = process.env.STAGEDOOR_RULES;

const guarded = (rule, effect = 'permit', action = 'kubernetes.proxy') => `
@id("${rule}-${effect}") @guard("${rule}")
${effect} (principal is Backstage::User, action == Backstage::Action::"${action}", resource);`;
const open = `@id("open")
permit (principal is Backstage::User, action == Backstage::Action::"kubernetes.proxy", resource);`;
const owned = (rule, effect) => `
@id("owned-${effect}") @guard("${rule}")
${effect} (
  principal is Backstage::User,
  action == Backstage::Action::"catalog.entity.delete",
  resource is Backstage::CatalogEntity
) when { resource.owners.containsAny(principal.claims) };`;

const PROXY = { name: 'kubernetes.proxy', attributes: {} };
const DELETE = {
  name: 'catalog.entity.delete',
  attributes: { action: 'delete' },
  resourceType: 'catalog-entity',
};
const ana = { userEntityRef: 'user:default/ana' };

function backstage(...policies) {
  const texts = [{ name: 'p.cedar', text: policies.join('\n') }];
  return Engine.loadSync({ texts, platform: 'backstage', rules });
}

test('a rule that ships guards a decision', () => {
  const engine = Engine.loadSync({
    texts: [
      {
        name: 's.cedarschema',
        text: `entity User, Service;
action deploy appliesTo { principal: User, resource: Service, context: { now?: datetime } };`,
      },
      {
        name: 'p.cedar',
        text: `@id("in-hours") @guard("change-window")
@guard_args("{\\"windows\\": [{\\"days\\": [\\"mon\\"], \\"from\\": \\"09:00\\", \\"to\\": \\"17:00\\"}]}")
permit (principal, action == Action::"deploy", resource);`,
      },
    ],
    rules,
  });
  const at = now => ({
    principal: 'User::"ana"',
    action: 'Action::"deploy"',
    resource: 'Service::"ledger"',
    ...(now && { context: { now: { __extn: { fn: 'datetime', arg: now } } } }),
  });
  assert.equal(engine.isAllowed(at('2026-11-23T10:00:00Z')), true);
  assert.deepEqual(engine.decide(at('2026-11-23T10:00:00Z')).reasons, ['in-hours']);
  // The same user and action, at another time.
  assert.equal(engine.isAllowed(at('2026-11-23T18:00:00Z')), false);
  assert.equal(engine.isAllowed(at('2026-11-24T10:00:00Z')), false);
  // Without the time the rule has no answer, which permits nothing.
  assert.equal(engine.isAllowed(at()), false);
  assert.match(JSON.stringify(engine.decide(at())), /now/);
});

test('Backstage’s permissions about no resource: yes, no, and no answer', () => {
  const result = (...policies) =>
    backstage(...policies).decideBackstage(PROXY, ana).decision.result;
  assert.equal(result(guarded('willing')), 'ALLOW');
  assert.equal(result(guarded('refuser')), 'DENY');
  assert.equal(result(guarded('trapper')), 'DENY');
  assert.equal(result(open, guarded('willing', 'forbid')), 'DENY');
  assert.equal(result(open, guarded('refuser', 'forbid')), 'ALLOW');
  assert.equal(result(open, guarded('trapper', 'forbid')), 'DENY');
  // It looks at the context, which is empty in Backstage: told when it is loaded.
  assert.equal(result(guarded('change-window')), 'DENY');
  const [warning, ...others] = backstage(guarded('change-window')).warnings;
  const { code, policy, file, line } = warning;
  assert.deepEqual(
    [code, policy, file, line],
    ['conditions::no-context', 'change-window-permit', 'p.cedar', 2],
  );
  assert.deepEqual(others, []);
  assert.deepEqual(backstage(guarded('willing')).warnings, []);
});

test('Backstage’s conditions: a rule that looks at no resource is asked', () => {
  const unguarded = owned('willing', 'permit').replace('@guard("willing")', '');
  const decision = (...policies) => backstage(...policies).decideBackstage(DELETE, ana).decision;
  const { conditions } = decision(unguarded);
  assert.equal(conditions.rule, 'IS_ENTITY_OWNER');
  assert.deepEqual(decision(owned('willing', 'permit')).conditions, conditions);
  assert.deepEqual(decision(owned('refuser', 'permit')), { result: 'DENY' });
  assert.deepEqual(decision(owned('trapper', 'permit')), { result: 'DENY' });
  assert.deepEqual(decision(unguarded, owned('refuser', 'forbid')).conditions, conditions);
  for (const rule of ['willing', 'trapper']) {
    assert.deepEqual(decision(unguarded, owned(rule, 'forbid')), { result: 'DENY' });
  }
});

test('an answer is not kept while a rule gives none', () => {
  const engine = backstage(
    guarded('trapper'),
    guarded('willing', 'permit', 'catalog.entity.create'),
  );
  const create = { name: 'catalog.entity.create', attributes: { action: 'create' } };
  for (let time = 0; time < 3; time += 1) {
    const { decision, errors, mayKeep } = engine.decideBackstage(PROXY, ana);
    assert.equal(decision.result, 'DENY');
    assert.match(errors.join(), /trapper.*trapped/);
    assert.equal(mayKeep, false);
  }
  const once = engine.decideBackstage(create, ana);
  assert.equal(once.decision.result, 'ALLOW');
  assert.equal(once.mayKeep, true);
  assert.equal(engine.decideBackstage(create, ana), once);
});

test('what rules may be, and where compiled ones are, is set', t => {
  const texts = [{ name: 'p.cedar', text: guarded('willing') }];
  const load = ruleHost => Engine.loadSync({ texts, platform: 'backstage', rules, ruleHost });
  const refused = (ruleHost, code, message) =>
    assert.throws(() => load(ruleHost), { code, message });
  refused({ bytes: 100 }, 'guard::broken-rule', /larger than the limit of 100/);
  refused({ compileSeconds: 0 }, 'rules::setting', /`ruleHost\.compileSeconds` .* from 1 to 3600/);
  refused({ waitMs: 0.5 }, 'argument::option', /ruleHost.*`waitMs`/);
  refused({ byts: 1 }, 'argument::option', /ruleHost.*`bytes`/);
  refused({ precompiledOnly: true }, 'rules::setting', /`ruleHost\.precompiled`/);
  refused('fast', 'argument::type', /`ruleHost`/);
  assert.throws(() => Engine.loadSync({ texts, platform: 'backstage', ruleHost: { bytes: 100 } }), {
    code: 'argument::option',
    message: /`rules`/,
  });

  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [cache, empty] = [join(directory, 'cache'), join(directory, 'empty')];
  mkdirSync(empty, { mode: 0o700 });
  const none = /nothing to compile it with/;
  refused({ precompiled: empty, precompiledOnly: true }, 'guard::broken-rule', none);
  const engine = load({ cache, concurrency: 2, compileSeconds: 20, compileMemoryMib: 512 });
  assert.equal(engine.decideBackstage(PROXY, ana).decision.result, 'ALLOW');
  assert.ok(readdirSync(cache).some(name => name.endsWith('.cwasm')));
  // What is there needs no compiler.
  const again = load({ cache, concurrency: 2, precompiledOnly: true });
  assert.equal(again.decideBackstage(PROXY, ana).decision.result, 'ALLOW');
  assert.deepEqual(again.warnings, []);
});

test('that compiled rules are not kept is a warning', t => {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  const { XDG_CACHE_HOME: before } = process.env;
  t.after(() => {
    rmSync(directory, { recursive: true });
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  });
  writeFileSync(join(directory, 'file'), '');
  process.env.XDG_CACHE_HOME = join(directory, 'file');
  const engine = backstage(guarded('willing'));
  assert.equal(engine.decideBackstage(PROXY, ana).decision.result, 'ALLOW');
  const [warning, ...others] = engine.warnings;
  assert.equal(warning.code, 'rules::not-kept');
  assert.match(warning.help, /`ruleHost\.cache`/);
  assert.deepEqual(others, []);
});

test('policies and rules that do not go together do not load', t => {
  const texts = [{ name: 'p.cedar', text: guarded('nobody') }];
  const refused = (options, expected) =>
    assert.throws(() => Engine.loadSync({ texts, platform: 'backstage', ...options }), expected);
  refused({}, { code: 'guard::no-rules', file: 'p.cedar' });
  refused({ rules }, error => {
    assert.equal(error.code, 'guard::unknown-rule');
    assert.match(error.help, /change-window, refuser, trapper, willing/);
    return true;
  });
  refused({ rules: join(rules, 'nowhere') }, { code: 'rules::load', message: /nowhere/ });
  refused({ rules: 7 }, { code: 'argument::type', message: /rules/ });
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true }));
  refused({ rules: directory }, { code: 'rules::load', message: /there are no rules/ });
  writeFileSync(join(directory, 'broken.wasm'), 'no component');
  // A broken rule stops the policies that name it, and no others.
  refused({ rules: directory }, { code: 'guard::unknown-rule', file: 'p.cedar' });
  const naming = [{ name: 'p.cedar', text: guarded('broken') }];
  refused({ rules: directory, texts: naming }, { message: /broken/ });
});

test('a reload reads the rules again', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const put = name => {
    for (const file of [`${name}.limits.json`, `${name}.wasm`]) {
      cpSync(join(rules, file), join(directory, file));
    }
  };
  put('willing');
  const texts = [{ name: 'p.cedar', text: guarded('willing') }];
  const engine = await Engine.load({ texts, platform: 'backstage', rules: directory });
  const allowed = () => engine.decideBackstage(PROXY, ana).decision.result;
  assert.equal(allowed(), 'ALLOW');
  rmSync(join(directory, 'willing.wasm'));
  rmSync(join(directory, 'willing.limits.json'));
  put('refuser');
  await assert.rejects(engine.reload(), { code: 'guard::unknown-rule' });
  assert.equal(allowed(), 'ALLOW');
  put('willing');
  await engine.reload();
  assert.equal(allowed(), 'ALLOW');
});

test('rules run in worker threads, which end while they are loaded', async () => {
  const source = `
    const { Engine } = require(${JSON.stringify(require.resolve('../../main.js'))});
    const { parentPort, workerData } = require('node:worker_threads');
    const engine = Engine.loadSync(workerData);
    let allowed = 0;
    for (let n = 0; n < 50; n += 1) {
      const user = { userEntityRef: 'user:default/u' + n };
      const { result } = engine.decideBackstage({ name: 'kubernetes.proxy', attributes: {} }, user).decision;
      if (result === 'ALLOW') allowed += 1;
    }
    parentPort.postMessage(allowed);`;
  const texts = [{ name: 'p.cedar', text: guarded('willing') }];
  const counts = Array.from({ length: 4 }, () => {
    const worker = new Worker(source, {
      eval: true,
      workerData: { texts, platform: 'backstage', rules },
    });
    return new Promise((resolve, reject) => {
      let count;
      worker.on('message', told => (count = told));
      worker.on('error', reject);
      worker.on('exit', () => resolve(count));
    });
  });
  assert.deepEqual(await Promise.all(counts), [50, 50, 50, 50]);
});

shareWireCases(require('../../main.js'), { rules });
