'use strict';

// What the page shows, against what Backstage decides over HTTP: for all users, all permissions and
// all entities of the example.

const assert = require('node:assert/strict');
const { after, before, test } = require('node:test');

const { ExampleProcess } = require('./exampleProcess.js');

const USERS = ['ana', 'ben', 'cleo', 'dan', 'eva', 'finn', 'guest'];

let backend;
/** Asks as cleo, who may see what others may do. */
const ask = async (path, as = 'cleo') => {
  const { status, body } = await backend.call(
    `permission/stagedoor/v1/${path}`,
    { as },
  );
  assert.equal(status, 200, `${path}: ${JSON.stringify(body)}`);
  return body;
};
const refOf = ({ kind, metadata }) =>
  `${kind}:${metadata.namespace ?? 'default'}/${metadata.name}`.toLowerCase();

/** What Backstage decides, in the order of the items. */
async function authorize(as, items) {
  const { status, body } = await backend.call('permission/authorize', {
    as,
    body: { items: items.map((item, id) => ({ id: `${id}`, ...item })) },
  });
  assert.equal(status, 200, JSON.stringify(body));
  return body.items.map(({ result }) => result);
}

/** A permission as its plugin states it. */
const stated = ({ name, action, resourceType }) => ({
  type: resourceType ? 'resource' : 'basic',
  name,
  attributes: action ? { action } : {},
  ...(resourceType && { resourceType }),
});

before(
  async () => {
    backend = await ExampleProcess.start({
      APP_CONFIG_permission_stagedoor_policyUrl:
        '"https://git.example/blob/main/{file}#L{line}"',
    });
    for (const name of USERS) await backend.signIn(name);
  },
  { timeout: 900_000 },
);

after(() => backend?.stop());

test('every answer about somebody is what Backstage decides', async t => {
  const { permissions, groups } = await ask('grid');
  assert.ok(permissions.length > 40, `${permissions.length}`);
  const { body: all } = await backend.call('catalog/entities', { as: 'cleo' });
  const entities = all.map(refOf);
  assert.ok(entities.length >= 200);
  let [compared, conditional] = [0, 0];
  for (const name of USERS) {
    const user = `user:default/${name}`;
    const access = await ask(`access?user=${user}`);
    assert.deepEqual(
      access.permissions.map(({ permission }) => permission),
      permissions.map(each => each.name),
    );
    // One's own is the same.
    assert.deepEqual(
      (await ask('access', name)).permissions,
      access.permissions,
    );

    // Nothing hangs on a resource: the answer is the decision.
    const basic = permissions.filter(({ resourceType }) => !resourceType);
    const decided = await authorize(
      name,
      basic.map(permission => ({ permission: stated(permission) })),
    );
    for (const [index, permission] of basic.entries()) {
      const { result } = access.permissions.find(
        each => each.permission === permission.name,
      );
      assert.equal(result, decided[index], `${name} ${permission.name}`);
      compared += 1;
    }

    // About entities: the counts by kind are those of the decisions about each.
    const aboutEntities = permissions.filter(
      ({ resourceType }) => resourceType === 'catalog-entity',
    );
    for (const permission of aboutEntities) {
      const [answered] = await authorize(name, [
        { permission: stated(permission), resourceRef: entities },
      ]);
      // One answer for all of them, or one for each.
      const results = entities.map((_, index) =>
        Array.isArray(answered) ? answered[index] : answered,
      );
      const reach = await ask(
        `reach?permission=${permission.name}&user=${user}`,
      );
      const counts = {};
      for (const [index, { kind, spec }] of all.entries()) {
        const key = `${kind} ${spec?.type ?? null}`;
        counts[key] ??= 0;
        counts[key] += results[index] === 'ALLOW' ? 1 : 0;
        compared += 1;
      }
      assert.deepEqual(
        Object.fromEntries(
          reach.kinds.map(({ kind, type, reached }) => [
            `${kind} ${type}`,
            reached,
          ]),
        ),
        counts,
        `${name} ${permission.name}`,
      );
      conditional += reach.result === 'CONDITIONAL' ? 1 : 0;
    }
  }
  t.diagnostic(JSON.stringify({ compared, conditional }));
  assert.ok(conditional >= 7, `${conditional}`);

  // Whoever is in one group alone has what its row says.
  for (const [name, group] of [
    ['eva', 'group:default/logistics'],
    ['finn', 'group:default/growth'],
  ]) {
    const access = await ask(`access?user=user:default/${name}`);
    const row = groups.find(each => each.group === group);
    assert.equal(
      row.results,
      access.permissions.map(({ result }) => result[0]).join(''),
      name,
    );
  }
});

