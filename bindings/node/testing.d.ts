import type { Engine, Entities, RequestInput } from './index';

/** What a test runner has: `node:test`, Jest, Vitest, Mocha. */
export interface TestRunner {
  describe(name: string, define: () => void): unknown;
  it(name: string, test: () => void): unknown;
}

/**
 * Makes a test of every case in test files (`*.test.yaml`), or in all below directories. Cases of
 * one file share a `describe`, those of a suite another in it.
 *
 * The runner is the one whose globals are there, else `node:test`. Without its globals, Vitest has
 * to be given: `runPolicyTests('policies', { describe, it })`.
 *
 * Throws if test files, policies or fixtures cannot be used.
 */
export declare function runPolicyTests(paths: string | string[], runner?: TestRunner): void;

/** What a matcher returns. */
export interface MatcherResult {
  pass: boolean;
  message: () => string;
}

/** Matchers for `expect.extend` of Jest and Vitest. */
export declare const policyMatchers: {
  toAllow(engine: Engine, request: RequestInput, entities?: Entities): MatcherResult;
  toDeny(engine: Engine, request: RequestInput, entities?: Entities): MatcherResult;
  toAllowBecauseOf(
    engine: Engine,
    request: RequestInput,
    policies: string | string[],
    entities?: Entities,
  ): MatcherResult;
  toDenyBecauseOf(
    engine: Engine,
    request: RequestInput,
    policies: string | string[],
    entities?: Entities,
  ): MatcherResult;
};

/** The matchers' signatures, to be merged into a runner's own. */
export interface PolicyMatchers<R = void> {
  /** The engine allows the request. */
  toAllow(request: RequestInput, entities?: Entities): R;
  /** The engine denies the request. */
  toDeny(request: RequestInput, entities?: Entities): R;
  /** The engine allows the request, and exactly these permits determine it. */
  toAllowBecauseOf(request: RequestInput, policies: string | string[], entities?: Entities): R;
  /** The engine denies the request, and exactly these forbids determine it; `[]` for none. */
  toDenyBecauseOf(request: RequestInput, policies: string | string[], entities?: Entities): R;
}

/** Throws an `AssertionError` unless the engine allows the request. */
export declare function assertAllows(
  engine: Engine,
  request: RequestInput,
  entities?: Entities,
): void;
/** Throws an `AssertionError` unless the engine denies the request. */
export declare function assertDenies(
  engine: Engine,
  request: RequestInput,
  entities?: Entities,
): void;
/** Throws unless the engine allows the request and exactly these permits determine it. */
export declare function assertAllowsBecauseOf(
  engine: Engine,
  request: RequestInput,
  policies: string | string[],
  entities?: Entities,
): void;
/** Throws unless the engine denies the request and exactly these forbids determine it. */
export declare function assertDeniesBecauseOf(
  engine: Engine,
  request: RequestInput,
  policies: string | string[],
  entities?: Entities,
): void;
