// A rule, asked without WebAssembly: for its tests.

import type { CedarRecord, Entity, EntityUid } from './cedar.js';
import type { Input, Request, Rule, Verdict } from './rule.js';
import type { ArgumentsOf, ObjectSchema } from './schema.js';

/** An entity of a test: what is left out is empty. */
export interface RequestEntity {
  readonly uid: EntityUid;
  readonly attributes?: CedarRecord;
  readonly tags?: CedarRecord;
  readonly ancestors?: readonly EntityUid[];
}

interface RequestInputs {
  readonly principal: RequestEntity;
  readonly action: EntityUid;
  readonly resource: RequestEntity;
  readonly context: CedarRecord;
}

/** What a test asks: the inputs that the rule declares, and the entities that they refer to. */
export type RuleRequest<I extends Input> = Pick<RequestInputs, I> & {
  readonly related?: readonly RequestEntity[];
};

/** Asks a rule, as the host does. */
export function ask<I extends Input, S extends ObjectSchema>(
  rule: Rule<I, S>,
  asked: RuleRequest<I>,
  args: ArgumentsOf<S>,
): Verdict {
  const { related = [], ...inputs } = asked;
  const request: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(inputs)) {
    request[name] =
      name === 'principal' || name === 'resource' ? whole(value as RequestEntity) : value;
  }
  const entities = related.map(whole);
  request['related'] = (uid: EntityUid) =>
    entities.find(entity => entity.uid.type === uid.type && entity.uid.id === uid.id);
  return rule.evaluate(request as Request<I>, args);
}

function whole({ uid, attributes = {}, tags = {}, ancestors = [] }: RequestEntity): Entity {
  return { uid, attributes, tags, ancestors };
}
