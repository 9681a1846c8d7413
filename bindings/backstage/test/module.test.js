'use strict';

const assert = require('node:assert/strict');
const { rmSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');

const { createBackendModule } = require('@backstage/backend-plugin-api');
const {
  policyExtensionPoint,
} = require('@backstage/plugin-permission-node/alpha');

const { start, until, READ, DELETE, PROXY } = require('./backend.js');
const { policyDirectory, shippedPolicies, simple } = require('./policies.js');

// Only what hangs takes so long.
const options = { timeout: 600_000 };
const owned = user => ({
  result: 'CONDITIONAL',
  pluginId: 'catalog',
  resourceType: 'catalog-entity',
  conditions: {
    rule: 'IS_ENTITY_OWNER',
    resourceType: 'catalog-entity',
    params: { claims: [user] },
  },
});

test(
  'decisions are those of the policies, and nothing else is told',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const { authorize, lines } = await start(t, { directory });
    const unknown = {
      type: 'basic',
      name: 'no.such.permission',
      attributes: {},
    };
    assert.deepEqual(await authorize([PROXY, READ, DELETE, unknown]), [
      { result: 'ALLOW' },
      { result: 'ALLOW' },
      owned('user:default/mock'),
      { result: 'DENY' },
    ]);
    assert.deepEqual(await authorize([DELETE], 'User:Default/Ana'), [
      owned('user:default/ana'),
    ]);
    assert.ok(
      lines.some(({ message }) => /policies in force: 3 from/.test(message)),
    );
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error'),
      [],
    );
  },
);

test('fifty items are answered in their order', options, async t => {
  const directory = policyDirectory(t, { 'simple.cedar': simple });
  const { authorize } = await start(t, { directory });
  const one = [PROXY, { ...PROXY, name: 'nothing' }, DELETE];
  const answers = await authorize(
    Array.from({ length: 50 }, (_, n) => one[n % 3]),
  );
  answers.forEach((answer, n) =>
    assert.deepEqual(
      answer,
      [{ result: 'ALLOW' }, { result: 'DENY' }, owned('user:default/mock')][
        n % 3
      ],
    ),
  );
});

test(
  'a permission that says otherwise than it is known is denied',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const { authorize } = await start(t, { directory });
    assert.deepEqual(
      await authorize([
        { ...READ, resourceType: 'scaffolder-task' },
        { ...READ, attributes: { action: 'update' } },
        { type: 'basic', name: READ.name, attributes: { action: 'delete' } },
      ]),
      [{ result: 'DENY' }, { result: 'DENY' }, { result: 'DENY' }],
    );
  },
);

test(
  'changes are taken up, and a broken edit keeps what was',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const { authorize, health, lines } = await start(t, {
      directory,
      watch: { interval: '20ms' },
    });
    const first = await until(async () => {
      const now = await health();
      return now.code === 200 && now;
    });
    assert.equal(first.status, 'ok');

    writeFileSync(join(directory, 'simple.cedar'), `${simple}\npermit (oops`);
    const broken = await until(async () => {
      const now = await health();
      return now.code === 503 && now;
    });
    assert.deepEqual(broken, {
      code: 503,
      status: 'outdated',
      revision: first.revision,
    });
    assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
    const told = lines
      .filter(({ level }) => level === 'error')
      .map(({ message }) => message);
    assert.ok(
      told.some(message => /simple\.cedar:2\d:\d+: /.test(message)),
      told.join('\n'),
    );
    assert.ok(
      told.some(message => /those before stay in force/.test(message)),
      told.join('\n'),
    );

    writeFileSync(
      join(directory, 'simple.cedar'),
      `${simple}\n@id("stop") forbid (principal, action, resource);`,
    );
    const changed = await until(async () => {
      const now = await health();
      return now.code === 200 && now;
    });
    assert.notEqual(changed.revision, first.revision);
    assert.deepEqual(await authorize([PROXY, READ, DELETE]), [
      { result: 'DENY' },
      { result: 'DENY' },
      { result: 'DENY' },
    ]);
  },
);

