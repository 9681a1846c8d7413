import type { BackstageUser } from '@stagedoor/node';
import type { BackstageCriteria } from '@stagedoor/node';

import { engineOf, known, stated } from './access';
import type { Result } from './access';
import type { AppliedConditions } from './appliedConditions';
import { entityRef } from './catalog';
import type { CatalogEntity } from './catalog';
import type { Policies } from './policies';
import { ENTITIES } from './resourceTypes';
import { Unanswerable } from './why';

/** So many names are told of each kind. */
const NAMED = 5;

/** What a permission reaches among the entities of the catalog, by kind and type. */
export interface Reach {
  readonly permission: string;
  readonly revision: string;
  readonly result: Result;
  readonly kinds: readonly {
    readonly kind: string;
    readonly type: string | null;
    /** How many of this kind and type are reached. */
    readonly reached: number;
    readonly of: number;
    /** Some of those that are reached. */
    readonly names: readonly string[];
  }[];
  /** How many entities were not looked at, since there are too many. */
  readonly notAsked: number;
}

/** The resources that are parts of templates. */
const PARTS = 'scaffolder-template';

/** Answers which kinds of entities a permission reaches. */
export class ReachReview {
  readonly #policies: Policies;
  readonly #conditions: AppliedConditions;

  constructor(policies: Policies, conditions: AppliedConditions) {
    this.#policies = policies;
    this.#conditions = conditions;
  }

  /** Returns the kind of entities that a permission is about: all of them, or templates. */
  kindOf(permission: string): 'template' | undefined {
    const { resourceType } = known(engineOf(this.#policies), permission);
    if (resourceType !== ENTITIES && resourceType !== PARTS) {
      throw new Unanswerable(
        `permission ${permission} is not about entities of the catalog or parts of templates`,
      );
    }
    return resourceType === PARTS ? 'template' : undefined;
  }

  /** Returns which of these entities a user's permission reaches. */
  async reach(
    user: BackstageUser,
    permission: string,
    entities: readonly CatalogEntity[],
    notAsked: number,
  ): Promise<Reach> {
    const engine = engineOf(this.#policies);
    const { revision } = engine;
    const asked = known(engine, permission);
    const answer = engine.decideBackstage(stated(asked), user);
    const decision = this.#conditions.enforced(stated(asked), user, answer);
    let reached: readonly boolean[];
    if (decision.result !== 'CONDITIONAL') {
      reached = entities.map(() => decision.result === 'ALLOW');
    } else if (asked.resourceType === PARTS) {
      const { conditions } = decision;
      reached = entities.map(template =>
        partsOf(template).some(tags => isMetBy(conditions, tags)),
      );
    } else {
      const resourceRefs = entities.map(entityRef);
      const question = { decision, resourceRefs };
      [reached = []] = await this.#conditions.apply([question]);
    }
    return {
      permission,
      revision,
      result: decision.result,
      kinds: counted(entities, reached),
      notAsked,
    };
  }
}

function counted(
  entities: readonly CatalogEntity[],
  reached: readonly boolean[],
): Reach['kinds'] {
  const kinds = new Map<
    string,
    {
      kind: string;
      type: string | null;
      reached: number;
      of: number;
      names: string[];
    }
  >();
  for (const [index, entity] of entities.entries()) {
    const { spec } = entity;
    const type = typeof spec?.type === 'string' ? spec.type : null;
    const key = JSON.stringify([entity.kind, type]);
    const row = kinds.get(key) ?? {
      ...{ kind: entity.kind, type, reached: 0, of: 0, names: [] },
    };
    row.of += 1;
    if (reached[index]) {
      row.reached += 1;
      if (row.names.length < NAMED) {
        row.names.push(entityRef(entity));
      }
    }
    kinds.set(key, row);
  }
  return [...kinds.entries()]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, row]) => row);
}

/** The tags of each page of parameters and of each step of a template. */
function partsOf({ spec }: CatalogEntity): string[][] {
  const list = (value: unknown): unknown[] =>
    Array.isArray(value) ? value : value === undefined ? [] : [value];
  return [...list(spec?.parameters), ...list(spec?.steps)].map(part => {
    const settings = (part as Record<string, unknown> | null)?.[
      'backstage:permissions'
    ] as { tags?: unknown } | undefined;
    return list(settings?.tags).map(String);
  });
}

/** Whether a part of a template with these tags meets conditions. */
function isMetBy(
  criteria: BackstageCriteria,
  tags: readonly string[],
): boolean {
  if ('not' in criteria) return !isMetBy(criteria.not, tags);
  if ('allOf' in criteria) {
    return criteria.allOf.every(item => isMetBy(item, tags));
  }
  if ('anyOf' in criteria) {
    return criteria.anyOf.some(item => isMetBy(item, tags));
  }
  const { rule, params } = criteria;
  if (rule !== 'HAS_TAG') {
    throw new Unanswerable(`rule ${rule} of templates is not known here`);
  }
  return tags.includes(String(params.tag));
}
