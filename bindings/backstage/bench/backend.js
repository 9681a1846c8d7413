'use strict';

// Run as a program: a backend with one of three permission policies, to be measured by
// `rbac.js`. What it answers to messages is within the process.

const { createRequire } = require('node:module');
const { join } = require('node:path');

const { TREE, POLICY, CONFIG } = process.env;
process.argv.push('--config', CONFIG);
const load = createRequire(join(TREE, 'package.json'));

const { createBackend } = load('@backstage/backend-defaults');
const { createBackendModule } = load('@backstage/backend-plugin-api');
const { policyExtensionPoint } = load(
  '@backstage/plugin-permission-node/alpha',
);

/** The policy, and the user whom the last request came from. */
const seen = {};

/** Sees what the policy is asked. */
function watch(prototype) {
  const { handle } = prototype;
  prototype.handle = function seeing(query, user) {
    seen.policy = this;
    seen.user = user;
    return handle.call(this, query, user);
  };
}

class AllowAll {
  async handle() {
    return { result: 'ALLOW' };
  }
}

function policyModule() {
  if (POLICY === 'rbac') {
    const file = join(
      TREE,
      'node_modules/@backstage-community/plugin-rbac-backend/dist/policies/permission-policy.cjs.js',
    );
    watch(require(file).RBACPermissionPolicy.prototype);
    return load('@backstage-community/plugin-rbac-backend').default;
  }
  if (POLICY === 'stagedoor') {
    watch(require('../dist/policy.js').StagedoorPolicy.prototype);
    return require('../dist/index.js').default;
  }
  watch(AllowAll.prototype);
  return createBackendModule({
    pluginId: 'permission',
    moduleId: 'allow-all',
    register(registration) {
      registration.registerInit({
        deps: { extension: policyExtensionPoint },
        async init({ extension }) {
          extension.setPolicy(new AllowAll());
        },
      });
    },
  });
}

/** Returns the microseconds of each of so many rounds, one decision after the other. */
async function rounds(permission, count, each) {
  const times = [];
  for (let round = 0; round < count; round += 1) {
    const started = performance.now();
    for (let n = 0; n < each; n += 1) {
      await seen.policy.handle({ permission: { ...permission } }, seen.user);
    }
    times.push(((performance.now() - started) * 1000) / each);
  }
  return times;
}

/** Returns the milliseconds of processor time that this process has used. */
function usage() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const backend = createBackend();
backend.add(load('@backstage/plugin-auth-backend'));
backend.add(load('@backstage/plugin-auth-backend-module-guest-provider'));
backend.add(load('@backstage/plugin-catalog-backend'));
backend.add(load('@backstage/plugin-permission-backend'));
backend.add(policyModule());
backend.start().then(
  () => process.send('started'),
  error => {
    console.error(error);
    process.exit(1);
  },
);
process.on('message', async ({ permission, count, each }) => {
  process.send(permission ? await rounds(permission, count, each) : usage());
});
process.on('disconnect', () => process.exit());
