'use strict';

// Cedar's decision about each entity = the criteria applied by the catalog's rules in
// memory = the entities that the catalog's database selects by them.

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { test } = require('node:test');
const { applies, createCatalog, referenceOf } = require('./catalog.js');
const { versionOf } = require('./line.js');
const { appliesToResource } = require('./scaffolder.js');

const file = process.env.CONDITION_CASES ?? 'cases.json';

test('conditions agree with Backstage', async t => {
  const { entities, cases } = JSON.parse(readFileSync(file, 'utf8'));
  const catalog = await createCatalog(entities);
  t.after(() => catalog.close());
  assert.equal(catalog.entities.size, entities.length);

  const counts = { policySets: cases.length, decisions: 0, conditional: 0, exact: 0, checks: 0, allowed: 0 };
  for (const { policies, users } of cases) {
    for (const { user, decision, allowed, exact } of users) {
      const listed = await catalog.list(decision);
      counts.decisions += 1;
      counts.conditional += decision.result === 'CONDITIONAL';
      counts.exact += exact;
      for (const [number, entity] of entities.entries()) {
        const reference = referenceOf(entity);
        const cedar = allowed[number] === '1';
        const applied = applies(decision, catalog.entities.get(reference));
        const isListed = listed.has(reference);
        counts.checks += 1;
        counts.allowed += cedar;
        const said = { cedar, applied, isListed };
        const about = () =>
          `${reference} for ${user}: ${JSON.stringify({ ...said, exact, decision, entity })}\n${policies}`;
        assert.ok(applied === isListed, `memory and database differ on ${about()}`);
        assert.ok(exact ? applied === cedar : cedar || !applied, `Cedar differs on ${about()}`);
      }
    }
  }
  t.diagnostic(`catalog ${versionOf('@backstage/plugin-catalog-backend')}: ${JSON.stringify(counts)}`);
  // The comparison is about something.
  assert.ok(counts.conditional > counts.decisions / 10 && counts.allowed > counts.checks / 50);
});

test('conditions agree with the scaffolder', t => {
  const { scaffolder } = JSON.parse(readFileSync(file, 'utf8'));
  const counts = { policySets: scaffolder.length, conditional: 0, exact: 0, checks: 0, allowed: 0 };
  for (const { policies, decision, resources, allowed, exact } of scaffolder) {
    counts.conditional += decision.result === 'CONDITIONAL';
    counts.exact += exact;
    for (const [number, resource] of resources.entries()) {
      const cedar = allowed[number] === '1';
      const applied = appliesToResource(decision, resource);
      counts.checks += 1;
      counts.allowed += cedar;
      assert.ok(
        exact ? applied === cedar : cedar || !applied,
        `Cedar differs on ${JSON.stringify({ cedar, applied, exact, decision, resource })}\n${policies}`,
      );
    }
  }
  t.diagnostic(
    `scaffolder ${versionOf('@backstage/plugin-scaffolder-backend')}: ${JSON.stringify(counts)}`,
  );
  assert.ok(counts.conditional > scaffolder.length / 10 && counts.allowed > 0);
});