test('every explanation ends with what Backstage decides', async t => {
  const { permissions } = await ask('grid');
  const some = [
    'component:default/payments-service-1',
    'component:default/payments-service-3',
    'component:default/payments-service-7',
    'component:default/search-service-2',
    'api:default/identity-api-1',
    'template:default/new-service',
  ];
  const { body: known } = await backend.call('catalog/entities/by-refs', {
    as: 'cleo',
    body: { entityRefs: some },
  });
  const entities = some.filter((_, index) => known.items[index]);
  assert.ok(entities.length >= 5, `${entities}`);
  const counts = { allowed: 0, denied: 0, near: 0 };
  for (const name of USERS) {
    for (const permission of permissions) {
      const { resourceType } = permission;
      const about =
        resourceType === 'catalog-entity'
          ? entities
          : resourceType
            ? []
            : [undefined];
      for (const entity of about) {
        const query = new URLSearchParams({
          permission: permission.name,
          user: `user:default/${name}`,
          ...(entity && { entity }),
        });
        const why = await ask(`why?${query}`);
        const [decided] = await authorize(name, [
          {
            permission: stated(permission),
            ...(entity && { resourceRef: entity }),
          },
        ]);
        assert.equal(why.result, decided, `${query}`);
        // These policies say nothing that no rule can say.
        assert.equal(why.narrower, false);
        assert.equal(
          why.explanation.decision,
          decided === 'ALLOW' ? 'allow' : 'deny',
          `${query}`,
        );
        assert.deepEqual(
          why.because.map(({ id }) => id),
          why.explanation.reasons,
        );
        counts[decided === 'ALLOW' ? 'allowed' : 'denied'] += 1;
        counts.near += why.near.length > 0 ? 1 : 0;
        for (const { file, url, line } of [...why.because, ...why.near]) {
          assert.match(file, /^\w+\.cedar$/);
          assert.equal(url, `https://git.example/blob/main/${file}#L${line}`);
        }
      }
    }
  }
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.allowed > 50 && counts.denied > 50 && counts.near > 20);
});

test('who can is whom Backstage permits it', async () => {
  const entity = 'component:default/payments-service-3';
  for (const [permission, entityRef] of [
    [{ name: 'kubernetes.proxy' }],
    [{ name: 'stagedoor.access.read', action: 'read' }],
    [
      {
        name: 'catalog.entity.delete',
        action: 'delete',
        resourceType: 'catalog-entity',
      },
      entity,
    ],
    [
      {
        name: 'catalog.entity.read',
        action: 'read',
        resourceType: 'catalog-entity',
      },
      'component:default/payments-service-7',
    ],
  ]) {
    const query = new URLSearchParams({
      permission: permission.name,
      ...(entityRef && { entity: entityRef }),
    });
    const { users, asked, notAsked } = await ask(`who-can?${query}`);
    assert.deepEqual([asked, notAsked], [USERS.length, 0]);
    const expected = [];
    for (const name of USERS) {
      const [result] = await authorize(name, [
        {
          permission: stated(permission),
          ...(entityRef && { resourceRef: entityRef }),
        },
      ]);
      if (result === 'ALLOW') expected.push(`user:default/${name}`);
    }
    assert.deepEqual(
      users.map(({ user }) => user).sort(),
      expected,
      `${query}`,
    );
    assert.ok(expected.length > 0);
  }
});

