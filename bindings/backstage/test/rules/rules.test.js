'use strict';

// Policies that ask custom rules. Run by cargo, which makes the rules (`../node/tests/node.rs`).

const assert = require('node:assert/strict');
const { cpSync, mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');

const { start, until, DELETE, PROXY } = require('../backend.js');
const { policyDirectory } = require('../policies.js');

// Only what hangs takes so long.
const options = { timeout: 600_000 };
const components = process.env.STAGEDOOR_RULES;

const guarded = `
@id("willing-proxy") @guard("willing")
permit (principal is Backstage::User, action == Backstage::Action::"kubernetes.proxy", resource);

@id("willing-owners") @guard("willing")
permit (
  principal is Backstage::User,
  action == Backstage::Action::"catalog.entity.delete",
  resource is Backstage::CatalogEntity
) when { resource.owners.containsAny(principal.claims) };
`;

function ruleDirectory(t, names) {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  names.forEach(name => put(directory, name));
  return directory;
}

/** Copies a rule, its limits first, so that it is never there without them. */
function put(directory, name) {
  for (const file of [`${name}.limits.json`, `${name}.wasm`]) {
    cpSync(join(components, file), join(directory, file));
  }
}

test('rules of the settings guard decisions', options, async t => {
  const directory = policyDirectory(t, { 'guarded.cedar': guarded });
  const rules = ruleDirectory(t, ['willing']);
  const { authorize } = await start(t, { directory, rules });
  const [proxy, remove] = await authorize([PROXY, DELETE]);
  assert.deepEqual(proxy, { result: 'ALLOW' });
  assert.equal(remove.result, 'CONDITIONAL');
  assert.equal(remove.conditions.rule, 'IS_ENTITY_OWNER');
});

test('where compiled rules are is set', options, async t => {
  const directory = policyDirectory(t, { 'guarded.cedar': guarded });
  const rules = ruleDirectory(t, ['willing']);
  const cache = join(rules, '.cache');
  const first = await start(t, { directory, rules, ruleHost: { cache } });
  assert.deepEqual(await first.authorize([PROXY]), [{ result: 'ALLOW' }]);
  // What is there needs no compiler.
  const ruleHost = { cache, precompiledOnly: true };
  const again = await start(t, { directory, rules, ruleHost });
  assert.deepEqual(await again.authorize([PROXY]), [{ result: 'ALLOW' }]);
  const wrong = { cache, waitMs: 99_999_999 };
  const { authorize, lines } = await start(t, {
    directory,
    rules,
    ruleHost: wrong,
  });
  assert.deepEqual(await authorize([PROXY]), [{ result: 'DENY' }]);
  assert.ok(lines.some(({ message }) => /ruleHost\.waitMs/.test(message)));
});

test('without them guarded policies do not load', options, async t => {
  const directory = policyDirectory(t, { 'guarded.cedar': guarded });
  const { authorize, lines } = await start(t, { directory });
  assert.deepEqual(await authorize([PROXY]), [{ result: 'DENY' }]);
  assert.ok(lines.some(({ message }) => /no rules are loaded/.test(message)));
});

test('rules that change are taken up', options, async t => {
  const directory = policyDirectory(t, { 'guarded.cedar': guarded });
  const rules = ruleDirectory(t, ['refuser']);
  const { authorize, health, lines } = await start(t, {
    directory,
    rules,
    watch: { interval: '20ms' },
  });
  await until(() =>
    lines.some(({ message }) => /there is no rule `willing`/.test(message)),
  );
  assert.deepEqual(await authorize([PROXY]), [{ result: 'DENY' }]);
  put(rules, 'willing');
  await until(async () => (await health()).status === 'ok');
  assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
});
