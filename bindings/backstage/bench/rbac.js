'use strict';

// Stagedoor beside a policy that allows all and beside the community RBAC plugin, with the same
// roles, interleaved in one run. See README.md.

const { execFileSync, fork } = require('node:child_process');
const { once } = require('node:events');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');

const { freePort } = require('../test/freePort.js');
const { programs, startPostgres } = require('../test/postgres.js');

const ROLES = (process.env.ROLES ?? '10,100,1000').split(',').map(Number);
const ROUNDS = Number(process.env.ROUNDS ?? 60);
const STAGEDOOR = process.env.STAGEDOOR ?? 'stagedoor';
const RBAC = process.env.RBAC ?? join(__dirname, 'rbac');
const OWN = join(__dirname, '..');
const POLICIES = (process.env.POLICIES ?? 'allow-all,stagedoor,rbac').split(
  ',',
);

const PROXY = { type: 'basic', name: 'kubernetes.proxy', attributes: {} };
const REFRESH = {
  type: 'resource',
  name: 'catalog.entity.refresh',
  attributes: { action: 'update' },
  resourceType: 'catalog-entity',
};
const ENTITY = 'component:default/payments-service-1';

const ENTITIES = ['org.yaml', 'catalog.yaml'];

/** A backend is at rest when it uses less than this share of a processor for so long (ms). */
const REST = { share: 0.03, time: 3_000 };

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Writes both forms of the same roles: ana has the third, with a condition. */
function roles(count, folder) {
  const lines = [];
  for (let n = 0; n < count; n += 1) {
    const role = `role:default/role-${n}`;
    const member = n === 3 ? 'user:default/ana' : `user:default/user-${n}`;
    lines.push(
      `g, ${member}, ${role}`,
      `p, ${role}, kubernetes.proxy, use, allow`,
      `p, ${role}, catalog-entity, read, allow`,
      `p, ${role}, catalog.entity.create, create, allow`,
      `p, ${role}, catalog.location.read, read, allow`,
    );
  }
  const csv = join(folder, 'policy.csv');
  const yaml = join(folder, 'conditions.yaml');
  writeFileSync(csv, `${lines.join('\n')}\n`);
  writeFileSync(
    yaml,
    `result: CONDITIONAL
roleEntityRef: role:default/role-3
pluginId: catalog
resourceType: catalog-entity
permissionMapping: [update]
conditions:
  rule: IS_ENTITY_OWNER
  resourceType: catalog-entity
  params: { claims: [$ownerRefs] }
`,
  );
  const policies = join(folder, 'policies');
  execFileSync(
    STAGEDOOR,
    ['import', 'backstage-rbac', csv, yaml, '--out', policies],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  return { csv, yaml, policies };
}

/** Returns how many entities the catalog is to have. */
function entityCount() {
  const texts = ENTITIES.map(name =>
    readFileSync(join(OWN, 'example', name), 'utf8'),
  );
  return texts.join('\n').match(/^kind:/gm).length;
}

/** SQLite in memory, or databases of its own in PostgreSQL. */
function database(postgres, name) {
  if (!postgres) return { client: 'better-sqlite3', connection: ':memory:' };
  return {
    client: 'pg',
    prefix: `${name.replace('-', '_')}_`,
    connection: { host: '127.0.0.1', port: postgres.port, user: 'backstage' },
  };
}

function configuration(port, { csv, yaml, policies, postgres }, name) {
  const example = name => ({
    type: 'file',
    target: join(OWN, 'example', name),
  });
  return {
    app: { title: 'x', baseUrl: 'http://localhost:3000' },
    backend: {
      baseUrl: `http://localhost:${port}`,
      listen: { host: '127.0.0.1', port },
      database: database(postgres, name),
    },
    auth: {
      providers: {
        guest: {
          userEntityRef: 'user:default/ana',
          ownershipEntityRefs: ['user:default/ana', 'group:default/payments'],
          dangerouslyAllowOutsideDevelopment: true,
        },
      },
    },
    catalog: {
      rules: [
        { allow: ['API', 'Component', 'Group', 'Resource', 'System', 'User'] },
      ],
      processingInterval: { minutes: 30 },
      locations: ENTITIES.map(example),
    },
    permission: {
      enabled: true,
      stagedoor: { directory: policies, startupWait: '60s' },
      rbac: {
        'policies-csv-file': csv,
        conditionalPoliciesFile: yaml,
        pluginsWithPermission: ['catalog', 'permission'],
      },
    },
  };
}

/** Starts a backend; it is ready when it answers for the user as the roles say. */
async function start(policy, files, folder) {
  const port = await freePort();
  const config = join(folder, `${policy}.json`);
  writeFileSync(config, JSON.stringify(configuration(port, files, policy)));
  const started = performance.now();
  const child = fork(join(__dirname, 'backend.js'), [], {
    env: {
      ...process.env,
      POLICY: policy,
      TREE: policy === 'rbac' ? RBAC : OWN,
      CONFIG: config,
      LOG_LEVEL: 'error',
      NODE_ENV: 'development',
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${policy} has ended`);
  });
  ended.catch(() => {});
  const [message] = await Promise.race([once(child, 'message'), ended]);
  if (message !== 'started') throw new Error(`${policy}: ${message}`);
  const base = `http://localhost:${port}/api`;
  const signedIn = await fetch(`${base}/auth/guest/refresh`, {
    method: 'POST',
    headers: { 'x-requested-with': 'XMLHttpRequest' },
  });
  const { token } = (await signedIn.json()).backstageIdentity;
  const ask = async (permission, count, resourceRef) => {
    const items = Array.from({ length: count }, (_, n) => ({
      id: `${n}`,
      permission,
      resourceRef,
    }));
    const began = performance.now();
    const response = await fetch(`${base}/permission/authorize`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ items }),
    });
    const body = await response.json();
    const allowed =
      response.ok && body.items.every(({ result }) => result === 'ALLOW');
    return { allowed, took: performance.now() - began };
  };
  const entities = async () => {
    const response = await fetch(`${base}/catalog/entities/by-query?limit=0`, {
      headers: { authorization: `Bearer ${token}` },
    });
    return response.ok ? (await response.json()).totalItems : 0;
  };
  const told = async message => {
    child.send(message);
    return (await once(child, 'message'))[0];
  };
  const until = async holds => {
    while (!(await holds())) {
      await pause(100);
      if (performance.now() - started > 600_000)
        throw new Error(`${policy} is never ready`);
    }
  };
  await until(async () => (await ask(PROXY, 1)).allowed);
  const ready = performance.now() - started;
  // Until the catalog is filled and has nothing more to do, which is not counted.
  const expected = entityCount();
  await until(async () => (await entities()) >= expected);
  await until(async () => {
    const [used, from] = [await told({}), performance.now()];
    await pause(REST.time);
    const share = ((await told({})) - used) / (performance.now() - from);
    return share < REST.share;
  });
  if (!(await ask(REFRESH, 1, ENTITY)).allowed)
    throw new Error(`${policy} denies`);
  const within = async (permission, count, each) =>
    median(await told({ permission, count, each }));
  return { policy, ready, ask, within, child };
}

async function measure(count) {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-bench-'));
  const files = roles(count, folder);
  const backends = [];
  if (process.env.POSTGRES) files.postgres = await startPostgres(programs());
  try {
    // One after the other, so that none waits for another's start.
    for (const policy of POLICIES)
      backends.push(await start(policy, files, folder));
    const rows = backends.map(({ policy, ready }) => ({
      roles: count,
      policy,
      'ready s': ready / 1000,
    }));
    for (const [name, permission, resourceRef] of [
      ['basic', PROXY, undefined],
      ['conditional', REFRESH, ENTITY],
    ]) {
      for (const items of [1, 50]) {
        const times = backends.map(() => []);
        for (let round = 0; round < ROUNDS + 5; round += 1) {
          for (const [index, { ask, policy }] of backends.entries()) {
            const { allowed, took } = await ask(permission, items, resourceRef);
            if (!allowed) throw new Error(`${policy} denies`);
            if (round >= 5) times[index].push(took);
          }
        }
        rows.forEach((row, index) => {
          row[`${name} x${items} ms`] = median(times[index]);
        });
      }
      for (const [index, { within, policy }] of backends.entries()) {
        const [rounds, each] = policy === 'rbac' ? [30, 5] : [200, 200];
        rows[index][`handle ${name} us`] = await within(
          permission,
          rounds,
          each,
        );
      }
    }
    return rows;
  } finally {
    const ended = backends.map(({ child }) => once(child, 'exit'));
    backends.forEach(({ child }) => child.disconnect());
    await Promise.all(ended);
    await files.postgres?.stop();
    rmSync(folder, { recursive: true });
  }
}

async function main() {
  const rows = [];
  for (const count of ROLES) {
    rows.push(...(await measure(count)));
    console.table(
      rows.map(row =>
        Object.fromEntries(
          Object.entries(row).map(([name, value]) => [
            name,
            typeof value === 'number' && !Number.isInteger(value)
              ? Number(value.toFixed(2))
              : value,
          ]),
        ),
      ),
    );
  }
}

main().then(
  () => process.exit(),
  error => {
    console.error(error);
    process.exit(1);
  },
);
