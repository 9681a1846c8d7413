'use strict';

const assert = require('node:assert/strict');
const { mkdtempSync, renameSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');

const { Engine } = require('../main.js');
const { texts, schema, policies, deploy, entities } = require('./shop.js');

function folder(t) {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'shop.cedarschema'), schema);
  writeFileSync(join(directory, 'shop.cedar'), policies);
  return directory;
}

test('texts, files and directories load alike', async t => {
  const directory = folder(t);
  const files = ['shop.cedarschema', 'shop.cedar'].map(name => join(directory, name));
  for (const options of [{ texts }, { files }, { directory }]) {
    const sync = Engine.loadSync(options);
    const engine = await Engine.load(options);
    assert.match(engine.revision, /^[0-9a-f]{64}$/);
    assert.equal(engine.revision, sync.revision);
    assert.equal(engine.policyCount, 6);
    assert.deepEqual(engine.warnings, []);
    const asked = { ...deploy, entities };
    assert.equal(engine.isAllowed(asked), true);
  }
});

test('policies that do not load say what is wrong, and where', async () => {
  const broken = [
    texts[0],
    { name: 'a.cedar', text: 'permit (principal, action, resource)\nwhen { resource.teir == 1 };' },
    { name: 'b.cedar', text: '\n  permit (oops' },
  ];
  const check = error => {
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'StagedoorError');
    assert.equal(error.code, error.problems[0].code);
    assert.equal(typeof error.help === 'string' || error.help === undefined, true);
    const places = error.problems.map(problem => [problem.file, problem.line]);
    assert.ok(
      places.some(([file, line]) => file === 'a.cedar' && line === 2),
      String(places),
    );
    assert.ok(
      places.some(([file, line]) => file === 'b.cedar' && line === 2),
      String(places),
    );
    assert.ok(error.file.endsWith('.cedar') && error.line >= 1 && error.column >= 1);
    return true;
  };
  assert.throws(() => Engine.loadSync({ texts: broken }), check);
  await assert.rejects(Engine.load({ texts: broken }), check);
  await assert.rejects(Engine.load({ directory: '/nonexistent' }), error => {
    assert.match(error.code, /^file::/);
    assert.match(error.file, /nonexistent/);
    return true;
  });
  await assert.rejects(Engine.load({ texts: [texts[1]] }), { code: 'schema::missing' });
});

test('options are checked by name and type', () => {
  const refused = (options, code, message) =>
    assert.throws(() => Engine.loadSync(options), { code, message });
  refused(undefined, 'argument::type', /options/);
  refused({}, 'argument::option', /no policies/);
  refused({ texts: [] }, 'argument::option', /no policies/);
  refused({ directry: 'x' }, 'argument::option', /`directry`: did you mean `directory`/);
  refused({ texts: [{ name: 'x', text: '', txt: '' }] }, 'argument::option', /texts\[0\].*`text`/);
  refused({ texts, budget: { leafs: 1 } }, 'argument::option', /did you mean `leaves`/);
  refused({ directory: 7 }, 'argument::type', /directory/);
  refused({ files: 'x' }, 'argument::type', /files/);
  refused({ texts: [{ name: 'x' }] }, 'argument::type', /text/);
  refused({ texts, exactCedar: 'no' }, 'argument::type', /exactCedar/);
  refused({ texts, platform: 'mainframe' }, 'argument::option', /mainframe/);
});

test('a reload takes up what changed; a broken edit leaves what was', async t => {
  const directory = folder(t);
  const engine = await Engine.load({ directory });
  const first = engine.revision;
  const asked = { ...deploy, entities };
  assert.deepEqual(await engine.reload(), { changed: false, revision: first });

  writeFileSync(join(directory, 'shop.cedar'), 'permit (principal');
  await assert.rejects(
    engine.reload(),
    error => error.code === 'policy::parse' && error.line === 1,
  );
  assert.equal(engine.revision, first);
  assert.equal(engine.isAllowed(asked), true);

  writeFileSync(join(directory, 'shop.cedar'), '@id("no") forbid (principal, action, resource);');
  const reloaded = await engine.reload();
  assert.equal(reloaded.changed, true);
  assert.equal(engine.revision, reloaded.revision);
  assert.deepEqual(engine.decide(asked).reasons, ['no']);
});

test('of reloads at once the last has the last word, and decisions go on', async t => {
  const directory = folder(t);
  const engine = await Engine.load({ directory });
  const asked = { ...deploy, entities };
  const reloads = [];
  for (let round = 0; round < 20; round += 1) {
    // At once: a reload that finds the file empty refuses the set.
    writeFileSync(`${directory}.new`, `@id("x${round}") permit (principal, action, resource);`);
    renameSync(`${directory}.new`, join(directory, 'extra.cedar'));
    reloads.push(engine.reload());
    assert.equal(engine.isAllowed(asked), true);
  }
  await Promise.all(reloads);
  assert.ok(engine.decide(asked).reasons.includes('x19'));
});

test('an engine that was closed decides nothing', async () => {
  const engine = Engine.loadSync({ texts });
  const reload = engine.reload();
  engine.close();
  engine.close();
  for (const use of [
    () => engine.decide(deploy),
    () => engine.isAllowed(deploy),
    () => engine.decideBatch([deploy]),
    () => engine.explain(deploy),
    () => engine.reload(),
    () => engine.revision,
    () => engine.policyCount,
    () => engine.warnings,
  ]) {
    assert.throws(use, { code: 'engine::closed' });
  }
  assert.equal((await reload).changed, false);
});
