import { createHash, randomUUID } from 'node:crypto';

import {
  createServiceFactory,
  createServiceRef,
} from '@backstage/backend-plugin-api';
import type { LoggerService } from '@backstage/backend-plugin-api';
import type {
  BackstageAnswer,
  BackstageCriteria,
  BackstageDecision,
  BackstageUser,
  ConditionBudget,
  Engine,
} from '@stagedoor/node';

import type { DecisionBatch } from './policy';
import { ENTITIES } from './resourceTypes';

/** The rule that stands for all policies about entities of the catalog. */
export const RULE = 'STAGEDOOR_PERMITS';

/** What the rule is given: which policies, who asks (and with which claims), for what. */
export interface WholePolicyParams {
  readonly revision: string;
  readonly user: string;
  readonly claims: string;
  readonly permission: string;
  readonly [name: string]: string;
}

/** Where policies in force are found, and how large conditions in lists may be. */
export interface PoliciesOfProcess {
  readonly engine: () => Engine | undefined;
  readonly budget: ConditionBudget;
  /** Told why something is closed, each time. */
  readonly onClosed: (code: string, message: string) => void;
}

/** What no rule of Backstage says, or what is too large for it, the policies may still permit. */
const NARROWED = new Set([
  'conditions::unsupported',
  'conditions::over-budget',
  'conditions::guarded',
]);

/** So many ownership references are remembered, of all users together. */
const REFERENCES = 500_000;
/** So many conditions of lists are remembered. */
const LISTS = 200;
/**
 * What conditions of a list may be: they stay in this process. A reference takes 15 bytes at
 * least, and SQLite takes 32,766 values in a query.
 */
const LIST_BYTES = 400_000;

interface WholePolicyQuestion {
  readonly engine: Engine;
  readonly user: BackstageUser;
  readonly policies: PoliciesOfProcess;
}

/**
 * The policies as one rule of the catalog: decided about the whole entity where one is asked about,
 * and as conditions that never leave the process where many are.
 *
 * The permission plugin and the catalog share it, so that it works where both are in one process.
 * Whatever it does not know, it closes.
 */
export class WholePolicy {
  /** Tells this process from others. */
  readonly id = randomUUID();
  #policies: PoliciesOfProcess | undefined;
  #isUsed = false;
  #isRegistered = false;
  #isElsewhere = false;
  #unused = 'the module of the catalog is not installed';
  readonly #users = new Map<string, BackstageUser>();
  #references = 0;
  readonly #decisions = new WeakMap<BackstageAnswer, BackstageDecision>();
  readonly #lists = new Map<string, BackstageDecision>();
  #generation = 0;
  #log: LoggerService | undefined;
  #isToldAlone = false;

  /** Sets what policies there are. */
  serve(policies: PoliciesOfProcess): void {
    this.#policies = policies;
  }

  /** Called when the catalog of this process has the rule. */
  registered(logger: LoggerService): void {
    this.#log = logger;
    this.#isRegistered = true;
    this.#unused = 'the catalog has not been asked for its rules yet';
  }

  /** Whether the catalog of this process has the rule. */
  get isRegistered(): boolean {
    return this.#isRegistered;
  }

