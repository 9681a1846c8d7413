// Answers, as callers get them.

import type { Problem } from './error.js';

/** A policy that could not be evaluated. A forbid of that kind denies, a permit is left out. */
export interface PolicyFailure {
  /** Id of the policy. */
  policy: string;
  /** Cedar's reason. */
  message: string;
}

/** The answer to one request. */
export interface Decision {
  /** Denied unless a permit is satisfied and no forbid is. */
  decision: 'allow' | 'deny';
  /**
   * Ids of the determining policies: the satisfied permits of an allow, the forbids of a deny.
   * Empty if nothing permits the request.
   */
  reasons: string[];
  /** Policies that could not be evaluated, if there are any. */
  errors?: PolicyFailure[];
  /** Of a batch: why this request could not be decided, and is denied. */
  failure?: { code: string; message: string };
}

/** A scope constraint, or a conjunct of a condition. */
export interface Clause {
  /** The clause in Cedar. */
  text: string;
  /** The policy's file. */
  file: string;
  /** The line, from 1. */
  line?: number;
  /** The column in characters, from 1. */
  column?: number;
}

/** What one policy says to a request. */
export interface PolicyExplanation {
  /** Id of the policy. */
  policy: string;
  /** Whether it permits or forbids. */
  effect: 'permit' | 'forbid';
  /** Whether it applies. */
  status: 'satisfied' | 'notSatisfied' | 'errored';
  /** The first clause that does not hold, of a policy that is not satisfied. */
  clause?: Clause;
  /** Cedar's reason, of a policy that could not be evaluated. */
  message?: string;
}

/** A permit that was not satisfied. */
export interface NearPermit {
  /** Id of the policy. */
  policy: string;
  /** The clauses that do not hold. */
  failed: Clause[];
}

/** What every policy in question says to a request. */
export interface Explanation {
  /** The decision that is explained. */
  decision: Decision;
  /** Every policy whose scope matches the request, in the order of the policy set. */
  policies: PolicyExplanation[];
  /** For a denial because nothing permits: the permits that came nearest. */
  nearest: NearPermit[];
  /** The revision of the policy set that decided. */
  revision: string;
}

/** What a reload came to. */
export interface Reloaded {
  /** Whether the policies differ from those before. */
  changed: boolean;
  /** The revision that is in force now. */
  revision: string;
}

/** A permission, as Backstage's `permission` has it. Other fields are left alone. */
export interface BackstagePermission {
  /** Such as `catalog.entity.read`. */
  name: string;
  /** What the permission states about itself. */
  attributes?: { action?: string };
  /** The type of the resources that it is about. */
  resourceType?: string;
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

/** Rules, combined: `PermissionCriteria` of `@backstage/plugin-permission-common`. */
export interface BackstageCriteria {
  /** All of these hold. */
  allOf?: BackstageCriteria[];
  /** One of these holds. */
  anyOf?: BackstageCriteria[];
  /** This does not hold. */
  not?: BackstageCriteria;
  /** The name of a rule, which holds. */
  rule?: string;
  /** The type of the resources that the rule is about. */
  resourceType?: string;
  /** The rule's parameters. */
  params?: Record<string, string | number | boolean | string[]>;
}

/** An answer for Backstage. It is frozen. */
export interface BackstageAnswer {
  /** What the policy answers: nothing but Backstage's own fields. */
  decision:
    | { result: 'ALLOW' }
    | { result: 'DENY' }
    | {
        result: 'CONDITIONAL';
        pluginId: string;
        resourceType: string;
        conditions: BackstageCriteria;
      };
  /** Ids of the policies that lead to it. */
  reasons: string[];
  /** Why nothing was decided, and the policies that could not be evaluated. */
  errors: string[];
  /** Where the decision is narrower than the policies, since no rule says what they say. */
  findings: Problem[];
  /** The revision of the policies that decided. */
  revision: string;
}

/** The status of Kubernetes' SubjectAccessReview. */
export interface AccessReviewStatus {
  allowed: boolean;
  denied?: boolean;
  reason?: string;
  evaluationError?: string;
}
