import {
  coreServices,
  createBackendModule,
} from '@backstage/backend-plugin-api';
import { metricsServiceRef } from '@backstage/backend-plugin-api/alpha';
import { policyExtensionPoint } from '@backstage/plugin-permission-node/alpha';
import { catalogServiceRef } from '@backstage/plugin-catalog-node';
import type { PermissionPolicy } from '@backstage/plugin-permission-node';

import { CatalogGroups } from './groups';
import { serveHealth } from './health';
import { otherPermissionModules } from './otherModules';
import { Policies } from './policies';
import { StagedoorPolicy } from './policy';
import { repeat } from './repeat';
import type { Repetition } from './repeat';
import { Audit, Metrics, OverBudget, Shadow } from './reports';
import { readSettings } from './settings';
import { CatalogUsers } from './users';

const PACKAGE =
  '@stagedoor/backstage-plugin-permission-backend-module-stagedoor';

/** Makes Stagedoor the policy of the permission plugin. */
export const permissionModuleStagedoor = createBackendModule({
  pluginId: 'permission',
  moduleId: 'stagedoor',
  register(registration) {
    registration.registerInit({
      deps: {
        extension: policyExtensionPoint,
        auditor: coreServices.auditor,
        auth: coreServices.auth,
        catalog: catalogServiceRef,
        config: coreServices.rootConfig,
        lifecycle: coreServices.lifecycle,
        logger: coreServices.logger,
        metrics: metricsServiceRef,
        router: coreServices.httpRouter,
      },
      // Loading is not waited for: it goes on while the backend starts.
      // eslint-disable-next-line @typescript-eslint/require-await
      async init({
        extension,
        auditor,
        auth,
        catalog,
        config,
        lifecycle,
        logger,
        metrics: metricsService,
        router,
      }) {
        const settings = readSettings(config);
        if (!settings.enabled) {
          logger.error(
            'NOTHING IS ENFORCED: every permission is granted, whatever the policies say, ' +
              'until permission.enabled is true',
          );
        }
        const metrics = new Metrics(metricsService);
        const { budget, cacheSize, groupsInterval, rules } = settings;
        const needsGroups = groupsInterval !== undefined;
        const users = new CatalogUsers({ catalog, auth, logger });
        const policies = new Policies({
          name: 'policies',
          source: settings.source,
          cacheSize,
          budget,
          rules,
          needsGroups,
          logger,
          onLoad: loaded => metrics.loaded('active', loaded),
          // The catalog is read only where the settings say so.
          onChange: () => {
            if (needsGroups) void users.check(policies);
          },
        });
        const shadowPolicies =
          settings.shadow === undefined
            ? undefined
            : new Policies({
                name: 'shadow policies',
                source: settings.shadow,
                cacheSize,
                budget,
                rules,
                needsGroups,
                logger,
                onLoad: loaded => metrics.loaded('shadow', loaded),
              });
        const all = [policies, ...(shadowPolicies ? [shadowPolicies] : [])];
        const shadow =
          shadowPolicies && new Shadow(shadowPolicies, logger, metrics);
        const overBudget = new OverBudget(logger);
        const audit = new Audit(auditor, settings.audit, logger);

        const groups = new CatalogGroups({
          catalog,
          auth,
          logger,
          onRead: read => all.forEach(each => each.setGroups(read)),
        });
        const loading = Promise.all([
          policies.load(),
          needsGroups ? policies.haveGroups : undefined,
        ]).then(() => {});
        const waited = after(settings.startupWait);
        void loading.then(waited.cancel);
        setPolicy(
          extension,
          new StagedoorPolicy({
            policies,
            guest: settings.guest,
            logger,
            ready: Promise.race([loading, waited.promise]),
            onSweep: sweep => {
              metrics.decided(sweep);
              audit.decided(sweep);
              overBudget.decided(sweep);
              shadow?.decided(sweep);
            },
            onFailure: () => metrics.failed(),
          }),
        );
        serveHealth(router, policies);
        void shadowPolicies?.load();

        const repetitions: Repetition[] = [];
        if (settings.watchInterval > 0) {
          const look = async () => {
            await Promise.all(all.map(each => each.look())).catch(error =>
              logger.error(
                `looking for changes of the policies failed: ${error}`,
              ),
            );
          };
          repetitions.push(repeat(() => settings.watchInterval, look));
        }
        if (needsGroups) {
          const wait = () => groups.wait(groupsInterval);
          repetitions.push(repeat(wait, () => groups.read()));
        }
        lifecycle.addShutdownHook(() => {
          repetitions.forEach(each => each.stop());
          waited.cancel();
          all.forEach(each => each.close());
        });
      },
    });
  },
});

function setPolicy(
  extension: { setPolicy(policy: PermissionPolicy): void },
  policy: PermissionPolicy,
): void {
  try {
    extension.setPolicy(policy);
  } catch (cause) {
    const others = otherPermissionModules(PACKAGE);
    const which = others.length ? others.join(', ') : 'one that is not known';
    throw new Error(
      `another module has set the permission policy already (${which}): ` +
        'keep one of them in the backend',
      { cause },
    );
  }
}

/** Resolves after some milliseconds, or when it is cancelled. */
function after(milliseconds: number) {
  let cancel = () => {};
  const promise = new Promise<void>(resolve => {
    const timer = setTimeout(resolve, milliseconds);
    cancel = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  return { promise, cancel: () => cancel() };
}