  /**
   * Called with what the catalog tells of its rules. The rule is answered only where the catalog
   * that applies it is that of this process: another would not know the user, or fail.
   */
  seen(metadata: string | undefined): string | undefined {
    if (!this.#isRegistered) return undefined;
    const isOwn = metadata?.includes(this.id) ?? false;
    // One that answers now and then is one of several behind an address.
    if (!isOwn && metadata?.includes(RULE)) this.#isElsewhere = true;
    this.#isUsed = isOwn && !this.#isElsewhere;
    const before = this.#unused;
    this.#unused = this.#isUsed
      ? ''
      : 'the catalog that answers is not that of this process, so that conditions in ' +
        "Backstage's own rules are answered instead";
    return this.#unused && this.#unused !== before ? this.#unused : undefined;
  }

  /** Why the rule is not answered; nothing while it is. */
  get unused(): string | undefined {
    return this.#isUsed ? undefined : this.#unused;
  }

  /** Returns what Backstage is answered: the rule, where the answer hangs on the entity. */
  enforced(
    permission: {
      readonly name: string;
      readonly resourceType?: string | undefined | null;
    },
    user: BackstageUser | undefined,
    answer: BackstageAnswer,
  ): BackstageDecision {
    const { decision } = answer;
    if (!this.#isUsed || permission.resourceType !== ENTITIES) return decision;
    const reference = user?.userEntityRef;
    if (user === undefined || reference === undefined || !isOpen(answer)) {
      return decision;
    }
    const known = this.#decisions.get(answer);
    if (known && this.#knows(known, reference)) return known;
    const params: WholePolicyParams = {
      revision: short(answer.revision),
      user: reference,
      claims: this.#remember(user),
      permission: permission.name,
    };
    const rule: BackstageDecision = {
      result: 'CONDITIONAL',
      pluginId: 'catalog',
      resourceType: ENTITIES,
      conditions: { rule: RULE, resourceType: ENTITIES, params },
    };
    this.#decisions.set(answer, rule);
    return rule;
  }

  /**
   * Returns what was answered as it is recorded: the rule in place of a denial, since it may allow.
   * Conditions stay those that lists follow, so that the decision can be made again.
   */
  recorded(batch: DecisionBatch): DecisionBatch {
    if (!this.#isUsed) return batch;
    const answers = batch.answers.map((answer, index) => {
      const query = batch.queries[index];
      if (!query || answer.decision.result !== 'DENY') return answer;
      const decision = this.enforced(query.permission, batch.user, answer);
      return decision === answer.decision ? answer : { ...answer, decision };
    });
    return { ...batch, answers };
  }

  /**
   * Returns what was answered without what is narrower than the policies in Backstage's own rules,
   * where the rule is answered in their place.
   */
  withoutNarrowed(batch: DecisionBatch): DecisionBatch {
    if (!this.#isUsed) return batch;
    const answers = batch.answers.map((answer, index) => {
      const permission = batch.queries[index]?.permission;
      const isAbout =
        permission?.type === 'resource' && permission.resourceType === ENTITIES;
      if (!isAbout || !answer.findings.length) return answer;
      const findings = answer.findings.filter(
        ({ code }) => !NARROWED.has(code),
      );
      return { ...answer, findings };
    });
    return { ...batch, answers };
  }

  /** Whether the policies permit an entity. Never throws, and never answers later. */
  applies(entity: unknown, params: WholePolicyParams): boolean {
    try {
      const asked = this.#asked(params);
      if (!asked) return false;
      const { engine, user } = asked;
      // Without relations it would count as a file, whose owner is read from elsewhere.
      const text = JSON.stringify({ relations: [], ...(entity as object) });
      const { decision } = engine.decideBackstageEntity(
        params.permission,
        user,
        text,
      );
      return decision === 'allow';
    } catch (error) {
      this.#close(
        'failed',
        `${params.permission} for ${params.user} about an entity: ${String(error)}`,
      );
      return false;
    }
  }

  /** Returns the conditions of a list: nothing where they cannot be told. Never throws. */
  listed(params: WholePolicyParams): BackstageDecision {
    try {
      const asked = this.#asked(params);
      if (!asked) return { result: 'DENY' };
      const { engine, user, policies } = asked;
      if (this.#generation !== engine.generation) this.#lists.clear();
      this.#generation = engine.generation;
      const key = JSON.stringify([params.claims, params.permission]);
      const known = this.#lists.get(key);
      if (known) return known;
      const found = engine
        .backstagePermissions()
        .find(({ name }) => name === params.permission);
      if (found?.resourceType !== ENTITIES) return { result: 'DENY' };
      const permission = {
        name: found.name,
        attributes: found.action ? { action: found.action } : {},
        resourceType: found.resourceType,
      };
      const usual = engine.decideBackstage(permission, user);
      // Small conditions are fast ones; those that lose something may be larger.
      const { decision, mayKeep } = usual.findings.some(isCut)
        ? engine.decideBackstageWithin(permission, user, {
            ...policies.budget,
            bytes: LIST_BYTES,
          })
        : usual;
      if (this.#lists.size >= LISTS) this.#lists.clear();
      if (mayKeep) this.#lists.set(key, decision);
      return decision;
    } catch (error) {
      this.#close(
        'failed',
        `${params.permission} for ${params.user} in a list: ${String(error)}`,
      );
      return { result: 'DENY' };
    }
  }

  /** Returns whom the parameters speak of, under the policies in force; nothing is closed. */
  #asked({
    revision,
    user: reference,
    claims,
    permission,
  }: WholePolicyParams): WholePolicyQuestion | undefined {
    const policies = this.#policies;
    const engine = policies?.engine();
    const what = `${permission} for ${reference} is denied`;
    if (!policies || !engine) {
      return this.#close(
        'no-policies',
        `${what}: the process of this catalog has no policies. Install the permission ` +
          "plugin's module beside it, or leave the catalog's module out",
      );
    }
    if (short(engine.revision) !== revision) {
      return this.#close(
        'revision',
        `${what} this once: it was asked under revision ${revision}, and ` +
          `${short(engine.revision)} is in force`,
      );
    }
    const user = this.#users.get(claims);
    if (user?.userEntityRef !== reference) {
      return this.#close(
        'claims',
        `${what}: what the user owns is not known in this process. Where several processes ` +
          "answer under one address, leave the catalog's module out",
      );
    }
    return { engine, user, policies };
  }

