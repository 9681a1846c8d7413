'use strict';

// Conditions in Backstage's own rules beside the rule of the catalog's module, in two backends that
// are asked in turn. See README.md.

const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const { ExampleProcess } = require('../test/exampleProcess.js');
const { programs, startPostgres } = require('../test/postgres.js');

const REPOSITORIES = (process.env.REPOSITORIES ?? '200,2000')
  .split(',')
  .map(Number);
const GROUPS = (process.env.MORE_GROUPS ?? '0,150,2000').split(',').map(Number);
const ROUNDS = Number(process.env.ROUNDS ?? 20);
const READ = {
  type: 'resource',
  name: 'catalog.entity.read',
  attributes: { action: 'read' },
  resourceType: 'catalog-entity',
};
const EXAMPLE = join(__dirname, '../example');

const median = values => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Writes so many repositories of which every other is ana's, and every tenth is hidden. */
function repositories(count, folder) {
  const texts = Array.from({ length: count }, (_, n) =>
    JSON.stringify({
      apiVersion: 'backstage.io/v1alpha1',
      kind: 'System',
      metadata: {
        name: `repository-${n}`,
        annotations: n % 10 === 0 ? { 'stagedoor/visibility': 'owners' } : {},
      },
      spec: { owner: n % 2 ? 'payments' : 'search' },
    }),
  );
  const file = join(folder, `repositories-${count}.yaml`);
  writeFileSync(file, texts.join('\n---\n'));
  return file;
}

async function start(files, rule, postgres) {
  const locations = files.map(target => ({ type: 'file', target }));
  return ExampleProcess.start({
    ...(rule && { CATALOG_RULE: '1' }),
    ...(postgres && {
      POSTGRES: '1',
      POSTGRES_HOST: '127.0.0.1',
      POSTGRES_PORT: `${postgres.port}`,
      POSTGRES_USER: 'backstage',
      POSTGRES_PASSWORD: 'none',
    }),
    APP_CONFIG_catalog_locations: JSON.stringify(locations),
    // As without batches: conditions are sent once for each item.
    APP_CONFIG_permission: '{"EXPERIMENTAL_enableBatchedRequests": false}',
    APP_CONFIG_search_collators_catalog_schedule_initialDelay:
      '{"seconds": 3600}',
    LOG_LEVEL: 'error',
  });
}

async function measure(count, folder) {
  const files = ['org.yaml', 'catalog.yaml', 'template.yaml'].map(name =>
    join(EXAMPLE, name),
  );
  files.push(repositories(count, folder));
  const rows = [];
  const [backends, databases] = [[], []];
  try {
    for (const rule of [false, true]) {
      const postgres = process.env.POSTGRES
        ? await startPostgres(programs())
        : undefined;
      if (postgres) databases.push(postgres);
      const backend = await start(files, rule, postgres);
      backends.push(backend);
      await backend.eventually(async () => {
        const { body } = await backend.call(
          'catalog/entities/by-query?limit=0&filter=kind=system',
          { as: 'cleo' },
        );
        const { body: status } = await backend.call(
          'permission/stagedoor/v1/status',
          { as: 'cleo' },
        );
        return (
          body.totalItems >= count && (status.catalogRule === null) === rule
        );
      });
    }
    for (const groups of GROUPS) {
      const seen = backends.map(() => ({ list: [], x1: [], x50: [] }));
      const shown = [];
      for (const backend of backends) await backend.signIn('ana', groups);
      for (let round = -2; round < ROUNDS; round += 1) {
        for (const [index, backend] of backends.entries()) {
          const timed = async (name, asked) => {
            const began = performance.now();
            const { status, body } = await asked();
            if (status !== 200) {
              throw new Error(`${name}: ${status} ${JSON.stringify(body)}`);
            }
            if (round >= 0) seen[index][name].push(performance.now() - began);
            return body;
          };
          const items = many =>
            Array.from({ length: many }, (_, n) => ({
              id: `${n}`,
              permission: READ,
              resourceRef: `system:default/repository-${(round + 2 + n) % count}`,
            }));
          const list = await timed('list', () =>
            backend.call(
              'catalog/entities/by-query?limit=50&filter=kind=system',
              { as: 'ana' },
            ),
          );
          shown[index] = list.totalItems;
          for (const many of [1, 50]) {
            await timed(`x${many}`, () =>
              backend.call('permission/authorize', {
                as: 'ana',
                body: { items: items(many) },
              }),
            );
          }
        }
      }
      backends.forEach((_, index) =>
        rows.push({
          repositories: count,
          groups,
          answered: index === 1 ? 'rule' : 'conditions',
          listed: shown[index],
          'list of 50, ms': median(seen[index].list).toFixed(1),
          'one, ms': median(seen[index].x1).toFixed(1),
          'fifty, ms': median(seen[index].x50).toFixed(1),
        }),
      );
    }
    return rows;
  } finally {
    for (const backend of backends) await backend.stop();
    for (const database of databases) await database.stop();
  }
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-bench-'));
  const rows = [];
  try {
    for (const count of REPOSITORIES) {
      rows.push(...(await measure(count, folder)));
      console.table(rows);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main().then(
  () => process.exit(),
  error => {
    console.error(error);
    process.exit(1);
  },
);
