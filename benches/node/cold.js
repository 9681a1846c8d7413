'use strict';

// How long it takes from nothing to the first decision, in WebAssembly: `@stagedoor/wasm` beside
// `@cedar-policy/cedar-wasm`, each in processes of their own, in turn, with the same policies.
//
//   (cd ../../bindings/wasm && npm ci && npm run build)
//   npm ci --ignore-scripts
//   node cold.js --rounds 15

const { execFileSync } = require('node:child_process');
const { statSync } = require('node:fs');
const { join } = require('node:path');
const { parseArgs } = require('node:util');

const POLICIES = `@id("own") permit (principal, action == Action::"read", resource)
when { resource.owner == principal };
@id("frozen") forbid (principal, action, resource) when { resource.frozen };`;
const SCHEMA = `entity User; entity Note = { owner: User, frozen: Bool };
action read appliesTo { principal: User, resource: Note };`;

const user = id => ({ type: 'User', id });
const attributes = owner => ({ owner: { __entity: user(owner) }, frozen: false });

/** What is loaded, and returns who may read a note of this owner. */
const CONTENDERS = {
  stagedoor: () => {
    const { Engine } = require('../../bindings/wasm');
    const engine = Engine.loadSync({
      texts: [
        { name: 's.cedarschema', text: SCHEMA },
        { name: 'p.cedar', text: POLICIES },
      ],
    });
    return owner =>
      engine.isAllowed({
        principal: 'User::"ana"',
        action: 'Action::"read"',
        resource: 'Note::"n"',
        entities: [{ uid: 'Note::"n"', attrs: attributes(owner) }],
      });
  },
  'cedar-wasm': () => {
    const cedar = require('@cedar-policy/cedar-wasm/nodejs');
    return owner => {
      const answer = cedar.isAuthorized({
        principal: user('ana'),
        action: { type: 'Action', id: 'read' },
        resource: { type: 'Note', id: 'n' },
        context: {},
        schema: SCHEMA,
        validateRequest: true,
        policies: { staticPolicies: POLICIES },
        entities: [{ uid: { type: 'Note', id: 'n' }, attrs: attributes(owner), parents: [] }],
      });
      if (answer.type !== 'success') throw new Error(JSON.stringify(answer.errors));
      return answer.response.decision === 'allow';
    };
  },
};

const MODULES = {
  stagedoor: '../../bindings/wasm/dist/stagedoor.wasm',
  'cedar-wasm': 'node_modules/@cedar-policy/cedar-wasm/nodejs/cedar_wasm_bg.wasm',
};

function measureHere(name) {
  const [begun, used] = [process.hrtime.bigint(), process.cpuUsage()];
  const allows = CONTENDERS[name]();
  if (!allows('ana')) throw new Error('the first decision is wrong');
  const milliseconds = Number(process.hrtime.bigint() - begun) / 1e6;
  const { user: inUser, system } = process.cpuUsage(used);
  if (allows('bo')) throw new Error('the second decision is wrong');
  console.log(JSON.stringify({ milliseconds, processor: (inUser + system) / 1e3 }));
}

function median(numbers) {
  return numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

function main() {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '15' }, one: { type: 'string' } },
  });
  if (values.one !== undefined) return measureHere(values.one);
  const names = Object.keys(CONTENDERS);
  const found = Object.fromEntries(names.map(name => [name, []]));
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const name of names) {
      const told = execFileSync(process.execPath, [__filename, '--one', name], { cwd: __dirname });
      found[name].push(JSON.parse(told));
    }
  }
  console.log('| | module | first decision | processor time |\n|---|---|---|---|');
  for (const name of names) {
    const bytes = statSync(join(__dirname, MODULES[name])).size;
    const of = key => median(found[name].map(each => each[key])).toFixed(1);
    console.log(`| ${name} | ${bytes} bytes | ${of('milliseconds')} ms | ${of('processor')} ms |`);
  }
}

main();
