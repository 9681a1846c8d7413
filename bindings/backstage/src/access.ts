import type {
  BackstageAnswer,
  BackstagePermission,
  BackstageUser,
  Engine,
  KnownPermission,
  PolicyPlace,
  Problem,
} from '@stagedoor/node';

import type { Policies } from './policies';
import { inWords } from './words';
import type { Naming } from './words';

/** What guards the answers about others. Denied unless a policy permits it. */
export const ACCESS_READ: BackstagePermission = {
  name: 'stagedoor.access.read',
  attributes: { action: 'read' },
};

/** Stands for a member of a group: no catalog has a user of this name. */
const SOMEBODY = 'user:stagedoor/(a member of the group)';

export type Result = 'ALLOW' | 'DENY' | 'CONDITIONAL';

/** One answer, with what led to it. */
export interface AccessEntry {
  readonly permission: string;
  readonly plugin: string;
  readonly resourceType: string | null;
  readonly result: Result;
  /** Which resources are meant, in the rules of their plugin. */
  readonly conditions: unknown;
  /** The same in words. */
  readonly words: string | null;
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

/** What members of groups may do. */
export interface Grid {
  readonly revision: string;
  /** The permissions, in the order of the answers. */
  readonly permissions: readonly {
    readonly name: string;
    readonly plugin: string;
    readonly action: string | null;
    readonly resourceType: string | null;
  }[];
  /** What is meant where the answer hangs on the resource, in words. */
  readonly conditions: readonly string[];
  /** For each group what somebody may do who is in it and in no other. */
  readonly groups: readonly {
    readonly group: string;
    /** A letter for each permission: Allow, Deny or Conditional. */
    readonly results: string;
    /** For each C among the results, in their order, the number of its conditions. */
    readonly conditions: readonly number[];
  }[];
  /** How many groups the catalog has. */
  readonly total: number;
  /** The number of the first group that this answer does not have, if there is one. */
  readonly next: number | null;
}

/** There are no policies to ask. */
export class NoPolicies extends Error {
  override name = 'NoPolicies';
}

/** Returns somebody who is in a group, in those above it, and in no other. */
export function memberOf(group: string): BackstageUser {
  return { userEntityRef: SOMEBODY, ownershipEntityRefs: [group] };
}

/** Returns the engine in force. */
export function engineOf(policies: Policies): Engine {
  const { engine } = policies;
  if (!engine) throw new NoPolicies('no policies are in force');
  return engine;
}

/** Returns a permission as its plugin states it; one that is not known as it is named. */
export function known(engine: Engine, name: string): KnownPermission {
  const found = engine
    .backstagePermissions()
    .find(permission => permission.name === name);
  return found ?? { name, pluginId: 'unknown' };
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
    const engine = engineOf(this.#policies);
    // One that is not known is answered as well: with a denial that says so.
    const asked =
      only === undefined
        ? engine.backstagePermissions()
        : [known(engine, only)];
    const answers = engine.decideBackstageBatch(asked.map(stated), user);
    const places = placesOf(
      engine,
      answers.flatMap(({ reasons }) => reasons),
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
  async grid(
    groups: readonly string[],
    offset: number,
    limit: number,
  ): Promise<Grid> {
    const engine = engineOf(this.#policies);
    const { revision } = engine;
    const permissions = engine.backstagePermissions();
    const asked = permissions.map(stated);
    const words = new Map<string, number>();
    const rows: Grid['groups'][number][] = [];
    for (const group of groups.slice(offset, offset + limit)) {
      // There may be many groups, and conditions of each may take a millisecond.
      await new Promise(setImmediate);
      const answers = this.#policies.answer(asked, memberOf(group)) ?? [];
      if (answers[0]?.revision !== revision) {
        throw new NoPolicies('the policies have changed: ask again');
      }
      const conditions = answers.flatMap(({ decision }) => {
        if (decision.result !== 'CONDITIONAL') return [];
        const said = inWords(decision.conditions, namedFor(group));
        if (!words.has(said)) words.set(said, words.size);
        return [words.get(said) ?? 0];
      });
      const results = answers.map(({ decision }) => decision.result[0]);
      rows.push({ group, results: results.join(''), conditions });
    }
    const end = offset + rows.length;
    return {
      revision,
      permissions: permissions.map(
        ({ name, pluginId, action, resourceType }) => ({
          name,
          plugin: pluginId,
          action: action ?? null,
          resourceType: resourceType ?? null,
        }),
      ),
      conditions: [...words.keys()],
      groups: rows,
      total: groups.length,
      next: end < groups.length ? end : null,
    };
  }
}

/** Calls a group and its member so, that groups with the same rights read the same. */
function namedFor(group: string): Naming {
  const own = group.toLowerCase();
  return reference => {
    if (reference === own) return 'the group';
    return reference === SOMEBODY ? 'the member' : reference;
  };
}

/** Returns a permission as Backstage asks for it. */
export function stated({
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

/** Returns where policies stand, by their ids. */
export function placesOf(
  engine: Engine,
  ids: readonly string[],
): ReadonlyMap<string, PolicyPlace> {
  const places = engine.policyPlaces([...new Set(ids)]);
  return new Map(places.map(place => [place.id, place]));
}

/** Returns an answer with what led to it. */
export function entry(
  { name, pluginId, resourceType }: KnownPermission,
  { decision, reasons, errors, findings }: BackstageAnswer,
  places: ReadonlyMap<string, PolicyPlace>,
): AccessEntry {
  const conditions =
    decision.result === 'CONDITIONAL' ? decision.conditions : null;
  const member: Naming = reference =>
    reference === SOMEBODY ? 'the member' : reference;
  return {
    permission: name,
    plugin: pluginId,
    resourceType: resourceType ?? null,
    result: decision.result,
    conditions,
    words: conditions && inWords(conditions, member),
    policies: reasons.flatMap(id => places.get(id) ?? []),
    errors,
    findings,
  };
}
