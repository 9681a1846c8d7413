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
    reloading ??= engine
      .reload()
      .then(() => (report.reloaded += 1))
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

/** Answers as Backstage's policy, while policies and groups change and engines come and go. */
async function backstage() {
  const report = { decided: 0, wrong: 0, reloaded: 0 };
  const [proxy, remove] = [
    { name: 'kubernetes.proxy', attributes: {} },
    {
      name: 'catalog.entity.delete',
      attributes: { action: 'delete' },
      resourceType: 'catalog-entity',
    },
  ];
  const load = () => Engine.load({ directory, platform: 'backstage', cacheSize: 50 });
  let engine = await load();
  let above = false;
  while (report.decided < rounds) {
    if (report.decided % 20 === 0) {
      await engine.reload();
      report.reloaded += 1;
    }
    if (report.decided % 30 === 0) {
      above = !above;
      const parents = above ? ['group:default/top'] : [];
      engine.setGroups([{ entityRef: 'group:default/web', parents }]);
    }
    const user = {
      userEntityRef: `user:default/u${report.decided % 70}`,
      ownershipEntityRefs: [`user:default/u${report.decided % 70}`, 'group:default/web'],
    };
    const [first, second] = engine.decideBackstageBatch([proxy, remove], user);
    const claims = second.decision.conditions?.params.claims;
    if (first.decision.result !== (above ? 'ALLOW' : 'DENY')) report.wrong += 1;
    if (claims?.at(-1) !== user.userEntityRef) report.wrong += 1;
    if (report.decided % 200 === 199) {
      const before = engine;
      engine = await load();
      before.close();
      above = false;
    }
    report.decided += 1;
  }
  engine.close();
  parentPort.postMessage(report);
}

if (mode === 'backstage') {
  backstage();
} else if (mode === 'terminate') {
  for (let n = 0; n < 8; n += 1) Engine.load({ directory });
  parentPort.postMessage('loading');
  setInterval(() => {}, 1000);
} else {
  decide();
}
