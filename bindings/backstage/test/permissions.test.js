'use strict';

// The list of permissions that ships must have whatever the installed packages declare.

const assert = require('node:assert/strict');
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');

const scope = join(__dirname, '../node_modules/@backstage');
const shipped = JSON.parse(
  readFileSync(
    join(__dirname, '../../../policies/backstage/permissions.json'),
    'utf8',
  ),
);
const known = new Map(
  shipped.flatMap(({ permissions }) =>
    permissions.map(permission => [permission.name, permission]),
  ),
);

/** Returns the permissions among what a package exports. */
function declared(name) {
  const { exports = {} } = JSON.parse(
    readFileSync(join(scope, name, 'package.json'), 'utf8'),
  );
  const entries = Object.keys(exports).filter(
    entry => entry === '.' || entry === './alpha',
  );
  return (entries.length ? entries : ['.']).flatMap(entry =>
    Object.values(require(join('@backstage', name, entry))).flatMap(
      permissions,
    ),
  );
}

/** A permission, or a list of some. */
function permissions(value) {
  if (Array.isArray(value)) return value.flatMap(permissions);
  const isPermission =
    typeof value?.name === 'string' &&
    (value.type === 'basic' || value.type === 'resource') &&
    typeof value.attributes === 'object';
  return isPermission ? [value] : [];
}

test('every permission of the installed packages is in the list', () => {
  const packages = readdirSync(scope).filter(name =>
    /^plugin-.*-common$/.test(name),
  );
  const all = packages.flatMap(name =>
    declared(name).map(permission => ({ from: name, ...permission })),
  );
  // What is looked at has permissions at all.
  assert.ok(all.length >= 20, `${all.length} of ${packages.join(', ')}`);
  for (const { from, name, attributes, resourceType } of all) {
    const listed = known.get(name);
    assert.ok(listed, `${name} of ${from} is missing`);
    assert.deepEqual(listed.attributes ?? {}, attributes, name);
    assert.equal(listed.resourceType, resourceType, name);
  }
});
