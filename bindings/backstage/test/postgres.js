'use strict';

// A PostgreSQL cluster for a test or a bench, of the programs that are installed.

const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
} = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const { freePort } = require('./freePort.js');

/** Where Debian puts programs of which it installs several versions. */
const DEBIAN = '/usr/lib/postgresql';

/** Returns the directory of PostgreSQL's programs, if it is installed. */
function programs() {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN) : [];
  const places = [
    ...(process.env.PATH ?? '').split(':'),
    ...versions.map(version => join(DEBIAN, version, 'bin')),
  ];
  return places.find(place => existsSync(join(place, 'initdb')));
}

/** PostgreSQL refuses to be run by root. */
function unprivileged() {
  if (process.getuid() !== 0) return {};
  const id = flag => Number(execFileSync('id', [flag, 'nobody']));
  return { uid: id('-u'), gid: id('-g') };
}

/** Starts a database without a password, which listens on loopback only. */
async function startPostgres(bin) {
  const options = { ...unprivileged(), cwd: tmpdir() };
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-pg-'));
  if (options.uid !== undefined) chownSync(folder, options.uid, options.gid);
  const data = join(folder, 'data');
  const user = [
    '--username=backstage',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
  ];
  execFileSync(join(bin, 'initdb'), ['--no-sync', ...user, data], {
    ...options,
    stdio: 'pipe',
  });
  const port = await freePort();
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    fsync: 'off',
    max_connections: '300',
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...flags], {
    ...options,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  await new Promise((resolve, reject) => {
    server.stderr.on('data', text => {
      log += text;
      if (log.includes('ready to accept connections')) resolve();
    });
    server.on('exit', () => reject(new Error(`PostgreSQL has ended:\n${log}`)));
  });
  const stop = async () => {
    // At once, whoever is still connected.
    server.kill('SIGINT');
    if (server.exitCode === null) await once(server, 'exit');
    rmSync(folder, { recursive: true });
  };
  return { port, stop };
}

module.exports = { programs, startPostgres };
