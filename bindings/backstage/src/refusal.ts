import type { StagedoorError } from '@stagedoor/node';

import { NoPolicies } from './access';
import { NotApplied } from './appliedConditions';
import { BodyTooLong } from './requestBody';
import { Unanswerable } from './why';

/** Something that whoever asks is told. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly more: object = {},
  ) {
    super(message);
  }
}

/** Returns what whoever asks is told of a failure; nothing if it is none of theirs. */
export function refused(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof NoPolicies) return new Refusal(503, error.message);
  if (error instanceof Unanswerable) return new Refusal(400, error.message);
  if (error instanceof BodyTooLong) return new Refusal(413, error.message);
  if (error instanceof NotApplied) return new Refusal(502, error.message);
  const { name, code, problems, message } = (error ??
    {}) as Partial<StagedoorError>;
  if (name !== 'StagedoorError') return undefined;
  if (code === 'engine::closed') {
    return new Refusal(503, 'the policies have changed: ask again');
  }
  return new Refusal(400, message ?? String(error), {
    code,
    problems: problems ?? [],
  });
}
