import type { DatabaseService } from '@backstage/backend-plugin-api';

type Client = Awaited<ReturnType<DatabaseService['getClient']>>;

/** What there is of Knex's client that is not in its types. */
interface RawConnections {
  readonly config: { readonly client?: unknown };
  acquireRawConnection(): Promise<RawConnection>;
  destroyRawConnection(connection: RawConnection): Promise<void>;
}

/** A connection of `pg`. */
interface RawConnection {
  on(
    event: 'notification',
    listener: (notification: { payload?: string }) => void,
  ): void;
  on(event: 'error' | 'end', listener: () => void): void;
  query(sql: string): Promise<unknown>;
}

const TABLE = 'stagedoor_releases';
/** The table, word for word as `stagedoor push postgres://…` makes it. */
export const POSTGRES_TABLE = `
CREATE TABLE IF NOT EXISTS stagedoor_releases (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  set_name text NOT NULL,
  channel text NOT NULL,
  digest text NOT NULL,
  envelope bytea NOT NULL,
  bundle bytea NOT NULL,
  published_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS stagedoor_releases_newest
  ON stagedoor_releases (set_name, channel, id DESC);
CREATE INDEX IF NOT EXISTS stagedoor_releases_bundles ON stagedoor_releases (set_name, digest);
`;
const ENVELOPE_BYTES = 1 << 20;
const BUNDLE_BYTES = 64 << 20;

/** A release as it lies in the table. None of it is trusted. */
export interface StoredRelease {
  readonly version: string;
  readonly envelope: Buffer;
  readonly bundle?: Buffer;
}

/**
 * The releases of a channel in the database that Backstage gives the permission plugin.
 *
 * The newest row is the newest release. PostgreSQL tells when there is another one, which is a hint
 * and may be lost.
 */
export class ReleaseTable {
  readonly #database: DatabaseService;
  readonly #set: string;
  readonly #channel: string;
  #client: Promise<Client> | undefined;
  #seen: StoredRelease | undefined;
  #listener: RawConnection | undefined;
  #closed = false;

  constructor(database: DatabaseService, channel: string) {
    this.#database = database;
    [this.#set = '', this.#channel = ''] = channel.split(':', 2);
  }

  /** Returns the newest release; with its bundle, if whoever asks `lacks` it. */
  async newest(
    lacks: (envelope: Buffer) => string | null,
  ): Promise<StoredRelease | undefined> {
    const client = await this.#connected();
    const newest = await this.#row(client, { channel: this.#channel }, [
      'id',
      client.raw('length(envelope) AS bytes'),
    ]);
    if (!newest) return undefined;
    const version = String(newest.id);
    const envelope =
      this.#seen?.version === version
        ? this.#seen.envelope
        : await this.#bytes(client, version, 'envelope', newest.bytes);
    this.#seen = { version, envelope };
    const digest = lacks(envelope);
    const bundle =
      digest === null ? undefined : await this.#bundle(client, digest);
    return { ...this.#seen, ...(bundle && { bundle }) };
  }

  /** Has PostgreSQL say when there is something new. Elsewhere nobody does. */
  async listen(hint: () => void): Promise<void> {
    if (this.#listener || this.#closed) return;
    const client = await this.#connected();
    const raw = client.client as RawConnections;
    if (!isPostgres(raw)) return;
    const connection = await raw.acquireRawConnection();
    const over = () => {
      if (this.#listener === connection) this.#listener = undefined;
    };
    connection.on('error', over);
    connection.on('end', over);
    const key = `${this.#set}:${this.#channel}`;
    connection.on('notification', ({ payload }) => {
      if (payload === key) hint();
    });
    this.#listener = connection;
    try {
      await connection.query(`LISTEN ${TABLE}`);
    } catch (error) {
      over();
      await raw.destroyRawConnection(connection);
      throw error;
    }
    // Who has been told to end meanwhile, and what was published before it listened.
    if (this.#closed) await this.close();
    else hint();
  }

  /** Lets go of the connection that listens; the others are Backstage's. */
  async close(): Promise<void> {
    this.#closed = true;
    const listener = this.#listener;
    this.#listener = undefined;
    if (!listener) return;
    const client = await this.#connected();
    await (client.client as RawConnections).destroyRawConnection(listener);
  }

  async #connected(): Promise<Client> {
    this.#client ??= this.#prepared().catch(error => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  /** Makes the table, so that whoever publishes needs to be allowed no more than to add rows. */
  async #prepared(): Promise<Client> {
    const client = await this.#database.getClient();
    if (this.#database.migrations?.skip) return client;
    if (await client.schema.hasTable(TABLE)) return client;
    try {
      if (isPostgres(client.client as RawConnections)) {
        await client.raw(POSTGRES_TABLE);
      } else {
        await client.schema.createTable(TABLE, table => {
          table.bigIncrements('id');
          table.text('set_name').notNullable();
          table.text('channel').notNullable();
          table.text('digest').notNullable();
          table.binary('envelope').notNullable();
          table.binary('bundle').notNullable();
          table.timestamp('published_at').defaultTo(client.fn.now());
        });
      }
    } catch (error) {
      // Another backend makes it at the same time.
      if (!(await client.schema.hasTable(TABLE))) throw error;
    }
    return client;
  }

  async #bundle(client: Client, digest: string): Promise<Buffer | undefined> {
    const row = await this.#row(client, { digest }, [
      'id',
      client.raw('length(bundle) AS bytes'),
    ]);
    return row && this.#bytes(client, String(row.id), 'bundle', row.bytes);
  }

  async #row(
    client: Client,
    where: { channel: string } | { digest: string },
    columns: [string, ReturnType<Client['raw']>],
  ): Promise<{ id: unknown; bytes: unknown } | undefined> {
    return client(TABLE)
      .where({ set_name: this.#set, ...where })
      .orderBy('id', 'desc')
      .first(...columns);
  }

  /** Reads a column, once it is known how large it is. */
  async #bytes(
    client: Client,
    id: string,
    column: 'envelope' | 'bundle',
    bytes: unknown,
  ): Promise<Buffer> {
    const limit = column === 'bundle' ? BUNDLE_BYTES : ENVELOPE_BYTES;
    if (!(Number(bytes) <= limit)) {
      throw new Error(
        `the ${column} of row ${id} of ${TABLE} is larger than ${limit} bytes`,
      );
    }
    const row: unknown = await client(TABLE).where({ id }).first(column);
    const value = (row as Record<string, unknown> | undefined)?.[column];
    if (!Buffer.isBuffer(value)) {
      throw new Error(`row ${id} of ${TABLE} has no ${column}`);
    }
    return value;
  }
}

function isPostgres(client: RawConnections): boolean {
  return client.config.client === 'pg';
}
