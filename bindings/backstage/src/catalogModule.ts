import {
  coreServices,
  createBackendModule,
} from '@backstage/backend-plugin-api';
import { catalogEntityPermissionResourceRef } from '@backstage/plugin-catalog-node/alpha';
import {
  createConditionTransformer,
  createPermissionRule,
} from '@backstage/plugin-permission-node';
import type { PermissionCriteria } from '@backstage/plugin-permission-common';
import type { EntitiesSearchFilter } from '@backstage/plugin-catalog-node';

import { queryOf, RULE, wholePolicyServiceRef } from './wholePolicy';
import type { WholePolicyParams } from './wholePolicy';

/** Gives the catalog a rule that stands for all policies about its entities. */
export const catalogModuleStagedoor = createBackendModule({
  pluginId: 'catalog',
  moduleId: 'stagedoor',
  register(registration) {
    registration.registerInit({
      deps: {
        logger: coreServices.logger,
        permissionsRegistry: coreServices.permissionsRegistry,
        wholePolicy: wholePolicyServiceRef,
      },
      // Backstage runs it before the catalog itself starts.
      // eslint-disable-next-line @typescript-eslint/require-await
      async init({ logger, permissionsRegistry, wholePolicy }) {
        // All rules of the catalog, those that other modules add later included.
        const transform = createConditionTransformer(
          permissionsRegistry.getPermissionRuleset(
            catalogEntityPermissionResourceRef,
          ),
        );
        permissionsRegistry.addPermissionRules([
          createPermissionRule({
            name: RULE,
            // What plugins tell of their rules is how the permission plugin knows this process.
            description: `Allow entities that Stagedoor's policies permit, by those of process ${wholePolicy.id}`,
            resourceRef: catalogEntityPermissionResourceRef,
            paramsSchema,
            apply: (entity, params) => wholePolicy.applies(entity, params),
            toQuery: params =>
              queryOf(wholePolicy.listed(params), conditions =>
                transform(conditions as Parameters<typeof transform>[0]),
              ) as PermissionCriteria<EntitiesSearchFilter>,
          }),
        ]);
        wholePolicy.registered(logger);
      },
    });
  },
});

const NAMES = ['revision', 'user', 'claims', 'permission'] as const;

/** What the rule is given, as the interfaces of a Standard Schema tell it. */
const paramsSchema = {
  '~standard': {
    version: 1 as const,
    vendor: 'stagedoor',
    validate: (value: unknown) =>
      isParams(value)
        ? { value }
        : {
            issues: [{ message: `${NAMES.join(', ')} must each be a text` }],
          },
    jsonSchema: { input: jsonSchema, output: jsonSchema },
  },
};

function isParams(value: unknown): value is WholePolicyParams {
  const given = value as Record<string, unknown> | null | undefined;
  return NAMES.every(name => typeof given?.[name] === 'string');
}

function jsonSchema(): Record<string, unknown> {
  return {
    type: 'object',
    properties: Object.fromEntries(
      NAMES.map(name => [name, { type: 'string' }]),
    ),
    required: [...NAMES],
    additionalProperties: false,
  };
}
