// What an author writes.

import type { CedarRecord, Entity, EntityUid } from './cedar.js';
import type { ArgumentsOf, ObjectSchema } from './schema.js';

/** What a rule may look at. */
export type Input = 'principal' | 'action' | 'resource' | 'context';

interface Inputs {
  readonly principal: Entity;
  readonly action: EntityUid;
  readonly resource: Entity;
  readonly context: CedarRecord;
}

/** What is asked: the inputs that the rule declares, and nothing else. */
export type Request<I extends Input> = Pick<Inputs, I> & {
  /**
   * Returns an entity that an input refers to, directly or by another one: an object under
   * admission, say. There is none for an entity with neither attributes nor tags.
   */
  related(uid: EntityUid): Entity | undefined;
};

/** A rule's answer. */
export interface Verdict {
  /** Whether the policy counts. */
  readonly holds: boolean;
  /** Why, for whoever reads the decision. */
  readonly reason?: string;
}

/** Says yes. */
export function yes(reason?: string): Verdict {
  return reason === undefined ? { holds: true } : { holds: true, reason };
}

/** Says no, and why. */
export function no(reason: string): Verdict {
  return { holds: false, reason };
}

/** A custom rule: a function of a request and the policy's arguments. */
export interface Rule<I extends Input = Input, S extends ObjectSchema = ObjectSchema> {
  /** What policies call it: lower-case letters, digits and `-`. */
  readonly name: string;
  readonly version: string;
  /**
   * What it looks at. It is given nothing else, so that the host knows when the rule can be
   * asked, and which answers it may keep.
   */
  readonly inputs: readonly I[];
  /** The JSON schema of the arguments. A policy whose arguments do not fit does not load. */
  readonly arguments: S;
  /**
   * Checks a policy's arguments beyond what their schema says, when the policy is loaded: that a
   * pattern can be read, say. What it throws says what is wrong, and the policy does not load.
   */
  validate?(args: ArgumentsOf<S>): void;
  /**
   * Answers a request. What it throws is told in the decision, and fails closed: a guarded
   * permit is off, a guarded forbid is on.
   */
  evaluate(request: Request<I>, args: ArgumentsOf<S>): Verdict;
}

/** Defines a rule; the types of its request and arguments follow from what it declares. */
export function defineRule<const I extends Input, const S extends ObjectSchema>(
  rule: Rule<I, S>,
): Rule<I, S> {
  return rule;
}
