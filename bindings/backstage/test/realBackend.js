'use strict';

// Run as a program: the example's backend, where one signs in by naming a user.

const { createBackendModule } = require('@backstage/backend-plugin-api');
const {
  authProvidersExtensionPoint,
  createProxyAuthenticator,
  createProxyAuthProviderFactory,
} = require('@backstage/plugin-auth-node');

const { createExampleBackend } = require('../example/backend.js');

const signIn = createBackendModule({
  pluginId: 'auth',
  moduleId: 'named',
  register(registration) {
    registration.registerInit({
      deps: { providers: authProvidersExtensionPoint },
      async init({ providers }) {
        providers.registerProvider({
          providerId: 'named',
          factory: createProxyAuthProviderFactory({
            authenticator: createProxyAuthenticator({
              defaultProfileTransform: async () => ({ profile: {} }),
              initialize: () => undefined,
              authenticate: async ({ req }) => ({
                result: { name: req.header('x-name') },
                providerInfo: {},
              }),
            }),
            signInResolver: async ({ result }, context) =>
              context.signInWithCatalogUser({
                entityRef: { name: result.name },
              }),
          }),
        });
      },
    });
  },
});

const backend = createExampleBackend();
backend.add(signIn);
backend.start().then(() => process.send('started'));
process.on('disconnect', () => process.exit());
