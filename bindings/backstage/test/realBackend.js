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
                result: {
                  name: req.header('x-name'),
                  groups: Number(req.header('x-groups') ?? 0),
                },
                providerInfo: {},
              }),
            }),
            signInResolver: async ({ result: { name, groups } }, context) => {
              const entityRef = { name };
              if (!groups) return context.signInWithCatalogUser({ entityRef });
              // As many groups as there are in large organisations, beside those of the catalog.
              const { entity } = await context.findCatalogUser({ entityRef });
              const { ownershipEntityRefs: own } =
                await context.resolveOwnershipEntityRefs(entity);
              const more = Array.from(
                { length: groups },
                (_, number) => `group:default/squad-${number}`,
              );
              const sub = `user:default/${name}`;
              return context.issueToken({
                claims: { sub, ent: [...own, ...more] },
              });
            },
          }),
        });
      },
    });
  },
});

const backend = createExampleBackend();
backend.add(signIn);
if (process.env.MCP)
  backend.add(import('@backstage/plugin-mcp-actions-backend'));
backend.start().then(() => process.send('started'));
process.on('disconnect', () => process.exit());
