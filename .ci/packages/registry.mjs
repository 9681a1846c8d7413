// A registry of npm packages on this machine, for as long as the trial takes.

import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { tools } from './folders.mjs';

/** Starts an empty registry with its files in a folder; returns its address and how to stop it. */
export async function startRegistry(folder, node) {
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'config.yaml');
  const port = await freePort();
  // Nothing is fetched from elsewhere: other packages come from where npm is set up to find them.
  const settings = {
    storage: join(folder, 'storage'),
    auth: { htpasswd: { file: join(folder, 'htpasswd') } },
    uplinks: {},
    packages: { '**': { access: '$all', publish: '$all', unpublish: '$all' } },
    max_body_size: '300mb',
    log: { type: 'stdout', format: 'json', level: 'warn' },
  };
  // JSON is YAML.
  writeFileSync(config, JSON.stringify(settings, null, 2));
  const log = join(folder, 'log');
  const output = openSync(log, 'w');
  const program = join(tools, 'verdaccio/bin/verdaccio');
  const args = [program, '--config', config, '--listen', `127.0.0.1:${port}`];
  const child = spawn(node, args, { stdio: ['ignore', output, output] });
  const address = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries += 1) {
    if (child.exitCode !== null || tries > 300) {
      child.kill();
      throw new Error(`the registry does not start: ${readFileSync(log, 'utf8')}`);
    }
    const answers = await fetch(`${address}/-/ping`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answers) return { address, stop: () => child.kill() };
    await new Promise(done => setTimeout(done, 200));
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise(done => server.close(done));
  return port;
}
