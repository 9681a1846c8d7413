'use strict';

const { join } = require('node:path');

const { createBackend } = require('@backstage/backend-defaults');

/** Returns the example's backend: real Backstage plugins, and Stagedoor as their policy. */
function createExampleBackend() {
  process.env.PORT ??= '7007';
  process.env.EXAMPLE ??= __dirname;
  process.env.POLICIES ??= join(__dirname, '../../../policies/backstage');
  process.argv.push('--config', join(__dirname, 'app-config.yaml'));
  if (process.env.POSTGRES) {
    process.argv.push('--config', join(__dirname, 'app-config.postgres.yaml'));
  }

  const backend = createBackend();
  backend.add(import('@backstage/plugin-auth-backend'));
  backend.add(import('@backstage/plugin-auth-backend-module-guest-provider'));
  backend.add(import('@backstage/plugin-catalog-backend'));
  backend.add(
    import('@backstage/plugin-catalog-backend-module-scaffolder-entity-model'),
  );
  backend.add(import('@backstage/plugin-kubernetes-backend'));
  backend.add(import('@backstage/plugin-scaffolder-backend'));
  backend.add(import('@backstage/plugin-search-backend'));
  backend.add(import('@backstage/plugin-search-backend-module-catalog'));
  backend.add(import('@backstage/plugin-permission-backend'));
  // In a backend of your own:
  // import('@stagedoor/backstage-plugin-permission-backend-module-stagedoor')
  backend.add(require('../dist/index.js').default);
  // '@stagedoor/backstage-plugin-permission-backend-module-stagedoor/catalog'
  if (process.env.CATALOG_RULE) {
    backend.add(require('../dist/catalogEntry.js').default);
  }
  return backend;
}

module.exports = { createExampleBackend };
