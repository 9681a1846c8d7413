// Generated from crates/stagedoor-wire: do not edit. Its tests write it with UPDATE_GENERATED=1.

/** The answer to one request. */
export interface Decision {
  /** Denied unless a permit is satisfied and no forbid is. */
  decision: Verdict;
  /**
   * Ids of the determining policies: the satisfied permits of an allow, the forbids of a
   * deny. Empty if nothing permits the request.
   */
  reasons: string[];
  /** Policies that could not be evaluated. */
  errors: PolicyFailure[];
  /** What custom rules said of policies that they guard; left out where there is none. */
  guards?: GuardOutcome[];
  /** Why the policies were not asked: the stable code. The decision is then a denial. */
  code?: string;
  /** Why the policies were not asked, in words. */
  error?: string;
  /** What to do about `error`. */
  help?: string;
  /** Hash of the policies that decided, in hexadecimal: equal for equal policies. */
  revision: string;
}

/** Whether a request is allowed. */
export type Verdict = 'allow' | 'deny';

/** A policy that could not be evaluated. A forbid of that kind denies, a permit is left out. */
export interface PolicyFailure {
  /** Id of the policy. */
  policy: string;
  /**
   * The stable code, if a guard gave no answer: `wasm_rule::deadline`, say. Cedar's errors
   * have none.
   */
  code?: string;
  /** The reason: Cedar's, or the guard's. */
  message: string;
}

/** What a custom rule said of a policy that it guards. */
export interface GuardOutcome {
  /** Id of the policy. */
  policy: string;
  /** The rule's name. */
  rule: string;
  /** What it said. */
  verdict: GuardVerdict;
  /** Why: in the rule's own words, or what went wrong. */
  reason: string | null;
}

/** What a guard said. */
export type GuardVerdict = 'yes' | 'no' | 'failed' | 'not-asked';

/** An answer with what every policy in question says. */
export interface Explanation {
  /** Denied unless a permit is satisfied and no forbid is. */
  decision: Verdict;
  /**
   * Ids of the determining policies: the satisfied permits of an allow, the forbids of a
   * deny. Empty if nothing permits the request.
   */
  reasons: string[];
  /** Policies that could not be evaluated. */
  errors: PolicyFailure[];
  /** What custom rules said of policies that they guard; left out where there is none. */
  guards?: GuardOutcome[];
  /** Why the policies were not asked: the stable code. The decision is then a denial. */
  code?: string;
  /** Why the policies were not asked, in words. */
  error?: string;
  /** What to do about `error`. */
  help?: string;
  /** Hash of the policies that decided, in hexadecimal: equal for equal policies. */
  revision: string;
  /** Every policy whose scope matches the request, in the order of the policy set. */
  policies: PolicyExplanation[];
  /** Where nothing permits the request and no policy forbids it: the permits that came nearest. */
  nearest: NearPermit[];
  /**
   * Of a denial: the smallest changes that were found with which the request would be allowed,
   * each tried by deciding it. Empty where none was found, which does not mean that there is none.
   */
  counterfactuals: Counterfactual[];
}

/** What one policy says to a request. */
export interface PolicyExplanation {
  /** Id of the policy. */
  policy: string;
  /** Its file, or the name that was given for the text. */
  file: string | null;
  /** The line at which it begins, from 1; none for policies that were read from JSON. */
  line: number | null;
  /** Its annotation `@doc`. */
  doc: string | null;
  /** Whether it permits or forbids. */
  effect: Effect;
  /** Whether it applies. */
  status: PolicyStatus;
  /** Of a policy that is not satisfied: the first clause that does not hold. */
  failed: Clause | null;
  /**
   * Of a policy whose clauses all hold: these, the scope's constraints left out. Left out where
   * there is none.
   */
  held?: Clause[];
  /**
   * Of a policy that could not be evaluated: the reason. Of one that a guard holds back: which
   * guard does, and what it says; `guards` of the answer have what all of them say.
   */
  message: string | null;
  /** Cedar's evaluator decides it, which takes longer; left out where it is not so. */
  interpreted?: boolean;
}

/** Whether a policy permits or forbids. */
export type Effect = 'permit' | 'forbid';

