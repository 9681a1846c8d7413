// Unpacks an image from its layout, as a container engine does, and checks every digest on the way:
// `node unpack.mjs LAYOUT ARCHITECTURE FOLDER`. Prints how it is run, in JSON.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { run } from './folders.mjs';

const [layout, architecture, folder] = process.argv.slice(2);
const sha256 = bytes => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

function blob({ digest, size }) {
  const bytes = readFileSync(join(layout, 'blobs', digest.replace(':', '/')));
  if (bytes.length !== size || sha256(bytes) !== digest)
    throw new Error(`${digest} is not what it says`);
  return bytes;
}

const parsed = descriptor => JSON.parse(blob(descriptor).toString());
const [tagged] = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests;
const wanted = parsed(tagged).manifests.find(
  ({ platform }) => platform.architecture === architecture,
);
if (wanted === undefined) throw new Error(`the image has nothing for ${architecture}`);
const manifest = parsed(wanted);
const { config, rootfs } = parsed(manifest.config);
mkdirSync(folder, { recursive: true });
manifest.layers.forEach((descriptor, n) => {
  const tar = gunzipSync(blob(descriptor));
  if (sha256(tar) !== rootfs.diff_ids[n]) throw new Error(`layer ${n} is not what the config says`);
  run('tar', ['-xf', '-', '-C', folder, '--numeric-owner'], { input: tar, stdio: 'pipe' });
});
console.log(JSON.stringify(config));
