import type {
  AuditorService,
  LoggerService,
} from '@backstage/backend-plugin-api';
import type { MetricsService } from '@backstage/backend-plugin-api/alpha';
import type { JsonObject } from '@backstage/types';
import type { BackstageAnswer, BackstageUser } from '@stagedoor/node';

import { line } from './policies';
import type { Policies } from './policies';
import type { DecisionBatch } from './policy';
import type { AuditSettings } from './settings';

type Query = DecisionBatch['queries'][number];

/** Counts decisions, failures and reloads. */
export class Metrics {
  readonly #decisions;
  readonly #failures;
  readonly #reloads;
  readonly #differences;
  readonly #notices;
  readonly #duration;

  constructor(metrics: MetricsService) {
    this.#decisions = metrics.createCounter<{ result: string }>(
      'stagedoor.decisions',
      { description: 'Permission decisions, by their result' },
    );
    this.#failures = metrics.createCounter('stagedoor.failures', {
      description: 'Requests that were denied since deciding failed',
    });
    this.#reloads = metrics.createCounter<{
      policies: string;
      loaded: boolean;
    }>('stagedoor.loads', {
      description: 'Attempts to load policies',
    });
    this.#differences = metrics.createCounter('stagedoor.shadow.differences', {
      description: 'Decisions that the shadow policies would make differently',
    });
    this.#notices = metrics.createCounter<{ cause: string }>(
      'stagedoor.notices',
      {
        description:
          'Answers that are narrower than whoever asks may expect, by the cause',
      },
    );
    this.#duration = metrics.createHistogram('stagedoor.decision.duration', {
      description: 'Time of one decision within the policy',
      unit: 'us',
    });
  }

  decided({ answers, microseconds }: DecisionBatch): void {
    const counts = new Map<string, number>();
    for (const { decision } of answers) {
      counts.set(decision.result, (counts.get(decision.result) ?? 0) + 1);
    }
    counts.forEach((count, result) => this.#decisions.add(count, { result }));
    this.#duration.record(microseconds / answers.length);
  }

  failed(): void {
    this.#failures.add(1);
  }

  loaded(policies: string, loaded: boolean): void {
    this.#reloads.add(1, { policies, loaded });
  }

  noticed(cause: string): void {
    this.#notices.add(1, { cause });
  }

  differed(): void {
    this.#differences.add(1);
  }
}

/** Tells the auditor of decisions, as far as the settings ask for it. */
export class Audit {
  readonly #auditor: AuditorService;
  readonly #settings: AuditSettings;
  readonly #logger: LoggerService;

  constructor(
    auditor: AuditorService,
    settings: AuditSettings,
    logger: LoggerService,
  ) {
    this.#auditor = auditor;
    this.#settings = settings;
    this.#logger = logger;
  }

  decided({ queries, user, answers, microseconds }: DecisionBatch): void {
    const { decisions, sample } = this.#settings;
    if (decisions === 'none') return;
    answers.forEach((answer, index) => {
      const query = queries[index];
      const denied = answer.decision.result === 'DENY';
      if (!query || (decisions === 'denied' && !denied)) return;
      if (decisions === 'notable' && !denied && !changes(query)) return;
      if (sample < 1 && Math.random() >= sample) return;
      // Nobody waits for it.
      this.#tell(query, user, answer, {
        microseconds: Math.round(microseconds / answers.length),
      }).catch(error =>
        this.#logger.error(`a decision could not be audited: ${error}`),
      );
    });
  }

  async #tell(
    query: Query,
    user: BackstageUser | undefined,
    { decision, reasons, errors, revision }: BackstageAnswer,
    { microseconds }: { microseconds: number },
  ): Promise<void> {
    const event = await this.#auditor.createEvent({
      eventId: 'permission-decision',
      severityLevel: this.#settings.severity,
      meta: {
        ...asked(query, user),
        result: decision.result,
        // What the plugin applies: with it the record says what was given away.
        ...(decision.result === 'CONDITIONAL' && {
          // JSON, which an interface does not say of itself.
          conditions: decision.conditions as unknown as JsonObject,
        }),
        policies: reasons,
        errors,
        revision,
        microseconds,
      },
    });
    await event.success();
  }
}

/** Everything that was asked, so that the decision can be made again: no token. */
export function asked(
  { permission }: Query,
  user: BackstageUser | undefined,
): JsonObject {
  return {
    user: user?.userEntityRef ?? user?.service ?? null,
    ...(user?.service !== undefined && { service: user.service }),
    ...(user?.ownershipEntityRefs && {
      ownershipEntityRefs: [...user.ownershipEntityRefs],
    }),
    permission: permission.name,
    action: permission.attributes.action ?? null,
    ...('resourceType' in permission && {
      resourceType: permission.resourceType,
    }),
  };
}

/** Whether it is asked to change something, as far as the permission says so. */
export function changes({ permission }: Query): boolean {
  return ['create', 'update', 'delete'].includes(
    permission.attributes.action ?? '',
  );
}

/** Something that was logged once, and how often it was met. */
export interface LogNotice {
  readonly code: string;
  readonly message: string;
  times: number;
}

/** A decision that the shadow policies would make differently. */
export interface ShadowDifference {
  readonly user: string;
  readonly permission: string;
  readonly result: string;
  readonly policies: readonly string[];
  readonly shadowResult: string;
  readonly shadowPolicies: readonly string[];
}

/** So many differences of the shadow policies are told. */
const DIFFERENCES = 100;

