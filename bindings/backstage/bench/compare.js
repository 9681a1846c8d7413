'use strict';

// Stagedoor beside a policy that allows all, interleaved in one run: time within `handle`, and
// over HTTP with 1 and 50 items. Run after `npm run build`: node --expose-gc bench/compare.js

const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const {
  coreServices,
  createBackendModule,
  createServiceFactory,
} = require('@backstage/backend-plugin-api');
const {
  mockCredentials,
  mockServices,
  startTestBackend,
} = require('@backstage/backend-test-utils');
const {
  policyExtensionPoint,
} = require('@backstage/plugin-permission-node/alpha');

const stagedoor = require('../dist/index.js').default;
const { StagedoorPolicy } = require('../dist/policy.js');

const ROUNDS = Number(process.env.ROUNDS ?? 400);
const DECISIONS = Number(process.env.DECISIONS ?? 1_000_000);
const INFO = {
  userEntityRef: 'user:default/mock',
  ownershipEntityRefs: ['user:default/mock', 'group:default/role-3'],
};
const PROXY = { type: 'basic', name: 'kubernetes.proxy', attributes: {} };
const DELETE = {
  type: 'resource',
  name: 'catalog.entity.delete',
  attributes: { action: 'delete' },
  resourceType: 'catalog-entity',
};

function policies(roles) {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  const texts = [];
  for (let n = 0; n < roles; n += 1) {
    const group = `Backstage::Group::"group:default/role-${n}"`;
    texts.push(
      `@id("role-${n}-proxy") permit (principal in ${group}, action == Backstage::Action::"kubernetes.proxy", resource);`,
      `@id("role-${n}-own") permit (principal in ${group}, action == Backstage::Action::"catalog.entity.delete", resource is Backstage::CatalogEntity) when { resource.owners.containsAny(principal.claims) };`,
    );
  }
  writeFileSync(join(directory, 'roles.cedar'), texts.join('\n'));
  return directory;
}

const allowAll = {
  handle: async () => ({ result: 'ALLOW' }),
};

/** Starts a backend; it is ready when the first request is answered. */
async function start(module, directory) {
  const started = performance.now();
  const settings = { directory, startupWait: '60s', watch: false };
  const backend = await startTestBackend({
    features: [
      mockServices.rootConfig.factory({
        data: { permission: { enabled: true, stagedoor: settings } },
      }),
      createServiceFactory({
        service: coreServices.userInfo,
        deps: {},
        factory: () => ({ getUserInfo: async () => INFO }),
      }),
      import('@backstage/plugin-permission-backend'),
      module,
    ],
  });
  await ask({ backend }, 1);
  return { backend, ready: performance.now() - started };
}

function user() {
  return { credentials: mockCredentials.user(), info: INFO };
}

const allowAllModule = createBackendModule({
  pluginId: 'permission',
  moduleId: 'allow-all',
  register(registration) {
    registration.registerInit({
      deps: { extension: policyExtensionPoint },
      async init({ extension }) {
        extension.setPolicy(allowAll);
      },
    });
  },
});

const median = values => values.sort((a, b) => a - b)[values.length >> 1];

async function inProcess(policy, permission) {
  const who = user();
  const times = [];
  for (let round = 0; round < 60; round += 1) {
    const started = performance.now();
    for (let n = 0; n < 200; n += 1) await policy.handle({ permission }, who);
    times.push(((performance.now() - started) * 1000) / 200);
  }
  return median(times);
}

async function ask({ backend }, count) {
  const token = mockCredentials.user.token('user:default/mock');
  const items = Array.from({ length: count }, (_, n) => ({
    id: `${n}`,
    permission: PROXY,
  }));
  const started = performance.now();
  const response = await fetch(
    `http://127.0.0.1:${backend.server.port()}/api/permission/authorize`,
    {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ items }),
    },
  );
  const { items: answers } = await response.json();
  if (!answers.every(({ result }) => result === 'ALLOW'))
    throw new Error(`wrong: ${JSON.stringify(answers)}`);
  return performance.now() - started;
}

async function main() {
  const rows = [];
  for (const roles of [10, 100, 1_000]) {
    const directory = policies(roles);
    const plain = await start(allowAllModule, directory);
    const full = await startOurs(directory);
    const row = { roles };
    row['ready, allow-all ms'] = plain.ready;
    row['ready, Stagedoor ms'] = full.ready;
    row['handle basic, us'] = await inProcess(full.policy, PROXY);
    row['handle conditional, us'] = await inProcess(full.policy, DELETE);
    row['handle allow-all, us'] = await inProcess(allowAll, PROXY);
    for (const count of [1, 50]) {
      const [ones, others] = [[], []];
      for (let round = 0; round < ROUNDS; round += 1) {
        ones.push(await ask(plain, count));
        others.push(await ask(full, count));
      }
      row[`HTTP x${count}, allow-all ms`] = median(ones);
      row[`HTTP x${count}, Stagedoor ms`] = median(others);
    }
    rows.push(row);
    console.log(row);
    await plain.backend.stop();
    if (roles === 1_000) await memory(full.policy);
    await full.backend.stop();
    rmSync(directory, { recursive: true });
  }
  console.table(
    rows.map(row =>
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [
          name,
          Number.isInteger(value) ? value : value.toFixed(2),
        ]),
      ),
    ),
  );
}

/** Starts the module, and sees the policy that it sets when that is asked. */
async function startOurs(directory) {
  const { handle } = StagedoorPolicy.prototype;
  let policy;
  StagedoorPolicy.prototype.handle = function seen(...query) {
    policy = this;
    return handle.apply(this, query);
  };
  const started = await start(stagedoor, directory);
  StagedoorPolicy.prototype.handle = handle;
  return { ...started, policy };
}

async function memory(policy) {
  const who = user();
  const sizes = [];
  for (let part = 0; part < 5; part += 1) {
    for (let n = 0; n < DECISIONS / 5; n += 1) {
      await policy.handle({ permission: n % 2 ? PROXY : DELETE }, who);
    }
    globalThis.gc?.();
    const { heapUsed, rss } = process.memoryUsage();
    sizes.push(
      `${(heapUsed / 2 ** 20).toFixed(1)} / ${(rss / 2 ** 20).toFixed(0)}`,
    );
  }
  console.log(
    `heap / resident MiB after each fifth of ${DECISIONS} decisions: ${sizes.join(', ')}`,
  );
}

main().then(
  () => process.exit(),
  error => {
    console.error(error);
    process.exit(1);
  },
);
