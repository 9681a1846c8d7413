'use strict';

// Policies that the tests share.

const { cpSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const shipped = join(__dirname, '../../../policies/backstage');

/** Makes a directory of policies, which is removed after the test. */
function policyDirectory(t, files) {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

/** Copies the policies that ship, so that a test can change them. */
function shippedPolicies(t) {
  const directory = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const name of ['catalog', 'kubernetes', 'platform', 'scaffolder']) {
    cpSync(join(shipped, `${name}.cedar`), join(directory, `${name}.cedar`));
  }
  return directory;
}

const simple = `
@id("users-proxy")
permit (
  principal is Backstage::User,
  action == Backstage::Action::"kubernetes.proxy",
  resource
);

@id("owners-delete")
permit (
  principal is Backstage::User,
  action == Backstage::Action::"catalog.entity.delete",
  resource is Backstage::CatalogEntity
) when { resource.owners.containsAny(principal.claims) };

@id("everyone-reads")
permit (
  principal is Backstage::User,
  action == Backstage::Action::"catalog.entity.read",
  resource is Backstage::CatalogEntity
);
`;

module.exports = { policyDirectory, shippedPolicies, shipped, simple };
