import {
  coreServices,
  createBackendModule,
} from '@backstage/backend-plugin-api';
import type { LoggerService } from '@backstage/backend-plugin-api';
import { metricsServiceRef } from '@backstage/backend-plugin-api/alpha';
import { policyExtensionPoint } from '@backstage/plugin-permission-node/alpha';
import type { PermissionPolicy } from '@backstage/plugin-permission-node';

import { serveHealth } from './health';
import { otherPermissionModules } from './otherModules';
import { Policies } from './policies';
import { StagedoorPolicy } from './policy';
import { Audit, Metrics, Shadow } from './reports';
import { readSettings } from './settings';

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
        const { cacheSize } = settings;
        const policies = new Policies({
          name: 'policies',
          directory: settings.directory,
          cacheSize,
          logger,
          onLoad: loaded => metrics.loaded('active', loaded),
        });
        const shadowPolicies =
          settings.shadowDirectory === undefined
            ? undefined
            : new Policies({
                name: 'shadow policies',
                directory: settings.shadowDirectory,
                cacheSize,
                logger,
                onLoad: loaded => metrics.loaded('shadow', loaded),
              });
        const all = [policies, ...(shadowPolicies ? [shadowPolicies] : [])];
        const shadow =
          shadowPolicies && new Shadow(shadowPolicies, logger, metrics);
        const audit = new Audit(auditor, settings.audit, logger);

        const loading = policies.load();
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
              shadow?.decided(sweep);
            },
            onFailure: () => metrics.failed(),
          }),
        );
        serveHealth(router, policies);
        void shadowPolicies?.load();

        const watch = watchAll(all, settings.watchInterval, logger);
        lifecycle.addShutdownHook(() => {
          watch.stop();
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

/** Looks at policies from time to time, one look after the other. */
function watchAll(all: Policies[], interval: number, logger: LoggerService) {
  let timer: NodeJS.Timeout | undefined;
  let stopped = interval === 0;
  const look = async () => {
    await Promise.all(all.map(each => each.look())).catch(error =>
      logger.error(`looking for changes of the policies failed: ${error}`),
    );
    again();
  };
  const again = () => {
    if (stopped) return;
    timer = setTimeout(() => void look(), interval);
    timer.unref();
  };
  again();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
