'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');

const { version } = require('../package.json');

const here = join(__dirname, '..');
const wasm = join(here, '../wasm');
const built = existsSync(join(wasm, 'dist/stagedoor.wasm'));

/** Lays the package out as it is installed, without an addon, and returns how a program ends. */
function installed(t, { optional = [], packages = {}, program }) {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-installed-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const modules = join(folder, 'node_modules/@stagedoor');
  const { files, ...rest } = require('../package.json');
  for (const file of files) cpSync(join(here, file), join(modules, 'node', file));
  const optionalDependencies = Object.fromEntries(optional.map(name => [name, version]));
  const manifest = { ...rest, optionalDependencies };
  writeFileSync(join(modules, 'node/package.json'), JSON.stringify(manifest));
  for (const [name, contents] of Object.entries(packages)) {
    mkdirSync(join(modules, name), { recursive: true });
    for (const [file, text] of Object.entries(contents)) {
      writeFileSync(join(modules, name, file), text);
    }
  }
  if (packages.wasm === undefined && built) {
    cpSync(join(wasm, 'package.json'), join(modules, 'wasm/package.json'));
    cpSync(join(wasm, 'dist'), join(modules, 'wasm/dist'), { recursive: true });
  }
  writeFileSync(join(folder, 'program.js'), program);
  const outer = { ...process.env };
  delete outer.NAPI_RS_NATIVE_LIBRARY_PATH;
  return spawnSync(process.execPath, ['program.js'], {
    cwd: folder,
    encoding: 'utf8',
    env: outer,
  });
}

const platform = `${process.platform}-${process.arch}`;
const told = `
  try { require('@stagedoor/node'); } catch (error) { console.log(error.code + ': ' + error.message); }`;
const noWasm = { wasm: { 'package.json': '{"name":"@stagedoor/wasm","version":"0.0.0"}' } };

test('a package that was left out is named, with what to do', t => {
  const optional = [`@stagedoor/node-${platform}-gnu`];
  const { stdout } = installed(t, { optional, packages: noWasm, program: told });
  assert.match(stdout, /^addon::missing: @stagedoor\/node has no addon for/);
  assert.match(stdout, new RegExp(`of which @stagedoor/node-${platform}-gnu is one`));
  assert.match(stdout, /`--omit=optional`/);
  assert.match(stdout, new RegExp(`@stagedoor/wasm is 0\\.0\\.0, and has to be ${version}`));
});

test('a package that does not load is named, with the reason', t => {
  const packages = { ...noWasm };
  const file = `stagedoor.${platform}-gnu.node`;
  const main = JSON.stringify({ name: `@stagedoor/node-${platform}-gnu`, version, main: file });
  packages[`node-${platform}-gnu`] = { 'package.json': main, [file]: 'not an addon' };
  const optional = [`@stagedoor/node-${platform}-gnu`];
  const { stdout } = installed(t, { optional, packages, program: told });
  assert.match(
    stdout,
    new RegExp(`@stagedoor/node-${platform}-gnu is installed and does not load`),
  );
  assert.match(stdout, /\((?!Cannot find module).+\)/);
});

test('a platform for which nothing is published is told', t => {
  const optional = ['@stagedoor/node-plan9-mips'];
  const { stdout } = installed(t, { optional, packages: noWasm, program: told });
  assert.match(stdout, /none is published; install @stagedoor\/wasm@/);
});

const skip = !built && 'skipped: bindings/wasm is not built';

test('without the addon the WebAssembly build decides, and warns', { skip }, t => {
  const { stdout, stderr } = installed(t, {
    program: `
      const { Engine } = require('@stagedoor/node');
      const texts = [
        { name: 's.cedarschema', text: 'entity U; entity R; action "x" appliesTo { principal: U, resource: R };' },
        { name: 'a.cedar', text: '@id("p") permit(principal == U::"a", action, resource);' },
      ];
      const engine = Engine.loadSync({ texts });
      const ask = id => engine.decide({ principal: { type: 'U', id }, action: 'Action::"x"', resource: 'R::"r"' });
      console.log(ask('a').decision, ask('b').decision);
      for (const wrong of [() => engine.principal('U::"a"'), () => Engine.loadSync({ texts, rules: '.' })]) {
        try { wrong(); console.log('no error'); } catch (error) { console.log(error.code + ': ' + error.message); }
      }`,
  });
  assert.match(stdout, /^allow deny$/m, stderr);
  assert.match(stdout, /^addon::missing: `engine\.principal` needs the addon/m);
  assert.doesNotMatch(stdout, /no error/);
  assert.match(stderr, /decisions are made in WebAssembly/);
});

test('what only the addon has is known', { skip }, () => {
  const addon = require('../main.js');
  const { Engine, Entities } = require(wasm);
  const names = of => Object.getOwnPropertyNames(of);
  const lacking = (ours, theirs) => names(ours).filter(name => !(name in theirs));
  const { ADDON_ONLY } = require('../fallback.js');
  assert.deepEqual(
    lacking(addon.Engine.prototype, Engine.prototype).sort(),
    [...ADDON_ONLY].sort(),
  );
  assert.deepEqual(lacking(addon.Entities.prototype, new Entities([])), []);
  const statics = ['length', 'name', 'prototype'];
  for (const [ours, theirs] of [
    [addon.Engine, Engine],
    [addon.Entities, Entities],
  ]) {
    assert.deepEqual(
      lacking(ours, theirs).filter(name => !statics.includes(name)),
      [],
    );
  }
});
