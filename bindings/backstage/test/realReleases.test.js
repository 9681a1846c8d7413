'use strict';

// Signed releases in the database that Backstage gives the permission plugin: its own database service,
// on SQLite and on PostgreSQL.

// Otherwise Backstage keeps its connections awake by a timer that outlives the backends.
process.env.NODE_ENV = 'test';

const assert = require('node:assert/strict');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { after, before, describe, test } = require('node:test');

const {
  coreServices,
  createBackendModule,
} = require('@backstage/backend-plugin-api');
const {
  databaseServiceFactory,
} = require('@backstage/backend-defaults/database');

const { POSTGRES_TABLE } = require('../dist/releaseTable.js');
const { start, until, PROXY } = require('./backend.js');
const { simple } = require('./policies.js');
const { programs, startPostgres } = require('./postgres.js');
const { newKey, signedRelease } = require('./signedReleases.js');

// Only what hangs takes so long.
const options = { timeout: 600_000 };
const NOTHING = '@id("stop") forbid (principal, action, resource);';
const key = newKey();

/** A release of the policies of the other tests, and of these. */
function release(counter, more = '', { by = key, set = 'shop' } = {}) {
  const files = { 'simple.cedar': `${simple}\n${more}` };
  return signedRelease(by, { set, channel: 'production', counter, files });
}

/** A directory with the key that is trusted, and room for the state of backends. */
function place(t) {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-releases-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'ci.pub'), key.pem);
  return folder;
}

/** A module of the plugin, which hands out its database. */
function database() {
  let found;
  const client = new Promise(resolve => (found = resolve));
  const feature = createBackendModule({
    pluginId: 'permission',
    moduleId: 'test-database',
    register(registration) {
      registration.registerInit({
        deps: { service: coreServices.database },
        init: async ({ service }) => found(await service.getClient()),
      });
    },
  });
  return { feature, client };
}

/** Starts a backend that follows `shop:production`. */
async function follow(t, folder, name, more = {}) {
  const { settings, config, features = [] } = more;
  const own = database();
  const backend = await start(
    t,
    {
      release: {
        database: 'shop:production',
        trust: join(folder, 'ci.pub'),
        state: join(folder, name),
        interval: '20ms',
        ...settings,
      },
      startupWait: '0s',
    },
    { config, features: [...features, own.feature] },
  );
  // Backstage lets go of no SQLite, whose timers would outlive the tests.
  t.after(async () => (await own.client).destroy());
  const status = async () => {
    const response = await fetch(`${backend.url}/stagedoor/status`);
    assert.equal(response.status, 200);
    return response.json();
  };
  const origin = async () => (await status()).sources[0].origin;
  const inForce = counter =>
    until(async () => (await origin())?.inForce?.counter === counter);
  const problem = text =>
    until(async () => (await origin())?.problem?.includes(text));
  const allows = async () =>
    (await backend.authorize([PROXY]))[0].result === 'ALLOW';
  return { ...backend, ...own, status, origin, inForce, problem, allows };
}

async function promises(t, { publish, ...more }) {
  const folder = place(t);
  const backend = await follow(t, folder, 'a', more);
  const { allows, health, inForce, origin, problem } = backend;
  const client = await backend.client;
  await problem('there is no release of `shop:production`');
  assert.equal((await health()).status, 'denying');
  assert.equal(await allows(), false);

  await publish(client, release(1));
  await inForce(1);
  assert.equal(await allows(), true);
  const now = await backend.status();
  const { revision } = await health();
  assert.deepEqual(
    [now.ready, now.sources[0].revision, now.sources[0].origin.inForce.key],
    [true, revision, 'key'],
  );
  assert.equal(now.sources[0].origin.inForce.revision, revision);

  // Of another set, and by somebody else.
  await publish(client, release(9, NOTHING, { set: 'other' }));
  await publish(client, release(2, NOTHING, { by: newKey() }));
  await problem('nobody trusted');
  assert.equal(await allows(), true);
  // Another bundle than the one that is signed.
  const wrong = {
    ...release(2, '// two'),
    bundle: Buffer.from('{"files":{}}'),
  };
  await publish(client, wrong);
  await problem('the bundle is');
  // What does not load: where is for those who read the log.
  await publish(client, release(3, 'permit (oops'));
  await until(async () => (await origin()).refused?.counter === 3);
  await until(async () => (await health()).status === 'outdated');
  assert.equal(await allows(), true);
  assert.ok(!JSON.stringify(await backend.status()).includes('simple.cedar'));
  const errors = backend.lines.filter(({ level }) => level === 'error');
  assert.ok(errors.some(({ message }) => /^simple\.cedar:\d+:/.test(message)));

  await publish(client, release(4, NOTHING));
  await inForce(4);
  assert.equal(await allows(), false);
  await until(async () => (await health()).status === 'ok');
  await publish(client, release(2));
  await problem('release 2 is offered, and release 4 was in force already');
  assert.equal(await allows(), false);
  return { backend, client, folder };
}