/** Whether a policy applies to a request. */
export type PolicyStatus = 'satisfied' | 'held-back' | 'not-satisfied' | 'errored';

/** A scope constraint, or a conjunct of a condition. */
export interface Clause {
  /** The clause in Cedar; one of `unless` stands as its negation. */
  text: string;
  /** The policy's file. */
  file: string;
  /** The line, from 1; none for policies that were read from JSON. */
  line: number | null;
  /** The column in characters, from 1. */
  column: number | null;
  /**
   * Of a clause that holds: the alternatives of its outermost `||` that do. Left out where it
   * has none.
   */
  alternatives?: Alternative[];
  /**
   * The values that it looks at, in the order in which it names them, the first eight; left out
   * where there is none.
   */
  values?: MetValue[];
}

/** An alternative of a clause, which holds. */
export interface Alternative {
  /** The alternative in Cedar. */
  text: string;
  /** The line, from 1; none for policies that were read from JSON. */
  line: number | null;
  /** The column in characters, from 1. */
  column: number | null;
  /** The values that it looks at; left out where there is none. */
  values?: MetValue[];
}

/** A value that a clause met. */
export interface MetValue {
  /** Where it stands, in Cedar: `resource.owner`. */
  expression: string;
  /** The value in Cedar, cut where it is longer than 1 KiB; none where there is nothing. */
  value: string | null;
}

/** A permit that was not satisfied. */
export interface NearPermit {
  /** Id of the policy. */
  policy: string;
  /** Its file, or the name that was given for the text. */
  file: string | null;
  /** The line at which it begins, from 1. */
  line: number | null;
  /** Its annotation `@doc`. */
  doc: string | null;
  /** The clauses that do not hold. */
  failed: Clause[];
}

/** What would have to be different for a denied request to be allowed. */
export interface Counterfactual {
  /** All of it together. */
  changes: Change[];
  /** Ids of the policies that would permit the request then. */
  permits: string[];
}

/** One thing that would have to be different. */
export interface Change {
  /** What would have to be different, in Cedar: `resource.tier`, `principal`. */
  subject: string;
  /** What it is now, in Cedar; none where there is nothing. */
  from: string | null;
  /** How it would have to stand to `to`. */
  relation: Relation;
  /** What to, in Cedar; none for `absent`. */
  to: string | null;
}

/** How something would have to stand to something else. */
export type Relation = 'equal' | 'not-equal' | 'absent' | 'in' | 'not-in';

/**
 * Why something was not done: a stable code, a message, where, and what to do.
 *
 * In JavaScript it is thrown as `StagedoorError`, whose `message` names all problems. For policies
 * that do not load, place and help are those of the first of `problems`.
 */
export interface WireError {
  /** Stable code of this kind of error, such as `policy::parse` or `argument::type`. */
  code: string;
  /** What is wrong, in a line. */
  error: string;
  /** What to do about it. */
  help: string | null;
  /** The file that is wrong; left out where none is meant, as are the next two. */
  file?: string;
  /** The line, from 1. */
  line?: number;
  /** The column in characters, from 1. */
  column?: number;
  /** Everything that is wrong with policies, schemas and files. */
  problems: Problem[];
  /** How many problems more there are. */
  unreported: number;
}

/** One thing that is wrong with policies, schemas or files. */
export interface Problem {
  /** Whether it keeps the policies from being loaded. */
  severity: Severity;
  /** Stable code of this kind of problem, such as `policy::parse`. */
  code: string;
  /** What is wrong. */
  message: string;
  /** The file, or the name that was given for the text. */
  file: string | null;
  /** Which document of a file of several, from 1; left out elsewhere. */
  document?: number;
  /** The line, from 1. */
  line: number | null;
  /** The column in characters, from 1. */
  column: number | null;
  /** What to do about it. */
  help: string | null;
  /** Id of the policy that is meant. */
  policy: string | null;
}

/** How much a problem matters. */
export type Severity = 'error' | 'warning';

/** Who wants to do what to which resource, and in which circumstances. */
export interface RequestInput {
  /** Who asks: `'User::"alice"'` or `{type: 'User', id: 'alice'}`. */
  principal: Uid;
  /** What they want to do. */
  action: Uid;
  /** What they want to do it to. */
  resource: Uid;
  /**
   * The circumstances: values as in an entity's attributes. What the schema tells may be left
   * out, such as that a string is an IP address.
   */
  context?: Record<string, unknown>;
  /** Entities that belong to this request alone, such as its resource. */
  entities?: EntityInput[];
}

