'use strict';

// The plugin asks for versions of `plugin-rbac-common` and `-node` that its registry does not
// have; `overrides` in package.json take the newest that there are. Those lack two functions,
// which this adds as the plugin uses them.

const { appendFileSync, readFileSync } = require('node:fs');
const { join } = require('node:path');

const file = join(
  __dirname,
  'node_modules/@backstage-community/plugin-rbac-common/dist/index.cjs.js',
);
if (!readFileSync(file, 'utf8').includes('isPermissionInfo')) {
  appendFileSync(
    file,
    `
exports.isPermissionInfo = entry =>
  typeof entry === 'object' && entry !== null && typeof entry.name === 'string' && typeof entry.action === 'string';
exports.permissionMappingAction = entry => typeof entry === 'string' ? entry : entry.action;
`,
  );
}
