'use strict';

// The tests of `real.test.js` with PostgreSQL as the database, in a cluster of its own.

const assert = require('node:assert/strict');
const { after, test } = require('node:test');

const { programs, startPostgres } = require('./postgres.js');

const bin = programs();
if (!bin) {
  const skip = 'PostgreSQL is not installed: there is no `initdb`';
  test('the real backend with PostgreSQL', { skip }, () => {});
} else {
  let postgres;
  require('./realEnvironment.js').environment = async () => {
    postgres = await startPostgres(bin);
    return {
      POSTGRES: '1',
      POSTGRES_HOST: '127.0.0.1',
      POSTGRES_PORT: `${postgres.port}`,
      POSTGRES_USER: 'backstage',
      POSTGRES_PASSWORD: 'none',
    };
  };
  require('./real.test.js');
  test('the catalog was in PostgreSQL', async () => {
    const { Client } = require('pg');
    const client = new Client({
      host: '127.0.0.1',
      port: postgres.port,
      user: 'backstage',
      database: 'backstage_plugin_catalog',
    });
    await client.connect();
    const { rows } = await client.query(
      'SELECT count(*) FROM final_entities WHERE final_entity IS NOT NULL',
    );
    await client.end();
    assert.ok(Number(rows[0].count) >= 190, rows[0].count);
  });
  after(() => postgres?.stop());
}
