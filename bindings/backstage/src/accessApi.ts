import type {
  BackstageCredentials,
  BackstageUserPrincipal,
  HttpAuthService,
  HttpRouterService,
  LoggerService,
  UserInfoService,
} from '@backstage/backend-plugin-api';
import type { BackstageUser } from '@stagedoor/node';

import { NoPolicies } from './access';
import type { AccessReview } from './access';
import type { CatalogUsers } from './users';

/** Below `/api/permission`. */
const PREFIX = '/stagedoor/v1/';

/** So many users are asked for at once; the answer says how many were not. */
const USERS = 1_000;
/** So many groups are asked for at once; the answer says how many were not. */
const GROUPS = 500;
/** So many such questions are answered at the same time. */
const AT_ONCE = 2;
/** No reference and no name is longer. */
const LENGTH = 500;

export interface AccessApiOptions {
  readonly review: AccessReview;
  readonly users: CatalogUsers;
  /** Returns the references of the catalog's groups. */
  readonly groups: () => Promise<string[]>;
  readonly httpAuth: HttpAuthService;
  readonly userInfo: UserInfoService;
  readonly logger: LoggerService;
  /** How everything stands, for those who may see it. */
  readonly status: () => object;
}

/** Something that whoever asks is told. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Credentials = BackstageCredentials<BackstageUserPrincipal>;

/**
 * Serves who may do what, and why:
 *
 * - `access?user=&permission=`: what a user may do; without a user, whoever asks
 * - `who-can?permission=`: which users of the catalog have a permission
 * - `grid`: what members of each group of the catalog may do
 * - `status`: how the policies stand, and what was noticed
 *
 * Anybody who is signed in may see their own access. Everything else needs the permission
 * `stagedoor.access.read`, which is denied unless a policy permits it.
 */
export class AccessApi {
  #running = 0;
  readonly #options: AccessApiOptions;

  constructor(options: AccessApiOptions) {
    this.#options = options;
  }

  serve(router: HttpRouterService): void {
    router.use((request, response, next) => {
      const { path, method } = request;
      if (method !== 'GET' || !path.startsWith(PREFIX)) {
        next();
        return;
      }
      const { httpAuth, logger } = this.#options;
      const query = new URL(request.url, 'http://localhost').searchParams;
      httpAuth
        .credentials(request, { allow: ['user'] })
        .then(credentials =>
          this.#answer(path.slice(PREFIX.length), query, credentials),
        )
        .then(
          answer => response.set('cache-control', 'no-store').json(answer),
          (error: unknown) => {
            if (error instanceof Refusal) {
              response.status(error.status).json({ error: error.message });
            } else if (error instanceof NoPolicies) {
              response.status(503).json({ error: error.message });
            } else {
              logger.debug(`${path} failed: ${String(error)}`);
              next(error);
            }
          },
        );
    });
  }

  async #answer(
    question: string,
    query: URLSearchParams,
    credentials: Credentials,
  ): Promise<object> {
    switch (question) {
      case 'access':
        return this.#access(query, credentials);
      case 'who-can':
        await this.#requireOthers(credentials);
        return this.#whoCan(query);
      case 'grid':
        await this.#requireOthers(credentials);
        return this.#alone(async () => {
          const { review, groups } = this.#options;
          return review.grid(await groups(), GROUPS);
        });
      case 'status':
        await this.#requireOthers(credentials);
        return this.#options.status();
      default:
        throw new Refusal(
          404,
          `${question} is none of access, who-can, grid, status`,
        );
    }
  }

  async #access(
    query: URLSearchParams,
    credentials: Credentials,
  ): Promise<object> {
    const { review } = this.#options;
    const own = await this.#own(credentials);
    const named = parameter(query, 'user');
    const permission = parameter(query, 'permission');
    const isOwn = named === undefined || same(named, own.userEntityRef ?? '');
    if (isOwn) return review.access(own, permission);
    await this.#requireOthers(credentials);
    const user = await this.#options.users.user(named);
    if (!user) throw new Refusal(404, `the catalog has no user ${named}`);
    return review.access(user, permission);
  }

  async #whoCan(query: URLSearchParams): Promise<object> {
    const permission = parameter(query, 'permission');
    if (!permission) throw new Refusal(400, 'permission is missing');
    return this.#alone(async () => {
      const { review, users } = this.#options;
      return review.whoCan(permission, await users.all(), USERS);
    });
  }

  /** Answers questions about everybody, a few at a time. */
  async #alone(answer: () => Promise<object>): Promise<object> {
    if (this.#running >= AT_ONCE) {
      throw new Refusal(429, 'too many such questions at once: ask again');
    }
    this.#running += 1;
    try {
      return await answer();
    } finally {
      this.#running -= 1;
    }
  }

  async #own(credentials: Credentials): Promise<BackstageUser> {
    const { userInfo } = this.#options;
    return userInfo.getUserInfo(credentials);
  }

  async #requireOthers(credentials: Credentials): Promise<void> {
    const { review } = this.#options;
    if (!review.mayReadOthers(await this.#own(credentials))) {
      throw new Refusal(
        403,
        'the permission stagedoor.access.read is needed to see what others may do',
      );
    }
  }
}

function parameter(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw new Refusal(400, `${name} is given twice`);
  const [value] = values;
  if (value !== undefined && (value === '' || value.length > LENGTH)) {
    throw new Refusal(400, `${name} is empty or too long`);
  }
  return value;
}

function same(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}
