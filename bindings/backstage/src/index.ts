/**
 * Permission decisions in Backstage by Cedar policies, conditions included.
 *
 * @packageDocumentation
 */

export { permissionModuleStagedoor as default } from './module';
export { decisionSinksExtensionPoint } from './decisionSinks';
export type {
  DecisionSinkOptions,
  DecisionSinksExtensionPoint,
} from './decisionSinks';
