// JavaScript's values as JSON that the module reads, checked on the way.

import { mistyped, StagedoorError } from './error.js';
import type { EntityInput, QueryInput, RequestInput } from './wire.js';

/** How deep values may nest; the engine's own limit is as high. */
const NESTING = 64;
/** How many values one call may hand over. */
const VALUES = 4_000_000;

/** Writes requests and entities, and counts their values. */
export class Writer {
  #left = VALUES;

  request(request: RequestInput): string {
    const given: unknown = request;
    if (typeof given !== 'object' || given === null) {
      throw mistyped('request', '{principal, action, resource}');
    }
    const { principal, action, resource, context, entities } = request;
    return object(given, {
      principal: principal && this.#uid(principal, '`principal`'),
      action: action && this.#uid(action, '`action`'),
      resource: resource && this.#uid(resource, '`resource`'),
      context: context === undefined ? undefined : this.#record(context, 'context'),
      entities: entities === undefined ? undefined : this.entities(entities),
    });
  }

  query(query: QueryInput): string {
    const given: unknown = query;
    if (typeof given !== 'object' || given === null) {
      throw mistyped('query', '{principal, action, resourceType}');
    }
    const uid = (value: unknown, name: string) =>
      value === undefined ? undefined : this.#uid(value, `\`${name}\``);
    const word = (value: unknown, name: string) =>
      value === undefined ? undefined : text(value, `\`${name}\``);
    const record = (value: unknown, name: string) =>
      value === undefined ? undefined : this.#record(value, name);
    const { openContext, limit } = query;
    return object(given, {
      principal: uid(query.principal, 'principal'),
      principalType: word(query.principalType, 'principalType'),
      principalAttrs: record(query.principalAttrs, 'principalAttrs'),
      action: uid(query.action, 'action'),
      resource: uid(query.resource, 'resource'),
      resourceType: word(query.resourceType, 'resourceType'),
      resourceAttrs: record(query.resourceAttrs, 'resourceAttrs'),
      context: record(query.context, 'context'),
      openContext: openContext === undefined ? undefined : JSON.stringify(openContext),
      after: word(query.after, 'after'),
      limit: limit === undefined ? undefined : integer(limit, 'limit'),
    });
  }

  entities(entities: readonly EntityInput[]): string {
    if (!Array.isArray(entities)) {
      throw mistyped('entities', 'an array of entities');
    }
    const list = entities as readonly EntityInput[];
    return `[${list.map((entity, n) => this.#entity(entity, `entities[${n}]`)).join()}]`;
  }

  #entity(entity: EntityInput, what: string): string {
    const given: unknown = entity;
    if (typeof given !== 'object' || given === null) {
      throw mistyped(what, 'an object with `uid`');
    }
    const { uid, attrs, tags, parents } = entity;
    if (parents !== undefined && !Array.isArray(parents)) {
      throw mistyped(`${what}: \`parents\``, 'an array of entity ids');
    }
    const ids = parents?.map((parent, n) => this.#uid(parent, `${what}: parents[${n}]`));
    return object(given, {
      uid: uid && this.#uid(uid, `${what}: \`uid\``),
      attrs: attrs === undefined ? undefined : this.#record(attrs, `${what}: attrs`),
      tags: tags === undefined ? undefined : this.#record(tags, `${what}: tags`),
      parents: ids && `[${ids.join()}]`,
    });
  }

  /** Writes an id; what it lacks, or has too much of, the module says. */
  #uid(uid: unknown, what: string): string {
    if (typeof uid === 'string') {
      return text(uid, what);
    }
    if (typeof uid !== 'object' || uid === null) {
      // Neither of the two forms, and told as such.
      return 'null';
    }
    const { type, id } = uid as Record<string, unknown>;
    const part = (value: unknown, name: string) =>
      value === undefined ? undefined : text(value, `\`${name}\` of ${what}`);
    return object(uid, { type: part(type, 'type'), id: part(id, 'id') });
  }

  #record(value: unknown, what: string): string {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw mistyped(what, 'an object');
    }
    return this.#fields(value, what, 1);
  }

  #fields(object: object, what: string, depth: number): string {
    const fields = Object.entries(object) as [string, unknown][];
    const prototype: unknown = Object.getPrototypeOf(object);
    // Of another world, Object's prototype is not this one, but has none above it either.
    const plain = prototype === null || Object.getPrototypeOf(prototype) === null;
    if (ArrayBuffer.isView(object) || (fields.length === 0 && !plain)) {
      throw mistyped(what, 'a plain object: maps, sets and dates are not read');
    }
    const written = fields
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => {
        const place = `${what}.${name}`;
        return `${text(name, `a field's name in ${what}`)}:${this.#value(value, place, depth)}`;
      });
    return `{${written.join()}}`;
  }

  #value(value: unknown, what: string, depth: number): string {
    if (depth > NESTING) {
      const message = `${what} nests deeper than ${NESTING} levels`;
      throw new StagedoorError({ code: 'limit::nesting', message });
    }
    this.#left -= 1;
    if (this.#left < 0) {
      const message = `more than ${VALUES} values in one call`;
      throw new StagedoorError({ code: 'argument::size', message });
    }
    switch (typeof value) {
      case 'boolean':
        return String(value);
      case 'string':
        return text(value, what);
      case 'number':
        return integer(value, what);
      case 'bigint':
        if (BigInt.asIntN(64, value) !== value) {
          const message = `\`${what}\` is \`${value}\`: Cedar's integers have 64 bits`;
          throw new StagedoorError({ code: 'argument::type', message });
        }
        return String(value);
      case 'object':
        if (Array.isArray(value)) {
          const items = value.map((item, n) => this.#value(item, `${what}[${n}]`, depth + 1));
          return `[${items.join()}]`;
        }
        if (value !== null) {
          return this.#fields(value, what, depth + 1);
        }
    }
    const expected = 'a boolean, an integer, a string, an array or an object';
    throw mistyped(what, `${expected}: Cedar has nothing else`);
  }
}

/** Writes a text, which has no half of a character in it: two of that kind would read the same. */
export function text(value: unknown, what: string): string {
  if (typeof value !== 'string') {
    throw mistyped(what, 'a string');
  }
  if (!value.isWellFormed()) {
    const message = `${what} has half of a character in it`;
    throw new StagedoorError({ code: 'argument::unicode', message });
  }
  return JSON.stringify(value);
}

/** Writes a number. A fraction is written as it is: the module says what Cedar has instead. */
function integer(value: number, what: string): string {
  if (!Number.isFinite(value)) {
    const message = `\`${what}\` is \`${value}\`: Cedar has integers alone`;
    throw new StagedoorError({ code: 'argument::type', message });
  }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    const message = `\`${what}\` is \`${value}\`, which may have lost digits`;
    const help = 'integers beyond 2^53 are written as a BigInt';
    throw new StagedoorError({ code: 'argument::type', message, help });
  }
  return String(value);
}

/**
 * Writes an object of known fields. Other keys that it has are written as well: the module refuses
 * them, and names the nearest of those that it knows.
 */
export function object(given: object, known: Record<string, string | undefined>): string {
  const fields = Object.entries(known).flatMap(([name, json]) =>
    json === undefined ? [] : [`"${name}":${json}`],
  );
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(known, key)) fields.push(`${text(key, 'a key')}:null`);
  }
  return `{${fields.join()}}`;
}