  /** Tells why something is closed. */
  #close(cause: string, message: string): undefined {
    const code = `whole-policy::${cause}`;
    if (this.#policies) {
      this.#policies.onClosed(code, message);
    } else if (!this.#isToldAlone) {
      this.#isToldAlone = true;
      this.#log?.warn(message, { code });
    }
  }

  #knows(decision: BackstageDecision, reference: string): boolean {
    const claims =
      decision.result === 'CONDITIONAL' && 'params' in decision.conditions
        ? decision.conditions.params.claims
        : undefined;
    const user = this.#users.get(String(claims));
    return user?.userEntityRef === reference;
  }

  /** Remembers who asks; returns by what. */
  #remember(user: BackstageUser): string {
    const owned = user.ownershipEntityRefs ?? [];
    const text = JSON.stringify([user.userEntityRef, owned]);
    const claims = short(createHash('sha256').update(text).digest('base64url'));
    const known = this.#users.get(claims);
    // Those who asked last are kept longest.
    if (known) this.#users.delete(claims);
    else this.#references += owned.length + 1;
    this.#users.set(claims, known ?? user);
    for (const [oldest, { ownershipEntityRefs }] of this.#users) {
      if (this.#references <= REFERENCES || oldest === claims) break;
      this.#users.delete(oldest);
      this.#references -= (ownershipEntityRefs?.length ?? 0) + 1;
    }
    return claims;
  }
}

/** Returns enough of a digest: the rule is sent once for each item of a request. */
const short = (digest: string) => digest.slice(0, 22);

const isCut = ({ code }: { code: string }) =>
  code === 'conditions::over-budget';

/** Whether the answer hangs on the entity, or may: it is narrower than the policies. */
function isOpen({ decision, findings }: BackstageAnswer): boolean {
  if (decision.result === 'CONDITIONAL') return true;
  return (
    decision.result === 'DENY' &&
    findings.some(({ code }) => NARROWED.has(code))
  );
}

/** What a list shows of which nothing is permitted, or everything: each entity has a kind. */
export const NOTHING = { key: 'kind', values: [] };
export const EVERYTHING = { key: 'kind' };

/** Returns the conditions of a list as a query of the catalog. */
export function queryOf<Query>(
  decision: BackstageDecision,
  ofConditions: (conditions: BackstageCriteria) => Query,
): Query | typeof NOTHING | typeof EVERYTHING {
  if (decision.result === 'ALLOW') return EVERYTHING;
  if (decision.result !== 'CONDITIONAL') return NOTHING;
  return ofConditions(decision.conditions);
}

/** One for each process, whichever plugins ask for it. */
export const wholePolicyServiceRef = createServiceRef<WholePolicy>({
  id: 'stagedoor.whole-policy',
  scope: 'root',
  defaultFactory: service =>
    Promise.resolve(
      createServiceFactory({
        service,
        deps: {},
        factory: () => new WholePolicy(),
      }),
    ),
});
