'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const {
  coreServices,
  createServiceFactory,
} = require('@backstage/backend-plugin-api');
const { mockCredentials } = require('@backstage/backend-test-utils');
const { catalogServiceRef } = require('@backstage/plugin-catalog-node');

const { start, until, PROXY } = require('./backend.js');
const { policyDirectory, simple } = require('./policies.js');

// Only what hangs takes so long.
const options = { timeout: 600_000 };
const policies = `${simple}
@id("readers-of-access")
@doc("The platform team sees what others may do.")
permit (
  principal in Backstage::Group::"group:default/platform",
  action == Backstage::Action::"stagedoor.access.read",
  resource
);
`;

const memberOf = { root: ['platform'], ana: ['web'], bo: [] };

/** A catalog of three users, who sign in with the groups that it names. */
function organisation() {
  const provide = (service, implementation) =>
    createServiceFactory({ service, deps: {}, factory: () => implementation });
  const user = name => ({
    kind: 'User',
    metadata: { name },
    relations: (memberOf[name] ?? []).map(group => ({
      type: 'memberOf',
      targetRef: `group:default/${group}`,
    })),
  });
  return [
    provide(coreServices.userInfo, {
      getUserInfo: async ({ principal: { userEntityRef } }) => {
        const groups = memberOf[userEntityRef.split('/')[1]] ?? [];
        const owned = groups.map(group => `group:default/${group}`);
        return {
          userEntityRef,
          ownershipEntityRefs: [userEntityRef, ...owned],
        };
      },
    }),
    provide(catalogServiceRef, {
      getEntityByRef: async reference => {
        const name = reference.split('/')[1];
        return name in memberOf ? user(name) : undefined;
      },
      queryEntities: async ({ filter }) => {
        const groups = ['web', 'platform'].map(name => ({
          kind: 'Group',
          metadata: { name },
          relations: [],
        }));
        const users = Object.keys(memberOf).map(user);
        const items = filter?.kind === 'group' ? groups : users;
        return { items, totalItems: items.length, pageInfo: {} };
      },
    }),
  ];
}

