'use strict';

const assert = require('node:assert/strict');
const { mkdtempSync, renameSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');

const { schema, policies } = require('./shop.js');

const ROUNDS = Number(process.env.STAGEDOOR_STRESS ?? 400);

/** Runs the worker and resolves with what it reports. */
function run(directory, mode) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(join(__dirname, 'worker.js'), {
      workerData: { directory, mode, rounds: ROUNDS },
    });
    let report;
    worker.on('message', message => {
      report = message;
      if (mode === 'terminate') worker.terminate();
    });
    worker.on('error', reject);
    worker.on('exit', code => resolve({ code, report }));
  });
}

function folder(t) {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'shop.cedarschema'), schema);
  writeFileSync(join(directory, 'shop.cedar'), policies);
  return directory;
}

/**
 * Writes a policy at once: nobody finds half of it. It is made beside the directory, in which a file
 * that looks like policies and is not read keeps the set from loading.
 */
function replace(directory, policy) {
  writeFileSync(`${directory}.new`, policy);
  renameSync(`${directory}.new`, join(directory, 'extra.cedar'));
}

test('workers decide while their policies are reloaded', async t => {
  const directory = folder(t);
  const workers = [0, 1, 2, 3].map(() => run(directory, 'decide'));
  let done = false;
  const all = Promise.all(workers).finally(() => {
    done = true;
  });
  for (let round = 0; !done; round += 1) {
    replace(directory, `@id("x${round}") permit (principal, action, resource);`);
    await new Promise(resume => setImmediate(resume));
  }
  for (const { code, report } of await all) {
    assert.equal(code, 0);
    assert.deepEqual(report, { decided: ROUNDS, wrong: 0, reloaded: report.reloaded });
    assert.ok(report.reloaded > 0);
  }
});

test('workers answer Backstage while policies and groups change', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(
    join(directory, 'policies.cedar'),
    `@id("top-proxy") permit (principal in Backstage::Group::"group:default/top",
       action == Backstage::Action::"kubernetes.proxy", resource);
     @id("owners-delete") permit (principal is Backstage::User,
       action == Backstage::Action::"catalog.entity.delete", resource is Backstage::CatalogEntity)
     when { resource.owners.containsAny(principal.claims) };`,
  );
  const workers = [0, 1, 2, 3].map(() => run(directory, 'backstage'));
  let done = false;
  const all = Promise.all(workers).finally(() => {
    done = true;
  });
  for (let round = 0; !done; round += 1) {
    replace(
      directory,
      `@id("x${round}") permit (principal, action == Backstage::Action::"devtools.info", resource);`,
    );
    await new Promise(resume => setImmediate(resume));
  }
  for (const { code, report } of await all) {
    assert.equal(code, 0);
    assert.deepEqual(report, { decided: ROUNDS, wrong: 0, reloaded: report.reloaded });
    assert.ok(report.reloaded > 0);
  }
});

test('a worker may be ended while it loads', async t => {
  const directory = folder(t);
  for (let round = 0; round < 5; round += 1) {
    const { report } = await run(directory, 'terminate');
    assert.equal(report, 'loading');
  }
});
