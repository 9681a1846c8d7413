import type {
  AuthService,
  DiscoveryService,
  LoggerService,
  RootSystemMetadataService,
} from '@backstage/backend-plugin-api';
import type { PluginMetadata } from '@stagedoor/node';

/** Milliseconds until a plugin that does not answer is passed over. */
const TIMEOUT = 10_000;
/** The most bytes of a plugin's answer. */
const ANSWER_BYTES = 4 << 20;

export interface InstalledPluginsOptions {
  readonly auth: AuthService;
  readonly discovery: DiscoveryService;
  readonly logger: LoggerService;
  readonly metadata: RootSystemMetadataService;
  /** Called with what the plugins tell, whenever they were asked. */
  readonly onRead: (plugins: PluginMetadata[]) => Promise<void>;
}

/**
 * What the plugins that are installed tell of their permissions and rules.
 *
 * A plugin holds requests until it has started, so that they must not be asked before that.
 */
export class InstalledPlugins {
  readonly #options: InstalledPluginsOptions;
  /** The last answer of each: one that is down for a while keeps its permissions. */
  readonly #told = new Map<string, PluginMetadata>();
  readonly #reported = new Set<string>();
  #isComplete = false;

  constructor(options: InstalledPluginsOptions) {
    this.#options = options;
  }

  /** The ids of the plugins that were asked and have permissions. */
  get ids(): string[] {
    return [...this.#told.keys()].sort();
  }

  /** Returns how long to wait, in milliseconds, before they are asked the next time. */
  get wait(): number {
    // Plugins of other processes may come and go.
    return this.#isComplete ? 300_000 : 5_000;
  }

  /** The ids of all plugins that are installed. Never rejects: it tells of none then. */
  async installed(): Promise<string[]> {
    try {
      const installed = await this.#options.metadata.getInstalledPlugins();
      return [...new Set(installed.map(({ pluginId }) => pluginId))].sort();
    } catch (error) {
      this.#report(
        '',
        `which plugins are installed cannot be told, and permissions that no list has are denied: ${String(error)}`,
      );
      return [];
    }
  }

  /** Asks all plugins. Never rejects: what is not told is not known, and thus denied. */
  async read(): Promise<void> {
    const { logger, onRead } = this.#options;
    try {
      const ids = await this.installed();
      const answered = await Promise.all(ids.map(id => this.#ask(id)));
      this.#isComplete = ids.length > 0 && !answered.includes(false);
      await onRead(this.ids.flatMap(id => this.#told.get(id) ?? []));
    } catch (error) {
      this.#isComplete = false;
      logger.warn(
        `what plugins tell of their permissions cannot be taken up: ${String(error)}`,
      );
    }
    logger.debug(`plugins with permissions: ${this.ids.join(', ')}`);
  }

  /** Asks one plugin; returns whether it answered. */
  async #ask(pluginId: string): Promise<boolean> {
    const { auth, discovery } = this.#options;
    try {
      const { token } = await auth.getPluginRequestToken({
        onBehalfOf: await auth.getOwnServiceCredentials(),
        targetPluginId: pluginId,
      });
      const base = await discovery.getBaseUrl(pluginId);
      const response = await fetch(
        `${base}/.well-known/backstage/permissions/metadata`,
        {
          headers: { authorization: `Bearer ${token}` },
          redirect: 'error',
          signal: AbortSignal.timeout(TIMEOUT),
        },
      );
      // Plugins without permissions do not serve it.
      if (response.status === 404) {
        await response.body?.cancel();
        return true;
      }
      if (!response.ok) throw new Error(`it answered ${response.status}`);
      const text = await response.text();
      if (text.length > ANSWER_BYTES) {
        throw new Error(`its answer has ${text.length} bytes`);
      }
      this.#told.set(pluginId, { pluginId, metadata: text });
      return true;
    } catch (error) {
      const known = this.#told.has(pluginId)
        ? 'what it told before goes on to hold'
        : 'those that no list has are denied';
      this.#report(
        pluginId,
        `plugin ${pluginId} does not tell its permissions, and ${known}: ${String(error)}`,
      );
      return false;
    }
  }

  /** Once for each plugin: it is asked again and again. */
  #report(about: string, message: string): void {
    if (this.#reported.has(about)) return;
    this.#reported.add(about);
    this.#options.logger.warn(message);
  }
}
