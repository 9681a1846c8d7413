'use strict';

// Times of one decision from JavaScript, by the number of policies.
// Run after `npm run build`: node --expose-gc bench/decide.js [numbers of policies]

const { Engine, Entities } = require('../main.js');

const SIZES = process.argv.slice(2).map(Number);
const sizes = SIZES.length ? SIZES : [10, 1_000, 10_000, 100_000];

const schema = `
entity Group; entity User in [Group];
entity Resource { apiGroup: String, resource: String, namespace: String };
action get, list, delete appliesTo { principal: User, resource: Resource };`;

function grants(count) {
  const texts = [];
  for (let n = 0; n < count; n += 1) {
    texts.push(`@id("grant-${n}") permit (principal in Group::"g${n % 1000}", action in [Action::"get", Action::"list"], resource)
when { resource.apiGroup == "apps" && resource.resource == "r${n % 20}" && resource.namespace == "ns${n}" };`);
  }
  texts.push(
    '@id("no") forbid (principal, action == Action::"delete", resource) when { resource.namespace == "kube-system" };',
  );
  return texts.join('\n');
}

function backstage(count) {
  const texts = [
    '@id("proxy") permit (principal in Backstage::Group::"group:default/g1", action == Backstage::Action::"kubernetes.proxy", resource);',
    '@id("own") permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.delete", resource is Backstage::CatalogEntity) when { resource.owners.containsAny(principal.claims) };',
  ];
  for (let n = 0; n < count; n += 1) {
    texts.push(
      `@id("role-${n}") permit (principal in Backstage::Group::"group:default/r${n}", action == Backstage::Action::"catalog.entity.refresh", resource is Backstage::CatalogEntity) when { resource.owners.containsAny(principal.claims) };`,
    );
  }
  return texts.join('\n');
}

/** Returns the median of nine rounds, in microseconds of processor time a call. */
function time(call, calls = 20_000) {
  for (let n = 0; n < calls; n += 1) call(n);
  const rounds = [];
  for (let round = 0; round < 9; round += 1) {
    const started = process.cpuUsage();
    for (let n = 0; n < calls; n += 1) call(n);
    const { user, system } = process.cpuUsage(started);
    rounds.push((user + system) / calls);
  }
  return rounds.sort((a, b) => a - b)[4];
}

const rows = [];
for (const size of sizes) {
  const engine = Engine.loadSync({
    texts: [
      { name: 's.cedarschema', text: schema },
      { name: 'p.cedar', text: grants(size) },
    ],
  });
  const groups = Array.from({ length: 20 }, (_, n) => `Group::"g${n}"`);
  const store = new Entities([
    { uid: 'User::"ana"', parents: groups },
    { uid: 'Resource::"here"', attrs: { apiGroup: 'apps', resource: 'r3', namespace: 'ns3' } },
  ]);
  const known = { principal: 'User::"ana"', action: 'Action::"get"', resource: 'Resource::"here"' };
  const own = n => ({
    ...known,
    resource: 'Resource::"own"',
    entities: [
      {
        uid: 'Resource::"own"',
        attrs: { apiGroup: 'apps', resource: 'r3', namespace: n % 2 ? 'ns3' : 'nsX' },
      },
    ],
  });
  if (
    !engine.isAllowed(known, store) ||
    engine.isAllowed(own(0), store) ||
    !engine.isAllowed(own(1), store)
  ) {
    throw new Error('wrong');
  }
  const permissions = Engine.loadSync({
    texts: [{ name: 'p.cedar', text: backstage(size) }],
    platform: 'backstage',
  });
  const user = {
    userEntityRef: 'user:default/ana',
    ownershipEntityRefs: [
      'user:default/ana',
      ...Array.from({ length: 19 }, (_, n) => `group:default/g${n}`),
    ],
  };
  const proxy = { type: 'basic', name: 'kubernetes.proxy', attributes: {} };
  const remove = {
    type: 'resource',
    name: 'catalog.entity.delete',
    attributes: { action: 'delete' },
    resourceType: 'catalog-entity',
  };
  if (permissions.decideBackstage(proxy, user).decision.result !== 'ALLOW')
    throw new Error('wrong');
  if (permissions.decideBackstage(remove, user).decision.result !== 'CONDITIONAL')
    throw new Error('wrong');
  const fifty = Array(50).fill(remove);
  // Somebody who has not asked before: nothing is kept.
  let others = 0;
  const somebody = () => ({ ...user, userEntityRef: `user:default/u${(others += 1)}` });
  rows.push({
    policies: size,
    isAllowed: time(() => engine.isAllowed(known, store)),
    decide: time(() => engine.decide(known, store)),
    'decide, own resource': time(n => engine.decide(own(n), store), 5_000),
    'decideBackstage, definitive': time(() => permissions.decideBackstage(proxy, user)),
    'decideBackstage, conditional': time(() => permissions.decideBackstage(remove, user)),
    'definitive, anew': time(() => permissions.decideBackstage(proxy, somebody()), 1_000),
    'conditional, anew': time(() => permissions.decideBackstage(remove, somebody()), 1_000),
    'batch of 50, each': time(() => permissions.decideBackstageBatch(fifty, user), 1_000) / 50,
  });
  engine.close();
  permissions.close();
}
const round = value =>
  typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(2) : value;
console.log('microseconds of processor time a decision, medians');
console.table(
  rows.map(row =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, round(value)])),
  ),
);
