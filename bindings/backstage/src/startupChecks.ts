import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The release lines of packages whose rules and requests conditions are made for. */
const TESTED: Readonly<Record<string, readonly string[]>> = {
  '@backstage/plugin-permission-backend': ['0.7'],
  '@backstage/plugin-catalog-backend': ['4.0'],
  '@backstage/plugin-scaffolder-backend': ['4.2', '4.3'],
};

/** What the checks look at. */
export interface Installation {
  /** Returns the version of a package that the backend has; nothing if it has none. */
  readonly versionOf: (name: string) => string | undefined;
  /** The plugins that it has. */
  readonly plugins: readonly string[];
  readonly batchesRequests: boolean;
}

/** Returns what an operator is to know of this backend, each in a line. */
export function startupWarnings(installation: Installation): string[] {
  return [...untested(installation), ...unbatched(installation)];
}

/** Conditions are made for what rules mean, which changes between releases. */
function untested({ versionOf }: Installation): string[] {
  return Object.entries(TESTED).flatMap(([name, lines]) => {
    const version = versionOf(name);
    const line = version?.split('.').slice(0, 2).join('.');
    if (line === undefined || lines.includes(line)) return [];
    return [
      `${name} ${version} is a version with which Stagedoor was not tested: tested are ` +
        `${lines.map(each => `${each}.x`).join(' and ')}. Its rules may mean something else than ` +
        'conditions say; look for a newer Stagedoor',
    ];
  });
}

/**
 * Search authorizes its results in requests of their own, and stops after a second: without
 * batches it leaves out documents that the user may read.
 */
function unbatched({ plugins, batchesRequests }: Installation): string[] {
  if (batchesRequests || !plugins.includes('search')) return [];
  return [
    'search leaves out documents that a user may read where its budget of one second is over: ' +
      'set permission.EXPERIMENTAL_enableBatchedRequests to true, or raise ' +
      'search.permissions.queryLatencyBudgetMs',
  ];
}

/** Returns the version of a package as the backend finds it. */
export function installedVersion(name: string): string | undefined {
  const places = [join(process.cwd(), 'package.json'), __filename];
  for (const place of places) {
    try {
      const file = createRequire(place).resolve(`${name}/package.json`);
      return version(file, name);
    } catch {
      // It is not installed, or does not let its package.json be seen.
    }
  }
  return undefined;
}

function version(file: string, name: string): string | undefined {
  for (
    let folder = dirname(file);
    folder !== dirname(folder);
    folder = dirname(folder)
  ) {
    const about = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    ) as {
      name?: unknown;
      version?: unknown;
    };
    if (about.name === name) return String(about.version);
  }
  return undefined;
}
