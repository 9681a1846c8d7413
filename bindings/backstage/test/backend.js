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

// The test backend would listen on all interfaces, and goes on listening when it fails to start.
const listening = new Set();
const { listen } = net.Server.prototype;
net.Server.prototype.listen = function listenLocally(first, ...others) {
  listening.add(this);
  const place = typeof first === 'object' ? first : { port: first };
  const callbacks = others.filter(each => typeof each === 'function');
  return listen.call(this, { ...place, host: '127.0.0.1' }, ...callbacks);
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
const REFRESH = {
  type: 'resource',
  name: 'catalog.entity.refresh',
  attributes: { action: 'update' },
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
async function start(
  t,
  settings,
  { features = [], enabled = true, plugins = [], config = {} } = {},
) {
  const { logger, lines } = collectingLogger();
  const { auditor, events } = collectingAuditor();
  // Requests wait for the policies, however slow the machine is.
  const stagedoorSettings = settings && { startupWait: '10m', ...settings };
  const permission = { enabled, stagedoor: stagedoorSettings };
  const data = { ...config, permission };
  const factory = (service, implementation) =>
    createServiceFactory({
      service,
      deps: {},
      factory: () => implementation,
    });
  listening.clear();
  const started = startTestBackend({
    features: [
      mockServices.rootConfig.factory({ data }),
      factory(coreServices.logger, logger),
      factory(coreServices.auditor, auditor),
      factory(coreServices.rootSystemMetadata, {
        getInstalledPlugins: async () =>
          plugins.map(pluginId => ({ pluginId })),
      }),
      import('@backstage/plugin-permission-backend'),
      stagedoor,
      ...features,
    ],
  });
  const backend = await started.catch(error => {
    listening.forEach(server => server.close());
    throw error;
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
      if (answers[Number(id)].id !== id)
        throw new Error('answers are mixed up');
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

module.exports = { start, until, READ, DELETE, REFRESH, PROXY };
