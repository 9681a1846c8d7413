import {
  coreServices,
  createBackendModule,
} from '@backstage/backend-plugin-api';
import { metricsServiceRef } from '@backstage/backend-plugin-api/alpha';
import { policyExtensionPoint } from '@backstage/plugin-permission-node/alpha';
import { catalogServiceRef } from '@backstage/plugin-catalog-node';
import type { PermissionPolicy } from '@backstage/plugin-permission-node';

import { AccessReview } from './access';
import { AccessApi } from './accessApi';
import { AppliedConditions } from './appliedConditions';
import { readableEntities, referencesOfKind, usersAndGroups } from './catalog';
import { DecisionRecords, decisionSinksExtensionPoint } from './decisionSinks';
import { CatalogGroups } from './groups';
import { serveHealth } from './health';
import { HolderReview } from './holders';
import { otherPermissionModules } from './otherModules';
import { InstalledPlugins } from './plugins';
import { Policies } from './policies';
import { PolicyLinks } from './policyLinks';
import { StagedoorPolicy } from './policy';
import { ReachReview } from './reach';
import { Releases } from './releases';
import { repeat } from './repeat';
import type { Repetition } from './repeat';
import { Audit, Metrics, Notices, Shadow } from './reports';
import { readSettings } from './settings';
import { installedVersion, startupWarnings } from './startupChecks';
import { CatalogUsers } from './users';
import { Comparisons } from './whatIf';
import { wholePolicyServiceRef } from './wholePolicy';
import { Reasons } from './why';

const PACKAGE =
  '@stagedoor/backstage-plugin-permission-backend-module-stagedoor';

