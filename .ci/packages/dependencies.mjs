// What is linked into a program that cargo builds: the crates that it comes to through
// dependencies that run, on any platform.

import { root, run } from './folders.mjs';

let known;

function metadata() {
  known ??= JSON.parse(
    run('cargo', ['metadata', '--locked', '--format-version', '1'], { cwd: root }),
  );
  return known;
}

/** The version that the whole workspace has. */
export function version() {
  const own = metadata().packages.find(({ name }) => name === 'stagedoor');
  return own.version;
}

/** The crates of the workspace that may be published, dependencies first. */
export function publishable() {
  const { packages, workspace_members } = metadata();
  const members = packages.filter(
    ({ id, publish }) => workspace_members.includes(id) && publish?.length !== 0,
  );
  const names = new Set(members.map(({ name }) => name));
  const ordered = [];
  const visit = one => {
    if (ordered.includes(one)) return;
    for (const { name, kind } of one.dependencies) {
      if (kind !== 'dev' && names.has(name)) visit(members.find(each => each.name === name));
    }
    ordered.push(one);
  };
  members.forEach(visit);
  return ordered;
}

/** Returns the packages below one, itself left out, and which depends on which. */
export function linkedInto(name) {
  const { packages, resolve } = metadata();
  const byId = new Map(packages.map(each => [each.id, each]));
  const nodes = new Map(resolve.nodes.map(each => [each.id, each]));
  const start = packages.find(each => each.name === name);
  if (start === undefined) throw new Error(`there is no crate \`${name}\` in the workspace`);
  const edges = new Map();
  const visit = id => {
    if (edges.has(id)) return;
    const below = nodes
      .get(id)
      .deps.filter(({ dep_kinds }) => dep_kinds.some(({ kind }) => kind === null))
      .map(({ pkg }) => pkg)
      // These run while it is compiled, and are no part of it.
      .filter(pkg => !byId.get(pkg).targets.some(({ kind }) => kind.includes('proc-macro')));
    edges.set(id, below);
    below.forEach(visit);
  };
  visit(start.id);
  const linked = [...edges.keys()].filter(id => id !== start.id).map(id => byId.get(id));
  linked.sort((a, b) => a.name.localeCompare(b.name) || a.version.localeCompare(b.version));
  return { start, linked, edges, byId };
}
