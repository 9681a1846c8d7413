/**
 * Who may do what in Backstage, and why: the page of Stagedoor.
 *
 * @packageDocumentation
 */

export { stagedoorPlugin as default } from './plugin';
export { StagedoorApiError, stagedoorApiRef } from './api';
export type { StagedoorApi, Subject } from './api';
export type * from './answers';
