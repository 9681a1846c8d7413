import { describe, expect, it, test } from 'vitest';

import testing from '../../testing.js';
import shared from './shared.js';

const { by, engine, entities, policies } = shared;

expect.extend(testing.policyMatchers);
testing.runPolicyTests(policies, { describe, it });

test('matchers', () => {
  expect(engine).toAllow(by('ana'), entities);
  expect(engine).toAllowBecauseOf(by('ana'), 'team-deploys', entities);
  expect(engine).toDenyBecauseOf(by('ben'), [], entities);
  expect(engine).not.toAllow(by('ben'), entities);
  expect(() => expect(engine).toAllow(by('ben'), entities)).toThrow(
    /principal in Team::"payments"/,
  );
});

test('without globals, Vitest has to be given', () => {
  expect(() => testing.runPolicyTests(policies)).toThrow(/imported from 'vitest'/);
});