test(
  'requests go on being answered while policies change',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const { authorize, health } = await start(t, {
      directory,
      watch: { interval: '10ms' },
    });
    const revisions = new Set();
    for (let written = -1; revisions.size < 4;) {
      // Changes are taken up once the files have come to rest.
      if (written < revisions.size) {
        written = revisions.size;
        const extra = `@id("extra-${written}") permit (principal, action == Backstage::Action::"devtools.info", resource);`;
        writeFileSync(join(directory, 'extra.cedar'), extra);
      }
      const asked = [authorize([PROXY, DELETE]), authorize([READ]), health()];
      const [both, read, { revision }] = await Promise.all(asked);
      assert.deepEqual(both, [{ result: 'ALLOW' }, owned('user:default/mock')]);
      assert.deepEqual(read, [{ result: 'ALLOW' }]);
      revisions.add(revision);
    }
  },
);

test(
  'policies that do not load deny everything until they do',
  options,
  async t => {
    const directory = policyDirectory(t, {
      'simple.cedar': 'permit (principal',
    });
    const { authorize, health, lines } = await start(t, {
      directory,
      watch: { interval: '20ms' },
    });
    assert.deepEqual(await authorize([PROXY, READ, DELETE]), [
      { result: 'DENY' },
      { result: 'DENY' },
      { result: 'DENY' },
    ]);
    assert.deepEqual(await health(), {
      code: 503,
      status: 'denying',
      notices: { 'policies::none': 1 },
    });
    const told = lines.map(({ message }) => message).join('\n');
    assert.match(told, /simple\.cedar:1:\d+/);
    assert.match(told, /every permission is denied/);
    writeFileSync(join(directory, 'simple.cedar'), simple);
    await until(async () => (await health()).code === 200);
    assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
    rmSync(directory, { recursive: true });
    await until(async () => (await health()).status === 'outdated');
    assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
  },
);

test(
  'every decision is audited, or those that matter most',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const items = [
      PROXY,
      DELETE,
      {
        ...PROXY,
        name: 'kubernetes.clusters.read',
        attributes: { action: 'read' },
      },
    ];
    for (const [decisions, results] of [
      ['all', ['ALLOW', 'CONDITIONAL', 'DENY']],
      ['notable', ['CONDITIONAL', 'DENY']],
      [undefined, ['CONDITIONAL', 'DENY']],
      ['denied', ['DENY']],
      ['none', []],
    ]) {
      const { authorize, events, url } = await start(t, {
        directory,
        ...(decisions && { audit: { decisions } }),
      });
      await authorize(items);
      await until(() => events.length >= results.length);
      assert.deepEqual(
        events.map(({ meta }) => meta.result),
        results,
      );
      for (const { eventId, severityLevel, meta } of events) {
        assert.equal(eventId, 'permission-decision');
        assert.equal(severityLevel, 'medium');
        const conditional = meta.result === 'CONDITIONAL';
        assert.equal(meta.conditions !== undefined, conditional);
        delete meta.conditions;
        // Only permissions about resources have it, and only these get conditions.
        assert.ok(!conditional || meta.resourceType);
        delete meta.resourceType;
        assert.deepEqual(Object.keys(meta).sort(), [
          'action',
          'errors',
          'microseconds',
          'ownershipEntityRefs',
          'permission',
          'policies',
          'result',
          'revision',
          'user',
        ]);
        assert.equal(meta.user, 'user:default/mock');
        assert.match(meta.revision, /^[0-9a-f]{64}$/);
        assert.ok(Number.isInteger(meta.microseconds));
        assert.ok(!JSON.stringify(meta).includes('mock-user-token'));
      }
      assert.ok(url);
      if (decisions === 'all')
        assert.deepEqual(events[0].meta.policies, ['users-proxy']);
    }
    const { authorize, events } = await start(t, {
      directory,
      audit: { decisions: 'all', sample: 0, severity: 'low' },
    });
    await authorize(items);
    assert.deepEqual(events, []);
  },
);

