import type { LoggerService } from '@backstage/backend-plugin-api';
import type { PolicyDecision } from '@backstage/plugin-permission-common';
import type {
  PermissionPolicy,
  PolicyQuery,
  PolicyQueryUser,
} from '@backstage/plugin-permission-node';
import type {
  BackstageAnswer,
  BackstageDecision,
  BackstageUser,
} from '@stagedoor/node';

import type { Policies } from './policies';

/** What was asked in one batch for one user, and what became of it. */
export interface DecisionBatch {
  readonly queries: readonly PolicyQuery[];
  readonly user: BackstageUser | undefined;
  readonly answers: readonly BackstageAnswer[];
  /** How long the answers took, all of them together. */
  readonly microseconds: number;
}

export interface StagedoorPolicyOptions {
  readonly policies: Policies;
  readonly guest: BackstageUser | undefined;
  readonly logger: LoggerService;
  /** Resolves once the first attempt to load has ended, or requests have waited enough. */
  readonly ready: Promise<void>;
  /**
   * Records what was decided. Where it gives a promise, nothing is allowed unless that is
   * fulfilled.
   */
  readonly record?: (batch: DecisionBatch) => Promise<void> | undefined;
  /** What Backstage is told of an answer. By default the decision as it is. */
  readonly enforced?: (
    permission: PolicyQuery['permission'],
    user: BackstageUser | undefined,
    answer: BackstageAnswer,
  ) => BackstageDecision;
  /** Told about everything that was answered. What it throws is logged. */
  readonly onBatch: (sweep: DecisionBatch) => void;
  /** Told when something was denied since there were no policies, or since deciding failed. */
  readonly onFailure: (cause: 'none' | 'failed') => void;
}

interface Waiting {
  readonly query: PolicyQuery;
  readonly user: PolicyQueryUser | undefined;
  readonly resolve: (decision: PolicyDecision) => void;
}

const DENY: PolicyDecision = Object.freeze({ result: 'DENY' });

/**
 * Backstage's permission policy, answered by Cedar policies.
 *
 * Backstage asks for all items of a request in one synchronous sweep; they are collected and
 * answered by one call of the engine. The policy never throws and never rejects, since one
 * failure would fail all items of the request: whatever fails is denied.
 */
export class StagedoorPolicy implements PermissionPolicy {
  #waiting: Waiting[] = [];
  #isReady = false;
  #lastReportedFailure: string | undefined;
  readonly #options: StagedoorPolicyOptions;

  constructor(options: StagedoorPolicyOptions) {
    this.#options = options;
    const ready = () => {
      this.#isReady = true;
    };
    options.ready.then(ready, ready);
  }

  handle(query: PolicyQuery, user?: PolicyQueryUser): Promise<PolicyDecision> {
    return new Promise(resolve => {
      this.#waiting.push({ query, user, resolve });
      if (this.#waiting.length === 1) this.#answerSoon();
    });
  }

  #answerSoon(): void {
    if (this.#isReady || this.#options.policies.engine) {
      queueMicrotask(() => this.#answer());
    } else {
      const answer = () => this.#answer();
      this.#options.ready.then(answer, answer);
    }
  }

  #answer(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let start = 0; start < waiting.length;) {
      // Items of one request carry the same user object.
      const user = waiting[start]?.user;
      let end = start + 1;
      while (end < waiting.length && waiting[end]?.user === user) end += 1;
      this.#answerFor(user, waiting.slice(start, end));
      start = end;
    }
  }

  #answerFor(user: PolicyQueryUser | undefined, waiting: Waiting[]): void {
    try {
      this.#batch(user, waiting);
    } catch (error) {
      // Those that were answered stay so.
      waiting.forEach(({ resolve }) => resolve(DENY));
      this.#options.onFailure('failed');
      this.#options.logger.error(
        `permissions are denied since deciding failed: ${String(error)}`,
      );
    }
  }

  #batch(user: PolicyQueryUser | undefined, waiting: Waiting[]): void {
    const { policies, onBatch, logger } = this.#options;
    const principal = this.#principal(user);
    const queries = waiting.map(({ query }) => query);
    const started = performance.now();
    const answers = policies.answer(
      queries.map(({ permission }) => permission),
      principal,
    );
    const microseconds = (performance.now() - started) * 1000;
    if (!answers) {
      this.#deny(waiting);
      return;
    }
    this.#lastReportedFailure = undefined;
    const batch = { queries, user: principal, answers, microseconds };
    this.#tell(waiting, batch, this.#options.record?.(batch));
    try {
      onBatch(batch);
    } catch (error) {
      logger.error(`what was decided could not be reported: ${String(error)}`);
    }
  }

  /** Tells the answers, where records are required when they are written. */
  #tell(
    waiting: Waiting[],
    { answers, user }: DecisionBatch,
    recorded: Promise<void> | undefined,
  ): void {
    const { enforced } = this.#options;
    const decisions = waiting.map(({ query: { permission } }, index) => {
      const answer = answers[index];
      if (!answer) return DENY;
      const decision = enforced?.(permission, user, answer) ?? answer.decision;
      return decision as PolicyDecision;
    });
    const tell = () =>
      waiting.forEach(({ resolve }, index) =>
        resolve(decisions[index] ?? DENY),
      );
    if (!recorded) {
      tell();
      return;
    }
    recorded.then(tell, error => {
      waiting.forEach(({ resolve }) => resolve(DENY));
      this.#options.onFailure('failed');
      this.#options.logger.error(
        `permissions are denied since they cannot be recorded: ${String(error)}`,
      );
    });
  }

  /** Denies since no policies are in force. */
  #deny(waiting: Waiting[]): void {
    waiting.forEach(({ resolve }) => resolve(DENY));
    this.#options.onFailure('none');
    const { failure } = this.#options.policies.status;
    // Once for each reason: requests go on.
    if (failure !== this.#lastReportedFailure) {
      this.#options.logger.error(
        `permissions are denied since no policies are in force: ${failure}`,
      );
    }
    this.#lastReportedFailure = failure;
  }

  /** Returns who asks. Only where nobody is signed in it is the guest. */
  #principal(user: PolicyQueryUser | undefined): BackstageUser | undefined {
    if (!user) return this.#options.guest;
    if (!user.info) throw new Error('Backstage tells nothing about the user');
    // The addon refuses keys that it does not know, and Backstage may add some.
    const { userEntityRef, ownershipEntityRefs } = user.info;
    return { userEntityRef, ownershipEntityRefs };
  }
}
