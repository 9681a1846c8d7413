/**
 * The module of the catalog, as a backend adds it.
 *
 * @packageDocumentation
 */

export { catalogModuleStagedoor as default } from './catalogModule';
