// The platforms that programs and addons are built for: one list, the targets of the addon's
// package.json, in the names that napi's loader and the launcher of the command look for.

import { readFileSync } from 'node:fs';

import { root } from './folders.mjs';

const ARCHITECTURES = { x86_64: 'x64', aarch64: 'arm64' };

/** Returns what a target's packages are called, and what they ask of a machine. */
export function platformOf(target) {
  const [machine, ...rest] = target.split('-');
  const cpu = ARCHITECTURES[machine];
  const system = rest.join('-');
  const known = {
    'unknown-linux-gnu': { name: `linux-${cpu}-gnu`, os: 'linux', libc: 'glibc' },
    'unknown-linux-musl': { name: `linux-${cpu}-musl`, os: 'linux', libc: 'musl' },
    'apple-darwin': { name: `darwin-${cpu}`, os: 'darwin' },
    'pc-windows-msvc': { name: `win32-${cpu}-msvc`, os: 'win32' },
  }[system];
  if (cpu === undefined || known === undefined) {
    throw new Error(`\`${target}\` is no target that packages have a name for`);
  }
  return { target, cpu, ...known };
}

/** All platforms that a release has. */
export function platforms() {
  const manifest = JSON.parse(readFileSync(`${root}/bindings/node/package.json`, 'utf8'));
  return manifest.napi.targets.map(platformOf);
}

/** The files that a platform's builds leave: the addon, and the command. */
export function artifactsOf({ name, os }) {
  const program = os === 'win32' ? 'stagedoor.exe' : 'stagedoor';
  return [
    { family: 'node', from: `stagedoor.${name}.node`, file: `stagedoor.${name}.node` },
    { family: 'cli', from: `stagedoor-${name}${os === 'win32' ? '.exe' : ''}`, file: program },
  ];
}
