// What stands in directories, for the module's own walk: it says which names it reads, and what
// they mean to a set of policies.

import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';

import { StagedoorError } from './error.js';
import type { Files, TreeEntry } from './options.js';
import { call } from './runtime.js';

/** What the walk does with a name: it is passed over, matters as a name, or is read. */
type Interest = 'ignored' | 'listed' | 'read';

export const files: Files = {
  tree(paths) {
    // What is not there is not in the tree either, and the walk says so.
    return paths.flatMap(path => [...below(path, 'read', kindOf(path))]);
  },

  text(path) {
    const entry = read(path);
    if (entry.text !== undefined) return entry.text;
    const message = entry.kind === 'binary' ? 'not UTF-8' : 'cannot be read';
    const help = 'check the path and its permissions';
    throw new StagedoorError({ code: 'file::read', message, help, file: path });
  },
};

type Kind = TreeEntry['kind'];

function* below(path: string, interest: Interest, kind: Kind | undefined): Generator<TreeEntry> {
  const name = path.replaceAll(sep, '/');
  if (kind === 'file') {
    yield interest === 'read' ? read(path) : { path: name, kind: 'unreadable' };
  } else if (kind !== 'directory') {
    if (kind !== undefined) yield { path: name, kind };
  } else {
    let entries: Dirent[];
    try {
      entries = readdirSync(path, { withFileTypes: true });
    } catch {
      yield { path: name, kind: 'unreadableDirectory' };
      return;
    }
    yield { path: name, kind };
    const names = JSON.stringify(entries.map(entry => entry.name));
    const interests = call<Interest[]>(`{"interests":{"names":${names}}}`);
    for (const [n, entry] of entries.entries()) {
      const interest = interests[n] ?? 'read';
      const within = join(path, entry.name);
      // A link is followed here: into a directory it would go in circles.
      const kind = entry.isDirectory() ? 'directory' : kindOf(within);
      const linked = entry.isSymbolicLink() && kind === 'directory' ? 'linkedDirectory' : kind;
      if (interest !== 'ignored') yield* below(within, interest, linked ?? 'brokenLink');
    }
  }
}

/** What stands at a path, links followed; nothing if there is none. */
function kindOf(path: string): Kind | undefined {
  try {
    const kind = statSync(path);
    return kind.isDirectory() ? 'directory' : kind.isFile() ? 'file' : 'special';
  } catch {
    return undefined;
  }
}

function read(path: string): TreeEntry {
  const name = path.replaceAll(sep, '/');
  try {
    // A pipe would be waited for.
    if (!statSync(path).isFile()) return { path: name, kind: 'special' };
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const bytes = readFileSync(path);
    try {
      return { path: name, kind: 'file', text: decoder.decode(bytes) };
    } catch {
      return { path: name, kind: 'binary' };
    }
  } catch {
    return { path: name, kind: 'unreadable' };
  }
}
