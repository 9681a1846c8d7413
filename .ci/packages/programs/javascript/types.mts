// Compiled, not run: the types are found and fit each other.

import { Engine, Entities, type Decision, type StagedoorError } from '@stagedoor/node';
import { policyMatchers } from '@stagedoor/node/testing';
import { Engine as InWasm, init } from '@stagedoor/wasm';
import { ask } from '@stagedoor/rule-sdk';

import rule from './rule.js';

export async function decide(): Promise<Decision> {
  const engine = await Engine.load({ directory: 'policies' });
  await init(fetch('stagedoor.wasm'));
  InWasm.loadSync({ texts: [] }).close();
  ask(rule, { principal: { uid: { type: 'User', id: 'ana' } } }, { people: ['ana'] });
  return engine.decide({ principal: 'a', action: 'b', resource: 'c' }, new Entities([]));
}

export const matchers: object = policyMatchers;
export const code = (error: StagedoorError): string => error.code;
