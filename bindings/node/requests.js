'use strict';

// Requests of plain objects, packed here into one text that crosses over to the addon: reading an
// object from there, property by property, takes longer than deciding.
//
// Whatever is not plain (a class, a number beyond 2^53, a key that is not known) is left to the addon,
// which reads the object itself and says what is wrong with it.

/** Texts that are longer are left to the addon. */
const LONGEST = 1 << 16;

/** Values that nest deeper are left to the addon. */
const DEEPEST = 16;

const REQUEST = new Set(['principal', 'action', 'resource', 'context', 'entities']);
const ENTITY = new Set(['uid', 'attrs', 'tags', 'parents']);

/** Has the engine take requests as texts, where they can be packed. */
function takeRequests(Engine) {
  const { isAllowed, isAllowedPacked } = Engine.prototype;
  Object.assign(Engine.prototype, {
    isAllowed(request, entities) {
      const text = packed(request);
      if (text !== undefined) {
        const answer = isAllowedPacked.call(this, text, entities);
        if (answer !== null) return answer;
      }
      return isAllowed.call(this, request, entities);
    },
  });
  delete Engine.prototype.isAllowedPacked;
}

/** Returns a request as one text; nothing if that is not plain. `src/packed.rs` reads it. */
function packed(request) {
  const parts = new Parts();
  if (!parts.request(request) || parts.text.length > LONGEST) return undefined;
  // INVARIANT: with the number of parts, so that a value with '\0' in it is not taken for several.
  return `${parts.count}${parts.text}`;
}

/** Parts of a text, each behind '\0'. What adds one returns whether that was plain. */
class Parts {
  text = '';
  count = 0;

  add(part) {
    this.text += '\0';
    this.text += part;
    this.count += 1;
    return true;
  }

  request(request) {
    return (
      isPlain(request) &&
      hasOnly(request, REQUEST) &&
      this.uid(request.principal) &&
      this.uid(request.action) &&
      this.uid(request.resource) &&
      this.fields(request.context, 1) &&
      this.list(request.entities, entity => this.entity(entity))
    );
  }

  entity(entity) {
    return (
      isPlain(entity) &&
      hasOnly(entity, ENTITY) &&
      this.uid(entity.uid) &&
      this.fields(entity.attrs, 1) &&
      this.fields(entity.tags, 1) &&
      this.list(entity.parents, parent => this.uid(parent))
    );
  }

  /** An id: `"` and its text, or `:` and its type, and the id. */
  uid(uid) {
    if (typeof uid === 'string') return this.add(`"${uid}`);
    if (!isPlain(uid)) return false;
    const { type, id } = uid;
    if (typeof type !== 'string' || typeof id !== 'string') return false;
    return Object.keys(uid).length === 2 && this.add(`:${type}`) && this.add(id);
  }

  /** How many there are, and each; nothing is none. */
  list(items, add) {
    if (items === undefined) return this.add('0');
    if (!Array.isArray(items)) return false;
    const { length } = items;
    this.add(length);
    for (let n = 0; n < length; n += 1) if (!add(items[n])) return false;
    return true;
  }

  /** How many fields there are, and the name and value of each. */
  fields(record, depth) {
    if (record === undefined) return this.add('0');
    return isPlain(record) && this.named(record, Object.keys(record), '', depth);
  }

  named(record, names, mark, depth) {
    // Each is read once: a getter could say something else the next time.
    const values = names.map(name => record[name]);
    this.add(`${mark}${values.reduce((n, value) => (value === undefined ? n : n + 1), 0)}`);
    for (let n = 0; n < names.length; n += 1) {
      const value = values[n];
      if (value !== undefined && !(this.add(names[n]) && this.value(value, depth))) return false;
    }
    return true;
  }

  value(value, depth) {
    switch (typeof value) {
      case 'string':
        return this.add(`=${value}`);
      case 'boolean':
        return this.add(value ? 't' : 'f');
      case 'number':
        return Number.isSafeInteger(value) && this.add(`#${value}`);
      case 'object':
        return depth < DEEPEST && this.nested(value, depth + 1);
      default:
        return false;
    }
  }

  nested(value, depth) {
    if (Array.isArray(value)) {
      const { length } = value;
      this.add(`[${length}`);
      for (let n = 0; n < length; n += 1) if (!this.value(value[n], depth)) return false;
      return true;
    }
    if (!isPlain(value)) return false;
    const names = Object.keys(value);
    if (names.length !== 1 || !names[0].startsWith('__')) {
      return this.named(value, names, '{', depth);
    }
    return names[0] === '__entity' && this.add('@') && this.uid(value.__entity);
  }
}

/** Whether a value is an object as it is written, and of no class. */
function isPlain(value) {
  if (value === null || typeof value !== 'object') return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function hasOnly(object, known) {
  for (const key of Object.keys(object)) if (!known.has(key)) return false;
  return true;
}

module.exports = { packed, takeRequests };