test('nobody learns of others, nor of entities that are hidden from them', async () => {
  const hidden = 'component:default/payments-service-7';
  for (const [path, as, expected] of [
    ['grid', 'ana', 403],
    ['status', 'ana', 403],
    ['what-if', 'ana', 403],
    ['who-can?permission=kubernetes.proxy', 'ana', 403],
    ['access?user=user:default/ben', 'ana', 403],
    ['access?group=group:default/search', 'ana', 403],
    ['reach?permission=catalog.entity.read&user=user:default/ben', 'ana', 403],
    [
      'rights?entity=component:default/payments-service-1&user=user:default/ben',
      'ana',
      403,
    ],
    ['why?permission=kubernetes.proxy&user=user:default/ben', 'ana', 403],
    [`why?permission=catalog.entity.read&entity=${hidden}`, 'ben', 404],
    [`rights?entity=${hidden}`, 'ben', 404],
    [`rights?entity=${hidden}`, 'ana', 200],
    [
      'why?permission=kubernetes.proxy&entity=component:default/payments-service-1',
      'ana',
      400,
    ],
    ['grid', undefined, 401],
    ['me', undefined, 401],
  ]) {
    const { status } = await backend.call(`permission/stagedoor/v1/${path}`, {
      as,
    });
    assert.equal(status, expected, `${path} as ${as}`);
  }
  const post = await backend.call('permission/stagedoor/v1/what-if', {
    as: 'ana',
    body: { files: [{ name: 'a.cedar', text: '' }] },
  });
  assert.equal(post.status, 403);
  // An ordinary user is told why, and not what policies say about others.
  const own = await ask('why?permission=kubernetes.proxy', 'ana');
  assert.deepEqual(
    [own.result, own.explanation, own.residuals],
    ['DENY', null, null],
  );
  assert.deepEqual(
    own.near.map(({ id }) => id),
    ['on-call-proxy', 'platform-admins'],
  );
  const { kinds } = await ask('reach?permission=catalog.entity.read', 'ben');
  const [components] = kinds.filter(
    ({ kind, type }) => kind === 'Component' && type === 'service',
  );
  assert.equal(
    components.reached,
    components.of,
    'hidden ones are not counted',
  );
});

test('what somebody may do with an entity is what Backstage decides', async () => {
  const entity = 'component:default/payments-service-3';
  for (const name of ['ana', 'ben', 'cleo']) {
    const { permissions } = await ask(`rights?entity=${entity}`, name);
    assert.ok(permissions.length >= 3);
    const decided = await authorize(
      name,
      permissions.map(({ permission, action }) => ({
        permission: stated({
          name: permission,
          action,
          resourceType: 'catalog-entity',
        }),
        resourceRef: entity,
      })),
    );
    assert.deepEqual(
      permissions.map(({ result }) => result),
      decided,
      name,
    );
  }
});

test('templates are counted by their parts', async () => {
  const reach = async user =>
    (
      await ask(
        `reach?permission=scaffolder.template.parameter.read&user=user:default/${user}`,
      )
    ).kinds;
  for (const user of ['ana', 'dan']) {
    assert.deepEqual(await reach(user), [
      {
        kind: 'Template',
        type: 'service',
        reached: 1,
        of: 1,
        names: ['template:default/new-service'],
      },
    ]);
  }
});

