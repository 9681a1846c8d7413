'use strict';

// Resources of handles as objects, `{ id, tier }`: packed here into the one text that crosses over to
// the addon, since reading an object from there takes longer than deciding.

/** How the resources of each type are packed. */
const packers = new WeakMap();

/** Has the engine's handles take resources as objects, beside texts that are packed already. */
function takeObjects(Engine) {
  const { decider, resourceType, ...ask } = natives(Engine.prototype);
  Object.assign(Engine.prototype, {
    resourceType(name, attributes) {
      const type = resourceType.call(this, name, attributes);
      packers.set(type, packer([...attributes]));
      return type;
    },
    decider(principal, action, type) {
      const decide = decider.call(this, principal, action, type);
      const pack = packers.get(type);
      return resource => decide(typeof resource === 'string' ? resource : pack(resource));
    },
    isAllowedPrepared(principal, action, type, resource) {
      return ask.isAllowedPrepared.call(this, principal, action, type, packed(type, resource));
    },
    decidePrepared(principal, action, type, resource) {
      return ask.decidePrepared.call(this, principal, action, type, packed(type, resource));
    },
    areAllowedPrepared(principal, action, type, resources) {
      const isPacked = !Array.isArray(resources) || resources.every(one => typeof one === 'string');
      const texts = isPacked ? resources : resources.map(resource => packed(type, resource));
      return ask.areAllowedPrepared.call(this, principal, action, type, texts);
    },
  });
}

function natives(prototype) {
  const names = [
    'areAllowedPrepared',
    'decidePrepared',
    'decider',
    'isAllowedPrepared',
    'resourceType',
  ];
  return Object.fromEntries(names.map(name => [name, prototype[name]]));
}

function packed(type, resource) {
  if (typeof resource === 'string') return resource;
  const pack = packers.get(type);
  // What is not a type of resources is the addon's to refuse.
  return pack ? pack(resource) : resource;
}

/** Returns what packs resources with these attributes. */
function packer(attributes) {
  const known = new Set(['id', ...attributes]);
  return resource => {
    if (resource === null || typeof resource !== 'object' || Array.isArray(resource)) {
      throw refused('`resource` is not an object with an `id`, or a string');
    }
    if (attributes.includes('id')) {
      throw refused('a type with an attribute `id` takes its resources as strings alone');
    }
    let text = resource.id;
    if (typeof text !== 'string') throw refused('`id` of a resource is not a string');
    let there = 1;
    for (let n = 0; n < attributes.length; n += 1) {
      const value = resource[attributes[n]];
      if (value === undefined) {
        text += '\0';
        continue;
      }
      if (typeof value !== 'string') {
        throw refused(`\`${attributes[n]}\` of a resource is not a string`);
      }
      text += `\0=${value}`;
      there += 1;
    }
    // A misspelt attribute would be one that the resource does not have.
    if (Object.keys(resource).length !== there) checkKeys(resource, known);
    return text;
  };
}

function checkKeys(resource, known) {
  const unknown = Object.keys(resource).find(key => !known.has(key));
  if (unknown === undefined) return;
  const names = [...known].map(name => `\`${name}\``).join(', ');
  throw refused(`unknown key \`${unknown.slice(0, 200)}\`: the keys are ${names}`);
}

function refused(message) {
  const error = new Error(message);
  error.name = 'StagedoorError';
  error.code = 'argument::type';
  return error;
}

module.exports = { takeObjects };
