// WebAssembly's binary format, as far as modules and components have it in common.

const text = new TextDecoder('utf-8', { fatal: true });

/** Reads bytes one after the other. */
export class Reader {
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  /** Where it is, for `since`. */
  get offset(): number {
    return this.at;
  }

  take(length: number): Uint8Array {
    const end = this.at + length;
    if (end > this.bytes.length) {
      throw new Error('the component ends too early');
    }
    const taken = this.bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  byte(): number {
    return this.take(1)[0] ?? 0;
  }

  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        return value;
      }
    }
    throw new Error('the component has a number that is too long');
  }

  name(): string {
    return text.decode(this.take(this.u32()));
  }

  list<T>(item: () => T): T[] {
    return Array.from({ length: this.u32() }, item);
  }

  /** The bytes that were read after an offset. */
  since(offset: number): Uint8Array {
    return this.bytes.subarray(offset, this.at);
  }
}

/** Sections of a module. */
export const MODULE_SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  export: 7,
  code: 10,
} as const;
/** Sections of a component. */
export const COMPONENT_SECTION = {
  module: 1,
  coreInstance: 2,
  component: 4,
  instance: 5,
  alias: 6,
  type: 7,
  canon: 8,
  import: 10,
  export: 11,
} as const;
/** What a core module can export, as aliases name it. */
export const CORE_SORT = { function: 0, table: 1, memory: 2, global: 3 } as const;

export interface Section {
  readonly id: number;
  readonly body: Uint8Array;
}

/** What a module begins with. */
export const MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
/** What a component begins with. */
export const COMPONENT = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0);

/** The sections of a module or a component. */
export function sections(bytes: Uint8Array): Section[] {
  const reader = new Reader(bytes);
  reader.take(MODULE.length);
  const found = [];
  while (!reader.done) {
    const id = reader.byte();
    found.push({ id, body: reader.take(reader.u32()) });
  }
  return found;
}

/** Bytes, or what becomes bytes. */
export type Part = number | string | Uint8Array | readonly Part[];

/** Puts bytes together: a number below 128 is a byte, a text a name. */
export function bytes(...parts: readonly Part[]): Uint8Array {
  return Buffer.concat(
    parts.map(part => {
      if (typeof part === 'number') {
        return Uint8Array.of(part);
      }
      if (typeof part === 'string') {
        const name = Buffer.from(part);
        return bytes(u32(name.length), name);
      }
      return part instanceof Uint8Array ? part : bytes(...part);
    }),
  );
}

export function u32(value: number): Uint8Array {
  const out = [];
  let left = value;
  while (left >= 0x80) {
    out.push((left % 0x80) | 0x80);
    left = Math.floor(left / 0x80);
  }
  return Uint8Array.of(...out, left);
}

export function list(items: readonly Part[]): Uint8Array {
  return bytes(u32(items.length), items);
}

export function section(id: number, ...body: readonly Part[]): Uint8Array {
  const whole = bytes(...body);
  return bytes(id, u32(whole.length), whole);
}
