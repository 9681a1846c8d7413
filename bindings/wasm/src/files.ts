// Files and directories of policies, as the engine's own loader reads them.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { StagedoorError } from './error.js';
import type { Files, SourceText } from './options.js';

const POLICIES = ['.cedar', '.cedar.json'];
const SCHEMAS = ['.cedarschema', '.cedarschema.json'];
const PERMISSIONS = ['.permissions.yaml', '.permissions.yml', '.permissions.json'];

export const files: Files = {
  directory(path) {
    const found = below(path, '', [...POLICIES, ...SCHEMAS]);
    if (!found.some(name => ends(name, POLICIES))) {
      const message = `there are no policies below \`${path}\``;
      const help = 'policies stand in `.cedar` or `.cedar.json` files';
      throw new StagedoorError({ code: 'directory::empty', message, help, file: path });
    }
    return found.map(name => source(join(path, name)));
  },

  file(path) {
    if (!ends(path, [...POLICIES, ...SCHEMAS])) {
      const message = `\`${path}\` is not a file of policies`;
      const help =
        'policies stand in `.cedar` or `.cedar.json` files, schemas in `.cedarschema` or ' +
        '`.cedarschema.json` files';
      throw new StagedoorError({ code: 'file::unknown', message, help, file: path });
    }
    return source(path);
  },

  bundle(directory) {
    const names = below(directory, '', [...POLICIES, ...SCHEMAS, ...PERMISSIONS]);
    const entries = names.map(name => [name, text(join(directory, name))] as const);
    return JSON.stringify({ files: Object.fromEntries(entries) });
  },

  text,
};

function source(path: string): SourceText {
  return { name: path, text: text(path) };
}

function text(path: string): string {
  const kind = reading(path, () => statSync(path));
  // A pipe would be waited for.
  if (!kind.isFile() && !kind.isDirectory()) {
    const message = 'not a file, but a pipe, socket or device';
    const help = 'remove it, or give it another name';
    throw new StagedoorError({ code: 'file::special', message, help, file: path });
  }
  const bytes = reading(path, () => readFileSync(path));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const help = 'save the file as UTF-8';
    throw new StagedoorError(
      { code: 'file::utf8', message: 'not UTF-8', help, file: path },
      { cause },
    );
  }
}

/** Names of all files below a directory, sorted. Hidden ones and `node_modules` are passed over. */
function below(directory: string, above: string, endings: readonly string[]): string[] {
  const place = join(directory, above);
  const entries = reading(place, () => readdirSync(place, { withFileTypes: true }));
  const found: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') {
      continue;
    }
    const name = above + entry.name;
    const path = join(directory, name);
    if (entry.isDirectory()) {
      found.push(...below(directory, `${name}/`, endings));
    } else if (ends(name, endings)) {
      found.push(name);
    } else if (entry.isSymbolicLink() && isDirectory(path)) {
      // Following it could go in circles; leaving it out could lose a forbid.
      const message = 'a symbolic link to a directory is not followed';
      throw new StagedoorError({ code: 'directory::link', message, file: path });
    }
  }
  return found.sort();
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function ends(name: string, endings: readonly string[]): boolean {
  return endings.some(ending => name.endsWith(ending));
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const message = `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    const help = 'check the path and its permissions';
    throw new StagedoorError({ code: 'file::read', message, help, file: path }, { cause });
  }
}
