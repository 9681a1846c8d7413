// An HTTP service that asks before it answers. Whatever goes wrong is a denial.
// Run: node examples/service.mjs
import { once } from 'node:events';
import { createServer } from 'node:http';

import { Engine, Entities } from '@stagedoor/node';

const engine = await Engine.load({
  texts: [
    {
      name: 'api.cedarschema',
      text: `
        entity Role;
        entity Caller in [Role];
        entity Path;
        action GET, DELETE appliesTo { principal: Caller, resource: Path };`,
    },
    {
      name: 'api.cedar',
      text: `
        @id("everybody-reads") permit (principal, action == Action::"GET", resource);
        @id("admins-delete") permit (principal in Role::"admin", action == Action::"DELETE", resource);`,
    },
  ],
});
const callers = new Entities([{ uid: { type: 'Caller', id: 'root' }, parents: ['Role::"admin"'] }]);

function isAllowed(caller, method, path) {
  try {
    return engine.isAllowed(
      {
        // Ids are given in parts, so that nobody has to quote what a client sent.
        principal: { type: 'Caller', id: caller },
        action: { type: 'Action', id: method },
        resource: { type: 'Path', id: path },
      },
      callers,
    );
  } catch (error) {
    // Such as a method that no policy is about.
    console.log(`denied: ${error.code}`);
    return false;
  }
}

const server = createServer((request, response) => {
  const caller = request.headers['x-caller'] ?? 'nobody';
  const allowed = isAllowed(caller, request.method, request.url);
  response.writeHead(allowed ? 200 : 403).end();
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const url = `http://127.0.0.1:${server.address().port}/items/7`;
for (const [caller, method] of [
  ['ana', 'GET'],
  ['ana', 'DELETE'],
  ['root', 'DELETE'],
  ['root', 'PATCH'],
]) {
  const { status } = await fetch(url, { method, headers: { 'x-caller': caller } });
  console.log(`${caller} ${method}: ${status}`);
}
server.close();
server.closeAllConnections();

/* Prints:
ana GET: 200
ana DELETE: 403
root DELETE: 200
denied: request::schema
root PATCH: 403
*/
