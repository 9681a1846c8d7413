'use strict';

// The example's backend, in a process of its own, over HTTP: real plugins, a real catalog.

const assert = require('node:assert/strict');
const { readFileSync, rmSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { after, before, test } = require('node:test');

const { READ, DELETE, REFRESH, PROXY } = require('./backend.js');
const { ExampleProcess } = require('./exampleProcess.js');
const real = require('./realEnvironment.js');

let backend;
let policies;
const call = (...asked) => backend.call(...asked);
const signIn = name => backend.signIn(name);
const eventually = holds => backend.eventually(holds);

const refOf = ({ kind, metadata }) =>
  `${kind}:${metadata.namespace ?? 'default'}/${metadata.name}`.toLowerCase();
const ownedBy = (entity, ...owners) =>
  (entity.relations ?? []).some(
    ({ type, targetRef }) => type === 'ownedBy' && owners.includes(targetRef),
  );
const isHidden = ({ metadata }) =>
  metadata.annotations?.['stagedoor/visibility'] === 'owners';

async function authorize(as, items) {
  const { status, body } = await call('permission/authorize', {
    as,
    body: {
      items: items.map(([permission, resourceRef], n) => ({
        id: `${n}`,
        permission,
        resourceRef,
      })),
    },
  });
  assert.equal(status, 200, JSON.stringify(body));
  return body.items.map(({ result }) => result);
}

async function list(as, query = '') {
  const { status, body } = await call(`catalog/entities?${query}`, { as });
  assert.equal(status, 200);
  return body;
}

before(
  async () => {
    backend = await ExampleProcess.start(await real.environment());
    policies = backend.policies;
    for (const name of ['ana', 'ben', 'dan', 'eva', 'guest'])
      await signIn(name);
  },
  { timeout: 900_000 },
);

after(() => backend?.stop());

test('people are signed in with what they own', async () => {
  const identity = await signIn('ana');
  assert.deepEqual(identity.ownershipEntityRefs.sort(), [
    'group:default/engineering',
    'group:default/payments',
    'user:default/ana',
  ]);
});

test('lists hold what single checks allow, with paging and counts', async () => {
  const all = await list('cleo');
  assert.ok(all.length >= 200, `${all.length}`);
  assert.ok(all.filter(isHidden).length >= 18);
  for (const [name, groups] of [
    ['ana', ['group:default/payments', 'group:default/engineering']],
    [
      'ben',
      [
        'group:default/search',
        'group:default/engineering',
        'group:default/on-call',
      ],
    ],
    ['eva', ['group:default/logistics']],
  ]) {
    const expected = all
      .filter(
        entity =>
          !isHidden(entity) ||
          ownedBy(entity, ...groups, `user:default/${name}`),
      )
      .map(refOf)
      .sort();
    assert.ok(expected.length < all.length);

    const listed = (await list(name)).map(refOf).sort();
    assert.deepEqual(listed, expected, name);

    const single = [];
    for (let start = 0; start < all.length; start += 50) {
      const some = all.slice(start, start + 50);
      const results = await authorize(
        name,
        some.map(entity => [READ, refOf(entity)]),
      );
      some.forEach(
        (entity, n) => results[n] === 'ALLOW' && single.push(refOf(entity)),
      );
    }
    assert.deepEqual(single.sort(), expected, name);

    const paged = [];
    let cursor = '';
    do {
      const { body } = await call(
        `catalog/entities/by-query?limit=30${cursor}`,
        { as: name },
      );
      assert.equal(body.totalItems, expected.length, name);
      paged.push(...body.items.map(refOf));
      const next = body.pageInfo.nextCursor;
      cursor = next ? `&cursor=${encodeURIComponent(next)}` : '';
    } while (cursor);
    assert.deepEqual(paged.sort(), expected, name);
  }
});

test('a hidden entity is not there for others, by whatever way', async () => {
  const path = 'catalog/entities/by-name/component/default/payments-service-7';
  const { status, body: entity } = await call(path, { as: 'ana' });
  assert.equal(status, 200);
  assert.equal((await call(path, { as: 'ben' })).status, 404);
  assert.equal(
    (
      await call(`catalog/entities/by-uid/${entity.metadata.uid}`, {
        as: 'ben',
      })
    ).status,
    404,
  );
  assert.equal((await call(path)).status, 401);
  const { body } = await call('catalog/entities/by-refs', {
    as: 'ben',
    body: {
      entityRefs: [refOf(entity), 'component:default/payments-service-1'],
    },
  });
  assert.equal(body.items[0], null);
  assert.equal(body.items[1].metadata.name, 'payments-service-1');
  const facets = await call('catalog/entity-facets?facet=kind', { as: 'ben' });
  const components = facets.body.facets.kind.find(
    ({ value }) => value.toLowerCase() === 'component',
  );
  assert.equal(components.count, 120 - 5 * 2);
});

test('owners refresh and delete what is theirs, and nobody else', async () => {
  // The third of payments is deprecated, the first is in production.
  const own = 'component:default/payments-service-3';
  const inProduction = 'component:default/payments-service-1';
  const others = 'component:default/search-service-1';
  const refresh = (as, entityRef) =>
    call('catalog/refresh', { as, body: { entityRef } });
  assert.equal((await refresh('ana', own)).status, 200);
  assert.equal((await refresh('ana', inProduction)).status, 200);
  assert.equal((await refresh('ben', own)).status, 403);
  assert.equal((await refresh('guest', own)).status, 403);
  assert.deepEqual(
    await authorize('ana', [
      [REFRESH, own],
      [DELETE, own],
      [DELETE, inProduction],
      [DELETE, others],
    ]),
    ['ALLOW', 'ALLOW', 'DENY', 'DENY'],
  );

  const uid = async ref => {
    const [, kind, name] = /^(\w+):default\/(.+)$/.exec(ref);
    return (
      await call(`catalog/entities/by-name/${kind}/default/${name}`, {
        as: 'cleo',
      })
    ).body.metadata.uid;
  };
  const remove = async (as, ref) =>
    (
      await call(`catalog/entities/by-uid/${await uid(ref)}`, {
        as,
        method: 'DELETE',
      })
    ).status;
  for (const [as, ref] of [
    ['ben', own],
    ['ana', inProduction],
    ['ana', others],
    ['guest', own],
  ]) {
    const status = await remove(as, ref);
    assert.ok(status === 403 || status === 404, `${as} ${ref}: ${status}`);
    assert.ok(await uid(ref));
  }
  assert.equal(await remove('ana', own), 204);
  const { status } = await call(
    'catalog/entities/by-name/component/default/payments-service-3',
    { as: 'cleo' },
  );
  assert.equal(status, 404);
});

test('one item and fifty are authorized alike', async () => {
  assert.deepEqual(await authorize('ben', [[PROXY]]), ['ALLOW']);
  assert.deepEqual(await authorize('ana', [[PROXY]]), ['DENY']);
  const refs = [...Array(20).keys()].map(
    n => `component:default/search-service-${n + 1}`,
  );
  const items = [...Array(50).keys()].map(
    n => [[PROXY], [READ, refs[n % 20]], [DELETE, refs[n % 20]]][n % 3],
  );
  const together = await authorize('ben', items);
  const single = [];
  for (const item of items) single.push(...(await authorize('ben', [item])));
  assert.deepEqual(together, single);
  assert.equal(new Set(together).size, 2);
  // An entity that is not there meets no condition.
  assert.deepEqual(
    await authorize('ana', [[READ, 'component:default/no-such']]),
    ['DENY'],
  );
  const { status } = await call('permission/authorize', {
    as: 'ana',
    body: { items: [{ id: '0', permission: READ }] },
  });
  assert.equal(status, 400);
});

test('pages and steps of templates are filtered', async () => {
  const schema = async as =>
    (
      await call(
        'scaffolder/v2/templates/default/template/new-service/parameter-schema',
        { as },
      )
    ).body.steps.map(({ title }) => title);
  assert.deepEqual(await schema('ana'), ['What it is']);
  assert.deepEqual(await schema('dan'), ['What it is', 'Where it runs']);
  const run = as =>
    call('scaffolder/v2/tasks', {
      as,
      body: {
        templateRef: 'template:default/new-service',
        values: { name: 'x' },
      },
    });
  assert.equal((await run('guest')).status, 403);
  const { status, body } = await run('ana');
  assert.equal(status, 201, JSON.stringify(body));
  const task = as => call(`scaffolder/v2/tasks/${body.id}`, { as });
  const mine = await task('ana');
  assert.equal(mine.status, 200);
  assert.deepEqual(
    mine.body.spec.steps.map(({ id }) => id),
    ['log'],
  );
  assert.notEqual((await task('ben')).status, 200);
});

test('the Kubernetes plugin asks for its clusters and its proxy', async () => {
  const clusters = async as =>
    (await call('kubernetes/clusters', { as })).status;
  assert.equal(await clusters('ana'), 200);
  assert.equal(await clusters('eva'), 403);
  assert.equal(await clusters('guest'), 403);
  const proxy = async as =>
    (await call('kubernetes/proxy/api/v1/pods', { as })).status;
  assert.equal(await proxy('ana'), 403);
  const onCall = await proxy('ben');
  assert.ok(onCall !== 403 && onCall !== 401, `${onCall}`);
});

test('every permission of the plugins is known, as they tell of it', async () => {
  const { Engine } = await import('@stagedoor/node');
  const engine = await Engine.load({
    directory: policies,
    platform: 'backstage',
  });
  let known = 0;
  for (const plugin of ['catalog', 'kubernetes', 'scaffolder', 'search']) {
    const path = `${plugin}/.well-known/backstage/permissions/metadata`;
    const { status, body } = await call(path, { as: 'ana' });
    assert.equal(status, 200, plugin);
    for (const permission of body.permissions) {
      const { errors } = engine.decideBackstage(permission, {
        userEntityRef: 'user:default/ana',
      });
      assert.deepEqual(errors, []);
      known += 1;
    }
  }
  engine.close();
  assert.ok(known >= 20, `${known}`);
});

test('search finds what may be read', async () => {
  const found = async as => {
    const { status, body } = await call(
      'search/query?term=payments-service-7',
      { as },
    );
    assert.equal(status, 200);
    return body.results.map(({ document }) => document.title);
  };
  await eventually(async () =>
    (await found('ana')).includes('payments-service-7'),
  );
  assert.ok(!(await found('ben')).includes('payments-service-7'));
});

test('policies change while requests run; a broken one changes nothing', async () => {
  const health = async () => (await call('permission/stagedoor/health')).body;
  const before = await health();
  assert.equal(before.status, 'ok');
  const catalog = join(policies, 'catalog.cedar');
  const text = readFileSync(catalog, 'utf8');
  const extra = join(policies, 'extra.cedar');
  let asked = 0;
  let going = true;
  const asking = (async () => {
    while (going) {
      assert.deepEqual(
        await authorize('ben', [
          [PROXY],
          [READ, 'component:default/search-service-1'],
        ]),
        ['ALLOW', 'ALLOW'],
      );
      asked += 1;
    }
  })();
  writeFileSync(
    extra,
    '@id("x") permit (principal, action == Backstage::Action::"devtools.info", resource);',
  );
  await eventually(async () => (await health()).revision !== before.revision);
  writeFileSync(catalog, `${text}\npermit (oops`);
  await eventually(async () => (await health()).status === 'outdated');
  assert.match(backend.log, /catalog\.cedar:\d+:\d+/);
  writeFileSync(catalog, text);
  rmSync(extra);
  await eventually(
    async () =>
      (await health()).revision === before.revision &&
      (await health()).status === 'ok',
  );
  await Promise.race([asking, eventually(async () => asked > 5)]);
  going = false;
  await asking;

  writeFileSync(
    extra,
    '@id("stop") forbid (principal, action == Backstage::Action::"catalog.entity.read", resource);',
  );
  await eventually(async () => (await list('ana')).length === 0);
  assert.equal(
    (await call('catalog/entities/by-query?limit=0', { as: 'cleo' })).body
      .totalItems,
    0,
  );
  rmSync(extra);
  await eventually(async () => (await list('ana')).length > 0);
});

test('denials were audited by Backstage’s own auditor', () => {
  const { log, tokens } = backend;
  assert.match(log, /permission\.permission-decision/);
  assert.ok(!Object.values(tokens).some(token => log.includes(token)));
});