/** The id of an entity: `Type::"id"`, or its two parts. */
export type Uid = string | EntityUidInput;

/** An entity's id in two parts. `'Type::"id"'` means the same. */
export interface EntityUidInput {
  /** The type, such as `Backstage::User`. */
  type: string;
  /** The id, as it is: nothing is escaped. */
  id: string;
}

/**
 * An entity, as Cedar's JSON form has it.
 *
 * Values are booleans, integers (`number` or `bigint`), strings, arrays (sets) and objects
 * (records); `{__entity: {type, id}}` refers to an entity, and
 * `{__extn: {fn: 'ip', arg: '10.0.0.1'}}` is an extension value.
 */
export interface EntityInput {
  /** The entity's id: `'Type::"id"'` or `{type, id}`. */
  uid: Uid;
  /** Its attributes. */
  attrs?: Record<string, unknown>;
  /** Its tags. */
  tags?: Record<string, unknown>;
  /** The entities that it is directly a member of. */
  parents?: Uid[];
}

/**
 * A request of which parts may be left open, and which page of a list is asked for.
 *
 * Instead of `principal` and `resource` their types may be given. A query without an `action` is
 * about every action that applies.
 */
export interface QueryInput {
  /** Who asks, if that is known: `'User::"alice"'` or `{type: 'User', id: 'alice'}`. */
  principal?: Uid;
  /** Else the type of whoever asks. */
  principalType?: string;
  /** Beside `principalType`: the attributes of whoever asks that are known. */
  principalAttrs?: Record<string, unknown>;
  /** What they want to do. */
  action?: Uid;
  /** What they want to do it to, if that is known. */
  resource?: Uid;
  /** Else the type of what they want to do it to. */
  resourceType?: string;
  /** Beside `resourceType`: its attributes that are known. */
  resourceAttrs?: Record<string, unknown>;
  /** The circumstances. */
  context?: Record<string, unknown>;
  /** Whether there may be more circumstances than `context` says. */
  openContext: boolean;
  /** Of a list: the id after which the page begins. */
  after?: string;
  /** Of a list: the most entries of the page. */
  limit?: number;
}

/** The answer to a query about one action. */
export interface QueryAnswer {
  /** The action. */
  action: string;
  /** The decision, if it is the same whatever the unknown turns out to be. */
  decision: Verdict | null;
  /** When the request is allowed, in Cedar's words. */
  when: string;
  /** What is left of the policies that may be satisfied. */
  residuals: PolicyResidual[];
  /** Hash of the policies, in hexadecimal. */
  revision: string;
}

/** A policy, and what is left of it where parts of a request are not known. */
export interface PolicyResidual {
  /** Its id. */
  policy: string;
  /** Whether it permits or forbids. */
  effect: Effect;
  /** When it is satisfied. */
  holds: Holds;
  /** The condition in Cedar's words. */
  text: string;
  /** The condition in the JSON form that Cedar has for expressions. */
  tree: unknown;
  /** The rules that guard it, which were not asked; left out where there is none. */
  guards?: string[];
  /** Why it cannot be evaluated; left out where it can be. */
  message?: string;
}

/** When a policy is satisfied, as far as that is known. */
export type Holds = 'always' | 'if' | 'failed';

/** A page of a list: entities or actions for which a request is allowed. */
export interface List {
  /** What is allowed, or may be, in the order of ids. */
  entries: ListEntry[];
  /** After which id the next page begins; `null` on the last page. */
  next: string | null;
  /** What could not be decided, and is therefore not listed; left out where there is none. */
  refused?: ListRefusal[];
  /** Hash of the policies that decided, in hexadecimal. */
  revision: string;
}

/** An entity or action of a list. */
export interface ListEntry {
  /** The entity or action, as Cedar writes it. */
  uid: string;
  /**
   * What it depends on, in Cedar's words, where not all of the context is known; left out for
   * what is allowed.
   */
  if?: string;
  /** The policies that it depends on. */
  residuals?: PolicyResidual[];
}

