'use strict';

const { policyMatchers, runPolicyTests } = require('../../testing.js');
const { by, engine, entities, policies } = require('./shared.js');

expect.extend(policyMatchers);
runPolicyTests(policies);

test('matchers', () => {
  expect(engine).toAllow(by('ana'), entities);
  expect(engine).toAllowBecauseOf(by('ana'), 'team-deploys', entities);
  expect(engine).toDenyBecauseOf(by('ben'), [], entities);
  expect(engine).not.toAllow(by('ben'), entities);
  expect(() => expect(engine).toAllow(by('ben'), entities)).toThrow(
    /principal in Team::"payments"/,
  );
});
