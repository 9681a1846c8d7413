import type {
  DatabaseService,
  LoggerService,
} from '@backstage/backend-plugin-api';
import type {
  Engine,
  EngineOptions,
  PolicyReplica,
  ReplicaStatus,
} from '@stagedoor/node';

import { ReleaseTable } from './releaseTable';
import type { StoredRelease } from './releaseTable';

/** A channel that is followed: `permission.stagedoor.release`. */
export interface ReleaseSettings {
  /** `SET:CHANNEL`, of which releases are in the plugin's database. */
  readonly database?: string;
  /** In its place: `STORE/SET:CHANNEL`. */
  readonly store?: string;
  /** The file that says whom to trust. */
  readonly trust: string;
  /** Where the last good releases are kept. */
  readonly state: string;
  readonly pin?: string;
  /** Milliseconds between two looks, a fifth more or less. */
  readonly interval: number;
  readonly maxStalenessSeconds?: number;
  readonly storeTimeoutSeconds?: number;
  readonly storeCa?: string;
  readonly storeToken?: string;
  readonly registryConfig?: string;
}

export interface ReleasesOptions {
  readonly settings: ReleaseSettings;
  readonly database: DatabaseService;
  readonly logger: LoggerService;
}

/**
 * Signed releases of a channel, followed: what is loaded is one whole set that somebody trusted has
 * signed, never an older one, and it is on disk.
 *
 * Looking never rejects: what is wrong is logged once and shows in the status. What is in force stays.
 */
export class Releases {
  readonly #options: ReleasesOptions;
  readonly #table: ReleaseTable | undefined;
  #replica: Promise<PolicyReplica> | undefined;
  #opened: PolicyReplica | undefined;
  #problem: string | undefined;
  #hinted = () => {};
  #closed = false;

  constructor(options: ReleasesOptions) {
    this.#options = options;
    const { database: channel } = options.settings;
    this.#table =
      channel === undefined
        ? undefined
        : new ReleaseTable(options.database, channel);
  }

  /** What messages call the place. */
  get place(): string {
    const { database, store } = this.#options.settings;
    return store ?? `${database} in the database`;
  }

  /** How the replica is, once it is open. */
  get status(): ReplicaStatus | undefined {
    return this.#opened?.status();
  }

  /** Whether what is in force should be asked. */
  get isReady(): boolean {
    return this.#opened?.isReady() ?? false;
  }

  /** Whether there is something to be loaded. */
  async hasRelease(): Promise<boolean> {
    return (await this.#open()).hasRelease();
  }

  /** Another text when there is another release to be loaded. */
  get version(): string {
    return this.#opened ? `${this.#opened.version()}` : '';
  }

  /** Milliseconds until the next look: many backends shall not look at one time. */
  wait(): number {
    return this.#options.settings.interval * (0.8 + 0.4 * Math.random());
  }

  /** Calls this whenever there may be something new. */
  onHint(hinted: () => void): void {
    this.#hinted = hinted;
  }

  /** Looks at what is published. */
  async look(): Promise<void> {
    const replica = await this.#open().catch(error => {
      this.#tell(error instanceof Error ? error.message : String(error));
      return undefined;
    });
    if (!replica || this.#closed) return;
    let offered: StoredRelease | undefined;
    if (this.#table) {
      try {
        offered = await this.#table.newest(envelope => replica.lacks(envelope));
      } catch (error) {
        if (this.#closed) return;
        // What a database says is for the log alone.
        replica.report('the database does not answer as it should');
        this.#tell(`the database: ${String(error)}`);
        return;
      }
      // Only a hint: whatever keeps it from being given, looking goes on.
      await this.#table.listen(() => this.#hinted()).catch(() => {});
    }
    if (this.#closed) return;
    const { problem } = await replica.look(offered ?? null);
    this.#tell(problem);
  }

  /** Loads what is to be in force; it is with `admit`. */
  async load(options: EngineOptions): Promise<Engine> {
    return (await this.#open()).load(options);
  }

  /** Loads what is in force, with texts beside it. */
  async loadBeside(options: EngineOptions): Promise<Engine> {
    return (await this.#open()).loadBeside(options);
  }

  /** Puts in force what was loaded: it is on disk when this resolves. */
  async admit(): Promise<void> {
    await (await this.#open()).admit();
  }

  /** Says that what was loaded is not to be in force. */
  refuse(reason: string): void {
    this.#opened?.refuse(reason);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#table?.close().catch(() => {});
    this.#opened?.close();
    this.#opened = undefined;
  }

  async #open(): Promise<PolicyReplica> {
    if (this.#closed) throw new Error('the backend is shutting down');
    this.#replica ??= this.#made().catch(error => {
      // Tried again at the next look: a file may be there by then.
      this.#replica = undefined;
      throw error;
    });
    return this.#replica;
  }

  async #made(): Promise<PolicyReplica> {
    // Here, and not at the top, so that an addon that is missing is a failure to load.
    const { PolicyReplica } = await import('@stagedoor/node');
    if (!PolicyReplica) {
      throw new Error(
        'releases are followed by the addon of @stagedoor/node, which is not here',
      );
    }
    const { database, ...settings } = this.#options.settings;
    const replica = await PolicyReplica.open({
      ...settings,
      ...(settings.store !== undefined && { source: settings.store }),
      ...(database !== undefined && {
        channel: database,
        place: "the permission plugin's database",
      }),
    });
    if (this.#closed) replica.close();
    else this.#opened = replica;
    return replica;
  }

  /** Logs what is wrong, and that it is not any more, once each. */
  #tell(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const { logger } = this.#options;
    if (problem === undefined) {
      logger.info(`releases of ${this.place}: the source is as it should be`);
    } else {
      logger.error(
        `releases of ${this.place}: ${problem}; what is in force stays`,
      );
    }
  }
}
