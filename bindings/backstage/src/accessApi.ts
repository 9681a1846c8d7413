import type {
  BackstageCredentials,
  BackstageUserPrincipal,
  HttpAuthService,
  HttpRouterService,
  LoggerService,
  UserInfoService,
} from '@backstage/backend-plugin-api';
import type { BackstageUser } from '@stagedoor/node';

import { memberOf } from './access';
import type { AccessReview } from './access';
import { entityRef } from './catalog';
import type { CatalogEntity, EntityList } from './catalog';
import type { HolderReview } from './holders';
import type { PolicyLinks } from './policyLinks';
import { count, parameter, required } from './parameters';
import type { ReachReview } from './reach';
import { Refusal, refused } from './refusal';
import { readBody } from './requestBody';
import type { CatalogUsers } from './users';
import { readDraft } from './whatIf';
import type { Comparisons } from './whatIf';
import type { Reasons } from './why';

/** Below `/api/permission`. */
const PREFIX = '/stagedoor/v1/';

/** So many users are asked for at once; the answer says how many were not. */
const USERS = 1_000;
/** So many groups are answered at once; the answer says where to go on. */
const GROUPS = 200;
/** So many entities are looked at; the answer says how many were not. */
const ENTITIES = 5_000;
/** So many entities give names to what other policies would change. */
const NAMED = 1_000;
/** So many questions about everybody are answered at the same time. */
const AT_ONCE = 2;
/** So many questions about whoever asks. */
const OWN_AT_ONCE = 16;
/** No body has more bytes. */
const BODY_BYTES = 1 << 20;

export interface AccessApiOptions {
  readonly review: AccessReview;
  readonly reasons: Reasons;
  readonly holders: HolderReview;
  readonly reach: ReachReview;
  readonly comparisons: Comparisons;
  readonly links: PolicyLinks;
  readonly users: CatalogUsers;
  /** Returns the references of the catalog's groups. */
  readonly groups: () => Promise<string[]>;
  /** Returns an entity, as somebody may read it. */
  readonly entity: (
    reference: string,
    credentials: BackstageCredentials,
  ) => Promise<CatalogEntity | undefined>;
  /** Returns entities, as somebody may read them. */
  readonly entities: (
    credentials: BackstageCredentials,
    most: number,
    kind?: string,
  ) => Promise<EntityList>;
  /** Returns all users and groups as the catalog tells them. */
  readonly people: () => Promise<CatalogEntity[]>;
  readonly httpAuth: HttpAuthService;
  readonly userInfo: UserInfoService;
  readonly logger: LoggerService;
  /** How everything stands, for those who may see it. */
  readonly status: () => object;
}

type Credentials = BackstageCredentials<BackstageUserPrincipal>;

/** Who asks what. */
interface AccessQuestion {
  readonly query: URLSearchParams;
  readonly credentials: Credentials;
  readonly body: () => Promise<string>;
}

/**
 * Serves who may do what, and why:
 *
 * - `me`: who asks, and whether they may see what others may do
 * - `access?user=&group=&permission=`: what a user may do, or a member of a group; by default
 *   whoever asks
 * - `why?permission=&entity=&user=&group=`: why, or why not
 * - `rights?entity=&user=`: what a user may do with an entity
 * - `reach?permission=&user=&group=`: which kinds of entities a permission reaches
 * - `who-can?permission=&entity=`: which users of the catalog have a permission
 * - `grid?offset=&limit=`: what members of each group of the catalog may do
 * - `what-if`: what the shadow policies would change; posted, what other policies would
 * - `status`: how the policies stand, and what was noticed
 *
 * Anybody who is signed in may ask about themselves. Everything else needs the permission
 * `stagedoor.access.read`, which is denied unless a policy permits it. Entities are read as whoever
 * asks may read them: one that is hidden is not there.
 */
export class AccessApi {
  #running = { others: 0, own: 0 };
  readonly #options: AccessApiOptions;

  constructor(options: AccessApiOptions) {
    this.#options = options;
  }

