// Where things are, and how commands are run.

import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/** The repository's root. */
export const root = join(here, '../..');

/** The tools that are installed for packing and trying. */
export const tools = join(here, 'node_modules');

/** Runs a command and returns what it prints; throws all of it where it fails. */
export function run(command, args, options = {}) {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    });
  } catch (error) {
    const told = [error.stdout, error.stderr].filter(Boolean).join('\n').trim();
    const message = `\`${[command, ...args].join(' ')}\` failed: ${told || error.message}`;
    throw Object.assign(new Error(message), { status: error.status });
  }
}
