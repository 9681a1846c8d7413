// A registry of crates on this machine, for as long as it runs:
// `node crates-registry.mjs ARCHIVES UNPACKED HOME`.
//
// Stagedoor's crates come from their archives, each of which is unpacked as well. Others are those
// that cargo has or finds already: what it has read of the index, what it has downloaded, and where
// it downloads from. The folder HOME becomes a home for cargo, in which this registry takes the place
// of crates.io, so that people's own commands run as they are.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { run } from './folders.mjs';

const [archives, unpacked, home] = process.argv.slice(2);
if (home === undefined) throw new Error('name the archives, where they are unpacked, and a home');

const known = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry');
const sources = existsSync(join(known, 'index')) ? readdirSync(join(known, 'index')) : [];

/** Where the index has a crate. */
function placeOf(name) {
  const lower = name.toLowerCase();
  if (lower.length < 3) return `${lower.length}/${lower}`;
  if (lower.length === 3) return `3/${lower[0]}/${lower}`;
  return `${lower.slice(0, 2)}/${lower.slice(2, 4)}/${lower}`;
}

/** Our crates by name: what the index says of each, and its archive. */
const own = new Map(
  readdirSync(archives)
    .filter(file => file.endsWith('.crate'))
    .map(file => {
      const folder = file.replace(/\.crate$/, '');
      const archive = readFileSync(join(archives, file));
      const manifest = join(unpacked, folder, 'Cargo.toml');
      const described = run('cargo', [
        ...['metadata', '--no-deps', '--format-version', '1', '--manifest-path', manifest],
      ]);
      const [crate] = JSON.parse(described).packages;
      return [crate.name, { archive, entry: entryOf(crate, archive) }];
    }),
);

/** What crates.io writes into its index of a crate that is published. */
function entryOf({ name, version, dependencies, features, links, rust_version }, archive) {
  const deps = dependencies.map(({ rename, kind, uses_default_features, ...rest }) => ({
    name: rename ?? rest.name,
    ...(rename && { package: rest.name }),
    req: rest.req,
    features: rest.features,
    optional: rest.optional,
    default_features: uses_default_features,
    target: rest.target,
    kind: kind ?? 'normal',
  }));
  const cksum = createHash('sha256').update(archive).digest('hex');
  const entry = { name, vers: version, deps, cksum, features: {}, features2: features, v: 2 };
  return JSON.stringify({ ...entry, yanked: false, links, rust_version });
}

/** What cargo has read of the index, of a crate of others'. */
function indexed(name) {
  for (const source of sources) {
    const file = join(known, 'index', source, '.cache', placeOf(name));
    if (!existsSync(file)) continue;
    // Versions of the form, the revision, and then in turn a version and its line, each with a zero.
    const parts = readFileSync(file).subarray(5).toString().split('\0');
    return parts.filter((_, n) => n > 0 && n % 2 === 0).join('\n');
  }
  return undefined;
}

/** An archive of others': its bytes, or where cargo would download it. */
function archiveOf(name, version) {
  for (const source of sources) {
    const file = join(known, 'cache', source, `${name}-${version}.crate`);
    if (existsSync(file)) return { bytes: readFileSync(file) };
  }
  const [source] = sources;
  if (source === undefined) return {};
  const { dl } = JSON.parse(readFileSync(join(known, 'index', source, 'config.json'), 'utf8'));
  const address = dl.includes('{')
    ? dl.replaceAll('{crate}', name).replaceAll('{version}', version)
    : `${dl}/${name}/${version}/download`;
  return { address };
}

/** Answers cargo: the settings, the index, the archives. */
function answer(path) {
  if (path === '/index/config.json') return { bytes: JSON.stringify({ dl: `${origin}/crates` }) };
  const [, name, version] = /^\/crates\/([\w-]+)\/([\w.+-]+)\/download$/.exec(path) ?? [];
  if (name !== undefined) {
    const ours = own.get(name);
    return ours === undefined ? archiveOf(name, version) : { bytes: ours.archive };
  }
  const [, asked] = /^\/index\/.*\/([\w-]+)$/.exec(path) ?? [];
  if (asked === undefined || path !== `/index/${placeOf(asked)}`) return {};
  return { bytes: own.get(asked)?.entry ?? indexed(asked) };
}

const server = createServer((request, response) => {
  const { bytes, address } = answer(new URL(request.url, 'http://localhost').pathname);
  if (bytes !== undefined) response.end(bytes);
  else if (address !== undefined) response.writeHead(302, { location: address }).end();
  else response.writeHead(404).end();
});
await new Promise(done => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}`;

mkdirSync(home, { recursive: true });
writeFileSync(
  join(home, 'config.toml'),
  `[source.crates-io]\nreplace-with = "trial"\n\n[source.trial]\nregistry = "sparse+${origin}/index/"\n`,
);
console.log(`${own.size} crates at ${origin}`);
