import { resolve } from 'node:path';

import type { Config } from '@backstage/config';
import { readDurationFromConfig } from '@backstage/config';
import { durationToMilliseconds } from '@backstage/types';
import type { AuditorServiceEventSeverityLevel } from '@backstage/backend-plugin-api';
import type {
  BackstageUser,
  ConditionBudget,
  EngineOptions,
} from '@stagedoor/node';

import type { PolicySource } from './policies';
import type { ReleaseSettings } from './releases';

/** What is told to the auditor. */
export interface AuditSettings {
  readonly decisions: 'all' | 'notable' | 'denied' | 'none';
  readonly sample: number;
  readonly severity: AuditorServiceEventSeverityLevel;
}

/** `permission.stagedoor`, read and checked. */
export interface Settings {
  readonly enabled: boolean;
  readonly source: PolicySource;
  /** Milliseconds between two looks at the policies; 0 if they are not watched. */
  readonly watchInterval: number;
  readonly startupWait: number;
  readonly cacheSize: number;
  readonly budget: ConditionBudget;
  /** Whether Backstage sends conditions once for all resources of a permission. */
  readonly batchesRequests: boolean;
  /** Whether permissions are read from the plugins that are installed. */
  readonly discoversPlugins: boolean;
  /** The directory of custom rules, if there is one. */
  readonly rules: string | undefined;
  /** What rules may be, and where compiled ones are, where that differs from the default. */
  readonly ruleHost: EngineOptions['ruleHost'];
  /** Limits that differ from the default ones. */
  readonly limits: EngineOptions['limits'];
  /** Milliseconds between two readings of the catalog's groups, if they are wanted. */
  readonly groupsInterval: number | undefined;
  readonly audit: AuditSettings;
  readonly shadow: PolicySource | undefined;
  readonly guest: BackstageUser | undefined;
  /** Where policies can be read, with `{file}` and `{line}`. */
  readonly policyUrl: string | undefined;
}

const KEY = 'permission.stagedoor';

/** The settings: what has settings of its own, and what has a value. */
interface SettingTree {
  readonly [key: string]: true | SettingTree;
}

const SETTINGS: SettingTree = {
  directory: true,
  bundle: true,
  release: {
    database: true,
    store: true,
    trust: true,
    state: true,
    pin: true,
    interval: true,
    maxStaleness: true,
    storeTimeout: true,
    storeCa: true,
    storeToken: true,
    registryConfig: true,
  },
  watch: { interval: true },
  startupWait: true,
  cacheSize: true,
  budget: { items: true, leaves: true, depth: true, bytes: true },
  rules: true,
  ruleHost: {
    bytes: true,
    modules: true,
    compileSeconds: true,
    compileMemoryMib: true,
    memoryMib: true,
    concurrency: true,
    waitMs: true,
    cache: true,
    precompiled: true,
    precompiledOnly: true,
  },
  limits: {
    fileBytes: true,
    policyBytes: true,
    policies: true,
    nesting: true,
    operators: true,
    schemaParts: true,
    validationSteps: true,
    entities: true,
    ancestors: true,
    memberships: true,
    stringBytes: true,
    problems: true,
  },
  catalogGroups: { interval: true },
  discoverPlugins: true,
  audit: { decisions: true, sample: true, severity: true },
  shadow: { directory: true, bundle: true },
  guest: { userEntityRef: true, ownershipEntityRefs: true },
  policyUrl: true,
};

/** Those below which are durations, with keys of their own: `{ minutes: 5 }`. */
const DURATIONS = [
  'startupWait',
  'watch.interval',
  'catalogGroups.interval',
  'release.interval',
  'release.maxStaleness',
  'release.storeTimeout',
];

/**
 * Reads the settings.
 *
 * @throws an error that names the key which is missing or wrong.
 */
export function readSettings(root: Config): Settings {
  const config = root.getOptionalConfig(KEY);
  if (!config) {
    throw new Error(
      `${KEY} is not configured: set ${KEY}.directory to the directory of your policies`,
    );
  }
  const wrong = misspelt(config.get(), SETTINGS, '');
  if (wrong.length) throw new Error(wrong.join('; '));
  const guest = config.getOptionalConfig('guest');
  const rules = config.getOptionalString('rules');
  const batchesRequests =
    root.getOptionalBoolean('permission.EXPERIMENTAL_enableBatchedRequests') ===
    true;
  return {
    enabled: root.getOptionalBoolean('permission.enabled') === true,
    source: config.has('release')
      ? { release: release(config) }
      : source(config, ''),
    watchInterval: watchInterval(config),
    startupWait: milliseconds(config, 'startupWait', 5_000),
    cacheSize: number(config, 'cacheSize', 20_000, 0, 10_000_000),
    budget: budget(config, batchesRequests),
    batchesRequests,
    discoversPlugins: config.getOptionalBoolean('discoverPlugins') ?? true,
    rules: rules === undefined ? undefined : resolve(rules),
    ruleHost: ruleHost(config),
    limits: limits(config.getOptionalConfig('limits')),
    groupsInterval: groupsInterval(config),
    audit: audit(config.getOptionalConfig('audit')),
    shadow: config.has('shadow') ? source(config, 'shadow.') : undefined,
    policyUrl: policyUrl(config),
    guest: guest && {
      userEntityRef: guest.getString('userEntityRef'),
      ownershipEntityRefs:
        guest.getOptionalStringArray('ownershipEntityRefs') ?? [],
    },
  };
}

