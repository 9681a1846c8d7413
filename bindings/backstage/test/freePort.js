'use strict';

const { once } = require('node:events');
const { createServer } = require('node:net');

// Below the ports that systems give to connections (from 32768 on): one of theirs may be taken by
// any connection before the server listens there.
const FIRST = 10_000;
const PORTS = 20_000;

let given = process.pid * 131;

/** Returns a port of 127.0.0.1 that nobody listens at, and that this process gives out once. */
async function freePort() {
  for (let tries = 0; tries < PORTS; tries += 1) {
    given += 1;
    const port = FIRST + (given % PORTS);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error('no port is free');
}

module.exports = { freePort };