test('what other policies would change is told by name and for all requests', async () => {
  const whatIf = async body => {
    const { status, body: answer } = await backend.call(
      'permission/stagedoor/v1/what-if',
      { as: 'cleo', body },
    );
    return { status, ...answer };
  };
  const text = `@id("all-proxy") permit (
    principal is Backstage::User,
    action == Backstage::Action::"kubernetes.proxy",
    resource == Backstage::Plugin::"kubernetes"
  );`;
  const found = await whatIf({ files: [{ name: 'new.cedar', text }] });
  assert.equal(found.status, 200, JSON.stringify(found));
  assert.equal(found.meaning.verdict, 'widened');
  assert.deepEqual(found.policies, {
    added: ['all-proxy'],
    removed: [],
    changed: [],
  });
  assert.equal(found.unnamed, null);
  assert.ok(found.asked > 1_000);
  // All users but those who have it: ben is on call, cleo an admin; the guest stays forbidden.
  assert.equal(found.widened, 4);
  const [row] = found.rows;
  assert.deepEqual(
    [row.direction, row.users, row.actions],
    ['widened', 4, ['kubernetes.proxy']],
  );

  const instead = await whatIf({
    files: [{ name: 'new.cedar', text }],
    mode: 'instead',
  });
  assert.equal(instead.meaning.verdict, 'both');
  assert.ok(instead.narrowed > 100);

  const nothing = await whatIf({
    files: [{ name: 'a.cedar', text: '// nothing' }],
  });
  assert.deepEqual([nothing.meaning.verdict, nothing.rows], ['equal', []]);

  const wrong = await whatIf({
    files: [{ name: 'a.cedar', text: 'permit (oops' }],
  });
  assert.equal(wrong.status, 400);
  assert.match(wrong.problems[0].file, /a\.cedar$/);
  assert.equal(wrong.problems[0].line, 1);
  for (const body of [
    {},
    { files: [] },
    { files: [{ name: '../a.cedar', text: '' }] },
    { files: [{ name: 'a.cedar' }] },
    { files: [{ name: 'a.cedar', text: '' }], mode: 'other' },
    { files: [{ name: 'a.cedar', text: 'x'.repeat(200_001) }] },
  ]) {
    assert.equal(
      (await whatIf(body)).status,
      400,
      JSON.stringify(body).slice(0, 100),
    );
  }
  const large = await whatIf({
    files: [{ name: 'a.cedar', text: 'x'.repeat(2 << 20) }],
  });
  assert.equal(large.status, 413);
  // Nothing of it was put in force.
  const [proxy] = await authorize('ana', [
    { permission: stated({ name: 'kubernetes.proxy' }) },
  ]);
  assert.equal(proxy, 'DENY');
});

test('actions that agents call are there for those who have their permission', async () => {
  const actions = async (plugin, as) => {
    const path = `${plugin}/.backstage/actions/v1/actions`;
    const { status, body } = await backend.call(path, { as });
    assert.equal(status, 200, JSON.stringify(body));
    return body.actions.map(({ id }) => id);
  };
  const invoke = async (plugin, id, as) => {
    const path = `${plugin}/.backstage/actions/v1/actions/${encodeURIComponent(id)}/invoke`;
    return (await backend.call(path, { as, body: {} })).status;
  };
  for (const [plugin, part, permission] of [
    ['scaffolder', 'dry-run', { name: 'scaffolder.template.dry-run' }],
    [
      'kubernetes',
      'clusters',
      { name: 'kubernetes.clusters.read', action: 'read' },
    ],
  ]) {
    const all = await actions(plugin, 'cleo');
    const id = all.find(each => each.includes(part));
    assert.ok(id, `${all}`);
    const known = (await ask('grid?limit=1')).permissions.find(
      ({ name }) => name === permission.name,
    );
    const has = new Set();
    for (const name of USERS) {
      const [decided] = await authorize(name, [{ permission: stated(known) }]);
      const isListed = (await actions(plugin, name)).includes(id);
      assert.equal(isListed, decided === 'ALLOW', `${name} ${id}`);
      // Whoever may not see it cannot call it: for them it is not there.
      const status = await invoke(plugin, id, name);
      assert.equal(
        status === 404,
        decided !== 'ALLOW',
        `${name} ${id}: ${status}`,
      );
      has.add(decided);
    }
    assert.equal(has.size, 2, permission.name);
  }
});
