'use strict';

// Records of decisions, handed to functions of other modules.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { createBackendModule } = require('@backstage/backend-plugin-api');

const { decisionSinksExtensionPoint } = require('../dist/index.js');
const { start, until, READ, DELETE, REFRESH, PROXY } = require('./backend.js');
const { policyDirectory, simple } = require('./policies.js');

const options = { timeout: 600_000 };

/** Returns a module that adds sinks. */
function sinks(...added) {
  return createBackendModule({
    pluginId: 'permission',
    moduleId: 'siem',
    register(registration) {
      registration.registerInit({
        deps: { decisions: decisionSinksExtensionPoint },
        async init({ decisions }) {
          added.forEach(each => decisions.addSink(...each));
        },
      });
    },
  });
}

test(
  'other modules get records of what was decided, as they asked for them',
  options,
  async t => {
    const directory = policyDirectory(t, {
      'simple.cedar':
        simple +
        '@id("nobody-stars") forbid (principal, action == Backstage::Action::"catalog.entity.refresh", resource);',
    });
    const [own, ocsf] = [[], []];
    const { authorize } = await start(
      t,
      { directory },
      {
        features: [
          sinks(
            [records => own.push(...records), { decisions: 'all' }],
            [
              async records => void ocsf.push(...records),
              { form: 'ocsf', mask: ['/request/ownershipEntityRefs'] },
            ],
          ),
        ],
      },
    );
    await authorize([PROXY, READ, DELETE, REFRESH]);
    await until(() => own.length >= 4 && ocsf.length >= 2);
    const records = own.map(line => JSON.parse(line));
    assert.deepEqual(
      records.map(({ outcome, policies }) => [outcome, policies]),
      [
        ['allowed', [{ id: 'users-proxy', effect: 'permit' }]],
        ['allowed', [{ id: 'everyone-reads', effect: 'permit' }]],
        ['conditional', [{ id: 'owners-delete', effect: 'permit' }]],
        ['denied', [{ id: 'nobody-stars', effect: 'forbid' }]],
      ],
    );
    for (const record of records) {
      assert.equal(record.version, 1);
      assert.equal(record.platform, 'backstage');
      assert.match(record.revision, /^[0-9a-f]{64}$/);
      assert.equal(record.request.user, 'user:default/mock');
      assert.ok(Array.isArray(record.request.ownershipEntityRefs));
      assert.ok(!JSON.stringify(record).includes('mock-user-token'));
    }
    assert.deepEqual(
      records.map(({ request }) => request.permission),
      [PROXY, READ, DELETE, REFRESH].map(({ name }) => name),
    );
    const [{ condition }] = records[2].conditions;
    assert.match(condition, /"rule":"IS_ENTITY_OWNER"/);
    // What is allowed and changes nothing is none of those that are recorded by default.
    const events = ocsf.map(line => JSON.parse(line));
    assert.deepEqual(
      events.map(({ class_uid: kind, status_code: outcome }) => [
        kind,
        outcome,
      ]),
      [
        [6003, 'conditional'],
        [6003, 'denied'],
      ],
    );
    assert.equal(events[0].unmapped.request.ownershipEntityRefs, '(masked)');
  },
);

test(
  'nothing is allowed that a required sink has not taken',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    let isFull = false;
    const taken = [];
    const sink = async records => {
      if (isFull) throw new Error('no room');
      taken.push(...records);
    };
    const { authorize, lines } = await start(
      t,
      { directory },
      { features: [sinks([sink, { required: true }])] },
    );
    assert.deepEqual(await authorize([PROXY, READ]), [
      { result: 'ALLOW' },
      { result: 'ALLOW' },
    ]);
    assert.equal(taken.length, 2, 'before it is told, also what only reads');
    isFull = true;
    const denied = { result: 'DENY' };
    assert.deepEqual(await authorize([PROXY, READ]), [denied, denied]);
    assert.ok(
      lines.some(
        ({ level, message }) =>
          level === 'error' &&
          /denied since they cannot be recorded: .*no room/.test(message),
      ),
    );
    isFull = false;
    assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
    assert.equal(taken.length, 3);
  },
);

test('a required sink that hangs holds nobody up', options, async t => {
  const directory = policyDirectory(t, { 'simple.cedar': simple });
  const { authorize, lines } = await start(
    t,
    { directory },
    {
      features: [
        sinks([() => new Promise(() => {}), { required: true, timeout: 50 }]),
      ],
    },
  );
  assert.deepEqual(await authorize([PROXY]), [{ result: 'DENY' }]);
  assert.ok(
    lines.some(({ message }) => /took longer than 50 ms/.test(message)),
  );
});

test(
  'a sink that fails changes no decision, and is logged',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const sink = () => {
      throw new Error('no room');
    };
    const { authorize, lines } = await start(
      t,
      { directory },
      { features: [sinks([sink, { decisions: 'all' }])] },
    );
    for (let n = 0; n < 3; n += 1) {
      assert.deepEqual(await authorize([PROXY]), [{ result: 'ALLOW' }]);
    }
    const told = () => lines.filter(({ message }) => /no room/.test(message));
    await until(() => told().length > 0);
    assert.equal(told().length, 1);
  },
);

test(
  'a sink that is wrong keeps the backend from starting',
  options,
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    for (const [added, message] of [
      [[() => {}, { form: 'cef' }], /`form` is `cef`/],
      [[() => {}, { required: true, sample: { allowed: 0.5 } }], /is required/],
      [[undefined], /the sink must be a function/],
      [[() => {}, { timeout: 0 }], /`timeout` must be a whole number above 0/],
    ]) {
      await assert.rejects(
        start(t, { directory }, { features: [sinks(added)] }),
        message,
      );
    }
  },
);
