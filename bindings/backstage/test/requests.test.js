'use strict';

// Requests as large as they come: Backstage sends conditions once for each item, and the plugin
// that applies them refuses bodies of over 100 KiB.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { test } = require('node:test');

const {
  coreServices,
  createBackendPlugin,
  createServiceFactory,
} = require('@backstage/backend-plugin-api');
const { mockCredentials } = require('@backstage/backend-test-utils');
const {
  createPermissionIntegrationRouter,
  createPermissionResourceRef,
  createPermissionRule,
} = require('@backstage/plugin-permission-node');
const { createPermission } = require('@backstage/plugin-permission-common');
const { z } = require('zod/v3');

const { start, until, DELETE } = require('./backend.js');
const { policyDirectory, simple } = require('./policies.js');

// Only what hangs takes so long.
const options = { timeout: 600_000 };
const resourceRef = createPermissionResourceRef().with({
  pluginId: 'catalog',
  resourceType: 'catalog-entity',
});

/**
 * Stands for the catalog: Backstage's own router for conditions, and the rule by its name. The
 * registry of permissions would ask for tokens that the test backend does not issue.
 */
const catalog = createBackendPlugin({
  pluginId: 'catalog',
  register(registration) {
    registration.registerInit({
      deps: { router: coreServices.httpRouter },
      async init({ router }) {
        router.use(
          createPermissionIntegrationRouter({
            resourceType: 'catalog-entity',
            permissions: [createPermission(DELETE)],
            rules: [
              createPermissionRule({
                name: 'IS_ENTITY_OWNER',
                description: 'Allow entities of these owners',
                resourceRef,
                paramsSchema: z.object({ claims: z.array(z.string()) }),
                apply: ({ owner }, { claims }) => claims.includes(owner),
                toQuery: () => ({}),
              }),
            ],
            // The owner is the end of the name.
            getResources: async refs =>
              refs.map(ref => ({
                owner: `group:default/${ref.split('--')[1]}`,
              })),
          }),
        );
      },
    });
  },
});

/** A user with so many groups. */
function userOf(groups) {
  const owned = Array.from(
    { length: groups },
    (_, n) => `group:default/group-${String(n).padStart(4, '0')}`,
  );
  return createServiceFactory({
    service: coreServices.userInfo,
    deps: {},
    factory: () => ({
      getUserInfo: async ({ principal: { userEntityRef } }) => ({
        userEntityRef,
        ownershipEntityRefs: [userEntityRef, ...owned],
      }),
    }),
  });
}

for (const groups of [1, 60, 2_000]) {
  test(`fifty entities for a user of ${groups} groups`, options, async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const { url, health } = await start(
      t,
      { directory },
      { features: [catalog, userOf(groups)] },
    );
    await until(async () => (await health()).code === 200);
    // As long as the catalog lets references be.
    const name = n => {
      const owner = `group-${String(n).padStart(4, '0')}`;
      return `component:${'n'.repeat(63)}/${'e'.repeat(61 - owner.length)}--${owner}`;
    };
    const response = await fetch(`${url}/authorize`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${mockCredentials.user.token(
          'user:default/ana',
          { actor: { subject: 'plugin:catalog' } },
        )}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        items: Array.from({ length: 50 }, (_, n) => ({
          id: randomUUID(),
          permission: DELETE,
          resourceRef: name(n),
        })),
      }),
    });
    const answer = await response.json();
    assert.equal(response.status, 200, JSON.stringify(answer));
    const allowed = answer.items.filter(({ result }) => result === 'ALLOW');
    // One group owns one; of more the first that fit are kept.
    if (groups === 1) assert.equal(allowed.length, 1);
    else assert.ok(allowed.length > 30, `${allowed.length} of 50`);
  });
}
