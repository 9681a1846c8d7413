// Cedar's values, as its JSON form has them.

/** The id of a Cedar entity. */
export interface EntityUid {
  /** Its type, such as `k8s::User`. */
  readonly type: string;
  readonly id: string;
}

/** A call that makes an extension value: `datetime`, `decimal`, `duration` or `ip`. */
export interface Extension {
  readonly fn: string;
  readonly arg: string;
}

/**
 * A value. Sets are arrays; an entity is `{__entity}`, an extension value `{__extn}`. Integers
 * beyond 2^53 are BigInts, since numbers would round them.
 */
export type Value = boolean | number | bigint | string | readonly Value[] | CedarRecord;

/** A record: what is not there is `undefined`. */
export interface CedarRecord {
  readonly [name: string]: Value | undefined;
}

/** A Cedar entity. */
export interface Entity {
  readonly uid: EntityUid;
  readonly attributes: CedarRecord;
  readonly tags: CedarRecord;
  /** Every entity that this one is a member of, directly or not. */
  readonly ancestors: readonly EntityUid[];
}

/** Returns the id of the entity that a value refers to, if it refers to one. */
export function entityOf(value: Value | undefined): EntityUid | undefined {
  const { type, id } = escaped(value, '__entity') ?? {};
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined;
}

/** Returns the call that makes an extension value, if a value is one: `datetime`, say. */
export function extensionOf(value: Value | undefined): Extension | undefined {
  const { fn, arg } = escaped(value, '__extn') ?? {};
  return typeof fn === 'string' && typeof arg === 'string' ? { fn, arg } : undefined;
}

function escaped(value: Value | undefined, escape: string): CedarRecord | undefined {
  if (!isRecord(value) || !Object.hasOwn(value, escape)) {
    return undefined;
  }
  const inner = value[escape];
  return isRecord(inner) ? inner : undefined;
}

function isRecord(value: Value | undefined): value is CedarRecord {
  return typeof value === 'object' && !Array.isArray(value);
}

/** Reads a record as the host writes it. */
export function readRecord(json: string): CedarRecord {
  const record = JSON.parse(json) as CedarRecord;
  return isRounded(record) ? readExactly(json) : record;
}

/** Returns whether there is a number that may round an integer: cheaper than a search of the text. */
function isRounded(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  const items: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  // A loop, which an interpreter runs through faster than calls: a large object has many values.
  for (let at = 0; at < items.length; at++) {
    const item = items[at];
    const is =
      typeof item === 'number'
        ? item > Number.MAX_SAFE_INTEGER || item < Number.MIN_SAFE_INTEGER
        : typeof item === 'object' && isRounded(item);
    if (is) {
      return true;
    }
  }
  return false;
}

function readExactly(json: string): CedarRecord {
  let mark = '__integer';
  while (json.includes(mark)) {
    mark += '_';
  }
  const marked = json.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, found =>
    /^-?\d{16,}$/.test(found) ? `{"${mark}":"${found}"}` : found,
  );
  return JSON.parse(marked, (_, value: unknown) => {
    const marks = typeof value === 'object' && value !== null && Object.hasOwn(value, mark);
    return marks ? integer((value as Record<string, string>)[mark] ?? '') : value;
  }) as CedarRecord;
}

function integer(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}
