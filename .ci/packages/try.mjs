// Installs the packed npm packages by name into empty folders, with npm, pnpm and yarn, and runs
// programs there: `node try.mjs [--out DIR] [--skip WHAT]…`, where WHAT is `npm`, `pnpm`, `yarn PnP`,
// `backstage` or `frontend`.
//
// The packages come from a registry on this machine, everything else from where npm is set up to
// find it. What runs in those folders knows no path of this repository.

import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { root, run, tools } from './folders.mjs';
import { packed, publish } from './publish.mjs';
import { startRegistry } from './registry.mjs';
import { all, clients, environment, newest, project, results, step, work } from './trial.mjs';
import { chromium } from '../../tests/browser/serve.mjs';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, 'target/packages/npm') },
    skip: { type: 'string', multiple: true, default: [] },
  },
});

const programs = join(root, '.ci/packages/programs');
const backstageModule = '@stagedoor/backstage-plugin-permission-backend-module-stagedoor';
const frontendPlugin = '@stagedoor/backstage-plugin-stagedoor';
const libraries = ['node', 'wasm', 'rule-sdk', 'cli'].map(name => `@stagedoor/${name}`);
/** What Chromium starts on the thread of a page, in bytes. */
const LARGEST_ON_PAGES = 8 << 20;

/** The commands for npm's packages in the README's table of installs. */
function installs() {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const [table] = /^## Install\n[^]*?(?=^## )/m.exec(readme) ?? [''];
  const commands = [...table.matchAll(/`((?:npx|npm|yarn) [^`]*)`/g)].map(([, command]) => command);
  if (commands.length < 4) throw new Error(`README.md has ${commands.length} commands to install`);
  return commands;
}

/** What the README has people install is what is tried. */
function checkReadme() {
  const tried = [...libraries, backstageModule, frontendPlugin];
  for (const command of installs()) {
    const names = command.match(/@stagedoor\/[a-z-]+/g) ?? [];
    const unknown = names.filter(name => !tried.includes(name));
    if (names.length === 0 || unknown.length > 0) throw new Error(`\`${command}\` is not tried`);
  }
}

/** From nothing but a Node to the first decision, by the README's command. */
function firstMinute(registry) {
  const [program, ...args] = installs()
    .find(command => command.startsWith('npx '))
    .split(' ');
  for (const node of all) {
    const folder = join(work, `first-minute-${node.version}`);
    mkdirSync(folder);
    writeFileSync(join(folder, '.npmrc'), `@stagedoor:registry=${registry}/\n`);
    // Nothing was ever installed here, and nobody is there to say yes.
    const own = { npm_config_cache: join(folder, 'cache'), npm_config_yes: 'true' };
    step(
      `Node ${node.version}: \`${[program, ...args].join(' ')}\` decides within a minute`,
      () => {
        const begun = performance.now();
        const told = run(program, args, { cwd: folder, env: environment(node, own) });
        const seconds = (performance.now() - begun) / 1000;
        if (!/allow/i.test(told)) throw new Error(`the demo tells nothing: ${told}`);
        if (seconds > 60) throw new Error(`that took ${seconds.toFixed(0)} s`);
      },
    );
  }
}

/** A page that has no bundler, and one by a bundler that is there. */
function tryBrowser(folder, at) {
  if (chromium === undefined) {
    console.log('NOT TRIED in a browser: there is no Chromium, `apt-get install chromium`');
    return;
  }
  const more = [];
  const module = join(folder, 'node_modules/@stagedoor/wasm/dist/stagedoor.wasm');
  if (statSync(module).size > LARGEST_ON_PAGES) {
    console.log('the module is not one for release: Chromium is told to take one that large');
    more.push('--enable-features=WebAssemblyUnlimitedSyncCompilation');
  }
  const program = join(root, '.ci/packages/shown.mjs');
  const shown = site => run('node', [program, site, ...more]).trim();
  step('a page in Chromium takes the module by name', () => {
    cpSync(join(programs, 'browser'), folder, { recursive: true });
    const told = shown(folder);
    if (told !== 'allow deny policy::parse') throw new Error(told);
  });
  step('a page in Chromium, bundled by esbuild', () => {
    const apps = join(root, 'bindings/wasm/test/hosts/apps');
    cpSync(join(apps, 'answers.js'), join(folder, 'answers.js'));
    cpSync(join(apps, 'esbuild/page.js'), join(folder, 'esbuild/page.js'));
    const out = join(folder, 'public');
    const args = ['--bundle', '--format=esm', '--loader:.wasm=file', '--outdir=public'];
    run('npx', ['--no-install', 'esbuild', 'esbuild/page.js', ...args], at);
    const page = '<!doctype html><body></body><script type="module" src="page.js"></script>';
    writeFileSync(join(out, 'index.html'), page);
    const told = shown(out);
    if (told !== 'allow deny') throw new Error(told);
  });
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
  tryBrowser(folder, at);
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

/** A fresh frontend that takes the plugin by name. */
function tryFrontend(registry) {
  const folder = join(work, 'frontend');
  project(folder, { '.npmrc': `@stagedoor:registry=${registry}/\n` });
  cpSync(join(programs, 'frontend'), folder, { recursive: true });
  const manifest = join(root, 'bindings/backstage-plugin/package.json');
  const versions = JSON.parse(readFileSync(manifest, 'utf8')).devDependencies;
  const names = ['frontend-defaults', 'plugin-app', 'plugin-catalog'].map(
    name => `@backstage/${name}`,
  );
  const wanted = [...names, 'react', 'react-dom', 'react-router-dom', 'esbuild'].map(
    name => `${name}@${versions[name]}`,
  );
  const at = { cwd: folder, env: environment(newest) };
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  const installed = step('Backstage: a fresh frontend installs the plugin by name', () =>
    run('npm', [...args, ...wanted, frontendPlugin], at),
  );
  if (installed === undefined) return;
  step('Backstage: the frontend is bundled with it', () => run('node', ['build.mjs'], at));
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
  step('the README installs what is tried', checkReadme);
  if (!values.skip.includes('npm')) firstMinute(registry.address);
  for (const client of clients(registry.address)) {
    if (!values.skip.includes(client.name)) tryLibraries(client);
  }
  if (!values.skip.includes('backstage')) tryBackstage(registry.address);
  if (!values.skip.includes('frontend')) tryFrontend(registry.address);
} finally {
  registry.stop();
  if (process.exitCode) console.error(`left for a look: ${work}`);
  else rmSync(work, { recursive: true, force: true });
}
const failed = results.filter(({ passed }) => !passed);
for (const { what } of failed) console.log(`FAILED ${what}`);
console.log(`${results.length - failed.length} passed, ${failed.length} failed`);
