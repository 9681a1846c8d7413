'use strict';

// What becomes of permissions on a machine for which there is no addon.
process.env.NAPI_RS_NATIVE_LIBRARY_PATH = '/nonexistent/stagedoor.node';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { start, READ, DELETE, PROXY } = require('./backend.js');
const { policyDirectory, simple } = require('./policies.js');

test(
  'without the addon everything is denied, and the log says why',
  { timeout: 600_000 },
  async t => {
    const directory = policyDirectory(t, { 'simple.cedar': simple });
    const { authorize, health, lines } = await start(t, { directory });
    const denied = { result: 'DENY' };
    assert.deepEqual(await authorize([PROXY, READ, DELETE]), [
      denied,
      denied,
      denied,
    ]);
    assert.deepEqual(await health(), {
      code: 503,
      status: 'denying',
      notices: { 'policies::none': 1 },
    });
    const told = lines.filter(({ level }) => level === 'error');
    assert.ok(told.length >= 2);
    for (const { message } of told) {
      assert.match(message, /denied/);
      assert.match(
        message,
        /@stagedoor\/node has no addon for \S+ \(Node \S+\): install/,
      );
    }
  },
);
