'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const {
  coreServices,
  createBackendPlugin,
} = require('@backstage/backend-plugin-api');
const { createPermission } = require('@backstage/plugin-permission-common');

const { start, until } = require('./backend.js');
const { policyDirectory } = require('./policies.js');

// Only what hangs takes so long.
const options = { timeout: 600_000 };

const create = createPermission({
  name: 'todo.item.create',
  attributes: { action: 'create' },
});

/** A plugin that no list of permissions has. */
const todo = createBackendPlugin({
  pluginId: 'todo',
  register(registration) {
    registration.registerInit({
      deps: { permissions: coreServices.permissionsRegistry },
      async init({ permissions }) {
        permissions.addPermissions([create]);
      },
    });
  },
});

const policies = `
@id("everything") @doc("Every permission, those of plugins added later included.")
permit (principal is Backstage::User, action, resource);
`;

test('permissions of plugins that no list has are known', options, async t => {
  const directory = policyDirectory(t, { 'all.cedar': policies });
  const { authorize, lines } = await start(
    t,
    { directory },
    { features: [todo], plugins: ['todo', 'permission', 'not-there'] },
  );
  await until(async () => (await authorize([create]))[0].result === 'ALLOW');
  assert.deepEqual(
    await authorize([
      { type: 'basic', name: 'todo.item.other', attributes: {} },
    ]),
    [{ result: 'DENY' }],
  );
  assert.deepEqual(
    lines.filter(({ level }) => level === 'error'),
    [],
  );
});

test(
  'what no list has is denied where plugins are not asked',
  options,
  async t => {
    const directory = policyDirectory(t, { 'all.cedar': policies });
    const { authorize } = await start(
      t,
      { directory, discoverPlugins: false },
      { features: [todo], plugins: ['todo'] },
    );
    assert.deepEqual(await authorize([create]), [{ result: 'DENY' }]);
  },
);
