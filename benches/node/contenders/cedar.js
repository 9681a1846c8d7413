'use strict';

// Cedar's own engine as WebAssembly, with policies that were parsed beforehand.

const cedar = require('@cedar-policy/cedar-wasm/nodejs');

/** Returns what decides a request, of which the entities are given as JSON. */
function load({ policies, users, n }) {
  const id = `grants-${n}`;
  const parsed = cedar.preparsePolicySet(id, { staticPolicies: policies });
  if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed.errors).slice(0, 400));
  const principals = users.map(({ name, groups, suspended }) => ({
    uid: { type: 'kube::User', id: name },
    attrs: { name, ...(suspended && { suspended }) },
    parents: groups.map(group => ({ type: 'kube::Group', id: group })),
  }));
  return ({ user, verb, id: object, apiGroup, resource, namespace, name }) => {
    const principal = principals[user];
    const uid = { type: 'kube::Resource', id: object };
    const answer = cedar.statefulIsAuthorized({
      principal: principal.uid,
      action: { type: 'kube::Action', id: verb },
      resource: uid,
      context: {},
      preparsedPolicySetId: id,
      entities: [
        principal,
        {
          uid,
          attrs: { apiGroup, resource, name, ...(namespace !== null && { namespace }) },
          parents: namespace === null ? [] : [{ type: 'kube::Namespace', id: namespace }],
        },
        // Without a schema the groups of verbs are entities as others.
        { uid: { type: 'kube::Action', id: verb }, attrs: {}, parents: [verbs(verb)] },
      ],
    });
    if (answer.type !== 'success') throw new Error(JSON.stringify(answer.errors));
    return answer.response.decision === 'allow';
  };
}

function verbs(verb) {
  const reads = ['get', 'list', 'watch'].includes(verb);
  return { type: 'kube::Action', id: reads ? 'readOnly' : 'write' };
}

module.exports = { load };
