import { readFileSync } from 'node:fs';

interface PackageJson {
  name?: unknown;
  backstage?: { role?: unknown; pluginId?: unknown };
}

/**
 * Returns the names of packages in memory that say they are modules of the permission plugin,
 * without this one: one of them has set the policy when this one cannot.
 */
export function otherPermissionModules(own: string): string[] {
  const folders = new Set<string>();
  for (const file of Object.keys(require.cache)) {
    const folder = /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(
      file,
    )?.[0];
    if (folder) folders.add(folder);
  }
  return [...folders].flatMap(name).filter(name => name !== own);
}

function name(folder: string): string[] {
  try {
    const about = JSON.parse(
      readFileSync(`${folder}/package.json`, 'utf8'),
    ) as PackageJson;
    const { role, pluginId } = about.backstage ?? {};
    const isModule =
      role === 'backend-plugin-module' && pluginId === 'permission';
    return isModule ? [String(about.name)] : [];
  } catch {
    return [];
  }
}
