/**
 * Who may do what in Backstage, and why: the page of Stagedoor.
 *
 * @packageDocumentation
 */

export { stagedoorPlugin as default } from './plugin.js';
export { StagedoorApiError, stagedoorApiRef } from './api.js';
export type { StagedoorApi, Subject } from './api.js';
export type * from './answers.js';
