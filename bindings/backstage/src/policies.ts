import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { LoggerService } from '@backstage/backend-plugin-api';
import type {
  BackstageAnswer,
  BackstageGroup,
  BackstageOwner,
  BackstagePermission,
  BackstageUser,
  ConditionBudget,
  Engine,
  EngineOptions,
  PluginMetadata,
  Problem,
  SourceText,
  StagedoorError,
} from '@stagedoor/node';

import type { Releases } from './releases';
import type { ReleaseSettings } from './releases';

/** How loading stands. */
export interface Status {
  /** Whether policies are in force, and those are the ones that the directory holds. */
  readonly ok: boolean;
  /** The revision in force, if there is one. */
  readonly revision: string | undefined;
  /** Why the files as they are now are not in force. */
  readonly failure: string | undefined;
}

/** Where policies are: a directory, a bundle of one, or signed releases of such bundles. */
export type PolicySource =
  { directory: string } | { bundle: string } | { release: ReleaseSettings };

export interface PoliciesOptions {
  /** What messages call these policies. */
  readonly name: string;
  readonly source: PolicySource;
  /** The releases that are followed, if that is where they are. */
  readonly releases?: Releases | undefined;
  readonly cacheSize: number;
  readonly budget?: ConditionBudget;
  /** The directory of the rules that policies may be guarded by. */
  readonly rules?: string | undefined;
  readonly ruleHost?: EngineOptions['ruleHost'];
  /** Limits that differ from the default ones. */
  readonly limits?: EngineOptions['limits'];
  /** Whether nothing is answered before the groups above groups are known. */
  readonly needsGroups?: boolean;
  readonly logger: LoggerService;
  /** Called after each attempt to load. */
  readonly onLoad?: (loaded: boolean) => void;
  /** Called when other policies, or other groups, are in force. */
  readonly onChange?: () => void;
}

/** Nobody has this permission, whatever the policies say: it is not one. */
const UNKNOWN: BackstagePermission = {
  name: 'stagedoor.self-test',
  attributes: {},
};

/**
 * The policies of a directory: loaded, reloaded when they change, and asked.
 *
 * What does not load leaves those before in force. Until something has loaded there is no
 * engine, and whoever asks must deny.
 */
export class Policies {
  #engine: Engine | undefined;
  #groups: BackstageGroup[] | undefined;
  #groupsRead = () => {};
  /** Resolves once groups were read. */
  readonly groupsLoaded = new Promise<void>(resolve => {
    this.#groupsRead = resolve;
  });
  #groupsText: string | undefined;
  #owners: BackstageOwner[] | undefined;
  #ownersText: string | undefined;
  #plugins: PluginMetadata[] = [];
  #failure: string | undefined = 'the policies are still being loaded';
  #read = '';
  #seen = '';
  #busy: Promise<void> | undefined;
  #closed = false;
  #following: Promise<void> | undefined;
  #followAgain = false;
  readonly #options: PoliciesOptions;

  constructor(options: PoliciesOptions) {
    this.#options = options;
  }

  /** The engine, once policies were loaded, and groups were read if they are needed. */
  get engine(): Engine | undefined {
    return this.#awaitsGroups ? undefined : this.#engine;
  }

