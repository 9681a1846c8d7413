export { ask, type RuleRequest } from './ask.js';
export {
  entityOf,
  extensionOf,
  type CedarRecord,
  type Entity,
  type EntityUid,
  type Extension,
  type Value,
} from './cedar.js';
export { defineRule, no, yes, type Input, type Request, type Rule, type Verdict } from './rule.js';
export type { ArgumentsOf, ObjectSchema, Schema } from './schema.js';
