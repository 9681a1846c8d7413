// Types of the interface that no item of the addon declares.

import type { Problem } from './wire';

/** The status of Kubernetes' SubjectAccessReview. */
export interface AccessReviewStatus {
  allowed: boolean;
  denied?: boolean;
  reason?: string;
  evaluationError?: string;
}

/**
 * What every function here throws or rejects with: an `Error` with more fields. Take it as a
 * denial.
 *
 * For policies that do not load, the fields are those of the first of `problems`.
 */
export interface StagedoorError extends Error {
  name: 'StagedoorError';
  /** Stable code of this kind of error, such as `policy::parse` or `argument::type`. */
  code: string;
  /** The file that is wrong. */
  file?: string;
  /** The line, from 1. */
  line?: number;
  /** The column in characters, from 1. */
  column?: number;
  /** What to do about it. */
  help?: string;
  /** Everything that is wrong, if policies did not load. */
  problems?: Problem[];
  /** How many problems more there are. */
  unreported?: number;
}

/** How a replica of a channel is. */
export interface ReplicaStatus {
  /** The policy set. */
  set: string;
  /** The channel. */
  channel: string;
  /** Where it looks. */
  source: string;
  /** The release in force. */
  inForce: ReleaseStatus | null;
  /** The highest number that was ever in force. */
  highest: number | null;
  /** The one bundle that may be in force. */
  pin?: string;
  /** When the source last offered what is in force. */
  confirmed: string | null;
  /** How long ago that was, or since when there is the replica. */
  staleSeconds: number;
  /** From how long on it is not ready. */
  maxStaleSeconds?: number;
  /** The number of the release that was refused, if what is offered was. */
  refused?: { counter: number };
  /** What is wrong. */
  problem?: string;
}

/** A release in force. */
export interface ReleaseStatus {
  /** Its number. */
  counter: number;
  /** The digest of its bundle. */
  digest: string;
  /** The digest of what is signed. */
  statement: string;
  /** The revision that its answers carry. */
  revision?: string;
  /** The key that has signed it. */
  key: string;
  /** When it was signed. */
  issued: string;
  /** When it expires. */
  expires?: string;
  /** What it takes back. */
  rollback?: { from: number; reason: string };
  /** The commit of its sources. */
  commit?: string;
  /** Since when it is in force here. */
  since: string;
  /** Whether it has expired. */
  isExpired: boolean;
  /** Why it would not be taken by whom is trusted now. */
  distrusted?: string;
}

/** What differs between two policy sets, the later of which takes the place of the earlier. */
export interface PolicyComparison {
  /** Ids of the policies that were added, removed or written anew. */
  policies: { added: string[]; removed: string[]; changed: string[] };
  /** What holds for all requests; none where nothing is validated. */
  meaning: PolicyMeaning | null;
  /** Of the requests that were asked: what is decided differently, grouped. */
  rows: AccessRow[];
  /** How many requests of the catalog's users both sets decided. */
  asked: number;
  /** How many of those possible were not asked, since there are too many. */
  leftOut: number;
  /** How many of them are allowed now and were not. */
  widened: number;
  /** How many of them are denied now and were not. */
  narrowed: number;
}

/** What changes for all requests, decided from policies and schemas alone. */
export interface PolicyMeaning {
  verdict: 'equal' | 'widened' | 'narrowed' | 'both' | 'undecided';
  /** Whether something beside the verdict is not known. */
  undecided: boolean;
  rows: MeaningRow[];
  /** Entity types and actions that the schemas do not say the same of. */
  schema: string[];
}

/** What some policies change. */
export interface MeaningRow {
  direction: 'widened' | 'narrowed';
  /** Whether a request proves it; otherwise it is not decided, for the `reasons`. */
  proved: boolean;
  /** Whom the policies speak of. */
  who: string;
  /** The permissions. */
  actions: string[];
  /** What the policies speak of. */
  about: string;
  /** Whether the policies have conditions beside their scope. */
  conditional: boolean;
  /** The policies that only one of the sets has, and that make the difference. */
  policies: string[];
  reasons: string[];
  /** A request that the sets decide differently, in one line. */
  example: string | null;
  /** The policies that determined the old decision about the example. */
  before: string[];
  /** The policies that determine the new decision about the example. */
  after: string[];
  /** Users of the catalog who are concerned. */
  people: string[];
  /** A request for each kind of request, as the keys of a test case. */
  witnesses: object[];
}

/** Requests that are decided differently in the same way. */
export interface AccessRow {
  direction: 'widened' | 'narrowed';
  /** Whom they concern: groups, or users that no group describes. */
  who: string[];
  /** How many users these are. */
  users: number;
  /** How many users were asked for. */
  all_users: number;
  /** The permissions. */
  actions: string[];
  /** What they are about, by kind. */
  resources: { kind: string; names: string[]; of: number }[];
  /** How many requests they are. */
  requests: number;
  /** The policies that determined the old decisions. */
  before: string[];
  /** The policies that determine the new ones. */
  after: string[];
}
