// The licences of what is linked into a program: each text once, with the crates that it is of.
//
// Apache-2.0 is taken where a crate leaves the choice, as this project does.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { linkedInto } from './dependencies.mjs';
import { root } from './folders.mjs';

const APACHE = 'Apache-2.0';

/** Returns the notices of a crate's program or addon. */
export function notices(name) {
  const foreign = linkedInto(name).linked.filter(({ source }) => source !== null);
  const texts = new Map();
  const lacking = [];
  const siblingOf = crate =>
    foreign.find(
      each =>
        each.license === crate.license &&
        // The texts of these name nobody, so anybody's is the same.
        (crate.license.startsWith(`${APACHE} WITH`) ||
          (crate.repository && each.repository === crate.repository)) &&
        textsOf(each).length > 0,
    );
  for (const crate of foreign) {
    let found = textsOf(crate);
    if (found.length === 0) {
      // Some repositories put the file beside some of their crates only.
      const sibling = siblingOf(crate);
      if (sibling) found = textsOf(sibling);
    }
    if (found.length === 0) lacking.push(`${crate.name} ${crate.version} (${crate.license})`);
    for (const text of found) {
      const plain = text.replace(/\s+/g, ' ').trim();
      const known = texts.get(plain) ?? { text: text.trim(), crates: [] };
      known.crates.push(`${crate.name} ${crate.version}`);
      texts.set(plain, known);
    }
  }
  if (lacking.length > 0) {
    throw new Error(`no licence text can be found for ${lacking.join(', ')}`);
  }
  const parts = [...texts.values()].sort((a, b) => b.crates.length - a.crates.length);
  const head =
    'This program contains, besides its own code (Apache-2.0) and the standard library of Rust\n' +
    '(MIT OR Apache-2.0), the crates below. Each text is the licence of those above it.\n';
  const rule = '='.repeat(80);
  return [head, ...parts.map(({ text, crates }) => `${crates.join('\n')}\n\n${text}\n`)].join(
    `\n${rule}\n\n`,
  );
}

function textsOf({ manifest_path, license = '', license_file, name }) {
  const folder = dirname(manifest_path);
  const files = readdirSync(folder).filter(file => /^(licen[cs]e|copying|unlicense)/i.test(file));
  const all = license_file ? [...new Set([license_file, ...files])] : files;
  const read = file => readFileSync(join(folder, file), 'utf8');
  const notices = readdirSync(folder).filter(file => /^notice/i.test(file));
  const offersApache = license
    .split(/\s+OR\s+|\//)
    .some(each => each.replace(/[()]/g, '') === APACHE);
  if (offersApache) {
    const own = all.find(file => /apache/i.test(file));
    const only = license === APACHE ? all[0] : undefined;
    const file = own ?? only;
    const text = file && /^\s*Apache License/m.test(read(file)) ? read(file) : apache();
    return [withoutAppendix(text), ...notices.map(read)];
  }
  const texts = [...all.filter(file => !/\//.test(file)), ...notices].map(read);
  return texts.length > 0 ? texts : standard(license, name);
}

/** The text as all have it, without the example of how to apply it, which many fill in. */
function withoutAppendix(text) {
  const [terms] = text.split(/END OF TERMS AND CONDITIONS/);
  return `${terms.trim()}\n\nEND OF TERMS AND CONDITIONS`;
}

function apache() {
  return readFileSync(join(root, 'LICENSE'), 'utf8');
}

/** Texts that name nobody, for crates that leave them out. */
function standard(license, name) {
  if (!/\bMIT\b/.test(license)) return [];
  return [
    `MIT License\n\nCopyright (c) the authors of ${name}\n\n` +
      'Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:\n\n' +
      'The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.\n\n' +
      'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.',
  ];
}
