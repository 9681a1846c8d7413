'use strict';

// CASL: an ability for each user, of the grants of the user's groups and the forbids.

const { createMongoAbility, subject } = require('@casl/ability');

const READS = ['get', 'list', 'watch'];
const WRITES = ['create', 'update', 'patch', 'delete'];

function kind({ apiGroup, resource }) {
  return `${apiGroup}/${resource}`;
}

/** Returns what makes the ability of a user. */
function abilities({ grants, users }) {
  const byGroup = new Map();
  for (const grant of grants) {
    const { group, verbs, namespace } = grant;
    const rule = {
      action: verbs,
      subject: kind(grant),
      ...(namespace !== null && { conditions: { namespace } }),
    };
    if (!byGroup.has(group)) byGroup.set(group, []);
    byGroup.get(group).push(rule);
  }
  return number => {
    const { name, groups, suspended } = users[number];
    const rules = groups.flatMap(group => byGroup.get(group) ?? []);
    const forbid = (action, about, conditions) =>
      rules.push({ inverted: true, action, subject: about, ...(conditions && { conditions }) });
    if (!groups.includes('secret-readers')) forbid(READS, '/secrets');
    if (!groups.includes('platform-admins')) {
      forbid(WRITES, 'all', { namespace: 'kube-system' });
      forbid('delete', 'all', { name: { $regex: /^system:/ } });
    }
    if (name.startsWith('contractor-')) {
      forbid(WRITES, 'all', { namespace: { $regex: /^prod-/ } });
    }
    if (suspended) forbid('manage', 'all');
    return createMongoAbility(rules);
  };
}

function decide(ability, request) {
  const { verb, namespace, name } = request;
  return ability.can(verb, subject(kind(request), { namespace, name }));
}

/** An ability is made for each user beforehand. */
function cached(workload) {
  const ability = abilities(workload);
  const known = workload.users.map((_, user) => ability(user));
  return request => decide(known[request.user], request);
}

/** An ability is made for each request. */
function built(workload) {
  const ability = abilities(workload);
  return request => decide(ability(request.user), request);
}

module.exports = { cached, built };
