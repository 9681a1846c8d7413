import type { LoggerService } from '@backstage/backend-plugin-api';
import type { BackstageUser } from '@stagedoor/node';

import { entityRef, entitiesOfKind, targets } from './catalog';
import type { CatalogAccess } from './catalog';
import { line } from './policies';
import type { Policies } from './policies';

/** So many users are looked at: those with the most references have the largest conditions. */
const USERS = 1_000;
/** So many findings are logged. */
const TOLD = 20;

export interface CatalogUsersOptions extends CatalogAccess {
  readonly logger: LoggerService;
}

/**
 * The users of the catalog, with the ownership references that Backstage gives them unless its
 * sign-in resolvers say otherwise: their own, and those of the groups that they are members of.
 */
export class CatalogUsers {
  readonly #options: CatalogUsersOptions;
  #busy = Promise.resolve();

  constructor(options: CatalogUsersOptions) {
    this.#options = options;
  }

  /**
   * Logs whose conditions are larger than the budget, before they ask. Never rejects.
   * One check after the other, each of what is in force by then.
   */
  check(policies: Policies): Promise<void> {
    const { logger } = this.#options;
    this.#busy = this.#busy.then(async () => {
      try {
        await this.#check(policies);
      } catch (error) {
        logger.warn(
          `whose conditions are too large cannot be told before they ask: ${String(error)}`,
        );
      }
    });
    return this.#busy;
  }

  async #check(policies: Policies): Promise<void> {
    const { logger } = this.#options;
    const users = (await this.all()).slice(0, USERS);
    const found = await policies.overBudget(users);
    found
      .slice(0, TOLD)
      .forEach(problem => logger.warn(line(problem), { code: problem.code }));
    if (found.length > TOLD) {
      logger.warn(
        `${found.length - TOLD} more conditions of users are too large and will be cut`,
      );
    }
  }

  /** Returns all users, those with the most references first. */
  async all(): Promise<BackstageUser[]> {
    const users: (BackstageUser & { ownershipEntityRefs: string[] })[] = [];
    for await (const user of entitiesOfKind('user', this.#options)) {
      const userEntityRef = entityRef(user);
      users.push({
        userEntityRef,
        ownershipEntityRefs: [userEntityRef, ...targets(user, 'memberOf')],
      });
    }
    const references = ({ ownershipEntityRefs }: (typeof users)[number]) =>
      ownershipEntityRefs.length;
    return users.sort((one, other) => references(other) - references(one));
  }

  /** Returns one user; nothing if the catalog has none of this reference. */
  async user(reference: string): Promise<BackstageUser | undefined> {
    const { catalog, auth } = this.#options;
    const credentials = await auth.getOwnServiceCredentials();
    if (!/^user:[^/]+\/.+$/i.test(reference)) return undefined;
    const user = await catalog.getEntityByRef(reference, { credentials });
    if (!user) return undefined;
    const userEntityRef = entityRef(user);
    return {
      userEntityRef,
      ownershipEntityRefs: [userEntityRef, ...targets(user, 'memberOf')],
    };
  }
}
