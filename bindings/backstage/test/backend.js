'use strict';

// A test backend with the real permission plugin and this module.

const net = require('node:net');

const {
  mockCredentials,
  mockServices,
  startTestBackend,
} = require('@backstage/backend-test-utils');
const {
  createServiceFactory,
  coreServices,
} = require('@backstage/backend-plugin-api');

const stagedoor = require('../dist/index.js').default;

// The test backend would listen on all interfaces.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function local(...args) {
  if (typeof args[0] === 'number') return listen.call(this, args[0], '127.0.0.1', ...args.slice(1).filter(each => typeof each === 'function'));
  if (args[0] && typeof args[0] === 'object' && !args[0].path) args[0] = { ...args[0], host: '127.0.0.1' };
  return listen.apply(this, args);
};

const READ = {
  type: 'resource',
  name: 'catalog.entity.read',
  attributes: { action: 'read' },
  resourceType: 'catalog-entity',
};
const DELETE = {
  type: 'resource',
  name: 'catalog.entity.delete',
  attributes: { action: 'delete' },
  resourceType: 'catalog-entity',
};
const PROXY = { type: 'basic', name: 'kubernetes.proxy', attributes: {} };

/** Collects what is logged. */
function collectingLogger() {
  const lines = [];
  const at = level => (message, meta) =>
    lines.push({ level, message: String(message), meta });
  const logger = {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: () => logger,
  };
  return { logger, lines };
}

/** Collects what is audited. */
function collectingAuditor() {
  const events = [];
  const auditor = {
    async createEvent(event) {
      return {
        async success() {
          events.push(event);
        },
        async fail() {},
      };
    },
  };
  return { auditor, events };
}

/** Starts a backend, which is stopped after the test. */
async function start(t, settings, { features = [], enabled = true } = {}) {
  const { logger, lines } = collectingLogger();
  const { auditor, events } = collectingAuditor();
  const data = { permission: { enabled, stagedoor: settings } };
  const factory = (service, implementation) =>
    createServiceFactory({
      service,
      deps: {},
      factory: () => implementation,
    });
  const backend = await startTestBackend({
    features: [
      mockServices.rootConfig.factory({ data }),
      factory(coreServices.logger, logger),
      factory(coreServices.auditor, auditor),
      import('@backstage/plugin-permission-backend'),
      stagedoor,
      ...features,
    ],
  });
  t.after(() => backend.stop());
  const url = `http://127.0.0.1:${backend.server.port()}/api/permission`;

  /** Asks as a plugin on behalf of a user, who may ask without naming a resource. */
  async function authorize(items, user = 'user:default/mock') {
    const token = mockCredentials.user.token(user, {
      actor: { subject: 'plugin:catalog' },
    });
    const response = await fetch(`${url}/authorize`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        items: items.map((permission, n) => ({ id: `${n}`, permission })),
      }),
    });
    if (response.status !== 200) {
      throw new Error(`${response.status}: ${await response.text()}`);
    }
    const { items: answers } = await response.json();
    return answers.map(({ id, ...answer }) => {
      if (answers[Number(id)].id !== id) throw new Error('answers are mixed up');
      return answer;
    });
  }

  async function health() {
    const response = await fetch(`${url}/stagedoor/health`);
    return { code: response.status, ...(await response.json()) };
  }

  return { authorize, health, lines, events, url, backend };
}

/** Waits until something holds; ends with the test's time at the latest. */
async function until(holds) {
  for (;;) {
    const result = await holds();
    if (result) return result;
    await new Promise(resume => setImmediate(resume));
  }
}

module.exports = { start, until, READ, DELETE, PROXY };
