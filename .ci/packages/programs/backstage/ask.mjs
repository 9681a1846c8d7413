// Asks the backend of `backend.mjs`, which it starts, as a frontend does.

import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { createServer } from 'node:net';

const server = createServer().listen(0, '127.0.0.1');
await new Promise(done => server.once('listening', done));
const { port } = server.address();
await new Promise(done => server.close(done));

const backend = fork('backend.mjs', ['--config', 'app-config.yaml'], {
  env: { ...process.env, PORT: String(port) },
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
});
await new Promise((done, failed) => {
  backend.once('message', done);
  backend.once('exit', code => failed(new Error(`the backend ended with ${code}`)));
});
const call = async (path, options) => {
  const response = await fetch(`http://127.0.0.1:${port}/api/${path}`, options);
  return { status: response.status, body: await response.json() };
};
const session = await call('auth/guest/refresh', {
  method: 'POST',
  headers: { 'x-requested-with': 'XMLHttpRequest' },
});
const headers = {
  authorization: `Bearer ${session.body.backstageIdentity.token}`,
  'content-type': 'application/json',
};
// The catalog takes a moment to read its file; everybody may read what is in it.
for (const name of ['ledger', 'search']) {
  for (let tries = 0; ; tries += 1) {
    const { status } = await call(`catalog/entities/by-name/component/default/${name}`, {
      headers,
    });
    if (status === 200) break;
    assert.ok(tries < 300, `the catalog has no ${name}: ${status}`);
    await new Promise(done => setTimeout(done, 200));
  }
}
const asked = [
  ['read', 'search', 'ALLOW'],
  // A deletion is the owner's: a condition, which the catalog applies to the entity.
  ['delete', 'ledger', 'ALLOW'],
  ['delete', 'search', 'DENY'],
  // A pattern, which the rule of the catalog's module decides.
  ['refresh', 'ledger', 'DENY'],
  ['refresh', 'search', 'ALLOW'],
];
const items = asked.map(([action, name], id) => ({
  id: String(id),
  resourceRef: `component:default/${name}`,
  permission: {
    type: 'resource',
    name: `catalog.entity.${action}`,
    resourceType: 'catalog-entity',
    attributes: { action: action === 'refresh' ? 'update' : action },
  },
}));
const authorize = async () => {
  const answer = await call('permission/authorize', {
    method: 'POST',
    headers,
    body: JSON.stringify({ items }),
  });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body.items.map(({ result }) => result);
};
// The rule is answered once the catalog has told that it has it.
let results = await authorize();
for (let tries = 0; tries < 100 && results.at(-1) !== 'ALLOW'; tries += 1) {
  await new Promise(done => setTimeout(done, 200));
  results = await authorize();
}
assert.deepEqual(
  results,
  asked.map(([, , expected]) => expected),
);
console.log(`the backend answers: ${results.join(', ')}`);
backend.disconnect();
