'use strict';

// The example's backend with the module of the catalog: its rule stands for all policies about
// entities. Single entities are decided by Cedar, lists by what Backstage's rules can say.

const assert = require('node:assert/strict');
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { after, before, test } = require('node:test');

const { Engine } = require('@stagedoor/node');

const { READ, DELETE, REFRESH, PROXY } = require('./backend.js');
const { ExampleProcess } = require('./exampleProcess.js');

const USERS = ['ana', 'ben', 'cleo', 'dan', 'eva', 'finn', 'guest'];

// No rule of Backstage says a pattern, nor compares two parts of an entity.
const extra = `
@id("by-name")
permit (
  principal in Backstage::Group::"group:default/logistics",
  action == Backstage::Action::"catalog.entity.refresh",
  resource is Backstage::CatalogEntity
) when { resource.name like "search-service-1*" };
@id("except-by-name")
forbid (
  principal,
  action == Backstage::Action::"catalog.entity.refresh",
  resource is Backstage::CatalogEntity
) when { resource.name like "*-service-10" };
`;

const refOf = ({ kind, metadata }) =>
  `${kind}:${metadata.namespace ?? 'default'}/${metadata.name}`.toLowerCase();

let backend;
let all;
const identities = {};

async function post(as, items) {
  const { status, body } = await backend.call('permission/authorize', {
    as,
    body: { items: items.map((item, n) => ({ id: `${n}`, ...item })) },
  });
  assert.equal(status, 200, JSON.stringify(body));
  return body.items.map(({ result }) => result);
}

/** Which entities are allowed, asked one by one in requests of fifty items. */
async function allowed(as, permission) {
  const found = [];
  for (let start = 0; start < all.length; start += 50) {
    const some = all.slice(start, start + 50).map(refOf);
    const results = await post(
      as,
      some.map(resourceRef => ({ permission, resourceRef })),
    );
    found.push(...some.filter((_, n) => results[n] === 'ALLOW'));
  }
  return found.sort();
}

const status = async () =>
  (await backend.call('permission/stagedoor/v1/status', { as: 'cleo' })).body;

before(
  async () => {
    backend = await ExampleProcess.start({
      CATALOG_RULE: '1',
      // Conditions are sent once for each item then.
      APP_CONFIG_permission: '{"EXPERIMENTAL_enableBatchedRequests": false}',
    });
    for (const name of USERS) identities[name] = await backend.signIn(name);
    await backend.eventually(async () => (await status()).catalogRule === null);
    const { revision } = (await status()).policies;
    writeFileSync(join(backend.policies, 'extra.cedar'), extra);
    await backend.eventually(
      async () => (await status()).policies.revision !== revision,
    );
    ({ body: all } = await backend.call('catalog/entities', { as: 'cleo' }));
  },
  { timeout: 900_000 },
);

after(() => backend?.stop());

test('single entities are decided by Cedar, whatever rules can say', async t => {
  const engine = await Engine.load({
    directory: backend.policies,
    platform: 'backstage',
  });
  t.after(() => engine.close());
  const counts = { asked: 0, allowed: 0, beyondRules: 0 };
  for (const name of USERS) {
    const { userEntityRef, ownershipEntityRefs } = identities[name];
    const user = { userEntityRef, ownershipEntityRefs };
    for (const permission of [READ, DELETE, REFRESH]) {
      const decides = entity =>
        engine.decideBackstageEntity(
          permission.name,
          user,
          JSON.stringify(entity),
        ).decision === 'allow';
      const expected = all.filter(decides).map(refOf).sort();
      assert.deepEqual(
        await allowed(name, permission),
        expected,
        `${name} ${permission.name}`,
      );
      counts.asked += all.length;
      counts.allowed += expected.length;
      const { decision } = engine.decideBackstage(permission, user);
      if (decision.result === 'DENY') counts.beyondRules += expected.length;
    }
  }
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.allowed > 100);
  // What conditions in Backstage's rules deny altogether: `search-service-1` and those from 11 on.
  assert.ok(counts.beyondRules >= 5, JSON.stringify(counts));
});

test('lists hold what single checks allow, where rules can say it', async () => {
  for (const name of ['ana', 'ben', 'eva', 'guest']) {
    const { body } = await backend.call('catalog/entities', { as: name });
    assert.deepEqual(body.map(refOf).sort(), await allowed(name, READ), name);
    assert.ok(body.length < all.length && body.length > 50);
  }
});

test('what the page tells is what Backstage enforces', async () => {
  const why = async (entity, as) =>
    (
      await backend.call(
        `permission/stagedoor/v1/why?permission=catalog.entity.refresh&entity=${entity}&user=user:default/${as}`,
        { as: 'cleo' },
      )
    ).body;
  for (const name of ['ana', 'ben', 'eva']) {
    for (const number of [1, 2, 10, 11]) {
      const entity = `component:default/search-service-${number}`;
      const [decided] = await post(name, [
        { permission: REFRESH, resourceRef: entity },
      ]);
      const told = await why(entity, name);
      assert.equal(told.result, decided, `${name} ${entity}`);
      assert.equal(told.narrower, false);
    }
  }
  const { body } = await backend.call(
    'permission/stagedoor/v1/who-can?permission=catalog.entity.refresh&entity=component:default/search-service-11',
    { as: 'cleo' },
  );
  assert.ok(body.users.some(({ user }) => user === 'user:default/eva'));
});

test('with 2,000 groups nothing is cut, in lists and in requests of 250 items', async () => {
  await backend.signIn('ana', 2_000);
  const { body } = await backend.call('catalog/entities', { as: 'ana' });
  const { body: notices } = await backend.call('permission/stagedoor/health');
  assert.equal(notices.notices?.['conditions::over-budget'], undefined);
  const own = body.filter(({ relations }) =>
    relations?.some(
      ({ type, targetRef }) =>
        type === 'ownedBy' && targetRef === 'group:default/payments',
    ),
  );
  assert.ok(own.length >= 20, `${own.length}`);
  const items = Array.from({ length: 250 }, (_, n) => ({
    permission: [READ, REFRESH][n % 2],
    resourceRef: refOf(own[n % own.length]),
  }));
  const results = await post('ana', items);
  const denied = items.filter((_, n) => results[n] !== 'ALLOW');
  // The policy of this test keeps the tenth from everybody.
  assert.ok(
    denied.every(({ resourceRef }) => resourceRef.endsWith('-service-10')),
  );
  assert.ok(results.includes('ALLOW'));
  await backend.signIn('ana');
});

test('policies that change between question and answer close nothing for long', async () => {
  const { revision } = (await status()).policies;
  let going = true;
  let asked = 0;
  const asking = (async () => {
    while (going) {
      const results = await post('ana', [
        { permission: PROXY },
        {
          permission: READ,
          resourceRef: 'component:default/payments-service-7',
        },
      ]);
      assert.equal(results[0], 'DENY');
      asked += 1;
    }
  })();
  writeFileSync(
    join(backend.policies, 'extra.cedar'),
    `${extra}// changed\n@id("x") permit (principal, action == Backstage::Action::"devtools.info", resource);`,
  );
  await backend.eventually(
    async () => (await status()).policies.revision !== revision,
  );
  await Promise.race([asking, backend.eventually(async () => asked > 5)]);
  going = false;
  await asking;
  const [result] = await post('ana', [
    { permission: READ, resourceRef: 'component:default/payments-service-7' },
  ]);
  assert.equal(result, 'ALLOW');
});
