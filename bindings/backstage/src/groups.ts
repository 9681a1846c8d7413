import type { LoggerService } from '@backstage/backend-plugin-api';
import type { BackstageGroup, BackstageOwner } from '@stagedoor/node';

import { entityRef, entitiesOfKind, ownerCounts, targets } from './catalog';
import type { CatalogAccess } from './catalog';

/** Milliseconds until a first attempt that failed is made again. */
const RETRY = 500;

export interface CatalogGroupsOptions extends CatalogAccess {
  readonly logger: LoggerService;
  /** Called with all groups of the catalog, whenever they were read. */
  readonly onRead: (groups: BackstageGroup[]) => void;
  /** Called with how many entities each owner has, whenever that was read. */
  readonly onOwners: (owners: BackstageOwner[]) => void;
}

/**
 * The groups of the catalog, and which are above which.
 *
 * A catalog that has no group at all has not read its sources yet, and is asked again: what
 * forbids something to a group above others would not hold.
 */
export class CatalogGroups {
  #isRead = false;
  #ownersFailure: string | undefined;
  #lastReportedFailure: string | undefined;
  readonly #options: CatalogGroupsOptions;

  constructor(options: CatalogGroupsOptions) {
    this.#options = options;
  }

  /** Returns how long to wait, in milliseconds, before they are read the next time. */
  wait(interval: number): number {
    if (this.#isRead) return interval;
    return this.#lastReportedFailure === undefined
      ? 0
      : Math.min(RETRY, interval);
  }

  /** Reads the groups. Never rejects: those that were read before go on to hold. */
  async read(): Promise<void> {
    const { logger, onRead } = this.#options;
    try {
      const groups = await this.#groups();
      if (groups.length === 0) throw new Error('it has none yet');
      onRead(groups);
      this.#isRead = true;
      this.#lastReportedFailure = undefined;
    } catch (error) {
      // Once for each reason: attempts go on.
      const reason = String(error);
      if (reason === this.#lastReportedFailure) return;
      this.#lastReportedFailure = reason;
      const consequence = this.#isRead
        ? 'those read before go on to hold'
        : 'every permission is denied until they are';
      logger.warn(
        `the catalog's groups cannot be read, and ${consequence}: ${reason}`,
      );
    }
  }

  /**
   * Reads who owns how much. Never rejects: without it conditions that are too large are cut
   * without regard to what claims own.
   */
  async readOwners(): Promise<void> {
    const { logger, onOwners } = this.#options;
    try {
      onOwners(await ownerCounts(this.#options));
      this.#ownersFailure = undefined;
    } catch (error) {
      const reason = String(error);
      if (reason === this.#ownersFailure) return;
      this.#ownersFailure = reason;
      logger.warn(
        `who owns how much cannot be read from the catalog; conditions that are too large ` +
          `may keep claims that own nothing: ${reason}`,
      );
    }
  }

  async #groups(): Promise<BackstageGroup[]> {
    const groups: BackstageGroup[] = [];
    for await (const group of entitiesOfKind('group', this.#options)) {
      groups.push({
        entityRef: entityRef(group),
        parents: targets(group, 'childOf'),
      });
    }
    return groups;
  }
}
