'use strict';

// What agents reach by the MCP plugin of the example's backend: the tools whose permission the user
// has, and those without one.

const assert = require('node:assert/strict');
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { after, before, test } = require('node:test');

const { ExampleProcess } = require('./exampleProcess.js');

const USERS = ['ana', 'ben', 'cleo', 'dan', 'eva', 'finn', 'guest'];

/** The policy that the README shows. */
const [policy] = readFileSync(join(__dirname, '../README.md'), 'utf8').match(
  /@id\("authors-try-templates"\)[^]*?\);/,
);

let backend;
let number = 0;

/** Asks the MCP plugin as an agent of a user does. */
async function mcp(as, method, params = {}) {
  number += 1;
  const response = await fetch(`${backend.base}/api/mcp-actions/v1`, {
    method: 'POST',
    headers: {
      ...(as && { authorization: `Bearer ${backend.tokens[as]}` }),
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: number, method, params }),
  });
  const text = await response.text();
  const [, data] = /^data: (.*)$/m.exec(text) ?? [undefined, text];
  return { status: response.status, ...JSON.parse(data) };
}

const tools = async as => {
  const { result } = await mcp(as, 'tools/list');
  return result.tools.map(({ name }) => name).sort();
};

async function allowed(as, name, action) {
  const { body } = await backend.call('permission/authorize', {
    as,
    body: {
      items: [
        {
          id: '0',
          permission: {
            type: 'basic',
            name,
            attributes: action ? { action } : {},
          },
        },
      ],
    },
  });
  return body.items[0].result === 'ALLOW';
}

before(
  async () => {
    backend = await ExampleProcess.start({
      MCP: '1',
      APP_CONFIG_backend_actions_pluginSources:
        '["catalog", "kubernetes", "scaffolder"]',
    });
    for (const name of USERS) await backend.signIn(name);
  },
  { timeout: 900_000 },
);

after(() => backend?.stop());

test('a tool is listed for those who have its permission, and cannot be called by others', async t => {
  const all = await tools('cleo');
  assert.ok(all.length > 10, `${all}`);
  for (const [part, permission, action] of [
    ['dry-run', 'scaffolder.template.dry-run'],
    ['clusters', 'kubernetes.clusters.read', 'read'],
  ]) {
    const tool = all.find(name => name.includes(part));
    const has = new Set();
    for (const name of USERS) {
      const may = await allowed(name, permission, action);
      const seen = await tools(name);
      assert.equal(seen.includes(tool), may, `${name} ${tool}`);
      // Actions that name no permission are there for everybody.
      assert.ok(seen.length >= all.length - 4, `${name}: ${seen}`);
      const { result, error } = await mcp(name, 'tools/call', {
        name: tool,
        arguments: {},
      });
      const told = JSON.stringify(error ?? result);
      assert.equal(/not found/i.test(told), !may, `${name}: ${told}`);
      has.add(may);
    }
    assert.equal(has.size, 2, permission);
  }
  t.diagnostic(`${all.length} tools: ${all.join(', ')}`);
});

test('a policy gives a tool to more users, at once', async () => {
  const named = name => name.includes('dry-run');
  assert.equal((await tools('finn')).some(named), false);
  const theirs = policy.replace('template-authors', 'growth');
  assert.notEqual(theirs, policy);
  writeFileSync(join(backend.policies, 'tools.cedar'), theirs);
  await backend.eventually(async () => (await tools('finn')).some(named));
  assert.equal((await tools('eva')).some(named), false);
});

test('who is signed in by nobody reaches nothing', async () => {
  const { result, error } = await mcp(undefined, 'tools/list');
  assert.equal(result, undefined);
  assert.ok(error);
});
