'use strict';

// The addon, by `require`: a decision each way, a reason, and a policy that a custom rule guards.

const assert = require('node:assert/strict');
const { Engine, Entities } = require('@stagedoor/node');

const schema =
  'entity Team; entity User in [Team]; entity Service; action deploy appliesTo { principal: User, resource: Service };';
const deploys =
  '@id("deploys") @guard("on-call") @guard_args("{\\"people\\": [\\"ana\\"]}") permit(principal in Team::"payments", action, resource);';

const engine = Engine.loadSync({
  texts: [
    { name: 'shop.cedarschema', text: schema },
    { name: 'shop.cedar', text: deploys },
  ],
  rules: 'rules',
});
const people = new Entities([
  { uid: 'User::"ana"', parents: ['Team::"payments"'] },
  { uid: 'User::"bob"', parents: ['Team::"payments"'] },
]);
const ask = id =>
  engine.decide(
    { principal: { type: 'User', id }, action: 'Action::"deploy"', resource: 'Service::"ledger"' },
    people,
  );
assert.deepEqual(ask('ana').reasons, ['deploys']);
assert.equal(ask('ana').decision, 'allow');
assert.equal(ask('bob').decision, 'deny');
console.log('decided by the addon');