test(
  'whoever may sees what others may do, and everybody their own',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': policies });
    const { url, health } = await start(
      t,
      { directory },
      { features: organisation() },
    );
    await until(async () => (await health()).code === 200);
    async function get(path, user) {
      // Without a header the test backend takes a user of its own.
      const authorization = user
        ? mockCredentials.user.header(`user:default/${user}`)
        : mockCredentials.none.header();
      const headers = { authorization };
      const response = await fetch(`${url}/stagedoor/v1/${path}`, { headers });
      return { code: response.status, ...(await response.json()) };
    }

    const own = await get('access', 'ana');
    assert.equal(own.code, 200);
    assert.equal(own.user, 'user:default/ana');
    assert.ok(own.permissions.length > 30);
    const of = name => own.permissions.find(each => each.permission === name);
    assert.equal(of('kubernetes.proxy').result, 'ALLOW');
    assert.deepEqual(of('kubernetes.proxy').policies, [
      {
        id: 'users-proxy',
        effect: 'permit',
        file: of('kubernetes.proxy').policies[0].file,
        line: 2,
      },
    ]);
    assert.match(of('kubernetes.proxy').policies[0].file, /simple\.cedar$/);
    assert.equal(of('catalog.entity.delete').result, 'CONDITIONAL');
    assert.deepEqual(of('catalog.entity.delete').conditions.params, {
      claims: ['group:default/web', 'user:default/ana'],
    });
    assert.equal(of('devtools.info').result, 'DENY');
    assert.deepEqual(
      await get('access?user=User:default/Ana', 'ana'),
      own,
      'by name it is the same',
    );

    // Nobody learns what others may do, or that there are others.
    for (const path of [
      'access?user=user:default/root',
      'access?user=user:default/nobody',
      'who-can?permission=kubernetes.proxy',
      'grid',
      'status',
    ]) {
      const { code, error } = await get(path, 'ana');
      assert.equal(code, 403, path);
      assert.match(error, /stagedoor\.access\.read/);
      assert.equal((await get(path)).code, 401, path);
    }

    const other = await get('access?user=user:default/ana', 'root');
    assert.deepEqual(other.permissions, own.permissions);
    assert.equal(
      (await get('access?user=user:default/nobody', 'root')).code,
      404,
    );
    assert.equal(
      (await get('access?user=group:default/web', 'root')).code,
      404,
    );
    const unknown = await get('access?permission=no.such', 'ana');
    assert.equal(unknown.permissions[0].result, 'DENY');
    assert.equal(
      unknown.permissions[0].findings[0].code,
      'permission::unknown',
    );

    const readers = await get(
      'who-can?permission=stagedoor.access.read',
      'root',
    );
    assert.deepEqual(readers.users, [
      {
        user: 'user:default/root',
        result: 'ALLOW',
        policies: ['readers-of-access'],
        words: null,
      },
    ]);
    const owners = await get(
      'who-can?permission=catalog.entity.delete',
      'root',
    );
    assert.deepEqual(
      owners.users.map(({ result }) => result),
      ['CONDITIONAL', 'CONDITIONAL', 'CONDITIONAL'],
    );
    for (const [path, code] of [
      ['who-can', 400],
      ['who-can?permission=', 400],
      ['access?user=a&user=b', 400],
      ['nothing', 404],
    ]) {
      assert.equal((await get(path, 'root')).code, code, path);
    }
    const grid = await get('grid', 'root');
    assert.deepEqual(
      grid.groups.map(({ group }) => group),
      ['group:default/platform', 'group:default/web'],
    );
    const column = name =>
      grid.permissions.findIndex(permission => permission.name === name);
    const cells = name =>
      grid.groups.map(({ results }) => results[column(name)]).join('');
    assert.equal(cells('stagedoor.access.read'), 'AD');
    assert.equal(cells('catalog.entity.delete'), 'CC');
    assert.equal(cells('devtools.info'), 'DD');
    assert.equal(grid.groups[0].results.length, grid.permissions.length);

    const status = await get('status', 'root');
    assert.equal(status.policies.ok, true);
    assert.equal(status.shadow, null);
  },
);

test(
  'what is denied silently otherwise is told once and counted',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': policies });
    const { authorize, health, lines } = await start(
      t,
      { directory, budget: { bytes: 110 } },
      { features: organisation() },
    );
    const unknown = { type: 'basic', name: 'no.such', attributes: {} };
    const asks = [
      unknown,
      { ...PROXY, attributes: { action: 'read' } },
      { type: 'basic', name: 'catalog.entity.delete', attributes: {} },
    ];
    for (let time = 0; time < 2; time += 1) {
      assert.deepEqual(
        (await authorize(asks, 'user:default/ana')).map(({ result }) => result),
        ['DENY', 'DENY', 'DENY'],
      );
    }
    const { notices } = await health();
    assert.deepEqual(notices, {
      'conditions::over-budget': 2,
      'permission::mismatch': 2,
      'permission::needs-resource': 2,
      'permission::unknown': 2,
    });
    for (const code of Object.keys(notices)) {
      const told = lines.filter(({ meta }) => meta?.code === code);
      assert.equal(told.length, 1, `${code}: ${JSON.stringify(told)}`);
      assert.equal(told[0].level, 'warn');
    }
  },
);

test(
  'a page that everybody may see is there for who asks by its name',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': policies });
    const { authorize } = await start(t, { directory });
    assert.deepEqual(
      await authorize([
        { type: 'basic', name: 'catalog.entity.read', attributes: {} },
        {
          type: 'basic',
          name: 'catalog.entity.read',
          attributes: { action: 'read' },
        },
        { type: 'basic', name: 'catalog.entity.delete', attributes: {} },
      ]),
      [{ result: 'ALLOW' }, { result: 'ALLOW' }, { result: 'DENY' }],
    );
  },
);
