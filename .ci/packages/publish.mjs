// Publishes what `pack.mjs` has packed: `node publish.mjs [--out DIR] [--registry URL] [--dry-run]`.
//
// The optional packages come before those that name them, so that nobody can install half. A
// version that is there already with the same content is left: a release that stopped half-way is
// run again.

import { readdirSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { root, run } from './folders.mjs';

/** Returns the packed packages, each after those that it depends on. */
export function packed(out) {
  const all = readdirSync(out)
    .filter(file => file.endsWith('.tgz'))
    .map(file => {
      const path = resolve(out, file);
      const manifest = JSON.parse(run('tar', ['-xzOf', path, 'package/package.json']));
      return { path, manifest };
    });
  const ordered = [];
  const visit = one => {
    if (ordered.includes(one)) return;
    const { dependencies, optionalDependencies, peerDependencies } = one.manifest;
    for (const name of Object.keys({
      ...dependencies,
      ...optionalDependencies,
      ...peerDependencies,
    })) {
      const other = all.find(({ manifest }) => manifest.name === name);
      if (other) visit(other);
    }
    ordered.push(one);
  };
  all.forEach(visit);
  return ordered;
}

/** Publishes all of them. */
export function publish(out, { registry, dryRun = false, env = process.env, npm = ['npm'] } = {}) {
  const ordered = packed(out);
  if (ordered.length === 0) throw new Error(`there are no packages in ${out}: run pack.mjs first`);
  const [command, ...first] = npm;
  const to = registry ? ['--registry', registry] : [];
  for (const { path, manifest } of ordered) {
    const name = `${manifest.name}@${manifest.version}`;
    const there = published([command, ...first], name, to, env);
    if (there !== undefined) {
      const integrity = `sha512-${createHash('sha512').update(readFileSync(path)).digest('base64')}`;
      if (there !== integrity) throw new Error(`${name} is published with other content`);
      console.log(`${name}: published already`);
      continue;
    }
    const args = [...first, 'publish', path, ...to, ...(dryRun ? ['--dry-run'] : [])];
    run(command, args, { env });
    console.log(`${name}: ${dryRun ? 'would be published' : 'published'}`);
  }
  return ordered.map(({ manifest }) => manifest.name);
}

/** Returns what a registry has under the name and version, as a digest. */
function published([command, ...first], name, to, env) {
  try {
    const args = [...first, 'view', name, 'dist.integrity', '--json', ...to];
    const told = run(command, args, { env }).trim();
    return told === '' ? undefined : JSON.parse(told);
  } catch (error) {
    if (/E404/.test(error.message)) return undefined;
    throw error;
  }
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: join(root, 'target/packages/npm') },
      registry: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
    },
  });
  publish(values.out, { registry: values.registry, dryRun: values['dry-run'] });
}
