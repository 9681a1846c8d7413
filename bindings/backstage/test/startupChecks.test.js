'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const {
  installedVersion,
  startupWarnings,
} = require('../dist/startupChecks.js');

function warnings(versions, plugins = [], batchesRequests = true) {
  const versionOf = name => versions[name];
  return startupWarnings({ versionOf, plugins, batchesRequests }).join('\n');
}

test('a version that was not tested is named', () => {
  assert.equal(warnings({}), '');
  const catalog = '@backstage/plugin-catalog-backend';
  assert.equal(warnings({ [catalog]: '4.0.5' }), '');
  for (const version of ['4.1.0', '5.0.0', '3.9.1', '4.10.0', '5.0.0-next.1']) {
    const told = warnings({ [catalog]: version });
    assert.ok(told.includes(`${catalog} ${version} `), told);
    assert.match(told, /tested are 4\.0\.x/);
  }
});

test('search without batches is told', () => {
  const told = warnings({}, ['catalog', 'search'], false);
  assert.match(told, /EXPERIMENTAL_enableBatchedRequests/);
  assert.equal(warnings({}, ['catalog', 'search'], true), '');
  assert.equal(warnings({}, ['catalog'], false), '');
});

test('versions are those that the backend finds', () => {
  const name = '@backstage/plugin-permission-backend';
  assert.equal(
    installedVersion(name),
    require(`../node_modules/${name}/package.json`).version,
  );
  assert.equal(installedVersion('@backstage/no-such-package'), undefined);
  // What is installed here is what was tested.
  const told = startupWarnings({
    versionOf: installedVersion,
    plugins: [],
    batchesRequests: true,
  });
  assert.deepEqual(told, []);
});