test('releases in SQLite', options, async t => {
  const publish = (client, row) => client('stagedoor_releases').insert(row);
  await promises(t, { publish });
});

test('a directory is of one backend', options, async t => {
  const folder = place(t);
  const backend = await follow(t, folder, 'a');
  const client = await backend.client;
  await until(() => client.schema.hasTable('stagedoor_releases'));
  await client('stagedoor_releases').insert(release(1));
  await backend.inForce(1);
  // It holds the directory as long as it runs: another one is told so.
  const other = await follow(t, folder, 'a');
  await until(() =>
    other.lines.some(({ message }) => /another process keeps/.test(message)),
  );
  assert.equal((await other.health()).status, 'denying');
});

test('whoever publishes makes the same table', () => {
  const store = '../../../crates/stagedoor-distribution/src/store/postgres.rs';
  const source = readFileSync(join(__dirname, store), 'utf8');
  const table = /const TABLE: &str = "([^"]*)"/.exec(source)?.[1];
  assert.equal(table, POSTGRES_TABLE);
});

test('what is set is read', options, async t => {
  const folder = place(t);
  const trust = join(folder, 'ci.pub');
  const state = join(folder, 'a');
  for (const [settings, says] of [
    [{ release: { trust, state } }, /needs either database/],
    [
      { release: { trust, state, database: 'a:b', store: './c/a:b' } },
      /needs either database/,
    ],
    [
      { release: { trust, state, database: 'a:b' }, directory: folder },
      /release are both set/,
    ],
    [{ release: { state, database: 'a:b' } }, /release\.trust/],
    [
      { release: { trust, state, database: 'a:b', colour: 1 } },
      /release\.colour is not a setting/,
    ],
  ]) {
    await assert.rejects(start(t, settings), says);
  }
  // What only the addon knows to be wrong denies everything, and says why.
  const release = { trust, state, database: 'no channel' };
  const { health, lines } = await start(t, { release, startupWait: '0s' });
  await until(() =>
    lines.some(({ message }) => /`no channel` is not a name/.test(message)),
  );
  assert.equal((await health()).status, 'denying');
});

const bin = programs();
const skip = bin ? false : 'PostgreSQL is not installed: there is no `initdb`';
describe('with PostgreSQL', { skip }, () => {
  let postgres;
  before(async () => {
    postgres = await startPostgres(bin);
  });
  after(() => postgres?.stop());
  const more = () => {
    const connection = {
      host: '127.0.0.1',
      port: postgres.port,
      user: 'backstage',
      password: 'none',
    };
    return {
      config: { backend: { database: { client: 'pg', connection } } },
      features: [databaseServiceFactory],
    };
  };
  const COLUMNS = ['set_name', 'channel', 'digest', 'envelope', 'bundle'];
  const insert = (client, row) =>
    client.raw(
      `INSERT INTO stagedoor_releases (${COLUMNS}) VALUES (?, ?, ?, ?, ?)`,
      COLUMNS.map(column => row[column]),
    );
  const notify = client =>
    client.raw("SELECT pg_notify('stagedoor_releases', 'shop:production')");

  test('a hint is followed at once', options, async t => {
    // Nobody polls within this test.
    const settings = { interval: '1h' };
    const publish = async (client, row) => {
      await insert(client, row);
      await notify(client);
    };
    const { client } = await promises(t, { publish, settings, ...more() });
    // The next backend is to find none: it would take the last one at once, and then none before it.
    await client('stagedoor_releases').delete();
  });

  test(
    'without hints polling finds it, and a restart needs no release',
    options,
    async t => {
      const folder = place(t);
      const first = await follow(t, folder, 'b', more());
      const client = await first.client;
      await until(() => client.schema.hasTable('stagedoor_releases'));
      await insert(client, release(1));
      await first.inForce(1);
      // The connection that listens is cut off: it is made anew.
      const listening = () =>
        client
          .raw("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
          .then(({ rows }) => rows.map(({ pid }) => pid));
      const before = await until(async () => {
        const pids = await listening();
        return pids.length > 0 && pids;
      });
      for (const pid of before) {
        await client.raw('SELECT pg_terminate_backend(?)', [pid]);
      }
      await insert(client, release(2));
      await first.inForce(2);
      await until(async () =>
        (await listening()).some(pid => !before.includes(pid)),
      );
      await client('stagedoor_releases').delete();
      await first.backend.stop();

      // What was in force is on the disk of the backend, whatever is in the database.
      const settings = { maxStaleness: '1s' };
      const second = await follow(t, folder, 'b', { ...more(), settings });
      await second.inForce(2);
      assert.equal(await second.allows(), true);
      await second.problem('there is no release');
      await until(async () => (await second.health()).status === 'outdated');
      // The table is gone, and so is whoever would tell: the policies stay.
      await (await second.client).schema.dropTable('stagedoor_releases');
      await second.problem('the database does not answer');
      assert.equal(await second.allows(), true);
    },
  );
});
