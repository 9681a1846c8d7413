import type { BackstageUser } from '@stagedoor/node';

import { engineOf, known, NoPolicies, stated } from './access';
import type { Result } from './access';
import type {
  AppliedConditions,
  ConditionalDecision,
} from './appliedConditions';
import type { Policies } from './policies';
import { inWords } from './words';

/** Who has a permission. */
export interface Holders {
  readonly permission: string;
  /** The entity that is meant; without one, some at least. */
  readonly entity: string | null;
  readonly revision: string;
  readonly users: readonly {
    readonly user: string;
    readonly result: Result;
    readonly policies: readonly string[];
    /** On which resources, in words. */
    readonly words: string | null;
  }[];
  /** How many users were asked for. */
  readonly asked: number;
  /** How many users of the catalog were not asked for, since there are too many. */
  readonly notAsked: number;
}

/** Answers who has a permission. */
export class HolderReview {
  readonly #policies: Policies;
  readonly #conditions: AppliedConditions;

  constructor(policies: Policies, conditions: AppliedConditions) {
    this.#policies = policies;
    this.#conditions = conditions;
  }

  /**
   * Which of these users have a permission: on some resources at least, or on an entity of the
   * catalog. Lets others go first now and then: there may be many users.
   */
  async whoCan(
    permission: string,
    users: readonly BackstageUser[],
    most: number,
    entity?: string,
  ): Promise<Holders> {
    const engine = engineOf(this.#policies);
    const { revision } = engine;
    const asked = stated(known(engine, permission));
    const holders: (Holders['users'][number] & {
      decision: ConditionalDecision | undefined;
    })[] = [];
    for (const [index, user] of users.slice(0, most).entries()) {
      if (index % 20 === 19) await new Promise(setImmediate);
      const [answer] = this.#policies.answer([asked], user) ?? [];
      // Others may have come in force meanwhile.
      if (answer?.revision !== revision) {
        throw new NoPolicies('the policies have changed: ask again');
      }
      const { reasons } = answer;
      const decision = entity
        ? this.#conditions.enforced(asked, user, answer)
        : answer.decision;
      if (decision.result === 'DENY') continue;
      const isOpen = decision.result === 'CONDITIONAL';
      holders.push({
        user: user.userEntityRef ?? '',
        result: decision.result,
        policies: reasons,
        words: isOpen && !entity ? inWords(decision.conditions) : null,
        decision: isOpen ? decision : undefined,
      });
    }
    const found = entity ? await this.#on(entity, holders) : holders;
    return {
      permission,
      entity: entity ?? null,
      revision,
      users: found.map(({ user, result, policies, words }) => ({
        user,
        result: entity ? 'ALLOW' : result,
        policies,
        words: entity ? null : words,
      })),
      asked: Math.min(users.length, most),
      notAsked: Math.max(0, users.length - most),
    };
  }

  /** Returns those whose conditions an entity meets. Many users may share them. */
  async #on<Holder extends { decision: ConditionalDecision | undefined }>(
    entity: string,
    holders: readonly Holder[],
  ): Promise<Holder[]> {
    const distinct = new Map<string, ConditionalDecision>();
    const keys = holders.map(({ decision }) => {
      const key = JSON.stringify(decision) ?? '';
      if (decision) distinct.set(key, decision);
      return key;
    });
    const met = await this.#conditions.apply(
      [...distinct.values()].map(decision => ({
        decision,
        resourceRefs: [entity],
      })),
    );
    const holds = new Map(
      [...distinct.keys()].map((key, index) => [key, met[index]?.[0] === true]),
    );
    return holders.filter(
      ({ decision }, index) => !decision || holds.get(keys[index] ?? ''),
    );
  }
}
