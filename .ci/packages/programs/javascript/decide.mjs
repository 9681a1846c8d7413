// The addon and the WebAssembly build, by `import`: they say the same.

import assert from 'node:assert/strict';

import * as addon from '@stagedoor/node';
import * as wasm from '@stagedoor/wasm';

const texts = [
  {
    name: 's.cedarschema',
    text: 'entity User; entity Service { tier: String }; action deploy appliesTo { principal: User, resource: Service };',
  },
  {
    name: 's.cedar',
    text: '@id("gold") permit(principal == User::"ana", action, resource) when { resource.tier == "gold" };',
  },
];
const request = tier => ({
  principal: 'User::"ana"',
  action: 'Action::"deploy"',
  resource: 'Service::"ledger"',
  entities: [{ uid: 'Service::"ledger"', attrs: { tier } }],
});
const engines = [addon, wasm].map(({ Engine }) => Engine.loadSync({ texts }));
for (const tier of ['gold', 'lead']) {
  const [ours, theirs] = engines.map(engine => engine.decide(request(tier)));
  assert.equal(ours.decision, tier === 'gold' ? 'allow' : 'deny');
  assert.deepEqual(ours, theirs);
}
assert.equal(engines[0].revision, engines[1].revision);
console.log('decided by both');