  get #awaitsGroups(): boolean {
    return !!this.#options.needsGroups && !this.#groups;
  }

  get status(): Status {
    const revision = this.engine?.revision;
    const failure =
      this.#failure ??
      (this.#awaitsGroups
        ? "the catalog's groups were not read yet"
        : undefined);
    const { releases } = this.#options;
    const isReady = releases === undefined || releases.isReady;
    return { ok: !!revision && !failure && isReady, revision, failure };
  }

  /** Answers permissions for one user; nothing if there are no policies yet. */
  answer(
    permissions: BackstagePermission[],
    user: BackstageUser | undefined,
  ): BackstageAnswer[] | undefined {
    return this.engine?.decideBackstageBatch(permissions, user);
  }

  /** Returns for which of these users conditions are too large, so that they are cut. */
  async overBudget(users: BackstageUser[]): Promise<Problem[]> {
    return (await this.engine?.overBudget(users)) ?? [];
  }

  /** Sets which groups are above which. Throws if there are too many. */
  setGroups(groups: BackstageGroup[]): void {
    const text = JSON.stringify(groups);
    // Answers are forgotten with the groups that they were given for.
    if (text === this.#groupsText) return;
    this.#setGroups(this.#engine, groups);
    this.#groups = groups;
    this.#groupsText = text;
    this.#groupsRead();
    if (this.#engine) this.#options.onChange?.();
  }

  /** Sets how many entities each owner has. */
  setOwners(owners: BackstageOwner[]): void {
    const text = JSON.stringify(owners);
    if (text === this.#ownersText) return;
    this.#engine?.setOwners(owners);
    this.#owners = owners;
    this.#ownersText = text;
  }

  /** Sets what the plugins that are installed tell of their permissions. */
  async setPlugins(plugins: PluginMetadata[]): Promise<void> {
    if (JSON.stringify(plugins) === JSON.stringify(this.#plugins)) return;
    this.#plugins = plugins;
    // One that goes on may have begun before.
    await this.#busy;
    await this.load();
  }

  #setGroups(engine: Engine | undefined, groups: BackstageGroup[]): void {
    const { logger, name } = this.#options;
    const odd = engine?.setGroups(groups) ?? [];
    // The shadow policies would tell the same.
    if (name === 'policies') {
      odd.forEach(problem =>
        logger.warn(line(problem), { code: problem.code }),
      );
    }
  }

  /** Loads the policies. Never rejects: what is wrong is logged and shows in the status. */
  async load(): Promise<void> {
    this.#busy ??= this.#load().finally(() => {
      this.#busy = undefined;
    });
    return this.#busy;
  }

  /** Loads the policies again if their files have changed and come to rest. */
  async reloadIfChanged(): Promise<void> {
    const now = await fingerprint(this.#options);
    const atRest = now === this.#seen;
    this.#seen = now;
    if (atRest && now !== this.#read) await this.load();
  }

  /** Looks at what is published, if that is where the policies are, and takes up what is new. */
  async follow(): Promise<void> {
    const { releases } = this.#options;
    if (!releases) return;
    this.#followAgain = true;
    // What is hinted at meanwhile may have come after it was looked at.
    this.#following ??= (async () => {
      while (this.#followAgain && !this.#closed) {
        this.#followAgain = false;
        await releases.look();
        const isThere = await releases.hasRelease().catch(() => false);
        const now = await fingerprint(this.#options);
        if (isThere && (now !== this.#read || !this.#engine)) await this.load();
        // Why has been told by whoever looked.
        else if (!this.#engine) this.#failure = 'no release is there yet';
      }
    })().finally(() => {
      this.#following = undefined;
    });
    return this.#following;
  }

  /** Loads the policies for the first time; a release that was in force before needs no source. */
  async begin(): Promise<void> {
    const { releases } = this.#options;
    const isKept = await releases?.hasRelease().catch(() => false);
    if (!releases || isKept) await this.load();
    // What was kept decides meanwhile.
    const following = this.follow();
    if (!isKept) await following;
  }

  /** Lets go of the policies; what is asked afterwards gets no answer. */
  close(): void {
    this.#closed = true;
    this.#engine?.close();
    this.#engine = undefined;
    this.#failure = 'the backend is shutting down';
  }

  async #load(): Promise<void> {
    if (this.#closed) return;
    const { name, source, logger } = this.#options;
    this.#read = await fingerprint(this.#options);
    const started = performance.now();
    try {
      const changed = await this.#loadEngine();
      this.#failure = undefined;
      if (changed && this.#engine) {
        const { policyCount, revision } = this.#engine;
        const took = Math.round(performance.now() - started);
        logger.info(
          `${name} in force: ${policyCount} from ${place(source)} in ${took} ms, revision ${revision}`,
        );
        this.#engine.warnings.forEach(problem =>
          logger.warn(line(problem), { code: problem.code }),
        );
        if (this.engine) this.#options.onChange?.();
      }
      this.#options.onLoad?.(true);
    } catch (error) {
      this.#report(error);
      this.#options.onLoad?.(false);
    }
  }

  /**
   * Loads policies that are not put in force: those of texts, beside the ones here or instead.
   * Whoever calls it closes the engine. Rejects with everything that is wrong.
   */
  async loadDraft({
    files,
    mode,
  }: {
    readonly files: readonly SourceText[];
    readonly mode: 'beside' | 'instead';
  }): Promise<Engine> {
    const { source, releases } = this.#options;
    const texts = { texts: [...files] };
    const isBeside = mode === 'beside';
    const engine =
      isBeside && releases
        ? await releases.loadBeside(this.#engineOptions(texts))
        : await this.#makeEngine({
            ...(isBeside && !('release' in source) && source),
            ...texts,
          });
    if (this.#groups) engine.setGroups(this.#groups);
    return engine;
  }

  async #makeEngine(made: EngineOptions): Promise<Engine> {
    // Here, and not at the top, so that an addon that is missing is a failure to load.
    const stagedoor = await import('@stagedoor/node');
    return stagedoor.Engine.load(this.#engineOptions(made));
  }

  #engineOptions(made: EngineOptions): EngineOptions {
    const { cacheSize, budget, rules, ruleHost, limits } = this.#options;
    return {
      ...made,
      platform: 'backstage',
      cacheSize,
      ...(budget && { budget }),
      ...(rules && { rules }),
      ...(ruleHost && { ruleHost }),
      ...(limits && { limits }),
      ...(this.#plugins.length && { plugins: this.#plugins }),
    };
  }

  /** Loads an engine and puts it in force once it has passed its test. */
  async #loadEngine(): Promise<boolean> {
    const { releases, source } = this.#options;
    const engine = releases
      ? await releases.load(this.#engineOptions({}))
      : await this.#makeEngine('release' in source ? {} : source);
    try {
      if (this.#groups) this.#setGroups(engine, this.#groups);
      if (this.#owners) engine.setOwners(this.#owners);
      selfTest(engine);
      if (this.#closed) throw new Error('the backend is shutting down');
      await releases?.admit();
    } catch (error) {
      engine.close();
      releases?.refuse('it is not used: the log says why');
      throw error;
    }
    const before = this.#engine;
    const changed = before?.revision !== engine.revision;
    this.#engine = engine;
    before?.close();
    return changed;
  }

  #report(error: unknown): void {
    const { name, source, logger } = this.#options;
    const { problems, message } = error as Partial<StagedoorError>;
    const errors = (problems ?? []).filter(each => each.severity === 'error');
    errors.forEach(problem => logger.error(line(problem), { ...problem }));
    const what = errors[0] ? line(errors[0]) : (message ?? String(error));
    this.#failure = what;
    const consequence = this.#engine
      ? 'those before stay in force'
      : 'every permission is denied';
    logger.error(
      `${name} of ${place(source)} cannot be loaded, and ${consequence}: ${what}`,
    );
  }
}

/** Makes sure that the engine denies what must be denied. */
function selfTest(engine: Engine): void {
  const root = { userEntityRef: 'user:default/stagedoor-self-test' };
  for (const user of [undefined, root]) {
    const { result } = engine.decideBackstage(UNKNOWN, user).decision;
    if (result !== 'DENY') {
      throw new Error(
        `the self-test got ${result} for a permission that nobody has: the engine is not used`,
      );
    }
  }
}

/** Says in one line what is wrong, where, and what to do. */
export function line(problem: Problem): string {
  const place = [problem.file, problem.line, problem.column]
    .filter(part => part !== undefined && part !== null)
    .join(':');
  const help = problem.help ? ` (${problem.help})` : '';
  return `${place ? `${place}: ` : ''}${problem.message}${help}`;
}

function place(source: PolicySource): string {
  if ('release' in source) {
    const { database, store } = source.release;
    return store ?? `${database} in the database`;
  }
  return 'bundle' in source ? source.bundle : source.directory;
}

/** Names, sizes and times of all files: two that are equal mean that nothing has changed. */
async function fingerprint(options: PoliciesOptions): Promise<string> {
  const { source, rules, releases } = options;
  const paths = await pathsOf(source);
  if (rules) paths.push(...(await entries(rules)));
  const stamps = paths.map(async path => {
    const about = await stat(path, { bigint: true }).catch(() => undefined);
    const { ino, size, mtimeNs } = about ?? {};
    return JSON.stringify([path, `${ino}`, `${size}`, `${mtimeNs}`]);
  });
  const version = releases?.version ?? '';
  return [version, ...(await Promise.all(stamps)).sort()].join('\n');
}

async function pathsOf(source: PolicySource): Promise<string[]> {
  if ('release' in source) return [];
  return 'bundle' in source ? [source.bundle] : await entries(source.directory);
}

async function entries(directory: string): Promise<string[]> {
  const found = await readdir(directory, {
    recursive: true,
    withFileTypes: true,
  }).catch(() => []);
  return found.map(entry => join(entry.parentPath, entry.name));
}
