import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { LoggerService } from '@backstage/backend-plugin-api';
import type {
  BackstageAnswer,
  BackstagePermission,
  BackstageUser,
  Engine,
  Problem,
  StagedoorError,
} from '@stagedoor/node';

/** How loading stands. */
export interface Status {
  /** Whether policies are in force, and those are the ones that the directory holds. */
  readonly ok: boolean;
  /** The revision in force, if there is one. */
  readonly revision: string | undefined;
  /** Why the files as they are now are not in force. */
  readonly failure: string | undefined;
}

export interface PoliciesOptions {
  /** What messages call these policies. */
  readonly name: string;
  readonly directory: string;
  readonly cacheSize: number;
  readonly logger: LoggerService;
  /** Called after each attempt to load. */
  readonly onLoad?: (loaded: boolean) => void;
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
  #failure: string | undefined = 'the policies are still being loaded';
  #read = '';
  #seen = '';
  #busy: Promise<void> | undefined;
  #closed = false;
  readonly #options: PoliciesOptions;

  constructor(options: PoliciesOptions) {
    this.#options = options;
  }

  /** The engine, once policies were loaded. */
  get engine(): Engine | undefined {
    return this.#engine;
  }

  get status(): Status {
    const revision = this.#engine?.revision;
    const failure = this.#failure;
    return { ok: !!revision && !failure, revision, failure };
  }

  /** Answers permissions for one user; nothing if there are no policies yet. */
  answer(
    permissions: BackstagePermission[],
    user: BackstageUser | undefined,
  ): BackstageAnswer[] | undefined {
    return this.#engine?.decideBackstageBatch(permissions, user);
  }

  /** Loads the policies. Never rejects: what is wrong is logged and shows in the status. */
  async load(): Promise<void> {
    this.#busy ??= this.#load().finally(() => {
      this.#busy = undefined;
    });
    return this.#busy;
  }

  /** Loads the policies again if their files have changed and come to rest. */
  async look(): Promise<void> {
    const now = await fingerprint(this.#options.directory);
    const atRest = now === this.#seen;
    this.#seen = now;
    if (atRest && now !== this.#read) await this.load();
  }

  /** Lets go of the policies; what is asked afterwards gets no answer. */
  close(): void {
    this.#closed = true;
    this.#engine?.close();
    this.#engine = undefined;
    this.#failure = 'the backend is shutting down';
  }

  async #load(): Promise<void> {
    const { name, directory, logger } = this.#options;
    this.#read = await fingerprint(directory);
    const started = performance.now();
    try {
      const changed = await this.#loadEngine();
      this.#failure = undefined;
      if (changed && this.#engine) {
        const { policyCount, revision } = this.#engine;
        const took = Math.round(performance.now() - started);
        logger.info(
          `${name} in force: ${policyCount} from ${directory} in ${took} ms, revision ${revision}`,
        );
        this.#engine.warnings.forEach(problem =>
          logger.warn(line(problem), { code: problem.code }),
        );
      }
      this.#options.onLoad?.(true);
    } catch (error) {
      this.#report(error);
      this.#options.onLoad?.(false);
    }
  }

  async #loadEngine(): Promise<boolean> {
    if (this.#engine) return (await this.#engine.reload()).changed;
    // Here, and not at the top, so that an addon that is missing is a failure to load.
    const stagedoor = await import('@stagedoor/node');
    const engine = await stagedoor.Engine.load({
      directory: this.#options.directory,
      platform: 'backstage',
      cacheSize: this.#options.cacheSize,
    });
    selfTest(engine);
    if (this.#closed) {
      engine.close();
      return false;
    }
    this.#engine = engine;
    return true;
  }

  #report(error: unknown): void {
    const { name, directory, logger } = this.#options;
    const { problems, message } = error as Partial<StagedoorError>;
    const errors = (problems ?? []).filter(each => each.severity === 'error');
    errors.forEach(problem => logger.error(line(problem), { ...problem }));
    const what = errors[0] ? line(errors[0]) : (message ?? String(error));
    this.#failure = what;
    const consequence = this.#engine
      ? 'those before stay in force'
      : 'every permission is denied';
    logger.error(
      `${name} of ${directory} cannot be loaded, and ${consequence}: ${what}`,
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

function line(problem: Problem): string {
  const place = [problem.file, problem.line, problem.column]
    .filter(part => part !== undefined)
    .join(':');
  const help = problem.help ? ` (${problem.help})` : '';
  return `${place ? `${place}: ` : ''}${problem.message}${help}`;
}

/** Names, sizes and times of all files: two that are equal mean that nothing has changed. */
async function fingerprint(directory: string): Promise<string> {
  const entries = await readdir(directory, {
    recursive: true,
    withFileTypes: true,
  }).catch(() => []);
  const stamps = entries.map(async entry => {
    const path = join(entry.parentPath, entry.name);
    const about = await stat(path, { bigint: true }).catch(() => undefined);
    const { ino, size, mtimeNs } = about ?? {};
    return JSON.stringify([path, `${ino}`, `${size}`, `${mtimeNs}`]);
  });
  return (await Promise.all(stamps)).sort().join('\n');
}
