/**
 * Permission decisions in Backstage by Cedar policies, conditions included.
 *
 * @packageDocumentation
 */

export { permissionModuleStagedoor as default } from './module';
