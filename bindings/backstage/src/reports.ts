import type {
  AuditorService,
  LoggerService,
} from '@backstage/backend-plugin-api';
import type { MetricsService } from '@backstage/backend-plugin-api/alpha';
import type { BackstageAnswer, BackstageUser } from '@stagedoor/node';

import type { Policies } from './policies';
import type { Sweep } from './policy';
import type { AuditSettings } from './settings';

/** Counts decisions, failures and reloads. */
export class Metrics {
  readonly #decisions;
  readonly #failures;
  readonly #reloads;
  readonly #differences;
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
    this.#duration = metrics.createHistogram('stagedoor.decision.duration', {
      description: 'Time of one decision within the policy',
      unit: 'us',
    });
  }

  decided({ answers, microseconds }: Sweep): void {
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

  decided({ queries, user, answers, microseconds }: Sweep): void {
    const { decisions, sample } = this.#settings;
    if (decisions === 'none') return;
    answers.forEach((answer, index) => {
      const query = queries[index];
      if (decisions === 'denied' && answer.decision.result !== 'DENY') return;
      if (!query || (sample < 1 && Math.random() >= sample)) return;
      // Nobody waits for it.
      this.#tell(query.permission.name, user, answer, {
        microseconds: Math.round(microseconds / answers.length),
      }).catch(error =>
        this.#logger.error(`a decision could not be audited: ${error}`),
      );
    });
  }

  async #tell(
    permission: string,
    user: BackstageUser | undefined,
    { decision, reasons, errors, revision }: BackstageAnswer,
    { microseconds }: { microseconds: number },
  ): Promise<void> {
    const event = await this.#auditor.createEvent({
      eventId: 'permission-decision',
      severityLevel: this.#settings.severity,
      meta: {
        // No groups, no token: nothing about the person but the reference.
        user: user?.userEntityRef ?? user?.service ?? null,
        permission,
        result: decision.result,
        policies: reasons,
        errors,
        revision,
        microseconds,
      },
    });
    await event.success();
  }
}

/** So many messages are remembered, to be logged once each. */
const REMEMBERED = 1_000;

/** Tells, once each, which conditions are too large for Backstage and thus denied. */
export class OverBudget {
  readonly #logger: LoggerService;
  readonly #logged = new Set<string>();

  constructor(logger: LoggerService) {
    this.#logger = logger;
  }

  decided({ queries, user, answers }: Sweep): void {
    answers.forEach(({ findings, revision }, index) => {
      // Others are told when policies are loaded: they do not hang on the user.
      const found = findings.find(({ code }) => code === OVER_BUDGET);
      if (!found) return;
      const permission = queries[index]?.permission.name;
      const key = JSON.stringify([permission, user?.userEntityRef, revision]);
      if (this.#logged.has(key)) return;
      if (this.#logged.size >= REMEMBERED) this.#logged.clear();
      this.#logged.add(key);
      this.#logger.warn(
        `${permission} is denied to ${user?.userEntityRef}: ${found.message} (${found.help})`,
      );
    });
  }
}

const OVER_BUDGET = 'conditions::over-budget';

/** Compares decisions with those of other policies, from which nothing is enforced. */
export class Shadow {
  readonly #policies: Policies;
  readonly #logger: LoggerService;
  readonly #metrics: Metrics;
  #logged = new Set<string>();

  constructor(policies: Policies, logger: LoggerService, metrics: Metrics) {
    this.#policies = policies;
    this.#logger = logger;
    this.#metrics = metrics;
  }

  decided({ queries, user, answers }: Sweep): void {
    const others = this.#policies.answer(
      queries.map(({ permission }) => permission),
      user,
    );
    others?.forEach((other, index) => {
      const [answer, query] = [answers[index], queries[index]];
      if (!answer || !query || same(answer, other)) return;
      this.#metrics.differed();
      const key = JSON.stringify([
        query.permission.name,
        user?.userEntityRef,
        answer.revision,
        other.revision,
      ]);
      if (this.#logged.has(key)) return;
      if (this.#logged.size >= REMEMBERED) this.#logged.clear();
      this.#logged.add(key);
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
