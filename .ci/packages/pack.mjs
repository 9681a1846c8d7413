// Packs the npm packages as they are published: `node pack.mjs [--complete] [--out DIR]
// [--artifacts DIR]`.
//
// What is in `bindings/*` and not private is packed by npm, and completed: licence, notices, and
// the optional packages with the programs for each platform. Those are made of the files in the
// artifacts' folder. Without `--complete`, platforms that are not there are told and left out.

import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { chmodSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { version } from './dependencies.mjs';
import { root, run } from './folders.mjs';
import { notices } from './notices.mjs';
import { artifactsOf, platforms } from './platforms.mjs';

/** Fields that say how a package is made, which who installs it has no use for. */
const OWN_FIELDS = ['devDependencies', 'overrides', 'prettier', 'scripts'];

/** The crates whose code is in a package. */
const CRATES = { node: 'stagedoor-node', cli: 'stagedoor-cli', wasm: 'stagedoor-wasm' };

const { values } = parseArgs({
  options: {
    complete: { type: 'boolean', default: false },
    out: { type: 'string', default: join(root, 'target/packages/npm') },
    artifacts: { type: 'string', default: join(root, 'target/packages/artifacts') },
  },
});
// npm is run in other folders.
const out = resolve(values.out);
const stage = join(out, 'stage');
const release = version();

/** The packages that are published, by folder. */
function sources() {
  const bindings = join(root, 'bindings');
  return readdirSync(bindings)
    .filter(folder => existsSync(join(bindings, folder, 'package.json')))
    .map(folder => ({ folder, manifest: readManifest(join(bindings, folder)) }))
    .filter(({ manifest }) => !manifest.private);
}

function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

/** Writes the manifest and the licence beside what is packed, and packs it. */
function pack(folder, manifest, crate) {
  checkVersions(manifest);
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  if (crate !== undefined) writeFileSync(join(folder, 'THIRD-PARTY-NOTICES'), notices(crate));
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', stage];
  const [packed] = Object.values(JSON.parse(run('npm', args, { cwd: folder })));
  checkEntries(manifest, packed);
  renameSync(join(stage, packed.filename), join(out, packed.filename));
  console.log(`${packed.filename}: ${packed.size} bytes, ${packed.unpackedSize} unpacked`);
  return packed;
}

/** Fails where packages would not fit together: all of a release have one version. */
function checkVersions({ name, version: own, ...rest }) {
  if (own !== release) throw new Error(`${name} is ${own}, and the crates are ${release}`);
  for (const field of ['dependencies', 'optionalDependencies', 'peerDependencies']) {
    for (const [other, wanted] of Object.entries(rest[field] ?? {})) {
      if (/^(file|link|workspace|git)/.test(wanted)) {
        throw new Error(`${name} depends on ${other} by \`${wanted}\`, which nobody else has`);
      }
      if (other.startsWith('@stagedoor/') && wanted !== release) {
        throw new Error(`${name} depends on ${other} ${wanted}, and the release is ${release}`);
      }
    }
  }
}

/** Fails where a package names a file that is not in it, as when it was not built. */
function checkEntries({ name, main, types, bin, exports: entries }, { files }) {
  const paths = new Set(files.map(({ path }) => path));
  const visit = entry => {
    if (entry !== null && typeof entry === 'object') Object.values(entry).forEach(visit);
    else if (typeof entry === 'string' && !paths.has(entry.replace(/^\.\//, ''))) {
      throw new Error(`${name} names \`${entry}\`, which is not in what is packed: build it first`);
    }
  };
  [main, types, bin, entries].forEach(visit);
}

/** Makes the packages that hold a family's programs; returns their names. */
function platformPackages(family, main) {
  const made = [];
  for (const platform of platforms()) {
    const { from, file } = artifactsOf(platform).find(each => each.family === family);
    const artifact = join(values.artifacts, from);
    const name = `${main.name}-${platform.name}`;
    if (!existsSync(artifact)) {
      const message = `${name}: NOT PACKED, there is no \`${from}\``;
      if (values.complete) throw new Error(message);
      console.log(message);
      continue;
    }
    const folder = join(stage, `${family}-${platform.name}`);
    mkdirSync(folder, { recursive: true });
    copyFileSync(artifact, join(folder, file));
    if (family === 'cli') chmodSync(join(folder, file), 0o755);
    const { license, repository, homepage, bugs, engines, publishConfig } = main;
    pack(
      folder,
      {
        name,
        version: release,
        description: `What ${main.name} runs on ${platform.target}`,
        license,
        repository,
        homepage,
        bugs,
        os: [platform.os],
        cpu: [platform.cpu],
        ...(platform.libc && { libc: [platform.libc] }),
        ...(family === 'node' && { main: file }),
        files: [file, 'THIRD-PARTY-NOTICES'],
        // A program cannot be run from inside of an archive.
        preferUnplugged: true,
        engines,
        publishConfig,
      },
      CRATES[family],
    );
    made.push(name);
  }
  return made;
}

rmSync(out, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
for (const { folder, manifest } of sources()) {
  const from = join(root, 'bindings', folder);
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', stage];
  const [plain] = Object.values(JSON.parse(run('npm', args, { cwd: from })));
  const into = join(stage, folder);
  mkdirSync(into, { recursive: true });
  run('tar', ['-xzf', join(stage, plain.filename), '-C', into, '--strip-components=1']);
  const published = structuredClone(manifest);
  OWN_FIELDS.forEach(field => delete published[field]);
  if (['node', 'cli'].includes(folder)) {
    const made = platformPackages(folder, manifest);
    published.optionalDependencies = Object.fromEntries(made.map(name => [name, release]));
  }
  const own = folder === 'wasm' ? CRATES.wasm : undefined;
  if (own !== undefined) published.files = [...published.files, 'THIRD-PARTY-NOTICES'];
  pack(into, published, own);
}
rmSync(stage, { recursive: true });