  serve(router: HttpRouterService): void {
    router.use((request, response, next) => {
      const { path, method } = request;
      if (!path.startsWith(PREFIX)) {
        next();
        return;
      }
      const { httpAuth, links, logger } = this.#options;
      const query = new URL(request.url, 'http://localhost').searchParams;
      const body = () => readBody(request, BODY_BYTES);
      httpAuth
        .credentials(request, { allow: ['user'] })
        .then(credentials =>
          this.#answer(method, path.slice(PREFIX.length), {
            query,
            credentials,
            body,
          }),
        )
        .then(
          answer =>
            response.set('cache-control', 'no-store').json(links.told(answer)),
          (error: unknown) => {
            const refusal = refused(error);
            if (refusal) {
              const more = links.told(refusal.more) as object;
              // What is left of a body that is too long is not read.
              if (refusal.status === 413) response.set('connection', 'close');
              response
                .status(refusal.status)
                .json({ error: refusal.message, ...more });
            } else {
              logger.debug(`${path} failed: ${String(error)}`);
              next(error);
            }
          },
        );
    });
  }

  async #answer(
    method: string,
    question: string,
    asked: AccessQuestion,
  ): Promise<object> {
    if (method === 'POST' && question === 'what-if') return this.#draft(asked);
    if (method !== 'GET') {
      throw new Refusal(405, `${question} is not asked by ${method}`);
    }
    switch (question) {
      case 'me':
        return this.#me(asked);
      case 'access':
        return this.#access(asked);
      case 'why':
        return this.#why(asked);
      case 'rights':
        return this.#rights(asked);
      case 'reach':
        return this.#reach(asked);
      case 'who-can':
        return this.#whoCan(asked);
      case 'grid':
        return this.#grid(asked);
      case 'what-if':
        return this.#shadow(asked);
      case 'status':
        await this.#requireOthers(asked);
        return this.#options.status();
      default:
        throw new Refusal(
          404,
          `${question} is none of me, access, why, rights, reach, who-can, grid, what-if, status`,
        );
    }
  }

  async #me({ credentials }: AccessQuestion): Promise<object> {
    const own = await this.#own(credentials);
    return {
      user: own.userEntityRef,
      readsOthers: this.#options.review.mayReadOthers(own),
    };
  }

  async #access(asked: AccessQuestion): Promise<object> {
    const permission = parameter(asked.query, 'permission');
    const { user } = await this.#subject(asked);
    return this.#options.review.access(user, permission);
  }

  async #why(asked: AccessQuestion): Promise<object> {
    const permission = required(asked.query, 'permission');
    const { user, isOwn } = await this.#subject(asked);
    const entity = await this.#entity(asked);
    return this.#few(isOwn, async () => {
      const { reasons, review } = this.#options;
      const isFull = !isOwn || review.mayReadOthers(user);
      return reasons.why(user, permission, entity, isFull);
    });
  }

  async #rights(asked: AccessQuestion): Promise<object> {
    required(asked.query, 'entity');
    const { user, isOwn } = await this.#subject(asked);
    const entity = await this.#entity(asked);
    if (!entity) throw new Refusal(400, 'entity is missing');
    return this.#few(isOwn, () => this.#options.reasons.rights(user, entity));
  }

  async #reach(asked: AccessQuestion): Promise<object> {
    const permission = required(asked.query, 'permission');
    const { user, isOwn } = await this.#subject(asked);
    return this.#few(isOwn, async () => {
      const { reach, entities } = this.#options;
      const kind = reach.kindOf(permission);
      const found = await entities(asked.credentials, ENTITIES, kind);
      return reach.reach(user, permission, found.entities, found.left);
    });
  }

  async #whoCan(asked: AccessQuestion): Promise<object> {
    await this.#requireOthers(asked);
    const permission = required(asked.query, 'permission');
    const found = await this.#entity(asked);
    const entity = found && entityRef(found);
    return this.#few(false, async () => {
      const { holders, users } = this.#options;
      return holders.whoCan(permission, await users.all(), USERS, entity);
    });
  }

  async #grid(asked: AccessQuestion): Promise<object> {
    await this.#requireOthers(asked);
    const offset = count(asked.query, 'offset', 0);
    const limit = Math.min(GROUPS, count(asked.query, 'limit', GROUPS));
    return this.#few(false, async () => {
      const { review, groups } = this.#options;
      return review.grid(await groups(), offset, limit);
    });
  }

  async #shadow(asked: AccessQuestion): Promise<object> {
    await this.#requireOthers(asked);
    return this.#few(false, async () => {
      const { comparisons } = this.#options;
      const found = await comparisons.ofShadow(await this.#catalog(asked));
      if (!found) {
        throw new Refusal(
          404,
          'there are no shadow policies: set permission.stagedoor.shadow, or post policies',
        );
      }
      return found;
    });
  }

  async #draft(asked: AccessQuestion): Promise<object> {
    await this.#requireOthers(asked);
    const draft = readDraft(await asked.body());
    return this.#few(false, async () => {
      const catalog = await this.#catalog(asked);
      return this.#options.comparisons.ofDraft(draft, catalog);
    });
  }

  /** Returns the people of the catalog, and entities that whoever asks may read. */
  async #catalog({ credentials }: AccessQuestion): Promise<string> {
    const { people, entities } = this.#options;
    const [all, some] = await Promise.all([
      people(),
      entities(credentials, NAMED),
    ]);
    const isPerson = ({ kind }: CatalogEntity) => /^(user|group)$/i.test(kind);
    const others = some.entities.filter(entity => !isPerson(entity));
    return JSON.stringify([...all, ...others]);
  }

  /** Answers a few such questions at a time. */
  async #few(isOwn: boolean, answer: () => Promise<object>): Promise<object> {
    const whose = isOwn ? 'own' : 'others';
    if (this.#running[whose] >= (isOwn ? OWN_AT_ONCE : AT_ONCE)) {
      throw new Refusal(429, 'too many such questions at once: ask again');
    }
    this.#running[whose] += 1;
    try {
      return await answer();
    } finally {
      this.#running[whose] -= 1;
    }
  }

  /** Returns whom a question is about: whoever asks, another user, or a member of a group. */
  async #subject(
    asked: AccessQuestion,
  ): Promise<{ user: BackstageUser; isOwn: boolean }> {
    const named = parameter(asked.query, 'user');
    const group = parameter(asked.query, 'group');
    if (named !== undefined && group !== undefined) {
      throw new Refusal(400, 'give user or group, and not both');
    }
    if (group !== undefined) {
      await this.#requireOthers(asked);
      if (!/^[^:/]+:[^/]+\/.+$/.test(group)) {
        throw new Refusal(400, `${group} is not a full entity reference`);
      }
      return { user: memberOf(group.toLowerCase()), isOwn: false };
    }
    const own = await this.#own(asked.credentials);
    if (named === undefined || same(named, own.userEntityRef ?? '')) {
      return { user: own, isOwn: true };
    }
    await this.#requireOthers(asked);
    const user = await this.#options.users.user(named);
    if (!user) throw new Refusal(404, `the catalog has no user ${named}`);
    return { user, isOwn: false };
  }

  /** Returns the entity that a question is about, if it names one. */
  async #entity({
    query,
    credentials,
  }: AccessQuestion): Promise<CatalogEntity | undefined> {
    const reference = parameter(query, 'entity');
    if (reference === undefined) return undefined;
    if (!/^[^:/]+:[^:/]+\/[^:/]+$/.test(reference)) {
      throw new Refusal(400, `${reference} is not a full entity reference`);
    }
    const entity = await this.#options.entity(reference, credentials);
    if (!entity) throw new Refusal(404, `the catalog has no ${reference}`);
    return entity;
  }

  async #own(credentials: Credentials): Promise<BackstageUser> {
    const { userInfo } = this.#options;
    // The addon refuses keys that it does not know, and Backstage may add some.
    const { userEntityRef, ownershipEntityRefs } =
      await userInfo.getUserInfo(credentials);
    return { userEntityRef, ownershipEntityRefs };
  }

  async #requireOthers({ credentials }: AccessQuestion): Promise<void> {
    const { review } = this.#options;
    if (!review.mayReadOthers(await this.#own(credentials))) {
      throw new Refusal(
        403,
        'the permission stagedoor.access.read is needed to see what others may do',
      );
    }
  }
}

function same(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}
