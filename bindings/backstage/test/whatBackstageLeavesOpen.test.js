'use strict';

// Forms that Backstage takes for an allowance. Stagedoor answers none of them; that Backstage
// still takes them so is held here, to be noticed when it changes.

const assert = require('node:assert/strict');
const { join } = require('node:path');
const { test } = require('node:test');

const {
  createConditionAuthorizer,
  createPermissionResourceRef,
  createPermissionRule,
} = require('@backstage/plugin-permission-node');
const { Engine } = require('@stagedoor/node');
const { z } = require('zod/v3');

const resourceRef = createPermissionResourceRef().with({
  pluginId: 'catalog',
  resourceType: 'catalog-entity',
});

function rule(name, apply) {
  return createPermissionRule({
    name,
    description: name,
    resourceRef,
    paramsSchema: z.object({}),
    apply,
    toQuery: () => ({}),
  });
}

function decision(conditions) {
  return {
    result: 'CONDITIONAL',
    pluginId: 'catalog',
    resourceType: 'catalog-entity',
    conditions,
  };
}

test('a rule that answers later allows, and one that throws fails the request', () => {
  const authorize = createConditionAuthorizer([
    rule('LATER', async () => false),
    rule('THROWS', () => {
      throw new Error('oops');
    }),
    rule('NEVER', () => false),
  ]);
  const of = name =>
    decision({ rule: name, resourceType: 'catalog-entity', params: {} });
  assert.ok(authorize(of('LATER'), {}), 'a promise is true');
  assert.throws(() => authorize(of('THROWS'), {}), /oops/);
  assert.equal(authorize(of('NEVER'), {}), false);
});

test('no answer has an empty list, whoever asks for whatever', async t => {
  const directory = join(__dirname, '../../../policies/backstage');
  for (const budget of [
    undefined,
    { leaves: 1 },
    { bytes: 150 },
    { depth: 1 },
  ]) {
    const engine = await Engine.load({
      directory,
      platform: 'backstage',
      ...(budget && { budget }),
    });
    t.after(() => engine.close());
    const permissions = engine
      .backstagePermissions()
      .map(({ name, action, resourceType }) => ({
        name,
        attributes: action ? { action } : {},
        resourceType,
      }));
    let conditional = 0;
    for (const count of [0, 1, 20, 100, 2_000]) {
      const ownershipEntityRefs = Array.from(
        { length: count },
        (_, n) => `group:default/group-${n}`,
      );
      for (const userEntityRef of ['user:default/ana', 'user:default/guest']) {
        const user = { userEntityRef, ownershipEntityRefs };
        for (const answer of engine.decideBackstageBatch(permissions, user)) {
          if (answer.decision.result !== 'CONDITIONAL') continue;
          conditional += 1;
          assert.ok(
            isDefinite(answer.decision.conditions),
            JSON.stringify(answer),
          );
        }
      }
    }
    assert.ok(conditional > 10, `${conditional}`);
  }
});

function isDefinite({ allOf, anyOf, not, rule: name, params }) {
  const list = allOf ?? anyOf;
  if (list) return list.length > 0 && list.every(isDefinite);
  if (not) return isDefinite(not);
  const values = Object.values(params ?? {});
  return (
    typeof name === 'string' &&
    values.every(value => !Array.isArray(value) || value.length > 0)
  );
}
