'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const testing = require('../../testing.js');
const { by, engine, entities, policies } = require('./shared.js');

testing.runPolicyTests(policies);

test('assertions', () => {
  testing.assertAllows(engine, by('ana'), entities);
  testing.assertAllowsBecauseOf(engine, by('ana'), 'team-deploys', entities);
  testing.assertDenies(engine, by('ben'), entities);
  testing.assertDeniesBecauseOf(engine, by('ben'), [], entities);
  assert.throws(() => testing.assertAllows(engine, by('ben'), entities), {
    code: 'ERR_ASSERTION',
    message: /expected allow\nreceived deny, by no policy\n.*principal in Team::"payments"/,
  });
});

test('what cannot be used is thrown', () => {
  assert.throws(() => testing.runPolicyTests('no-such-folder'), { code: 'tests::unusable' });
  assert.throws(() => testing.runPolicyTests(policies, {}), TypeError);
});
