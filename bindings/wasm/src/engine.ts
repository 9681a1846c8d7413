import type { AccessReviewStatus, ReloadResult } from './answers.js';
import { Entities } from './entities.js';
import { mistyped, StagedoorError } from './error.js';
import { serializeOptions, type EngineOptions } from './options.js';
import { call, Handle } from './runtime.js';
import { object, text, Writer } from './values.js';
import type {
  BackstageAnswer,
  BackstageGroup,
  BackstagePermission,
  BackstageUser,
  Decision,
  Explanation,
  List,
  Problem,
  QueryAnswer,
  QueryInput,
  RequestInput,
} from './wire.js';

interface EngineDescription {
  engine: number;
  revision: string;
  policyCount: number;
  warnings: Problem[];
}

/** Policies that were loaded, ready to decide. They are parsed once, and kept. */
export class Engine {
  readonly #options: EngineOptions;
  /** What was read of the options: it is loaded again should the module trap. */
  #read: string;
  #groups: string | undefined;
  #handle: Handle | undefined;
  #described!: EngineDescription;

  private constructor(options: EngineOptions) {
    this.#options = structuredClone(options);
    this.#read = serializeOptions(options);
    this.#handle = new Handle('engine', () => {
      const described = call<EngineDescription>(`{"load":{"options":${this.#read}}}`);
      if (this.#groups !== undefined) {
        call(`{"setGroups":{"engine":${described.engine},"groups":${this.#groups}}}`);
      }
      this.#described = described;
      return described.engine;
    });
  }

  /** Loads policies. Throws everything that is wrong. */
  static loadSync(options: EngineOptions): Engine {
    return new Engine(options);
  }

  /** Loads policies. Rejects with everything that is wrong. */
  // eslint-disable-next-line @typescript-eslint/require-await -- the same as the addon's
  static async load(options: EngineOptions): Promise<Engine> {
    return new Engine(options);
  }

  /**
   * Decides a request. `entities` are laid under those of the request.
   *
   * Throws if the request is not one that the policies are about; take that as a denial. The
   * result is an object and thus always truthy: compare its `decision`, or ask `isAllowed`.
   */
  decide(request: RequestInput, entities?: Entities | null): Decision {
    return call(this.#about('decide', new Writer().request(request), entities));
  }

  /** Returns whether a request is allowed. */
  isAllowed(request: RequestInput, entities?: Entities | null): boolean {
    return this.decide(request, entities).decision === 'allow';
  }

  /** Decides many requests. One that cannot be decided is denied and says why in `error`. */
  decideBatch(requests: readonly RequestInput[], entities?: Entities | null): Decision[] {
    if (!Array.isArray(requests)) {
      throw mistyped('requests', 'an array');
    }
    const { revision } = this;
    const asked = (requests as readonly RequestInput[]).map(each =>
      writtenOrDenied(each, revision),
    );
    const fit = asked.filter(each => typeof each === 'string');
    const fields = `"engine":${this.number},"requests":[${fit.join()}]${over(entities)}`;
    const decided = call<Decision[]>(`{"decideBatch":{${fields}}}`).values();
    return asked.map(each => (typeof each === 'string' ? decided.next().value : each) as Decision);
  }

  /**
   * Explains the decision about a request: what every policy in question says and which values it
   * met, and of a denial, which permits came nearest and what would have to be different. Looks at
   * every policy, and makes up to some dozens of decisions.
   */
  explain(request: RequestInput, entities?: Entities | null): Explanation {
    return call(this.#about('explain', new Writer().request(request), entities));
  }

  /**
   * Answers a request of which parts are not known: for each action that it is about, what is
   * left of the policies that may be satisfied.
   */
  query(query: QueryInput, entities?: Entities | null): QueryAnswer[] {
    return call(this.#asking('query', query, entities));
  }

  /**
   * Lists for which of the entities, or for which actions, a request is allowed: for what the
   * query leaves open. Exactly those are listed that `decide` would allow, in the order of their
   * ids; where not all of the context is known, also those that may be, with `if`.
   */
  list(query: QueryInput, entities?: Entities | null): List {
    return call(this.#asking('list', query, entities));
  }

  /**
   * Answers whether a user has a permission of Backstage's, as Backstage's permission policy
   * does: without a resource, in conditions. Whatever fails is denied; `errors` of the answer
   * say why. The engine must have been loaded for the platform `backstage`.
   */
  decideBackstage(permission: BackstagePermission, user?: BackstageUser | null): BackstageAnswer {
    const [answer] = this.decideBackstageBatch([permission], user);
    if (answer === undefined) {
      throw new StagedoorError({ code: 'internal::answer', message: 'there is no answer' });
    }
    return answer;
  }

  /** Answers many permissions for one user, each as `decideBackstage` does. */
  decideBackstageBatch(
    permissions: readonly BackstagePermission[],
    user?: BackstageUser | null,
  ): BackstageAnswer[] {
    if (!Array.isArray(permissions)) {
      throw mistyped('permissions', 'an array');
    }
    const asked = (permissions as readonly BackstagePermission[]).map(writtenPermission);
    const who = user === undefined || user === null ? 'null' : writtenUser(user);
    const fields = `"engine":${this.number},"permissions":[${asked.join()}],"user":${who}`;
    return call<BackstageAnswer[]>(`{"decideBackstage":{${fields}}}`).map(frozen);
  }

  /**
   * Sets the groups above Backstage's groups: a user of a group is then in those, too. Reloads
   * keep them. Returns what is odd about them: groups that are above each other, which count as
   * one, and what is no reference. Throws if they are too many; those before then stay in force.
   */
  setGroups(groups: readonly BackstageGroup[]): Problem[] {
    if (!Array.isArray(groups)) {
      throw mistyped('groups', 'an array');
    }
    const written = (groups as readonly BackstageGroup[]).map(group => {
      const above = group.parents.map(parent => text(parent, 'one of `parents`'));
      const entityRef = text(group.entityRef, '`entityRef`');
      return object(group, { entityRef, parents: `[${above.join()}]` });
    });
    const json = `[${written.join()}]`;
    const findings = call<Problem[]>(`{"setGroups":{"engine":${this.number},"groups":${json}}}`);
    this.#groups = json;
    return findings;
  }

  /**
   * Answers Kubernetes' SubjectAccessReview, with its status. Whatever fails is denied. The
   * engine must have been loaded for the platform `kubernetes`.
   */
  reviewAccess(review: object): AccessReviewStatus {
    const json = JSON.stringify(review);
    return call(`{"reviewAccess":{"engine":${this.number},"review":${json}}}`);
  }

  /**
   * Reads the same files again and puts them in force. Throws everything that is wrong; the
   * policies before then stay in force.
   */
  reloadSync(): ReloadResult {
    const number = this.number;
    const before = this.#described.revision;
    const read = serializeOptions(this.#options);
    this.#described = call(`{"reload":{"engine":${number},"options":${read}}}`);
    this.#read = read;
    const { revision } = this.#described;
    return { changed: revision !== before, revision };
  }

  /** As `reloadSync`. Rejects with everything that is wrong. */
  // eslint-disable-next-line @typescript-eslint/require-await -- the same as the addon's
  async reload(): Promise<ReloadResult> {
    return this.reloadSync();
  }

  /** Hash of everything that was loaded, in hexadecimal: equal for equal policies. */
  get revision(): string {
    void this.number;
    return this.#described.revision;
  }

  /** How many policies were loaded. */
  get policyCount(): number {
    void this.number;
    return this.#described.policyCount;
  }

  /** What was warned of while loading, and what of Backstage's policies its rules cannot say. */
  get warnings(): Problem[] {
    void this.number;
    return structuredClone(this.#described.warnings);
  }

  /** Lets go of the policies at once. Whatever is called afterwards throws `engine::closed`. */
  close(): void {
    this.#handle?.free();
    this.#handle = undefined;
  }

  /** @internal */
  get number(): number {
    if (this.#handle === undefined) {
      throw new StagedoorError({ code: 'engine::closed', message: 'the engine was closed' });
    }
    return this.#handle.number;
  }

  #asking(name: string, query: QueryInput, entities: Entities | null | undefined): string {
    const written = new Writer().query(query);
    return `{"${name}":{"engine":${this.number},"query":${written}${over(entities)}}}`;
  }

  #about(name: string, request: string, entities: Entities | null | undefined): string {
    return `{"${name}":{"engine":${this.number},"request":${request}${over(entities)}}}`;
  }
}

function over(entities: Entities | null | undefined): string {
  if (entities === undefined || entities === null) {
    return '';
  }
  if (!(entities instanceof Entities)) {
    throw mistyped('entities', 'an instance of Entities');
  }
  return `,"entities":${entities.number}`;
}

function writtenOrDenied(request: RequestInput, revision: string): string | Decision {
  try {
    return new Writer().request(request);
  } catch (thrown) {
    const code = thrown instanceof StagedoorError ? thrown.code : 'argument::threw';
    const error = thrown instanceof Error ? thrown.message : String(thrown);
    const help = thrown instanceof StagedoorError ? thrown.help : undefined;
    return {
      decision: 'deny',
      reasons: [],
      errors: [],
      code,
      error,
      ...(help !== undefined && { help }),
      revision,
    };
  }
}

function writtenPermission(permission: BackstagePermission): string {
  const given: unknown = permission;
  if (typeof given !== 'object' || given === null) {
    throw mistyped('permission', '{name, attributes, resourceType}');
  }
  const { name, attributes, resourceType } = permission;
  const fields = [`"name":${text(name, '`name` of a permission')}`];
  const action = attributes?.action;
  if (action !== undefined) {
    const written = text(action, '`attributes.action` of a permission');
    fields.push(`"attributes":{"action":${written}}`);
  }
  if (resourceType !== undefined) {
    fields.push(`"resourceType":${text(resourceType, '`resourceType` of a permission')}`);
  }
  return `{${fields.join()}}`;
}

function writtenUser(user: BackstageUser): string {
  if (typeof user !== 'object') {
    throw mistyped('user', '{userEntityRef, ownershipEntityRefs}');
  }
  const { userEntityRef, ownershipEntityRefs = [], service } = user;
  if (userEntityRef === undefined) {
    const subject = text(service, '`userEntityRef` or `service` of a user');
    return object(user, {
      service: subject,
      userEntityRef: undefined,
      ownershipEntityRefs: undefined,
    });
  }
  if (!Array.isArray(ownershipEntityRefs)) {
    throw mistyped('`ownershipEntityRefs`', 'an array of references');
  }
  const owned = ownershipEntityRefs.map(each => text(each, 'one of `ownershipEntityRefs`'));
  const reference = text(userEntityRef, '`userEntityRef`');
  return object(user, {
    userEntityRef: reference,
    ownershipEntityRefs: `[${owned.join()}]`,
    service: service === undefined ? undefined : text(service, '`service` of a user'),
  });
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}
