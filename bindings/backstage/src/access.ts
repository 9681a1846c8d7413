import type {
  BackstageAnswer,
  BackstagePermission,
  BackstageUser,
  KnownPermission,
  PolicyPlace,
  Problem,
} from '@stagedoor/node';

import type { Policies } from './policies';

/** What guards the answers about others. Denied unless a policy permits it. */
export const ACCESS_READ: BackstagePermission = {
  name: 'stagedoor.access.read',
  attributes: { action: 'read' },
};

/** Stands for a member of a group: no catalog has a user of this name. */
const SOMEBODY = 'user:stagedoor/(a member of the group)';

/** One answer, with what led to it. */
export interface AccessEntry {
  readonly permission: string;
  readonly plugin: string;
  readonly resourceType: string | null;
  readonly result: 'ALLOW' | 'DENY' | 'CONDITIONAL';
  /** Which resources are meant, in the rules of their plugin. */
  readonly conditions: unknown;
  /** The policies that lead to it, with their places. */
  readonly policies: readonly PolicyPlace[];
  /** Why nothing was decided, or which policies could not be evaluated. */
  readonly errors: readonly string[];
  /** What is narrower than the policies, and why. */
  readonly findings: readonly Problem[];
}

/** What a user may do. */
export interface Access {
  readonly user: string;
  /** The references by which the user was asked for. */
  readonly ownershipEntityRefs: readonly string[];
  readonly revision: string;
  readonly permissions: readonly AccessEntry[];
}

/** Who has a permission. */
export interface Holders {
  readonly permission: string;
  readonly revision: string;
  readonly users: readonly {
    readonly user: string;
    readonly result: AccessEntry['result'];
    readonly policies: readonly string[];
  }[];
  /** How many users of the catalog were not asked for, since there are too many. */
  readonly notAsked: number;
}

/** What members of groups may do. */
export interface Grid {
  readonly revision: string;
  /** The permissions, in the order of the answers. */
  readonly permissions: readonly {
    readonly name: string;
    readonly plugin: string;
    readonly resourceType: string | null;
  }[];
  /** For each group what somebody may do who is in it and in no other. */
  readonly groups: readonly {
    readonly group: string;
    /** A letter for each permission: Allow, Deny or Conditional. */
    readonly results: string;
  }[];
  /** How many groups of the catalog were not asked for, since there are too many. */
  readonly notAsked: number;
}

/** There are no policies to ask. */
export class NoPolicies extends Error {
  override name = 'NoPolicies';
}

/** Answers what users may do, by the policies in force. Nothing that it does is enforced. */
export class AccessReview {
  readonly #policies: Policies;

  constructor(policies: Policies) {
    this.#policies = policies;
  }

  /** Whether a user may see what others may do. */
  mayReadOthers(user: BackstageUser): boolean {
    const [answer] = this.#policies.answer([ACCESS_READ], user) ?? [];
    return answer?.decision.result === 'ALLOW';
  }

  /** What a user may do: all permissions, or one. */
  access(user: BackstageUser, only?: string): Access {
    const { engine } = this.#policies;
    if (!engine) throw new NoPolicies('no policies are in force');
    const known = engine
      .backstagePermissions()
      .filter(({ name }) => only === undefined || name === only);
    // One that is not known is answered as well: with a denial that says so.
    const asked: readonly KnownPermission[] =
      known.length || only === undefined
        ? known
        : [{ name: only, pluginId: 'unknown' }];
    const answers = engine.decideBackstageBatch(asked.map(stated), user);
    const ids = new Set(answers.flatMap(({ reasons }) => reasons));
    const places = new Map(
      engine.policyPlaces([...ids]).map(place => [place.id, place]),
    );
    return {
      user: user.userEntityRef ?? user.service ?? '',
      ownershipEntityRefs: user.ownershipEntityRefs ?? [],
      revision: engine.revision,
      permissions: asked.flatMap((permission, index) => {
        const answer = answers[index];
        return answer ? [entry(permission, answer, places)] : [];
      }),
    };
  }

  /** What somebody may do who is in one of these groups, and in those above it. */
  async grid(groups: readonly string[], most: number): Promise<Grid> {
    const { engine } = this.#policies;
    if (!engine) throw new NoPolicies('no policies are in force');
    const { revision } = engine;
    const known = engine.backstagePermissions();
    const asked = known.map(stated);
    const rows: Grid['groups'][number][] = [];
    for (const group of groups.slice(0, most)) {
      await new Promise(setImmediate);
      const member = { userEntityRef: SOMEBODY, ownershipEntityRefs: [group] };
      const answers = this.#policies.answer(asked, member) ?? [];
      if (answers[0]?.revision !== revision) {
        throw new NoPolicies('the policies have changed: ask again');
      }
      const results = answers.map(({ decision }) => decision.result[0]);
      rows.push({ group, results: results.join('') });
    }
    return {
      revision,
      permissions: known.map(({ name, pluginId, resourceType }) => ({
        name,
        plugin: pluginId,
        resourceType: resourceType ?? null,
      })),
      groups: rows,
      notAsked: Math.max(0, groups.length - most),
    };
  }

  /**
   * Which of these users have a permission, on some resources at least. Lets others go first now
   * and then: there may be many users, and conditions of each may take a millisecond.
   */
  async whoCan(
    permission: string,
    users: readonly BackstageUser[],
    most: number,
  ): Promise<Holders> {
    const { engine } = this.#policies;
    if (!engine) throw new NoPolicies('no policies are in force');
    const { revision } = engine;
    const known = engine
      .backstagePermissions()
      .find(({ name }) => name === permission);
    const asked = [stated(known ?? { name: permission, pluginId: 'unknown' })];
    const holders: Holders['users'][number][] = [];
    for (const [index, user] of users.slice(0, most).entries()) {
      if (index % 20 === 19) await new Promise(setImmediate);
      const [answer] = this.#policies.answer(asked, user) ?? [];
      // Others may have come in force meanwhile.
      if (answer?.revision !== revision) {
        throw new NoPolicies('the policies have changed: ask again');
      }
      const { result } = answer.decision;
      if (result === 'DENY') continue;
      const { reasons: policies } = answer;
      holders.push({ user: user.userEntityRef ?? '', result, policies });
    }
    const notAsked = Math.max(0, users.length - most);
    return { permission, revision, users: holders, notAsked };
  }
}

function stated({
  name,
  action,
  resourceType,
}: KnownPermission): BackstagePermission {
  return {
    name,
    attributes: action ? { action } : {},
    ...(resourceType && { resourceType }),
  };
}

function entry(
  { name, pluginId, resourceType }: KnownPermission,
  { decision, reasons, errors, findings }: BackstageAnswer,
  places: ReadonlyMap<string, PolicyPlace>,
): AccessEntry {
  return {
    permission: name,
    plugin: pluginId,
    resourceType: resourceType ?? null,
    result: decision.result,
    conditions: decision.result === 'CONDITIONAL' ? decision.conditions : null,
    policies: reasons.flatMap(id => places.get(id) ?? []),
    errors,
    findings,
  };
}
