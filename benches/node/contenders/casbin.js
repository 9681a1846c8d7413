'use strict';

// casbin: roles for groups, a line for each grant, and lines that deny for the forbids.

const { newEnforcer, newModelFromString, StringAdapter } = require('casbin');

const MODEL = `
[request_definition]
r = sub, act, obj

[policy_definition]
p = sub, acts, api, res, ns, cond, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = (p.sub == "*" || g(r.sub, p.sub)) && covers(p.acts, r.act) && \
(p.api == "*" || p.api == r.obj.api) && (p.res == "*" || p.res == r.obj.res) && \
(p.ns == "*" || p.ns == r.obj.ns) && holds(p.cond, r.sub, r.obj)
`;

const READS = 'get|list|watch';
const WRITES = 'create|update|patch|delete';

/** Returns what decides a request. */
async function load({ grants, users }) {
  // The group of no name is written as `core`: an empty field is lost in a line of CSV.
  const lines = grants.map(
    ({ group, verbs, apiGroup, resource, namespace }) =>
      `p, ${group}, ${verbs.join('|')}, ${apiGroup || 'core'}, ${resource}, ${namespace ?? '*'}, -, allow`,
  );
  lines.push(
    `p, *, ${READS}, core, secrets, *, not-secret-readers, deny`,
    `p, *, ${WRITES}, *, *, kube-system, not-platform-admins, deny`,
    `p, *, *, *, *, *, suspended, deny`,
    `p, *, ${WRITES}, *, *, *, contractor-in-production, deny`,
    `p, *, delete, *, *, *, of-the-system, deny`,
  );
  for (const { name, groups } of users) {
    for (const group of groups) lines.push(`g, ${name}, ${group}`);
  }
  const suspended = new Set(users.filter(user => user.suspended).map(({ name }) => name));
  const member = new Map(users.map(({ name, groups }) => [name, new Set(groups)]));
  const conditions = {
    '-': () => true,
    'not-secret-readers': user => !member.get(user).has('secret-readers'),
    'not-platform-admins': user => !member.get(user).has('platform-admins'),
    suspended: user => suspended.has(user),
    'contractor-in-production': (user, { ns }) =>
      user.startsWith('contractor-') && ns.startsWith('prod-'),
    'of-the-system': (user, { name }) =>
      name.startsWith('system:') && !member.get(user).has('platform-admins'),
  };
  const enforcer = await newEnforcer(
    newModelFromString(MODEL),
    new StringAdapter(lines.join('\n')),
  );
  await enforcer.addFunction(
    'covers',
    (acts, act) => acts === '*' || acts.split('|').includes(act),
  );
  await enforcer.addFunction('holds', (condition, user, object) =>
    conditions[condition](user, object),
  );
  return ({ user, verb, apiGroup, resource, namespace, name }) =>
    enforcer.enforceSync(users[user].name, verb, {
      api: apiGroup || 'core',
      res: resource,
      ns: namespace ?? '',
      name,
    });
}

module.exports = { load };