/** So many messages are remembered, to be logged once each. */
const REMEMBERED = 1_000;

/** Codes of what is told when policies are loaded: it does not hang on who asks for what. */
const TOLD_WHEN_LOADED = new Set([
  'conditions::unsupported',
  'conditions::no-rules',
  'conditions::guarded',
  'conditions::no-context',
]);

/** What is noticed of policies that cannot be evaluated. */
const FAILED = 'policies::failed';

/**
 * Tells, once for each cause, why answers are narrower than whoever asks may expect: an unknown
 * permission, a reference that is none, conditions that are cut. Counts them all.
 */
export class Notices {
  readonly #logger: LoggerService;
  readonly #metrics: Metrics;
  readonly #counts = new Map<string, number>();
  readonly #logged = new Map<string, LogNotice>();

  constructor(logger: LoggerService, metrics: Metrics) {
    this.#logger = logger;
    this.#metrics = metrics;
  }

  /** What was logged since the backend started, and how often it was met; the latest first. */
  get told(): LogNotice[] {
    return [...this.#logged.values()].reverse();
  }

  /** How often each cause was met since the backend started. */
  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort());
  }

  decided({ queries, user, answers }: DecisionBatch): void {
    answers.forEach(({ findings, errors, revision }, index) => {
      const permission = queries[index]?.permission.name ?? '';
      const who = user?.userEntityRef ?? user?.service ?? 'nobody';
      let isTold = false;
      for (const finding of findings) {
        if (TOLD_WHEN_LOADED.has(finding.code)) continue;
        isTold = true;
        // Others say in their message whom or what they are about.
        const isOnesOwn = finding.code === OVER_BUDGET;
        const subject = isOnesOwn ? `${permission} for ${who}: ` : '';
        const key = isOnesOwn ? [permission, who, revision] : [finding.message];
        this.notice(finding.code, `${subject}${line(finding)}`, key);
      }
      // What has a finding has its reason among the errors, too.
      if (isTold) return;
      errors.forEach(error =>
        this.notice(FAILED, `${permission} for ${who}: ${error}`, [error]),
      );
    });
  }

  /** Counts what is logged elsewhere. */
  count(cause: string): void {
    this.#counts.set(cause, (this.#counts.get(cause) ?? 0) + 1);
    this.#metrics.noticed(cause);
  }

  /** Counts something, and logs it once for each cause: the code with these parts. */
  notice(code: string, message: string, parts: string[]): void {
    this.count(code);
    const key = JSON.stringify([code, ...parts]);
    const known = this.#logged.get(key);
    if (known) known.times += 1;
    // Anybody may ask for any name: a log that is full of them says nothing more.
    if (known || this.#logged.size > REMEMBERED) return;
    this.#logged.set(key, { code, message, times: 1 });
    const last =
      this.#logged.size > REMEMBERED
        ? '; further causes are counted, but not logged until the backend starts again'
        : '';
    this.#logger.warn(`${message}${last}`, { code });
  }
}

const OVER_BUDGET = 'conditions::over-budget';

/** Compares decisions with those of other policies, from which nothing is enforced. */
export class Shadow {
  readonly #policies: Policies;
  readonly #logger: LoggerService;
  readonly #metrics: Metrics;
  #logged = new Set<string>();
  /** How many decisions differed since the backend started. */
  differences = 0;
  /** The latest of them, each user and permission once, the latest first. */
  readonly latest: ShadowDifference[] = [];

  constructor(policies: Policies, logger: LoggerService, metrics: Metrics) {
    this.#policies = policies;
    this.#logger = logger;
    this.#metrics = metrics;
  }

  decided({ queries, user, answers }: DecisionBatch): void {
    const others = this.#policies.answer(
      queries.map(({ permission }) => permission),
      user,
    );
    others?.forEach((other, index) => {
      const [answer, query] = [answers[index], queries[index]];
      if (!answer || !query || same(answer, other)) return;
      this.#metrics.differed();
      this.differences += 1;
      const key = JSON.stringify([
        query.permission.name,
        user?.userEntityRef,
        answer.revision,
        other.revision,
      ]);
      if (this.#logged.has(key)) return;
      if (this.#logged.size >= REMEMBERED) this.#logged.clear();
      this.#logged.add(key);
      this.latest.unshift({
        user: user?.userEntityRef ?? user?.service ?? 'nobody',
        permission: query.permission.name,
        result: answer.decision.result,
        policies: answer.reasons,
        shadowResult: other.decision.result,
        shadowPolicies: other.reasons,
      });
      this.latest.splice(DIFFERENCES);
      this.#logger.warn(
        `the shadow policies differ on ${query.permission.name} for ${user?.userEntityRef}: ` +
          `${answer.decision.result} by ${list(answer)}, but ` +
          `${other.decision.result} by ${list(other)}`,
        {
          decision: JSON.stringify(answer.decision),
          shadow: JSON.stringify(other.decision),
        },
      );
    });
  }
}

function same(one: BackstageAnswer, other: BackstageAnswer): boolean {
  if (one.decision.result !== other.decision.result) return false;
  if (one.decision.result !== 'CONDITIONAL') return true;
  // Criteria are canonical: the same ones are written the same way.
  return JSON.stringify(one.decision) === JSON.stringify(other.decision);
}

function list({ reasons }: BackstageAnswer): string {
  return reasons.length ? reasons.join(', ') : 'no policy';
}
