'use strict';

const { parentPort, workerData } = require('node:worker_threads');

const { Engine, Entities } = require('../main.js');
const { entities, deploy } = require('./shop.js');

const { directory, mode, rounds } = workerData;

async function decide() {
  const engine = await Engine.load({ directory });
  const store = new Entities(entities);
  const report = { decided: 0, wrong: 0, reloaded: 0 };
  let reloading = null;
  while (report.decided < rounds || report.reloaded === 0) {
    // A file that is being written may not load; what was in force then stays so.
    reloading ??= engine
      .reload()
      .then(() => (report.reloaded += 1))
      .catch(() => {})
      .finally(() => (reloading = null));
    const denied = { ...deploy, context: { mfa: false } };
    if (!engine.isAllowed(deploy, store) || engine.isAllowed(denied, store)) report.wrong += 1;
    if (report.decided < rounds) report.decided += 1;
    if (report.decided % 10 === 0 || report.decided === rounds) {
      await new Promise(resume => setImmediate(resume));
    }
  }
  await reloading;
  engine.close();
  parentPort.postMessage(report);
}

if (mode === 'terminate') {
  for (let n = 0; n < 8; n += 1) Engine.load({ directory });
  parentPort.postMessage('loading');
  setInterval(() => {}, 1000);
} else {
  decide();
}
