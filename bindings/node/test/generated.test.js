'use strict';

// `index.js` and `index.d.ts` are what `@napi-rs/cli` makes of the addon that is tested.
// With UPDATE_GENERATED=1 they are written anew.

const assert = require('node:assert/strict');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');

const { version, napi } = require('../package.json');

const types = process.env.STAGEDOOR_TYPES;

test('index.js and index.d.ts are up to date', { skip: !types && 'run by cargo' }, async t => {
  const { generateTypeDef, writeJsBinding } = await import('@napi-rs/cli');
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { dts, exports: idents } = await generateTypeDef({
    typeDefDir: types,
    cwd: join(__dirname, '..'),
    dtsHeaderFile: napi.dtsHeaderFile,
  });
  await writeJsBinding({
    platform: true,
    idents,
    binaryName: napi.binaryName,
    packageName: napi.packageName,
    version,
    outputDir: folder,
  });
  const generated = {
    'index.js': readFileSync(join(folder, 'index.js'), 'utf8'),
    'index.d.ts': dts,
  };
  for (const [name, text] of Object.entries(generated)) {
    const path = join(__dirname, '..', name);
    if (process.env.UPDATE_GENERATED) writeFileSync(path, text);
    assert.equal(
      readFileSync(path, 'utf8'),
      text,
      `${name} is out of date: set UPDATE_GENERATED=1`,
    );
  }
});

test('everything that the addon exports is handed on', () => {
  // What the loader adds for itself starts with underscores; `main.js` and `compiler.js` use two others
  // to compile rules in a process of their own.
  const own = new Set(['compileRule', 'setRuleCompiler']);
  const exported = Object.keys(require('../index.js')).filter(
    name => !name.startsWith('__') && !own.has(name),
  );
  exported.push('DecisionLog');
  assert.deepEqual(Object.keys(require('../main.js')).sort(), exported.sort());
});

test('whatever has a type is there, and can be imported by name', async () => {
  const declared = readFileSync(join(__dirname, '../index.d.ts'), 'utf8');
  const names = [...declared.matchAll(/^export declare (?:class|function) (\w+)/gm)];
  assert.ok(names.length > 5);
  const imported = await import('../main.js');
  for (const [, name] of names) assert.equal(typeof imported[name], 'function', name);
});
