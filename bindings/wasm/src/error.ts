// What is thrown.

import type { Problem, WireError } from './wire.js';

/** A failure, as the module tells it, or as it is made here. */
export type Failure = Partial<WireError> & { code: string; message: string };

/**
 * What everything here throws. Take it as a denial.
 *
 * For policies that do not load, the fields are those of the first of `problems`.
 */
export class StagedoorError extends Error {
  override readonly name = 'StagedoorError';
  /** Stable code of this kind of error, such as `policy::parse` or `argument::type`. */
  readonly code: string;
  /** The file that is wrong. */
  readonly file?: string;
  /** The line, from 1. */
  readonly line?: number;
  /** The column in characters, from 1. */
  readonly column?: number;
  /** What to do about it. */
  readonly help?: string;
  /** Everything that is wrong, if policies did not load. */
  readonly problems?: Problem[];
  /** How many problems more there are. */
  readonly unreported?: number;

  constructor(failure: Failure, options?: ErrorOptions) {
    const { message, code, file, line, column, help, problems, unreported } = failure;
    super(message, options);
    this.code = code;
    if (file !== undefined) this.file = file;
    if (line !== undefined) this.line = line;
    if (column !== undefined) this.column = column;
    if (help !== undefined && help !== null) this.help = help;
    if (problems !== undefined && problems.length > 0) {
      this.problems = problems;
      this.unreported = unreported ?? 0;
    }
  }
}

/** A value of the wrong type. */
export function mistyped(what: string, expected: string, help?: string): StagedoorError {
  const message = `${what} must be ${expected}`;
  return new StagedoorError({ code: 'argument::type', message, ...(help && { help }) });
}
