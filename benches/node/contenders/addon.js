'use strict';

// The addon by each way of passing a request. What a decision includes is said by each.

const { Engine, Entities } = require('@stagedoor/node');

/** Loads the policies once for all ways. */
function load({ schema, policies, users }) {
  const engine = Engine.loadSync({
    texts: [
      { name: 'cluster.cedarschema', text: schema },
      { name: 'grants.cedar', text: policies },
    ],
  });
  const store = new Entities(
    users.map(({ name, groups, suspended }) => ({
      uid: { type: 'kube::User', id: name },
      attrs: { name, ...(suspended && { suspended }) },
      parents: groups.map(id => ({ type: 'kube::Group', id })),
    })),
  );
  return { engine, store, users };
}

/** An object for the request, with the resource's entity in it. */
function objects({ engine, store, users }) {
  return ({ user, verb, id, apiGroup, resource, namespace, name }) => {
    const uid = { type: 'kube::Resource', id };
    return engine.isAllowed(
      {
        principal: { type: 'kube::User', id: users[user].name },
        action: { type: 'kube::Action', id: verb },
        resource: uid,
        entities: [
          {
            uid,
            attrs: { apiGroup, resource, name, ...(namespace !== null && { namespace }) },
            parents: namespace === null ? [] : [{ type: 'kube::Namespace', id: namespace }],
          },
        ],
      },
      store,
    );
  };
}

/** Handles of all users and verbs. */
function handles({ engine, store, users }, requests) {
  const verbs = [...new Set(requests.map(({ verb }) => verb))];
  return {
    principals: users.map(({ name }) => engine.principal({ type: 'kube::User', id: name }, store)),
    actions: new Map(verbs.map(verb => [verb, engine.action({ type: 'kube::Action', id: verb })])),
    resources: engine.resourceType('kube::Resource', ['apiGroup', 'resource', 'namespace', 'name']),
  };
}

/** Functions that decide, by user and by those verbs that the user asks for. */
function deciders({ engine, users }, requests, { principals, actions, resources }) {
  const made = users.map(() => new Map());
  for (const { user, verb } of requests) {
    if (!made[user].has(verb)) {
      made[user].set(verb, engine.decider(principals[user], actions.get(verb), resources));
    }
  }
  return made;
}

/** The resource as an object, which is made of the request's words. */
function resource({ id, apiGroup, resource: kind, namespace, name }) {
  return { id, apiGroup, resource: kind, namespace: namespace ?? undefined, name };
}

/** The resource as one text, which is made of the request's words. */
function packed({ id, apiGroup, resource, namespace, name }) {
  const space = namespace === null ? '' : `=${namespace}`;
  return `${id}\0=${apiGroup}\0=${resource}\0${space}\0=${name}`;
}

module.exports = { load, objects, handles, deciders, packed, resource };
