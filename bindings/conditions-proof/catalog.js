'use strict';

// A catalog of given entities in SQLite: the plugin's own migrations, stitching, search
// rows, query filters and authorization. Only processing is left out, since the entities
// already are as it would leave them.

const path = require('node:path');

const { backstage } = require('./line.js');

const knexFactory = backstage('knex');
const root = path.dirname(backstage.resolve('@backstage/plugin-catalog-backend/package.json'));
const internal = file => backstage(path.join(root, 'dist', `${file}.cjs.js`));

const { permissionRules } = internal('permissions/rules/index');
const { DefaultEntitiesCatalog } = internal('service/DefaultEntitiesCatalog');
const { AuthorizedEntitiesCatalog } = internal('service/AuthorizedEntitiesCatalog');
const { applyDatabaseMigrations } = internal('database/migrations');
const { performStitching } = internal('database/operations/stitcher/performStitching');
const {
  createConditionAuthorizer,
  createConditionTransformer,
} = backstage('@backstage/plugin-permission-node');

const rules = Object.values(permissionRules);
const logger = { debug() {}, info() {}, warn() {}, error() {} };

/** The reference of an entity, as the catalog writes it. */
function referenceOf({ kind, metadata: { name, namespace = 'default' } }) {
  return `${kind}:${namespace}/${name}`.toLowerCase();
}

/** A catalog that holds the entities. */
async function createCatalog(entities) {
  const knex = knexFactory({
    client: 'better-sqlite3',
    connection: ':memory:',
    useNullAsDefault: true,
    pool: { min: 1, max: 1 },
  });
  await applyDatabaseMigrations(knex);
  for (const [number, { relations, ...entity }] of entities.entries()) {
    await insert(knex, `id-${number}`, entity, relations ?? []);
  }
  const stored = await knex('final_entities').select('entity_ref', 'final_entity');
  const catalog = new DefaultEntitiesCatalog({ database: knex, logger });
  return {
    /** The entities as the database holds them, by reference. */
    entities: new Map(stored.map(row => [row.entity_ref, JSON.parse(row.final_entity)])),
    /** References of the entities that a list shows under this decision. */
    async list(decision) {
      const permissions = { authorizeConditional: async () => [decision] };
      const authorized = new AuthorizedEntitiesCatalog(
        catalog,
        permissions,
        createConditionTransformer(rules),
      );
      const { entities: found } = await authorized.entities({ credentials: {} });
      const list = found.type === 'raw' ? found.entities.map(JSON.parse) : found.entities;
      return new Set(list.map(referenceOf));
    },
    close: () => knex.destroy(),
  };
}

async function insert(knex, id, entity, relations) {
  const reference = referenceOf(entity);
  const json = JSON.stringify(entity);
  const now = '2026-01-01 00:00:00';
  await knex('refresh_state').insert({
    entity_id: id,
    entity_ref: reference,
    unprocessed_entity: json,
    unprocessed_hash: id,
    processed_entity: json,
    errors: '[]',
    next_update_at: now,
    last_discovery_at: now,
  });
  await knex('refresh_state_references').insert({
    source_key: 'proof',
    target_entity_ref: reference,
  });
  for (const { type, targetRef } of relations) {
    await knex('relations').insert({
      originating_entity_id: id,
      source_entity_ref: reference,
      type,
      target_entity_ref: targetRef,
    });
  }
  const ticket = `ticket-${id}`;
  await knex('stitch_queue').insert({
    entity_ref: reference,
    stitch_ticket: ticket,
    next_stitch_at: now,
  });
  const result = await performStitching({
    knex,
    logger,
    entityRef: reference,
    stitchTicket: ticket,
    // From 4.0.1 on, what is stitched is held until then.
    stitchLeaseExpiresAt: now,
  });
  if (result !== 'changed') {
    throw new Error(`${reference} is not in the catalog: ${result}`);
  }
}

module.exports = { applies: createConditionAuthorizer(rules), createCatalog, referenceOf };