test('shadow policies are compared and enforce nothing', options, async t => {
  const directory = policyDirectory(t, { 'simple.cedar': simple });
  const shadow = policyDirectory(t, {
    'shadow.cedar':
      '@id("no-proxy") forbid (principal, action == Backstage::Action::"kubernetes.proxy", resource);\n' +
      simple,
  });
  const { authorize, lines } = await start(t, {
    directory,
    shadow: { directory: shadow },
  });
  await until(() =>
    lines.some(({ message }) => /shadow policies in force/.test(message)),
  );
  for (let n = 0; n < 3; n += 1) {
    assert.deepEqual(await authorize([PROXY, READ, DELETE]), [
      { result: 'ALLOW' },
      { result: 'ALLOW' },
      owned('user:default/mock'),
    ]);
  }
  const told = lines.filter(({ message }) =>
    /shadow policies differ/.test(message),
  );
  assert.equal(told.length, 1);
  assert.match(
    told[0].message,
    /kubernetes\.proxy for user:default\/mock: ALLOW by users-proxy, but DENY by no-proxy/,
  );
});

test('a bundle stands in the place of a directory', options, async t => {
  const bundled = text => JSON.stringify({ files: { 'simple.cedar': text } });
  const directory = policyDirectory(t, { 'bundle.json': bundled(simple) });
  const bundle = join(directory, 'bundle.json');
  const { authorize, health, lines } = await start(t, {
    bundle,
    watch: { interval: '20ms' },
  });
  assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
  writeFileSync(bundle, bundled(`${simple} permit (oops`));
  await until(async () => (await health()).status === 'outdated');
  assert.ok(
    lines.some(({ message }) => /^simple\.cedar:\d+:\d+: /.test(message)),
  );
  writeFileSync(bundle, '{"files": []}');
  await until(() =>
    lines.some(({ message }) => /not a bundle of policies/.test(message)),
  );
  assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
  const closed = 'forbid (principal, action, resource);';
  writeFileSync(bundle, bundled(closed));
  await until(async () => (await authorize([PROXY]))[0].result === 'DENY');
});

