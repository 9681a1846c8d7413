'use strict';

// The example's backend in a process of its own, over HTTP: real plugins, a real catalog.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const { join } = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');

const { freePort } = require('./freePort.js');
const { shippedPolicies } = require('./policies.js');

/** A backend that runs, once its catalog is complete. */
class ExampleProcess {
  #process;
  #log = '';
  #tokens = {};

  #cleanups = [];

  constructor(port, env) {
    this.policies = shippedPolicies({
      after: cleanup => this.#cleanups.push(cleanup),
    });
    this.base = `http://127.0.0.1:${port}`;
    this.#process = fork(join(__dirname, 'realBackend.js'), [], {
      // Backstage looks for packages from where it is started.
      cwd: join(__dirname, '..'),
      env: {
        ...process.env,
        ...env,
        PORT: `${port}`,
        POLICIES: this.policies,
        APP_CONFIG_auth_providers_named: '{}',
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.on('data', text => {
        this.#log += text;
      });
    }
  }

  /**
   * Starts a backend with a copy of the policies that ship, which is its `policies`; `env` says what
   * else differs.
   */
  static async start(env = {}) {
    const started = new ExampleProcess(await freePort(), env);
    const { call, eventually, signIn } = started;
    await Promise.race([
      once(started.#process, 'message'),
      once(started.#process, 'exit'),
    ]);
    await eventually(() => signIn('cleo'));
    await eventually(async () => {
      const count = async kind =>
        (
          await call(`catalog/entities/by-query?limit=0&filter=kind=${kind}`, {
            as: 'cleo',
          })
        ).body.totalItems;
      const counts = await Promise.all(
        ['component', 'api', 'resource', 'user', 'template'].map(count),
      );
      return counts.join() === '120,42,18,7,1';
    });
    return started;
  }

  /** All that the backend has printed. */
  get log() {
    return this.#log;
  }

  /** The tokens of those who have signed in. */
  get tokens() {
    return this.#tokens;
  }

  /** Asks the backend; the answer's body is JSON where it is some. */
  call = async (path, { as, method, body } = {}) => {
    const response = await fetch(`${this.base}/api/${path}`, {
      method: method ?? (body ? 'POST' : 'GET'),
      headers: {
        ...(as ? { authorization: `Bearer ${this.#tokens[as]}` } : {}),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    try {
      return { status: response.status, body: JSON.parse(text) };
    } catch {
      return { status: response.status, body: text };
    }
  };

  /** Signs somebody in by name, with so many groups more than the catalog has. */
  signIn = async (name, groups = 0) => {
    const response = await fetch(`${this.base}/api/auth/named/refresh`, {
      headers: {
        'x-name': name,
        'x-groups': `${groups}`,
        'x-requested-with': 'XMLHttpRequest',
      },
    });
    const { backstageIdentity } = await response.json();
    this.#tokens[name] = backstageIdentity.token;
    return backstageIdentity.identity;
  };

  /** Waits until something holds. */
  eventually = async holds => {
    for (;;) {
      const found = await holds().catch(() => undefined);
      if (found) return found;
      if (this.#process.exitCode !== null)
        throw new Error(`the backend has ended:\n${this.#log}`);
      await pause(100);
    }
  };

  async stop() {
    if (this.#process.exitCode === null) {
      this.#process.disconnect();
      await once(this.#process, 'exit');
    }
    this.#cleanups.forEach(cleanup => cleanup());
  }
}

module.exports = { ExampleProcess };
