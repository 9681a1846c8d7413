'use strict';

// What the tests of all runners ask.

const { join } = require('node:path');

const { Engine, Entities } = require('../../main.js');

const policies = join(__dirname, process.env.POLICY_TESTS ?? 'policies');
const engine = Engine.loadSync({ directory: join(__dirname, 'policies') });
const entities = new Entities([{ uid: 'User::"ana"', parents: ['Team::"payments"'] }]);
const by = name => ({
  principal: `User::"${name}"`,
  action: 'Action::"deploy"',
  resource: 'Service::"ledger"',
});

module.exports = { policies, engine, entities, by };