/** What could not be decided. */
export interface ListRefusal {
  /** The entity or action. */
  uid: string;
  /** The stable code. */
  code: string;
  /** Why. */
  error: string;
}

/**
 * A permission, as Backstage's `permission` has it. Other fields are left alone: Backstage has
 * some that are of no concern here.
 */
export interface BackstagePermission {
  /** Such as `catalog.entity.read`. */
  name: string;
  /** What the permission states about itself. */
  attributes?: PermissionAttributes;
  /** The type of the resources that it is about. */
  resourceType?: string;
}

/** What a permission states about itself. */
export interface PermissionAttributes {
  /** Such as `read`. */
  action?: string;
}

/** A signed-in user, as `coreServices.userInfo` tells, or a service. */
export interface BackstageUser {
  /** The user's reference, such as `user:default/alice`. */
  userEntityRef?: string;
  /** The references by which the user owns entities. */
  ownershipEntityRefs?: string[];
  /** In place of a user: a service by its subject, such as `plugin:catalog`. */
  service?: string;
}

/** A group of Backstage's catalog. */
export interface BackstageGroup {
  /** The group's reference, such as `group:default/web`. */
  entityRef: string;
  /** References of the groups right above it. */
  parents: string[];
}

/** How many entities an owner has. */
export interface BackstageOwner {
  /** The owner's reference, such as `group:default/web`. */
  entityRef: string;
  /** How many entities it owns. */
  count: number;
}

/** An answer for Backstage. In JavaScript it is frozen. */
export interface BackstageAnswer {
  /** What the policy answers: nothing but Backstage's own fields. */
  decision: BackstageDecision;
  /** Ids of the policies that lead to it. */
  reasons: string[];
  /** Why nothing was decided, and the policies that could not be evaluated. */
  errors: string[];
  /**
   * Where the decision is narrower than the policies, since no rule of Backstage says what
   * they say.
   */
  findings: Problem[];
  /** The revision of the policies that decided. */
  revision: string;
  /**
   * Whether the same question has the same answer as long as the policies and groups are the
   * same. It is not where a guard gave no answer.
   */
  mayKeep: boolean;
}

/** `PolicyDecision` of `@backstage/plugin-permission-common`. */
export type BackstageDecision = {
  result: 'ALLOW';
} | {
  result: 'DENY';
} | {
  result: 'CONDITIONAL';
  /** The plugin that owns the resources. */
  pluginId: string;
  /** The type of the resources. */
  resourceType: string;
  /** Which of them are meant. */
  conditions: BackstageCriteria;
};

/** Rules, combined: `PermissionCriteria` of `@backstage/plugin-permission-common`. */
export type BackstageCriteria = {
  /** All of these hold. */
  allOf: BackstageCriteria[];
} | {
  /** One of these holds. */
  anyOf: BackstageCriteria[];
} | {
  /** This does not hold. */
  not: BackstageCriteria;
} | BackstageCondition;

/** One rule of a plugin with its parameters. */
export interface BackstageCondition {
  /** The name of the rule. */
  rule: string;
  /** The type of the resources that the rule is about. */
  resourceType: string;
  /** The rule's parameters. */
  params: Record<string, BackstageParam>;
}

/** A parameter of a rule. */
export type BackstageParam = boolean | number | string | string[];

/** What a policy says about a permission of somebody, whatever the resource is. */
export interface BackstageResidual {
  /** Id of the policy. */
  policy: string;
  /** Its file, or the name that was given for the text. */
  file: string;
  /** The line at which it begins, from 1; none for policies that were read from JSON. */
  line: number | null;
  /** Its annotation `@doc`. */
  doc: string | null;
  /** Whether it permits or forbids. */
  effect: Effect;
  /** To which resources it applies. */
  applies: ResidualApplies;
  /**
   * Of a policy that applies to some: what must hold for a resource, in Cedar. What is known
   * of whoever asks stands in it as it is. Cut where it is longer than 4,000 characters.
   */
  condition: string | null;
  /** Of a policy that could not be evaluated: the reason. */
  message: string | null;
}

/** To which resources a policy applies. */
export type ResidualApplies = 'always' | 'some' | 'never' | 'failed';
