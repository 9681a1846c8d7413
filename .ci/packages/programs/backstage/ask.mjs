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
  const response = await fetch(`http://127.0.0.1:${port}/api/${path}`, {
    method: 'POST',
    ...options,
  });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
};
const session = await call('auth/guest/refresh', {
  headers: { 'x-requested-with': 'XMLHttpRequest' },
});
const headers = {
  authorization: `Bearer ${session.backstageIdentity.token}`,
  'content-type': 'application/json',
};
const permission = action => ({
  type: 'resource',
  name: `catalog.entity.${action}`,
  resourceType: 'catalog-entity',
  attributes: { action },
});
const items = ['read', 'delete', 'update'].map((action, id) => ({
  id: String(id),
  permission: permission(action),
}));
const answer = await call('permission/authorize', { headers, body: JSON.stringify({ items }) });
const results = answer.items.map(({ result }) => result);
// Nothing permits an update; a deletion is the owner's, which the catalog tells.
assert.deepEqual(results, ['ALLOW', 'CONDITIONAL', 'DENY'], JSON.stringify(answer));
assert.match(JSON.stringify(answer.items[1].conditions), /group:default\/payments/);
console.log(`the backend answers: ${results.join(', ')}`);
backend.disconnect();
