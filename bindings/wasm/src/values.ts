// JavaScript's values as JSON that the module reads, checked on the way.

import { mistyped, StagedoorError } from './error.js';

/** An entity's id in two parts. `'Type::"id"'` means the same. */
export interface EntityUidInput {
  /** The type, such as `Backstage::User`. */
  type: string;
  /** The id, as it is: nothing is escaped. */
  id: string;
}

/**
 * An entity, as Cedar's JSON form has it.
 *
 * Values are booleans, integers (`number` or `bigint`), strings, arrays (sets) and objects
 * (records); `{__entity: {type, id}}` refers to an entity, and
 * `{__extn: {fn: 'ip', arg: '10.0.0.1'}}` is an extension value.
 */
export interface EntityInput {
  /** The entity's id: `'Type::"id"'` or `{type, id}`. */
  uid: string | EntityUidInput;
  /** Its attributes. */
  attrs?: Record<string, unknown>;
  /** Its tags. */
  tags?: Record<string, unknown>;
  /** The entities that it is directly a member of. */
  parents?: (string | EntityUidInput)[];
}

/** Who wants to do what to which resource, and in which circumstances. */
export interface RequestInput {
  /** Who asks: `'User::"alice"'` or `{type: 'User', id: 'alice'}`. */
  principal: string | EntityUidInput;
  /** What they want to do. */
  action: string | EntityUidInput;
  /** What they want to do it to. */
  resource: string | EntityUidInput;
  /**
   * The circumstances: values as in an entity's attributes. What the schema tells may be left
   * out, such as that a string is an IP address.
   */
  context?: Record<string, unknown>;
  /** Entities that belong to this request alone, such as its resource. */
  entities?: EntityInput[];
}

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
    const fields = [
      `"principal":${this.#uid(principal, '`principal`')}`,
      `"action":${this.#uid(action, '`action`')}`,
      `"resource":${this.#uid(resource, '`resource`')}`,
    ];
    if (context !== undefined) {
      fields.push(`"context":${this.#record(context, 'context')}`);
    }
    if (entities !== undefined) {
      fields.push(`"entities":${this.entities(entities)}`);
    }
    return `{${fields.join()}}`;
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
    const { uid, attrs, tags, parents, ...rest } = entity;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) {
      const message = `${what}: \`${unknown}\` is not a field of an entity`;
      const help = 'the fields are uid, attrs, tags and parents';
      throw new StagedoorError({ code: 'argument::type', message, help });
    }
    const fields = [`"uid":${this.#uid(uid, `${what}: \`uid\``)}`];
    if (attrs !== undefined) {
      fields.push(`"attrs":${this.#record(attrs, `${what}: attrs`)}`);
    }
    if (tags !== undefined) {
      fields.push(`"tags":${this.#record(tags, `${what}: tags`)}`);
    }
    if (parents !== undefined) {
      if (!Array.isArray(parents)) {
        throw mistyped(`${what}: \`parents\``, 'an array of entity ids');
      }
      const ids = parents.map((parent, n) => this.#uid(parent, `${what}: parents[${n}]`));
      fields.push(`"parents":[${ids.join()}]`);
    }
    return `{${fields.join()}}`;
  }

  #uid(uid: unknown, what: string): string {
    if (typeof uid === 'string') {
      return text(uid, what);
    }
    if (typeof uid !== 'object' || uid === null) {
      throw mistyped(what, 'an entity id: `Type::"id"` or {type, id}');
    }
    const { type, id } = uid as Record<string, unknown>;
    return `{"type":${text(type, `\`type\` of ${what}`)},"id":${text(id, `\`id\` of ${what}`)}}`;
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
          throw mistyped(what, 'an integer of 64 bits');
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

function integer(value: number, what: string): string {
  if (!Number.isSafeInteger(value)) {
    throw mistyped(
      what,
      'an integer',
      "Cedar has no fractions: write {__extn: {fn: 'decimal', arg: '1.5'}}; integers beyond 2^53 " +
        'are written as a BigInt',
    );
  }
  return String(value);
}
