'use strict';

// The scaffolder's own store of tasks, which takes an empty list of alternatives for every task.
// No answer leads there, and whoever may see some tasks sees these in lists.

const assert = require('node:assert/strict');
const { createRequire } = require('node:module');
const path = require('node:path');
const { test } = require('node:test');

const {
  createConditionTransformer,
} = require('@backstage/plugin-permission-node');
const { Engine } = require('@stagedoor/node');
const knexFactory = require('knex');

const { policyDirectory } = require('./policies.js');

const scaffolder = createRequire(
  require.resolve('@backstage/plugin-scaffolder-backend/package.json'),
);
const root = path.dirname(scaffolder.resolve('./package.json'));
const internal = file => scaffolder(path.join(root, 'dist', `${file}.cjs.js`));
const { DatabaseTaskStore } = internal('scaffolder/tasks/DatabaseTaskStore');
const { scaffolderTaskRules } = internal('service/rules');
const transform = createConditionTransformer(
  Object.values(scaffolderTaskRules),
);

const PERMISSION = {
  name: 'scaffolder.task.read',
  attributes: { action: 'read' },
  resourceType: 'scaffolder-task',
};
const PEOPLE = ['ana', 'ben', 'cleo'];

async function storeOfTasks(t) {
  const knex = knexFactory({
    client: 'better-sqlite3',
    connection: ':memory:',
    useNullAsDefault: true,
    pool: { min: 1, max: 1 },
  });
  t.after(() => knex.destroy());
  const store = await DatabaseTaskStore.create({ database: knex });
  for (const name of [...PEOPLE, undefined]) {
    const createdBy = name && `user:default/${name}`;
    await store.createTask({ spec: { steps: [] }, createdBy });
  }
  return async permissionFilters => {
    const { tasks } = await store.list({ permissionFilters });
    return tasks.map(({ createdBy }) => createdBy?.split('/')[1]).sort();
  };
}

test('an empty list of alternatives still means every task', async t => {
  const list = await storeOfTasks(t);
  assert.equal((await list(undefined)).length, 4);
  assert.equal((await list({ anyOf: [] })).length, 4);
  assert.equal((await list({ allOf: [] })).length, 4);
  assert.deepEqual(await list({ key: 'created_by', values: [] }), []);
});

test('lists of tasks hold those that the policies permit, and no others', async t => {
  const list = await storeOfTasks(t);
  const scope = `principal is Backstage::User,
    action == Backstage::Action::"scaffolder.task.read",
    resource is Backstage::ScaffolderTask`;
  const own =
    'resource has createdBy && principal.claims.contains(resource.createdBy)';
  const by = name => `resource.createdBy == "user:default/${name}"`;
  for (const [policies, expected] of [
    [`permit (${scope}) when { ${own} };`, ['ana']],
    // Nobody's claims, and a condition that nothing meets.
    [
      `permit (${scope}) when { resource has createdBy && ${by('nobody')} };`,
      [],
    ],
    [
      `permit (${scope}) when { resource has createdBy && ${by('ana')} && ${by('ben')} };`,
      [],
    ],
    [
      `permit (${scope}) when { resource has createdBy && (${by('ben')} || ${by('cleo')}) };`,
      ['ben', 'cleo'],
    ],
    [
      `permit (${scope}) when { ${own} };
       forbid (${scope}) when { resource has createdBy && ${by('ana')} };`,
      [],
    ],
    // No rule says it: closed.
    [
      `permit (${scope}) when { resource has createdBy && resource.createdBy like "*a" };`,
      [],
    ],
    [`permit (${scope}) when { !(resource has createdBy) };`, []],
  ]) {
    const texts = policies
      .split(/(?<=;)\s+(?=forbid)/)
      .map((text, index) => `@id("p${index}") ${text}`);
    const directory = policyDirectory(t, { 'tasks.cedar': texts.join('\n') });
    for (const budget of [undefined, { leaves: 1 }, { bytes: 150 }]) {
      const engine = await Engine.load({
        directory,
        platform: 'backstage',
        ...(budget && { budget }),
      });
      // One who owns nothing, and one of more groups than fit.
      for (const groups of [0, 2_000]) {
        const user = {
          userEntityRef: 'user:default/ana',
          ownershipEntityRefs: Array.from(
            { length: groups },
            (_, index) => `group:default/group-${index}`,
          ),
        };
        const { decision } = engine.decideBackstage(PERMISSION, user);
        const listed = await shown(list, decision);
        // A budget may leave some out; none may be added.
        const left = budget
          ? expected.filter(name => listed.includes(name))
          : expected;
        assert.deepEqual(
          listed,
          left,
          `${policies} ${JSON.stringify({ budget, groups, decision })}`,
        );
      }
      engine.close();
    }
  }
});

/** What the scaffolder lists under a decision. */
async function shown(list, decision) {
  if (decision.result === 'DENY') return [];
  if (decision.result === 'ALLOW') return list(undefined);
  return list(transform(decision.conditions));
}
