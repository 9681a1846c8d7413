// Makes the OCI image of `stagedoor serve`, without a daemon:
//
//   node image.mjs --program amd64=FILE [--program arm64=FILE] [--out DIR]
//
// The programs are static, and nothing else is needed: no shell, no libraries, no package manager.
// The result is an OCI layout with one image for each processor, which `skopeo copy --all` takes to
// a registry. The same programs give the same digests.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

import { version } from './dependencies.mjs';
import { root, run } from './folders.mjs';
import { notices } from './notices.mjs';
import { sbom } from './sbom.mjs';

/** Whoever the program runs as: no user of the host, and a number, so that `runAsNonRoot` sees it. */
const USER = 65532;
const TYPES = 'application/vnd.oci.image';
const ARCHITECTURES = ['amd64', 'arm64'];
/** The most that a cluster pulls for one processor, compressed. */
const LARGEST = 60_000_000;
const DOCUMENTS = 'usr/share/doc/stagedoor';

const { values } = parseArgs({
  options: {
    program: { type: 'string', multiple: true, default: [] },
    out: { type: 'string', default: join(root, 'target/packages/image') },
  },
});

/** Writes a blob, and returns how it is referred to. */
function blob(mediaType, bytes) {
  const digest = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(join(values.out, 'blobs/sha256', digest), bytes);
  return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
}

function json(mediaType, value) {
  return blob(mediaType, Buffer.from(JSON.stringify(value)));
}

/** Makes a layer of files, whose owner is root and whose time is the epoch. */
function layer(files) {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-layer-'));
  try {
    for (const { path, text, from, mode } of files) {
      const to = join(folder, path);
      mkdirSync(dirname(to), { recursive: true });
      if (from !== undefined) copyFileSync(from, to);
      else if (text !== undefined) writeFileSync(to, text);
      else mkdirSync(to, { recursive: true });
      chmodSync(to, mode);
    }
    const options = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
    const modes = ['--format=ustar', '--mode=u=rwX,go=rX'];
    // By name, since the folder itself is its maker's alone, and the root is everybody's.
    const args = ['-C', folder, ...options, ...modes, '-cf', '-', ...readdirSync(folder).sort()];
    const tar = run('tar', args, { encoding: 'buffer', maxBuffer: 1 << 30 });
    const diff = createHash('sha256').update(tar).digest('hex');
    const packed = gzipSync(tar, { level: 9 });
    // The ninth byte of gzip's head names the system that it was made on.
    packed[9] = 255;
    return { descriptor: blob(`${TYPES}.layer.v1.tar+gzip`, packed), diff: `sha256:${diff}` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the image has beside the program. */
function surroundings() {
  return layer([
    { path: 'etc/passwd', text: `stagedoor:x:${USER}:${USER}::/:/sbin/nologin\n`, mode: 0o644 },
    { path: 'etc/group', text: `stagedoor:x:${USER}:\n`, mode: 0o644 },
    { path: `${DOCUMENTS}/LICENSE`, from: join(root, 'LICENSE'), mode: 0o644 },
    { path: `${DOCUMENTS}/THIRD-PARTY-NOTICES`, text: notices('stagedoor-cli'), mode: 0o644 },
    { path: `${DOCUMENTS}/sbom.cdx.json`, text: bill, mode: 0o644 },
    // What is mounted over, where the root is read-only.
    ...['dev', 'proc', 'sys', 'tmp'].map(path => ({ path, mode: 0o755 })),
  ]);
}

function image(architecture, file, below) {
  checkStatic(file);
  const own = layer([{ path: 'usr/bin/stagedoor', from: file, mode: 0o755 }]);
  const layers = [below, own];
  const labels = {
    'org.opencontainers.image.title': 'stagedoor',
    'org.opencontainers.image.description': 'Permission decisions by Cedar policies, as a server',
    'org.opencontainers.image.licenses': 'Apache-2.0',
    'org.opencontainers.image.source': 'https://github.com/stagedoor/stagedoor',
    'org.opencontainers.image.version': release,
  };
  const created = '1970-01-01T00:00:00Z';
  const config = json(`${TYPES}.config.v1+json`, {
    created,
    architecture,
    os: 'linux',
    config: {
      User: `${USER}:${USER}`,
      Entrypoint: ['/usr/bin/stagedoor'],
      Cmd: ['help'],
      WorkingDir: '/',
      Labels: labels,
      StopSignal: 'SIGTERM',
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diff }) => diff) },
    history: layers.map(() => ({ created, created_by: '.ci/packages/image.mjs' })),
  });
  const manifest = json(`${TYPES}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${TYPES}.manifest.v1+json`,
    config,
    layers: layers.map(({ descriptor }) => descriptor),
    annotations: labels,
  });
  const bytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  if (bytes > LARGEST) throw new Error(`${bytes} bytes compressed, and ${LARGEST} is the most`);
  console.log(`linux/${architecture}: ${bytes} bytes compressed, ${manifest.digest}`);
  return { ...manifest, platform: { architecture, os: 'linux' } };
}

/** Fails for a program that would look for an interpreter or a library, which are not there. */
function checkStatic(file) {
  const interpreter = run('readelf', ['--program-headers', '--wide', file]);
  const dynamic = run('readelf', ['--dynamic', '--wide', file]);
  if (/program interpreter/.test(interpreter) || /\(NEEDED\)/.test(dynamic)) {
    throw new Error(`\`${file}\` is not static: an image with nothing else cannot run it`);
  }
}

const release = version();
const bill = `${JSON.stringify(sbom('stagedoor-cli'), null, 2)}\n`;
const named = values.program.map(each => each.split('='));
if (
  named.length === 0 ||
  named.some(([arch, file]) => !ARCHITECTURES.includes(arch) || !existsSync(file))
) {
  const known = ARCHITECTURES.map(each => `${each}=FILE`).join(', ');
  throw new Error(`name programs that are there by \`--program\`: ${known}`);
}
rmSync(values.out, { recursive: true, force: true });
mkdirSync(join(values.out, 'blobs/sha256'), { recursive: true });
const below = surroundings();
const manifests = named.map(([architecture, file]) => image(architecture, file, below));
const index = json(`${TYPES}.index.v1+json`, {
  schemaVersion: 2,
  mediaType: `${TYPES}.index.v1+json`,
  manifests,
});
const tagged = { ...index, annotations: { 'org.opencontainers.image.ref.name': release } };
const layout = { schemaVersion: 2, mediaType: `${TYPES}.index.v1+json`, manifests: [tagged] };
writeFileSync(join(values.out, 'index.json'), JSON.stringify(layout));
writeFileSync(join(values.out, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
writeFileSync(join(values.out, '../sbom.cdx.json'), bill);
console.log(`${values.out}: ${release}, ${index.digest}`);
