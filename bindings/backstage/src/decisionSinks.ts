import { createExtensionPoint } from '@backstage/backend-plugin-api';
import type { LoggerService } from '@backstage/backend-plugin-api';
import type {
  BackstageAnswer,
  BackstageUser,
  DecisionLog,
  DecisionLogOptions,
  DecisionRecordInput,
  DecisionSink,
} from '@stagedoor/node';

import type { Policies } from './policies';
import type { DecisionBatch } from './policy';
import { asked, changes } from './reports';

type Query = DecisionBatch['queries'][number];

/** Which decisions a sink gets, in which form, and what becomes of them where it fails. */
export interface DecisionSinkOptions extends DecisionLogOptions {
  /** Whether nothing is allowed before the sink has taken its record; all are recorded then. */
  required?: boolean;
}

/** Where other modules of the permission plugin add functions that keep records of decisions. */
export interface DecisionSinksExtensionPoint {
  /** Adds a function that gets records of decisions, each a line of JSON. */
  addSink(sink: DecisionSink, options?: DecisionSinkOptions): void;
}

/** Gets records of decisions to functions of other modules. */
export const decisionSinksExtensionPoint =
  createExtensionPoint<DecisionSinksExtensionPoint>({
    id: 'permission.stagedoor.decision-sinks',
  });

interface SinkEntry {
  readonly sink: DecisionSink;
  readonly options: DecisionSinkOptions;
}

/** Hands what was decided to the sinks of other modules. */
export class DecisionRecords implements DecisionSinksExtensionPoint {
  readonly #added: SinkEntry[] = [];
  #logs: { readonly log: DecisionLog; readonly required: boolean }[] = [];
  #failure: Error | undefined;
  /** The effects of policies, of one revision. */
  #effects = new Map<string, 'permit' | 'forbid'>();
  #revision: string | undefined;

  addSink(sink: DecisionSink, options: DecisionSinkOptions = {}): void {
    this.#added.push({ sink, options });
  }

  /** Begins, once all sinks were added. Rejects where options of one are wrong. */
  async start(logger: LoggerService): Promise<void> {
    if (!this.#added.length) return;
    const stagedoor = await import('@stagedoor/node').catch(
      (cause: Error) => cause,
    );
    for (const { sink, options } of this.#added) {
      const { required = false, sample, drop, ...rest } = options;
      if (required && (sample ?? drop?.length)) {
        throw new Error(
          'a sink of decisions that is required gets all of them: it has neither `sample` nor `drop`',
        );
      }
      const onError = (error: unknown) =>
        logger.error(
          `records of decisions cannot be written and are lost: ${String(error)}`,
        );
      try {
        if (stagedoor instanceof Error) throw stagedoor;
        const log = new stagedoor.DecisionLog(sink, {
          onError,
          ...rest,
          ...(sample && { sample }),
          ...(drop && { drop }),
          ...(required && { decisions: 'all' }),
        });
        this.#logs.push({ log, required });
      } catch (error) {
        if ((error as { code?: string }).code !== 'addon::missing') throw error;
        // Decisions may be made without the addon, records of them not.
        logger.error(`decisions are not recorded: ${(error as Error).message}`);
        if (required) this.#failure = error as Error;
      }
    }
  }

  /**
   * Records what was decided. Where that is required, the promise is fulfilled when it is done, and
   * rejected where it cannot be: nothing may be allowed then.
   */
  record(batch: DecisionBatch, policies: Policies): Promise<void> | undefined {
    if (this.#failure) return Promise.reject(this.#failure);
    if (!this.#logs.length) return undefined;
    const { queries, user, answers, microseconds } = batch;
    const durationMicros = Math.round(microseconds / answers.length);
    const required: Promise<void>[] = [];
    answers.forEach((answer, index) => {
      const query = queries[index];
      if (!query) return;
      const effects = this.#effectsOf(answer, policies);
      const record = {
        ...recordOf(query, user, answer, effects),
        durationMicros,
      };
      for (const each of this.#logs) {
        if (each.required) {
          required.push(each.log.recordRequired(record, changes(query)));
        } else {
          each.log.record(record, changes(query));
        }
      }
    });
    // All of them come to an end, also where one has failed.
    return required.length
      ? Promise.all(required).then(() => undefined)
      : undefined;
  }

  /** Hands over what waits. A sink that hangs does not keep a backend from ending. */
  async flush(logger: LoggerService): Promise<void> {
    const flushed = this.#logs.map(({ log }) =>
      log
        .flush()
        .catch(error =>
          logger.error(`records of decisions are lost: ${String(error)}`),
        ),
    );
    await Promise.all(flushed);
  }

  #effectsOf(
    { reasons, revision }: BackstageAnswer,
    policies: Policies,
  ): ReadonlyMap<string, 'permit' | 'forbid'> {
    if (this.#revision !== revision) this.#effects = new Map();
    this.#revision = revision;
    const unknown = reasons.filter(id => !this.#effects.has(id));
    if (unknown.length) {
      const places = policies.engine?.policyPlaces(unknown) ?? [];
      places.forEach(({ id, effect }) => this.#effects.set(id, effect));
    }
    return this.#effects;
  }
}

const OUTCOMES = {
  ALLOW: 'allowed',
  DENY: 'denied',
  CONDITIONAL: 'conditional',
} as const;

function recordOf(
  query: Query,
  user: BackstageUser | undefined,
  { decision, reasons, errors, revision }: BackstageAnswer,
  effects: ReadonlyMap<string, 'permit' | 'forbid'>,
): DecisionRecordInput {
  const usual = decision.result === 'DENY' ? 'forbid' : 'permit';
  return {
    platform: 'backstage',
    endpoint: 'permission',
    request: asked(query, user),
    outcome: OUTCOMES[decision.result],
    policies: reasons.map(id => ({ id, effect: effects.get(id) ?? usual })),
    errors: errors.map(message => ({
      policy: '',
      code: 'policies::failed',
      message,
    })),
    ...(decision.result === 'CONDITIONAL' && {
      // What the plugin applies, as `stagedoor replay` reads it.
      conditions: [
        {
          id: 'criteria',
          effect: 'Allow',
          condition: JSON.stringify(decision.conditions),
        },
      ],
    }),
    revision,
  };
}