function policyUrl(config: Config): string | undefined {
  const url = config.getOptionalString('policyUrl');
  // Whoever looks at the page follows it.
  if (
    url !== undefined &&
    !(/^https?:\/\//.test(url) && url.includes('{file}'))
  ) {
    throw new Error(
      `${KEY}.policyUrl must be an address with {file}, such as ` +
        'https://git.example/acme/policies/blob/main/{file}#L{line}',
    );
  }
  return url;
}

function source(config: Config, prefix: string): PolicySource {
  const bundle = config.getOptionalString(`${prefix}bundle`);
  if (bundle === undefined) {
    return { directory: resolve(config.getString(`${prefix}directory`)) };
  }
  if (config.has(`${prefix}directory`)) {
    throw new Error(
      `${KEY}.${prefix}directory and ${KEY}.${prefix}bundle are both set: keep one of them`,
    );
  }
  return { bundle: resolve(bundle) };
}

/** Reads which channel is followed, and how. The addon checks further. */
function release(root: Config): ReleaseSettings {
  for (const other of ['directory', 'bundle']) {
    if (root.has(other)) {
      throw new Error(
        `${KEY}.${other} and ${KEY}.release are both set: keep one of them`,
      );
    }
  }
  const config = root.getConfig('release');
  const database = config.getOptionalString('database');
  const store = config.getOptionalString('store');
  if ((database === undefined) === (store === undefined)) {
    throw new Error(
      `${KEY}.release needs either database, such as payments:production, or store, such as ` +
        'ghcr.io/acme/payments:production',
    );
  }
  const path = (name: 'storeCa' | 'storeToken' | 'registryConfig') => {
    const given = config.getOptionalString(name);
    return given === undefined ? {} : { [name]: resolve(given) };
  };
  const seconds = (name: 'maxStaleness' | 'storeTimeout') => {
    const key = `release.${name}`;
    if (!root.has(key)) return {};
    const time = Math.ceil(milliseconds(root, key, 0) / 1000);
    if (time < 1) throw new Error(`${KEY}.${key} must be at least a second`);
    return { [`${name}Seconds`]: time };
  };
  const interval = milliseconds(root, 'release.interval', 30_000);
  if (interval < 10) {
    throw new Error(`${KEY}.release.interval must be at least 10 milliseconds`);
  }
  const pin = config.getOptionalString('pin');
  return {
    ...(database !== undefined && { database }),
    ...(store !== undefined && { store }),
    trust: resolve(config.getString('trust')),
    state: resolve(config.getString('state')),
    ...(pin !== undefined && { pin }),
    interval,
    ...seconds('maxStaleness'),
    ...seconds('storeTimeout'),
    ...path('storeCa'),
    ...path('storeToken'),
    ...path('registryConfig'),
  };
}

/** Reads what the addon checks further: which numbers there may be is the same for every face. */
function ruleHost(root: Config): Settings['ruleHost'] {
  const config = root.getOptionalConfig('ruleHost');
  if (config === undefined) return undefined;
  if (!root.has('rules') && !root.has('release')) {
    throw new Error(
      `${KEY}.ruleHost goes with ${KEY}.rules, the directory of the rules`,
    );
  }
  const path = (name: 'cache' | 'precompiled') => {
    const given = config.getOptionalString(name);
    return given === undefined ? {} : { [name]: resolve(given) };
  };
  const numbers = RULE_HOST_NUMBERS.flatMap((name): [string, number][] =>
    config.has(name)
      ? [
          [
            name,
            number(config, name, 0, 0, Number.MAX_SAFE_INTEGER, 'ruleHost.'),
          ],
        ]
      : [],
  );
  const precompiledOnly = config.getOptionalBoolean('precompiledOnly');
  return {
    ...Object.fromEntries(numbers),
    ...path('cache'),
    ...path('precompiled'),
    ...(precompiledOnly !== undefined && { precompiledOnly }),
  };
}

const RULE_HOST_NUMBERS = [
  'bytes',
  'modules',
  'compileSeconds',
  'compileMemoryMib',
  'memoryMib',
  'concurrency',
  'waitMs',
];

function limits(config: Config | undefined): Settings['limits'] {
  if (config === undefined) return undefined;
  const names = config.keys();
  return Object.fromEntries(
    names.map(name => [
      name,
      number(config, name, 0, 0, Number.MAX_SAFE_INTEGER, 'limits.'),
    ]),
  );
}

function watchInterval(config: Config): number {
  const watch = config.getOptional('watch');
  if (watch === false) return 0;
  if (watch === undefined || watch === true) return 5_000;
  const interval = milliseconds(config, 'watch.interval', 5_000);
  if (interval < 10) {
    throw new Error(`${KEY}.watch.interval must be at least 10 milliseconds`);
  }
  return interval;
}

function groupsInterval(config: Config): number | undefined {
  const groups = config.getOptional('catalogGroups');
  if (groups === undefined || groups === false) return undefined;
  if (groups === true) return 60_000;
  const interval = milliseconds(config, 'catalogGroups.interval', 60_000);
  if (interval < 100) {
    throw new Error(
      `${KEY}.catalogGroups.interval must be at least 100 milliseconds`,
    );
  }
  return interval;
}

/** What a plugin takes as the body of a request for conditions to be applied. */
const BODY_BYTES = 100 * 1024;
/** What is around the items, and around the conditions of each. */
const AROUND_ITEMS = 12;
const AROUND_CONDITIONS = 400;

/**
 * Reads how large conditions may be.
 *
 * Backstage sends them once for each item of a request: for each resource, or, where requests
 * are batched, for each permission. More items than the settings say fail as a whole.
 */
function budget(config: Config, batchesRequests: boolean): ConditionBudget {
  const items = number(
    config,
    'budget.items',
    batchesRequests ? 16 : 50,
    1,
    160,
  );
  const each =
    Math.floor((BODY_BYTES - AROUND_ITEMS) / items) - AROUND_CONDITIONS;
  return {
    leaves: number(config, 'budget.leaves', 64, 1, 1_000),
    depth: number(config, 'budget.depth', 16, 1, 400),
    bytes: number(config, 'budget.bytes', each, 100, 100_000),
  };
}

/**
 * Returns what is wrong with keys, on every level: one that is no setting would be left out in
 * silence.
 */
function misspelt(given: unknown, known: SettingTree, above: string): string[] {
  if (!isObject(given)) return [];
  return Object.entries(given as object).flatMap(([key, value]) => {
    const path = `${above}${key}`;
    const below = Object.hasOwn(known, key) ? known[key] : undefined;
    if (below === undefined) {
      const names = Object.keys(known).map(name => `${above}${name}`);
      return [`${KEY}.${path} is not a setting: there are ${names.join(', ')}`];
    }
    if (below !== true) return misspelt(value, below, `${path}.`);
    if (DURATIONS.includes(path) || !isObject(value)) return [];
    return [`${KEY}.${path} has no settings of its own`];
  });
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function milliseconds(config: Config, key: string, unset: number): number {
  if (!config.has(key)) return unset;
  const duration = durationToMilliseconds(
    readDurationFromConfig(config, { key }),
  );
  if (!(duration >= 0 && duration < 2 ** 31)) {
    throw new Error(`${KEY}.${key} must be between nothing and 24 days`);
  }
  return duration;
}

function number(
  config: Config,
  key: string,
  unset: number,
  least: number,
  most: number,
  above = '',
): number {
  const value = config.getOptionalNumber(key) ?? unset;
  if (!(Number.isInteger(value) && value >= least && value <= most)) {
    throw new Error(
      `${KEY}.${above}${key} must be a whole number from ${least} to ${most}`,
    );
  }
  return value;
}

function audit(config: Config | undefined): AuditSettings {
  const decisions = config?.getOptionalString('decisions') ?? 'notable';
  if (!oneOf(['all', 'notable', 'denied', 'none'] as const, decisions)) {
    throw new Error(
      `${KEY}.audit.decisions must be all, notable, denied or none`,
    );
  }
  const severity = config?.getOptionalString('severity') ?? 'medium';
  if (!oneOf(['low', 'medium', 'high', 'critical'] as const, severity)) {
    throw new Error(
      `${KEY}.audit.severity must be low, medium, high or critical`,
    );
  }
  const sample = config?.getOptionalNumber('sample') ?? 1;
  if (!(sample >= 0 && sample <= 1)) {
    throw new Error(`${KEY}.audit.sample must be from 0 to 1`);
  }
  return { decisions, severity, sample };
}

function oneOf<T extends string>(words: readonly T[], word: string): word is T {
  return (words as readonly string[]).includes(word);
}
