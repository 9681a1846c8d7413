import { mistyped, StagedoorError } from './error.js';
import type { Engine } from './engine.js';
import { call, Handle } from './runtime.js';
import { Writer } from './values.js';
import type { EntityInput } from './wire.js';

interface EntitiesDescription {
  entities: number;
  size: number;
}

/** A set of entities, prepared to be used for many decisions. It does not change. */
export class Entities {
  /** How many entities the set holds. */
  readonly size: number;
  readonly #handle: Handle;

  /** Makes a set of entities. */
  constructor(entities: readonly EntityInput[]);
  /** @internal */
  constructor(make: () => string);
  constructor(given: readonly EntityInput[] | (() => string)) {
    const make = typeof given === 'function' ? given : written(given);
    let size = 0;
    this.#handle = new Handle('entities', () => {
      const prepared = call<EntitiesDescription>(make());
      size = prepared.size;
      return prepared.entities;
    });
    this.size = size;
  }

  /**
   * Reads entities in Cedar's JSON form. With an engine, values may leave out what its schema
   * tells, and the entities are validated.
   */
  static fromJson(json: string, engine?: Engine | null): Entities {
    if (typeof json !== 'string') {
      throw mistyped('json', 'a string');
    }
    const of = () => (engine ? `,"engine":${engine.number}` : '');
    checked(json);
    return new Entities(() => `{"entitiesJson":{"json":${json}${of()}}}`);
  }

  /** Returns this set with more entities. Copies nothing of it. */
  with(entities: readonly EntityInput[]): Entities {
    const more = new Writer().entities(entities);
    return new Entities(() => `{"entities":{"entities":${more},"over":${this.number}}}`);
  }

  /** @internal */
  get number(): number {
    return this.#handle.number;
  }
}

function written(entities: readonly EntityInput[]): () => string {
  const json = new Writer().entities(entities);
  return () => `{"entities":{"entities":${json}}}`;
}

/** Checks that a text is JSON: it is put into a call, and could leave its place otherwise. */
function checked(json: string) {
  try {
    JSON.parse(json);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new StagedoorError({ code: 'entities::json', message }, { cause });
  }
}
