'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const {
  coreServices,
  createServiceFactory,
} = require('@backstage/backend-plugin-api');
const { catalogServiceRef } = require('@backstage/plugin-catalog-node');

const { start, until, DELETE, PROXY } = require('./backend.js');
const { policyDirectory, simple } = require('./policies.js');

// Only what hangs takes so long.
const options = { timeout: 600_000 };
const top = `
@id("top-proxy")
permit (
  principal in Backstage::Group::"group:default/top",
  action == Backstage::Action::"kubernetes.proxy",
  resource
);
`;

/** A user of one group, and a catalog that says which groups are above which. */
function organisation(answer, users = []) {
  const provide = (service, implementation) =>
    createServiceFactory({ service, deps: {}, factory: () => implementation });
  return [
    provide(coreServices.userInfo, {
      getUserInfo: async () => ({
        userEntityRef: 'user:default/mock',
        ownershipEntityRefs: ['user:default/mock', 'group:default/web'],
      }),
    }),
    provide(catalogServiceRef, {
      queryEntities: async (request, { credentials }) => {
        assert.equal(credentials.principal.type, 'service');
        if (request.filter?.kind === 'user') {
          const items = users.map(([name, memberOf]) => ({
            kind: 'User',
            metadata: { name },
            relations: memberOf.map(group => ({
              type: 'memberOf',
              targetRef: `group:default/${group}`,
            })),
          }));
          return { items, totalItems: items.length, pageInfo: {} };
        }
        const groups = answer();
        // A page for each group.
        const page = Number(request.cursor ?? 0);
        const [name, above] = groups[page] ?? [];
        const items = name
          ? [
              {
                kind: 'Group',
                metadata: { name },
                relations: above.map(group => ({
                  type: 'childOf',
                  targetRef: `group:default/${group}`,
                })),
              },
            ]
          : [];
        const nextCursor = page + 1 < groups.length ? `${page + 1}` : undefined;
        return { items, totalItems: groups.length, pageInfo: { nextCursor } };
      },
    }),
  ];
}

test(
  'users are in the groups above theirs, once the catalog has told them',
  options,
  async t => {
    let groups = () => {
      throw new Error('the catalog is not up');
    };
    const directory = policyDirectory(t, { 'top.cedar': top });
    const { authorize, health, lines } = await start(
      t,
      {
        directory,
        startupWait: '10ms',
        catalogGroups: { interval: '100ms' },
      },
      { features: organisation(() => groups()) },
    );
    await until(() =>
      lines.some(({ message }) => /the catalog is not up/.test(message)),
    );
    assert.deepEqual(await authorize([PROXY]), [{ result: 'DENY' }]);
    assert.deepEqual((await health()).status, 'denying');

    // A catalog without groups has not read its sources.
    groups = () => [];
    await until(() =>
      lines.some(({ message }) => /it has none yet/.test(message)),
    );
    assert.deepEqual(await authorize([PROXY]), [{ result: 'DENY' }]);

    groups = () => [
      ['web', ['engineering']],
      ['engineering', ['top']],
      ['top', []],
    ];
    await until(async () => (await health()).status === 'ok');
    assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);

    // Groups that are above each other take nothing from anybody, and are told.
    groups = () => [
      ['web', ['top']],
      ['top', ['web']],
      ['other', []],
    ];
    await until(() =>
      lines.some(({ message }) => /are above each other/.test(message)),
    );
    assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
    assert.equal((await health()).status, 'ok');

    groups = () => [
      ['web', []],
      ['top', []],
    ];
    await until(async () => (await authorize([PROXY]))[0].result === 'DENY');
    assert.equal((await health()).status, 'ok');
  },
);

test(
  'groups that are above each other lock nobody out when the backend starts',
  options,
  async t => {
    const directory = policyDirectory(t, { 'top.cedar': top });
    const { authorize, health, lines } = await start(
      t,
      { directory, catalogGroups: true },
      {
        features: organisation(() => [
          ['web', ['top']],
          ['top', ['web']],
        ]),
      },
    );
    await until(async () => (await health()).status === 'ok');
    assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
    const told = lines.filter(({ message }) =>
      /are above each other/.test(message),
    );
    assert.equal(told.length, 1);
  },
);

test(
  'conditions beyond the budget are cut, and told once',
  options,
  async t => {
    const directory = policyDirectory(t, {
      'simple.cedar': `${simple}
      @id("no-locked") forbid (principal, action, resource is Backstage::CatalogEntity)
      when { resource.labels.hasTag("locked") };`,
    });
    const { authorize, lines } = await start(t, {
      directory,
      budget: { leaves: 1 },
    });
    for (let time = 0; time < 3; time += 1) {
      assert.deepEqual(await authorize([DELETE]), [{ result: 'DENY' }]);
    }
    const told = lines.filter(({ message }) =>
      /catalog\.entity\.delete for .* more than the limit of 1.*denial/.test(
        message,
      ),
    );
    assert.equal(told.length, 1, JSON.stringify(told));
  },
);

test(
  'claims that own nothing are left out where conditions are too large',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const owned = Array.from(
      { length: 200 },
      (_, n) => `group:default/group-${n}`,
    );
    const userInfo = createServiceFactory({
      service: coreServices.userInfo,
      deps: {},
      factory: () => ({
        getUserInfo: async () => ({
          userEntityRef: 'user:default/mock',
          ownershipEntityRefs: ['user:default/mock', ...owned],
        }),
      }),
    });
    const catalog = createServiceFactory({
      service: catalogServiceRef,
      deps: {},
      factory: () => ({
        queryEntities: async () => ({
          items: [{ kind: 'Group', metadata: { name: 'web' }, relations: [] }],
          totalItems: 1,
          pageInfo: {},
        }),
        getEntityFacets: async ({ facets: [facet] }) => ({
          facets: {
            [facet]: [
              { value: 'group:default/group-7', count: 3 },
              { value: 'group:default/group-199', count: 1 },
            ],
          },
        }),
      }),
    });
    const { authorize, lines } = await start(
      t,
      { directory, catalogGroups: true },
      { features: [userInfo, catalog] },
    );
    const owners = async () => {
      const [answer] = await authorize([DELETE]);
      return answer.conditions?.params.claims;
    };
    const expected = ['group:default/group-199', 'group:default/group-7'];
    await until(
      async () => JSON.stringify(await owners()) === JSON.stringify(expected),
    );
    // Before it was known who owns what, as many were answered as fit.
    const cut = lines.filter(
      ({ meta }) => meta?.code === 'conditions::over-budget',
    );
    assert.ok(cut.length <= 2, JSON.stringify(cut));
  },
);

test(
  'whose conditions are too large is told when policies and groups are known',
  options,
  async t => {
    const many = Array.from({ length: 40 }, (_, n) => `group-${n}`);
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const { lines } = await start(
      t,
      {
        directory,
        budget: { bytes: 400 },
        catalogGroups: { interval: '100ms' },
      },
      {
        features: organisation(
          () => [['web', []]],
          [
            ['few', ['web']],
            ['many', many],
          ],
        ),
      },
    );
    const told = () =>
      lines.filter(({ message }) =>
        /user:default\/\w+.*more than the limit of 400/.test(message),
      );
    // Nobody has asked for anything.
    await until(() => told().length > 0);
    assert.equal(told().length, 1, JSON.stringify(told()));
    assert.match(
      told()[0].message,
      /user:default\/many.*catalog\.entity\.delete/,
    );
    assert.equal(told()[0].level, 'warn');
  },
);
