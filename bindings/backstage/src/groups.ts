import type { AuthService, LoggerService } from '@backstage/backend-plugin-api';
import type { CatalogService } from '@backstage/plugin-catalog-node';
import type { BackstageGroup } from '@stagedoor/node';

/** So many groups are asked for at once. */
const PAGE = 500;
/** Milliseconds until a first attempt that failed is made again. */
const RETRY = 500;

export interface CatalogGroupsOptions {
  readonly catalog: CatalogService;
  readonly auth: AuthService;
  readonly logger: LoggerService;
  /** Called with all groups of the catalog, whenever they were read. */
  readonly onRead: (groups: BackstageGroup[]) => void;
}

/**
 * The groups of the catalog, and which are above which.
 *
 * A catalog that has no group at all has not read its sources yet, and is asked again: what
 * forbids something to a group above others would not hold.
 */
export class CatalogGroups {
  #isRead = false;
  #told: string | undefined;
  readonly #options: CatalogGroupsOptions;

  constructor(options: CatalogGroupsOptions) {
    this.#options = options;
  }

  /** Returns how long to wait, in milliseconds, before they are read the next time. */
  wait(interval: number): number {
    if (this.#isRead) return interval;
    return this.#told === undefined ? 0 : Math.min(RETRY, interval);
  }

  /** Reads the groups. Never rejects: those that were read before go on to hold. */
  async read(): Promise<void> {
    const { logger, onRead } = this.#options;
    try {
      const groups = await this.#groups();
      if (groups.length === 0) throw new Error('it has none yet');
      onRead(groups);
      this.#isRead = true;
      this.#told = undefined;
    } catch (error) {
      // Once for each reason: attempts go on.
      const reason = String(error);
      if (reason === this.#told) return;
      this.#told = reason;
      const consequence = this.#isRead
        ? 'those read before go on to hold'
        : 'every permission is denied until they are';
      logger.warn(
        `the catalog's groups cannot be read, and ${consequence}: ${reason}`,
      );
    }
  }

  async #groups(): Promise<BackstageGroup[]> {
    const { catalog, auth } = this.#options;
    const credentials = await auth.getOwnServiceCredentials();
    const groups: BackstageGroup[] = [];
    let cursor: string | undefined;
    do {
      const page = await catalog.queryEntities(
        cursor
          ? { cursor, limit: PAGE }
          : {
              filter: { kind: 'group' },
              fields: [
                'kind',
                'metadata.name',
                'metadata.namespace',
                'relations',
              ],
              limit: PAGE,
            },
        { credentials },
      );
      for (const { kind, metadata, relations } of page.items) {
        const namespace = metadata.namespace ?? 'default';
        const above = (relations ?? []).filter(
          ({ type }) => type === 'childOf',
        );
        groups.push({
          entityRef: `${kind}:${namespace}/${metadata.name}`,
          parents: above.map(({ targetRef }) => targetRef),
        });
      }
      cursor = page.pageInfo.nextCursor;
    } while (cursor);
    return groups;
  }
}
