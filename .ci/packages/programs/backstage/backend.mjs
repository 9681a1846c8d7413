// A backend as one begins it: Backstage's own plugins, and Stagedoor as their policy, by name.

import { createBackend } from '@backstage/backend-defaults';

const backend = createBackend();
backend.add(import('@backstage/plugin-auth-backend'));
backend.add(import('@backstage/plugin-auth-backend-module-guest-provider'));
backend.add(import('@backstage/plugin-catalog-backend'));
backend.add(import('@backstage/plugin-permission-backend'));
backend.add(import('@stagedoor/backstage-plugin-permission-backend-module-stagedoor'));
backend.add(import('@stagedoor/backstage-plugin-permission-backend-module-stagedoor/catalog'));
await backend.start();
process.send?.('started');
process.on('disconnect', () => process.exit());
