// The reference of the TypeScript packages, by TypeDoc, and the page that leads to it and to Rust's.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { publishable } from './dependencies.mjs';
import { root, run, tools } from './folders.mjs';

/** The packages for programs, each with the files that its `exports` are made of. */
const PACKAGES = [
  ['node', ['index.d.ts', 'testing.d.ts']],
  ['wasm', ['src/index.ts']],
  ['rule-sdk', ['src/index.ts', 'src/component.ts']],
  ['backstage', ['src/index.ts', 'src/catalogEntry.ts']],
];

const manifestOf = folder =>
  JSON.parse(readFileSync(join(root, 'bindings', folder, 'package.json'), 'utf8'));

/** Returns the page of references, on a site below `base`. */
export function referencePage(base) {
  const link = (to, label) => `<a href="${to}" target="_self">${label}</a>`;
  const packages = PACKAGES.map(([folder]) => {
    const { name, description } = manifestOf(folder);
    return `| ${link(`${base}/reference/${folder}/index.html`, name)} | ${description} |`;
  });
  const crates = publishable()
    .sort((a, b) => a.name.localeCompare(b.name))
    .map(({ name, description }) => `| [${name}](https://docs.rs/${name}) | ${description} |`);
  return `# Reference

Of every package for programs, from the comments in its code. Rust's is on docs.rs, for each version
that is published.

## TypeScript and JavaScript

| package | |
|---|---|
${packages.join('\n')}

## Rust

Begin with [stagedoor](https://docs.rs/stagedoor), which has the others by its features.

| crate | |
|---|---|
${crates.join('\n')}
`;
}

/** Long names of packages and types on narrow screens. */
const CSS = 'h1, h2, h3, h4, a, code { overflow-wrap: anywhere; }\n';

/**
 * Writes each package's reference below a folder, on a site below `base` with that icon. A link in it
 * that leads nowhere fails.
 */
export function writeReference(out, base, icon) {
  const work = mkdtempSync(join(tmpdir(), 'stagedoor-reference-'));
  try {
    writeFileSync(join(work, 'custom.css'), CSS);
    for (const [folder, files] of PACKAGES) {
      const { name, version } = manifestOf(folder);
      const at = join(root, 'bindings', folder);
      const options = {
        name: `${name} ${version}`,
        entryPoints: files.map(file => join(at, file)),
        tsconfig: join(work, 'tsconfig.json'),
        out: join(out, folder),
        readme: 'none',
        customCss: join(work, 'custom.css'),
        favicon: icon,
        navigationLinks: { Stagedoor: base },
        // Types of others' packages are not installed here, and the compiler has checked all anyway.
        skipErrorChecking: true,
        disableSources: true,
        excludePrivate: true,
        excludeInternal: true,
        validation: { invalidLink: true, notExported: false, notDocumented: false },
        treatValidationWarningsAsErrors: true,
      };
      const compilerOptions = {
        target: 'ES2022',
        module: 'ESNext',
        moduleResolution: 'bundler',
        lib: ['ES2024', 'DOM'],
        strict: true,
        types: [],
        noEmit: true,
      };
      writeFileSync(
        join(work, 'tsconfig.json'),
        JSON.stringify({ compilerOptions, files: options.entryPoints }),
      );
      writeFileSync(join(work, 'typedoc.json'), JSON.stringify(options));
      run('node', [
        join(tools, 'typedoc/bin/typedoc'),
        ...['--options', join(work, 'typedoc.json'), '--logLevel', 'Warn'],
      ]);
      if (!existsSync(join(out, folder, 'index.html'))) throw new Error(`${name} has no reference`);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
