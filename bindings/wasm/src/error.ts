// What is thrown.

/** One thing that is wrong with policies, schemas or files. */
export interface Problem {
  /** Whether it keeps the policies from being loaded. */
  severity: 'error' | 'warning';
  /** Stable code of this kind of problem, such as `policy::parse`. */
  code: string;
  /** What is wrong. */
  message: string;
  /** What to do about it. */
  help?: string;
  /** Id of the policy that is meant. */
  policy?: string;
  /** The file, or the name that was given for the text. */
  file?: string;
  /** The line, from 1. */
  line?: number;
  /** The column in characters, from 1. */
  column?: number;
}

/** A failure, as the module tells it. */
export interface Failure {
  code: string;
  message: string;
  file?: string;
  line?: number;
  column?: number;
  help?: string;
  problems?: Problem[];
}

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

  constructor({ message, code, ...rest }: Failure, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    Object.assign(this, rest);
  }
}

/** A value of the wrong type. */
export function mistyped(what: string, expected: string, help?: string): StagedoorError {
  const message = `${what} must be ${expected}`;
  return new StagedoorError({ code: 'argument::type', message, ...(help && { help }) });
}
