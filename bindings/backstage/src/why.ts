import type {
  BackstageResidual,
  BackstageUser,
  Engine,
  Explanation,
  PolicyPlace,
} from '@stagedoor/node';

import { engineOf, entry, known, placesOf, stated } from './access';
import type { AccessEntry, Result } from './access';
import type { AppliedConditions } from './appliedConditions';
import { entityRef } from './catalog';
import type { CatalogEntity } from './catalog';
import type { Policies } from './policies';
import { ENTITIES } from './resourceTypes';

/** Why somebody has a permission, or why not. */
export interface Why {
  readonly user: string;
  readonly permission: string;
  /** The entity that is meant; without one, whichever is. */
  readonly entity: string | null;
  readonly revision: string;
  /** What Backstage enforces. */
  readonly result: Result;
  /** What it is answered without naming a resource. */
  readonly answer: AccessEntry;
  /** The policies that the result follows from. */
  readonly because: readonly PolicyPlace[];
  /** Of a denial since nothing permits: the permits that come nearest. */
  readonly near: readonly PolicyPlace[];
  /** Whether the policies allow what is denied, since no rule of Backstage can say it. */
  readonly narrower: boolean;
  /** What every policy says, with its clauses; for those who may see what others may do. */
  readonly explanation: Explanation | null;
  /** Without an entity: what is left of each policy; for the same. */
  readonly residuals: readonly BackstageResidual[] | null;
}

/** What somebody may do with an entity. */
export interface EntityRights {
  readonly user: string;
  readonly entity: string;
  readonly revision: string;
  readonly permissions: readonly {
    readonly permission: string;
    readonly plugin: string;
    readonly action: string | null;
    readonly result: Result;
    /** The policies that it follows from, or may follow from. */
    readonly policies: readonly PolicyPlace[];
  }[];
}

/** A question that makes no sense. */
export class Unanswerable extends Error {
  override name = 'Unanswerable';
}

/** Answers why. Nothing that it does is enforced. */
export class Reasons {
  readonly #policies: Policies;
  readonly #conditions: AppliedConditions;

  constructor(policies: Policies, conditions: AppliedConditions) {
    this.#policies = policies;
    this.#conditions = conditions;
  }

  /**
   * Why a user has a permission, or why not: on an entity, or whichever resource is meant.
   * `isFull` tells also what policies say that are not about this user.
   */
  async why(
    user: BackstageUser,
    permission: string,
    entity: CatalogEntity | undefined,
    isFull: boolean,
  ): Promise<Why> {
    const engine = engineOf(this.#policies);
    const asked = known(engine, permission);
    if (entity && asked.pluginId !== 'unknown') {
      const about = asked.resourceType ?? 'no resource';
      if (about !== ENTITIES) {
        throw new Unanswerable(
          `permission ${permission} is about ${about}, not about entities of the catalog`,
        );
      }
    }
    const answered = engine.decideBackstage(stated(asked), user);
    const explanation = explained(engine, asked, user, entity);
    const residuals =
      asked.pluginId !== 'unknown' && asked.resourceType && !entity
        ? engine.backstageResiduals(permission, user)
        : null;
    const near = explanation?.nearest.map(({ policy }) => policy) ?? [];
    const because = explanation?.reasons ?? answered.reasons;
    const places = placesOf(engine, [...near, ...because, ...answered.reasons]);
    const { revision } = engine;
    const { decision } = answered;

    const enforced = entity
      ? this.#conditions.enforced(stated(asked), user, answered)
      : decision;
    const isMet =
      entity && enforced.result === 'CONDITIONAL'
        ? await this.#isMet(enforced, entityRef(entity))
        : undefined;
    const result =
      isMet === undefined ? enforced.result : isMet ? 'ALLOW' : 'DENY';
    const place = (id: string) => places.get(id) ?? [];
    return {
      user: user.userEntityRef ?? user.service ?? '',
      permission,
      entity: entity ? entityRef(entity) : null,
      revision,
      result,
      answer: entry(asked, answered, places),
      because: because.flatMap(place),
      near: near.flatMap(place),
      narrower: result === 'DENY' && explanation?.decision === 'allow',
      explanation: isFull ? explanation : null,
      residuals: isFull ? residuals : null,
    };
  }

  /** What a user may do with an entity: all permissions that are about entities. */
  async rights(
    user: BackstageUser,
    entity: CatalogEntity,
  ): Promise<EntityRights> {
    const engine = engineOf(this.#policies);
    const { revision } = engine;
    const permissions = engine
      .backstagePermissions()
      .filter(({ resourceType }) => resourceType === ENTITIES);
    const answers = engine.decideBackstageBatch(permissions.map(stated), user);
    const places = placesOf(
      engine,
      answers.flatMap(({ reasons }) => reasons),
    );
    const resourceRefs = [entityRef(entity)];
    const enforced = answers.map((answer, index) => {
      const permission = permissions[index];
      return permission
        ? this.#conditions.enforced(stated(permission), user, answer)
        : answer.decision;
    });
    const questions = enforced.flatMap(decision =>
      decision.result === 'CONDITIONAL' ? [{ decision, resourceRefs }] : [],
    );
    const met = await this.#conditions.apply(questions);
    const rights: EntityRights['permissions'][number][] = [];
    for (const [index, permission] of permissions.entries()) {
      const [answer, decision] = [answers[index], enforced[index]];
      if (!answer || !decision) continue;
      const { reasons } = answer;
      const result =
        decision.result === 'CONDITIONAL'
          ? met.shift()?.[0] === true
            ? 'ALLOW'
            : 'DENY'
          : decision.result;
      rights.push({
        permission: permission.name,
        plugin: permission.pluginId,
        action: permission.action ?? null,
        result,
        policies: reasons.flatMap(id => places.get(id) ?? []),
      });
    }
    return {
      user: user.userEntityRef ?? user.service ?? '',
      entity: entityRef(entity),
      revision,
      permissions: rights,
    };
  }

  async #isMet(
    decision: Parameters<AppliedConditions['apply']>[0][number]['decision'],
    reference: string,
  ): Promise<boolean> {
    const question = { decision, resourceRefs: [reference] };
    const [met] = await this.#conditions.apply([question]);
    return met?.[0] === true;
  }
}

/** Returns what the policies say in full, where a resource is named or none is needed. */
function explained(
  engine: Engine,
  {
    name,
    pluginId,
    resourceType,
  }: { name: string; pluginId: string; resourceType?: string },
  user: BackstageUser,
  entity: CatalogEntity | undefined,
): Explanation | null {
  if (pluginId === 'unknown' || !!resourceType !== !!entity) return null;
  return engine.explainBackstage(name, user, entity);
}
