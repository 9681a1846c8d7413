/** What the backend module of Stagedoor answers, below `/api/permission/stagedoor/v1`. */

export type Result = 'ALLOW' | 'DENY' | 'CONDITIONAL';

/** Where a policy stands. */
export interface PolicyPlace {
  id: string;
  effect: 'permit' | 'forbid';
  /** Its file, below the directory of the policies. */
  file: string;
  line?: number;
  doc?: string;
  /** Where it can be read, if the backend is told. */
  url?: string;
}

/** Something that is wrong, or narrower than the policies. */
export interface Problem {
  severity: 'error' | 'warning';
  code: string;
  message: string;
  file: string | null;
  line: number | null;
  column?: number | null;
  help: string | null;
  url?: string;
}

export interface Me {
  user: string;
  /** Whether they may see what others may do. */
  readsOthers: boolean;
}

/** One permission of somebody, whichever resource is meant. */
export interface AccessEntry {
  permission: string;
  plugin: string;
  resourceType: string | null;
  result: Result;
  conditions: unknown;
  /** Which resources are meant, in words. */
  words: string | null;
  policies: PolicyPlace[];
  errors: string[];
  findings: Problem[];
}

export interface Access {
  user: string;
  ownershipEntityRefs: string[];
  revision: string;
  permissions: AccessEntry[];
}

export interface GridPermission {
  name: string;
  plugin: string;
  action: string | null;
  resourceType: string | null;
}

/** What members of groups may do; a part of all groups. */
export interface Grid {
  revision: string;
  permissions: GridPermission[];
  conditions: string[];
  groups: { group: string; results: string; conditions: number[] }[];
  total: number;
  next: number | null;
}

/** A value that a clause met. */
export interface MetValue {
  expression: string;
  value: string | null;
}

/** A clause of a policy. Older backends tell no values and alternatives. */
export interface Clause {
  text: string;
  file: string;
  line: number | null;
  url?: string;
  values?: MetValue[];
  alternatives?: { text: string; values?: MetValue[] }[];
}

export interface PolicyExplanation {
  policy: string;
  file: string | null;
  line: number | null;
  doc: string | null;
  url?: string;
  effect: 'permit' | 'forbid';
  status: 'satisfied' | 'held-back' | 'not-satisfied' | 'errored';
  failed: Clause | null;
  held?: Clause[];
  message: string | null;
}

/** What would have to be different for a denial to be none. */
export interface Counterfactual {
  changes: {
    subject: string;
    from: string | null;
    relation: 'equal' | 'not-equal' | 'absent' | 'in' | 'not-in';
    to: string | null;
  }[];
  permits: string[];
}

export interface Explanation {
  decision: 'allow' | 'deny';
  reasons: string[];
  errors: { policy: string; message: string }[];
  policies: PolicyExplanation[];
  nearest: {
    policy: string;
    file: string | null;
    line: number | null;
    doc: string | null;
    url?: string;
    failed: Clause[];
  }[];
  counterfactuals?: Counterfactual[];
}

/** What is left of a policy, whichever resource is meant. */
export interface Residual {
  policy: string;
  file: string;
  line: number | null;
  doc: string | null;
  url?: string;
  effect: 'permit' | 'forbid';
  applies: 'always' | 'some' | 'never' | 'failed';
  condition: string | null;
  message: string | null;
}

export interface Why {
  user: string;
  permission: string;
  entity: string | null;
  revision: string;
  result: Result;
  answer: AccessEntry;
  because: PolicyPlace[];
  near: PolicyPlace[];
  narrower: boolean;
  explanation: Explanation | null;
  residuals: Residual[] | null;
}

export interface EntityRights {
  user: string;
  entity: string;
  revision: string;
  permissions: {
    permission: string;
    plugin: string;
    action: string | null;
    result: Result;
    policies: PolicyPlace[];
  }[];
}

export interface Reach {
  permission: string;
  revision: string;
  result: Result;
  kinds: {
    kind: string;
    type: string | null;
    reached: number;
    of: number;
    names: string[];
  }[];
  notAsked: number;
}

export interface Holders {
  permission: string;
  entity: string | null;
  revision: string;
  users: {
    user: string;
    result: Result;
    policies: string[];
    words: string | null;
  }[];
  asked: number;
  notAsked: number;
}

/** What some policies change, for all requests. */
export interface MeaningRow {
  direction: 'widened' | 'narrowed';
  proved: boolean;
  who: string;
  actions: string[];
  about: string;
  conditional: boolean;
  policies: string[];
  reasons: string[];
  example: string | null;
  people: string[];
}

/** What is decided differently of what users of the catalog can ask. */
export interface AccessRow {
  direction: 'widened' | 'narrowed';
  who: string[];
  users: number;
  all_users: number;
  actions: string[];
  resources: { kind: string; names: string[]; of: number }[];
  requests: number;
  before: string[];
  after: string[];
}

export interface WhatIf {
  revision: string;
  other: string;
  unnamed: string | null;
  policies: { added: string[]; removed: string[]; changed: string[] };
  meaning: {
    verdict: 'equal' | 'widened' | 'narrowed' | 'both' | 'undecided';
    undecided: boolean;
    rows: MeaningRow[];
    schema: string[];
  } | null;
  rows: AccessRow[];
  asked: number;
  leftOut: number;
  widened: number;
  narrowed: number;
}

export interface LoadStatus {
  ok: boolean;
  revision?: string;
  failure?: string;
}

export interface Status {
  policies: LoadStatus;
  shadow: LoadStatus | null;
  shadowDifferences: number | null;
  latestDifferences: {
    user: string;
    permission: string;
    result: string;
    policies: string[];
    shadowResult: string;
    shadowPolicies: string[];
  }[];
  notices: Record<string, number>;
  told: { code: string; message: string; times: number }[];
  plugins: string[];
  /** Why the catalog is not answered the one rule for all policies; null where it is. */
  catalogRule: string | null;
}
