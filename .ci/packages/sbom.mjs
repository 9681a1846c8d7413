// What a program is made of, as CycloneDX: `node sbom.mjs CRATE [FILE]`.
//
// Nothing of it depends on when or where it is made, so that the image stays reproducible.

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';

import { linkedInto } from './dependencies.mjs';

/** Returns the bill of materials of a crate's program. */
export function sbom(name) {
  const { start, linked, edges, byId } = linkedInto(name);
  const reference = ({ name: own, version }) => `pkg:cargo/${own}@${version}`;
  const component = crate => ({
    type: 'library',
    'bom-ref': reference(crate),
    name: crate.name,
    version: crate.version,
    ...(crate.description && { description: crate.description.trim() }),
    licenses: licences(crate),
    purl: reference(crate),
    ...(crate.repository && { externalReferences: [{ type: 'vcs', url: crate.repository }] }),
  });
  const dependencies = [...edges].map(([id, below]) => ({
    ref: reference(byId.get(id)),
    dependsOn: [...new Set(below.map(each => reference(byId.get(each))))].sort(),
  }));
  dependencies.sort((a, b) => a.ref.localeCompare(b.ref));
  const content = {
    metadata: { component: { ...component(start), type: 'application' } },
    components: linked.map(component),
    dependencies,
  };
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(content))}`,
    version: 1,
    ...content,
  };
}

function licences({ license, license_file }) {
  if (license) return [{ expression: license.replaceAll('/', ' OR ') }];
  return license_file ? [{ license: { name: license_file } }] : [];
}

/** A UUID of version 8, which leaves the digits to whoever makes it: those of a digest. */
function uuidOf(text) {
  const digits = createHash('sha256').update(text).digest('hex').slice(0, 32).split('');
  digits[12] = '8';
  digits[16] = '89ab'[parseInt(digits[16], 16) % 4];
  return digits.join('').replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
}

if (process.argv[1] === import.meta.filename) {
  const [name = 'stagedoor-cli', file] = process.argv.slice(2);
  const text = `${JSON.stringify(sbom(name), null, 2)}\n`;
  if (file === undefined) process.stdout.write(text);
  else writeFileSync(file, text);
}