/** Makes Stagedoor the policy of the permission plugin. */
export const permissionModuleStagedoor = createBackendModule({
  pluginId: 'permission',
  moduleId: 'stagedoor',
  register(registration) {
    const records = new DecisionRecords();
    registration.registerExtensionPoint(decisionSinksExtensionPoint, records);
    registration.registerInit({
      deps: {
        extension: policyExtensionPoint,
        auditor: coreServices.auditor,
        auth: coreServices.auth,
        catalog: catalogServiceRef,
        config: coreServices.rootConfig,
        database: coreServices.database,
        discovery: coreServices.discovery,
        httpAuth: coreServices.httpAuth,
        lifecycle: coreServices.lifecycle,
        logger: coreServices.logger,
        metadata: coreServices.rootSystemMetadata,
        metrics: metricsServiceRef,
        rootLifecycle: coreServices.rootLifecycle,
        router: coreServices.httpRouter,
        userInfo: coreServices.userInfo,
        wholePolicy: wholePolicyServiceRef,
      },
      // Loading is not waited for: it goes on while the backend starts.
      async init({
        extension,
        auditor,
        auth,
        catalog,
        config,
        database,
        discovery,
        httpAuth,
        lifecycle,
        logger,
        metadata,
        metrics: metricsService,
        rootLifecycle,
        router,
        userInfo,
        wholePolicy,
      }) {
        const settings = readSettings(config);
        if (!settings.enabled) {
          logger.error(
            'NOTHING IS ENFORCED: every permission is granted, whatever the policies say, ' +
              'until permission.enabled is true',
          );
        }
        const metrics = new Metrics(metricsService);
        const notices = new Notices(logger, metrics);
        const { budget, cacheSize, groupsInterval, limits, rules, ruleHost } =
          settings;
        const needsGroups = groupsInterval !== undefined;
        const users = new CatalogUsers({ catalog, auth, logger });
        const releases =
          'release' in settings.source
            ? new Releases({
                settings: settings.source.release,
                database,
                logger,
              })
            : undefined;
        const policies = new Policies({
          name: 'policies',
          source: settings.source,
          releases,
          cacheSize,
          budget,
          rules,
          ruleHost,
          limits,
          needsGroups,
          logger,
          onLoad: loaded => metrics.loaded('active', loaded),
          // The catalog is read only where the settings say so.
          onChange: () => {
            if (needsGroups) void users.check(policies);
          },
        });
        wholePolicy.serve({
          engine: () => policies.engine,
          budget,
          onClosed: (code, message) => notices.notice(code, message, []),
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
                ruleHost,
                limits,
                needsGroups,
                logger,
                onLoad: loaded => metrics.loaded('shadow', loaded),
              });
        const all = [policies, ...(shadowPolicies ? [shadowPolicies] : [])];
        const shadow =
          shadowPolicies && new Shadow(shadowPolicies, logger, metrics);
        const audit = new Audit(auditor, settings.audit, logger);
        // Whoever adds sinks has done so: Backstage starts these modules first.
        await records.start(logger);

        const groups = new CatalogGroups({
          catalog,
          auth,
          logger,
          onRead: read => all.forEach(each => each.setGroups(read)),
          onOwners: owners => all.forEach(each => each.setOwners(owners)),
        });
        const loading = Promise.all([
          policies.begin(),
          needsGroups ? policies.groupsLoaded : undefined,
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
            enforced: (...asked) => wholePolicy.enforced(...asked),
            record: batch =>
              records.record(wholePolicy.recorded(batch), policies),
            onBatch: batch => {
              const recorded = wholePolicy.recorded(batch);
              metrics.decided(recorded);
              audit.decided(recorded);
              notices.decided(wholePolicy.withoutNarrowed(batch));
              shadow?.decided(batch);
            },
            onFailure: cause => {
              metrics.failed();
              notices.count(`policies::${cause}`);
            },
          }),
        );
        serveHealth(router, policies, notices, releases);
        const plugins = new InstalledPlugins({
          auth,
          discovery,
          logger,
          metadata,
          onRead: async read => {
            const catalogs = read.find(
              ({ pluginId }) => pluginId === 'catalog',
            );
            const unused = wholePolicy.seen(catalogs?.metadata);
            if (unused) logger.warn(`the rule of the catalog: ${unused}`);
            await Promise.all(all.map(each => each.setPlugins(read)));
          },
        });
        const conditions = new AppliedConditions({
          auth,
          discovery,
          wholePolicy,
        });
        new AccessApi({
          review: new AccessReview(policies),
          reasons: new Reasons(policies, conditions),
          holders: new HolderReview(policies, conditions),
          reach: new ReachReview(policies, conditions),
          comparisons: new Comparisons(policies, shadowPolicies),
          links: new PolicyLinks(
            [
              settings.source,
              ...(settings.shadow === undefined ? [] : [settings.shadow]),
            ],
            settings.policyUrl,
          ),
          users,
          groups: () => referencesOfKind('group', { catalog, auth }),
          entity: (reference, credentials) =>
            catalog.getEntityByRef(reference, { credentials }),
          entities: (credentials, most, kind) =>
            readableEntities(
              catalog,
              credentials,
              most,
              kind === undefined ? undefined : { kind },
            ),
          people: () => usersAndGroups({ catalog, auth }),
          httpAuth,
          userInfo,
          logger,
          status: () => ({
            policies: policies.status,
            shadow: shadowPolicies?.status ?? null,
            shadowDifferences: shadow?.differences ?? null,
            latestDifferences: shadow?.latest ?? [],
            notices: notices.counts,
            told: notices.told,
            plugins: plugins.ids,
            catalogRule: wholePolicy.unused ?? null,
          }),
        }).serve(router);
        void shadowPolicies?.load();

        const repetitions: Repetition[] = [];
        if (settings.watchInterval > 0) {
          const reload = async () => {
            await Promise.all(all.map(each => each.reloadIfChanged())).catch(
              error =>
                logger.error(
                  `looking for changes of the policies failed: ${error}`,
                ),
            );
          };
          repetitions.push(repeat(() => settings.watchInterval, reload));
        }
        if (releases) {
          releases.onHint(() => void policies.follow());
          repetitions.push(
            repeat(
              () => releases.wait(),
              () => policies.follow(),
            ),
          );
        }
        if (needsGroups) {
          const wait = () => groups.wait(groupsInterval);
          const read = () => groups.read().then(() => groups.readOwners());
          repetitions.push(repeat(wait, read));
        }
        // Plugins hold requests until all of them have started.
        rootLifecycle.addStartupHook(async () => {
          const { batchesRequests, discoversPlugins } = settings;
          startupWarnings({
            versionOf: installedVersion,
            plugins: await plugins.installed(),
            batchesRequests,
          }).forEach(warning => logger.warn(warning));
          if (!discoversPlugins) {
            if (wholePolicy.isRegistered) {
              logger.warn(
                'the rule of the catalog is not used: that needs ' +
                  'permission.stagedoor.discoverPlugins',
              );
            }
            return;
          }
          await plugins.read();
          repetitions.push(
            repeat(
              () => plugins.wait,
              () => plugins.read(),
            ),
          );
        });
        lifecycle.addShutdownHook(async () => {
          repetitions.forEach(each => each.stop());
          waited.cancel();
          all.forEach(each => each.close());
          await releases?.close();
          await records.flush(logger);
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