test('settings that are wrong are named', options, async t => {
  const directory = policyDirectory(t, { 'simple.cedar': simple });
  for (const [settings, message] of [
    [undefined, /permission\.stagedoor is not configured/],
    [{}, /permission\.stagedoor\.directory/],
    [{ directory: 7 }, /permission\.stagedoor\.directory/],
    [{ directory, bundle: 'b' }, /permission\.stagedoor\.bundle/],
    [{ directory, watchh: true }, /permission\.stagedoor\.watchh/],
    [{ directory, watch: { interval: 'soon' } }, /watch\.interval/],
    [{ directory, cacheSize: -1 }, /permission\.stagedoor\.cacheSize/],
    [
      { directory, audit: { decisions: 'some' } },
      /permission\.stagedoor\.audit\.decisions/,
    ],
    [
      { directory, audit: { decisions: 'all', sample: 2 } },
      /permission\.stagedoor\.audit\.sample/,
    ],
    [
      { directory, budget: { leaves: 0 } },
      /permission\.stagedoor\.budget\.leaves/,
    ],
    [
      { directory, budget: { rules: 9 } },
      /permission\.stagedoor\.budget\.rules/,
    ],
    [
      { directory, catalogGroups: { interval: '1ms' } },
      /permission\.stagedoor\.catalogGroups\.interval/,
    ],
    [
      { directory, watch: { intervall: '5s' } },
      /permission\.stagedoor\.watch\.intervall/,
    ],
    [
      { directory, audit: { decisions: 'all', sampel: 0.1 } },
      /permission\.stagedoor\.audit\.sampel/,
    ],
    [
      { directory, catalogGroups: { intervall: '1m' } },
      /permission\.stagedoor\.catalogGroups\.intervall/,
    ],
    [{ directory, ruleHost: { bytes: 1 } }, /ruleHost goes with/],
    [
      { directory, rules: directory, ruleHost: { byts: 1 } },
      /permission\.stagedoor\.ruleHost\.byts/,
    ],
    [
      { directory, rules: directory, ruleHost: { bytes: -1 } },
      /permission\.stagedoor\.ruleHost\.bytes/,
    ],
    // Whoever looks at the page follows it.
    [{ directory, policyUrl: 'javascript:{file}' }, /policyUrl must be/],
    [{ directory, policyUrl: 'https://git.example' }, /policyUrl must be/],
    [
      { directory, shadow: { directory, sample: 1 } },
      /permission\.stagedoor\.shadow\.sample/,
    ],
    [
      {
        directory,
        guest: { userEntityRef: 'user:default/g', ownershipEntityRef: [] },
      },
      /permission\.stagedoor\.guest\.ownershipEntityRef/,
    ],
    [
      { directory, cacheSize: { entries: 3 } },
      /permission\.stagedoor\.cacheSize/,
    ],
    [
      { directory, budget: { items: 0 } },
      /permission\.stagedoor\.budget\.items/,
    ],
    [{ directory, shadow: {} }, /permission\.stagedoor\.shadow\.directory/],
    [{ directory, guest: {} }, /permission\.stagedoor\.guest\.userEntityRef/],
  ]) {
    await assert.rejects(start(t, settings), error => {
      const all = [error, error.cause, ...(error.errors ?? [])]
        .map(each => `${each?.message} ${each?.cause?.message}`)
        .join('\n');
      return (
        message.test(all) || assert.fail(`${all} does not match ${message}`)
      );
    });
  }
});

test(
  'another policy module is named, and permissions that are off are told',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const other = createBackendModule({
      pluginId: 'permission',
      moduleId: 'another',
      register(registration) {
        registration.registerInit({
          deps: { policy: policyExtensionPoint },
          async init({ policy }) {
            policy.setPolicy({ handle: async () => ({ result: 'ALLOW' }) });
          },
        });
      },
    });
    await assert.rejects(
      start(t, { directory }, { features: [other] }),
      error =>
        /another/.test(
          JSON.stringify(error, Object.getOwnPropertyNames(error)) +
            error.stack +
            error.message,
        ),
    );
    const { lines } = await start(t, { directory }, { enabled: false });
    assert.ok(
      lines.some(
        ({ level, message }) =>
          level === 'error' && /NOTHING IS ENFORCED/.test(message),
      ),
    );
  },
);

test(
  'the policies that ship load, and are asked about every permission',
  options,
  async t => {
    const directory = shippedPolicies(t);
    const { authorize, lines } = await start(t, { directory });
    const { Engine } = require('@stagedoor/node');
    const engine = await Engine.load({ directory, platform: 'backstage' });
    t.after(() => engine.close());
    const { permissions } =
      require('../../../policies/backstage/permissions.json').reduce
        ? {
            permissions:
              require('../../../policies/backstage/permissions.json').flatMap(
                plugin => plugin.permissions,
              ),
          }
        : require('../../../policies/backstage/permissions.json');
    assert.ok(permissions.length > 20);
    const items = permissions.map(({ name, attributes = {}, resourceType }) =>
      resourceType
        ? { type: 'resource', name, attributes, resourceType }
        : { type: 'basic', name, attributes },
    );
    const user = {
      userEntityRef: 'user:default/mock',
      ownershipEntityRefs: ['user:default/mock'],
    };
    const expected = engine
      .decideBackstageBatch(items, user)
      .map(({ decision }) => decision);
    assert.deepEqual(await authorize(items), expected);
    assert.ok(new Set(expected.map(({ result }) => result)).size === 3);
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error' || level === 'warn'),
      [],
    );
  },
);
