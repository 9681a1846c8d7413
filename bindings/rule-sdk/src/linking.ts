// How the core modules of a component are linked: the part of the component model's binary format
// that says so (https://github.com/WebAssembly/component-model, design/mvp/Binary.md).

import { COMPONENT_SECTION as SECTION, CORE_SORT, Reader, sections } from './binary.js';

/** An export of an instance of a core module; none for a function of the host's. */
export type Item = { readonly instance: number; readonly name: string } | undefined;

/** An instance of a core module. */
export interface Instance {
  readonly number: number;
  readonly module: Uint8Array;
  /** Returns what it imports under two names. */
  readonly imported: (module: string, name: string) => Item;
}

/** A core function that the component exports, with what its caller needs. */
export interface LiftedFunction {
  readonly function: Item;
  readonly memory: Item;
  readonly realloc: Item;
  readonly postReturn: Item;
}

export interface LinkedComponent {
  readonly instances: readonly Instance[];
  readonly lifted: readonly LiftedFunction[];
}

type Exports = (name: string) => Item;

/** The sort of everything that is a core module's. */
const CORE = 0;
/** Kinds of functions between a component and a module. */
const CANON = { lift: 0, lower: 1, lastOfResources: 4 } as const;
/** Options of these. */
const OPTION = { utf8: 0, memory: 3, realloc: 4, postReturn: 5 } as const;

/** Reads the components in a component, and itself. */
export function linked(component: Uint8Array): LinkedComponent[] {
  const own = new Linking();
  const nested = [];
  for (const { id, body } of sections(component)) {
    if (id === SECTION.component) {
      nested.push(...linked(body));
    } else {
      own.section(id, body);
    }
  }
  return [own, ...nested];
}

class Linking implements LinkedComponent {
  readonly instances: Instance[] = [];
  readonly lifted: LiftedFunction[] = [];
  private readonly modules: Uint8Array[] = [];
  private readonly exports: Exports[] = [];
  /** The index spaces, by sort. */
  private readonly items: Item[][] = [[], [], [], []];

  section(id: number, body: Uint8Array): void {
    const reader = new Reader(body);
    if (id === SECTION.module) {
      this.modules.push(body);
    } else if (id === SECTION.coreInstance) {
      reader.list(() => this.instance(reader));
    } else if (id === SECTION.alias) {
      reader.list(() => this.alias(reader));
    } else if (id === SECTION.canon) {
      reader.list(() => this.canon(reader));
    }
  }

  private instance(reader: Reader): void {
    if (reader.byte() !== 0) {
      const bag = new Map(
        reader.list(() => {
          const name = reader.name();
          return [name, this.item(reader.byte(), reader.u32())] as const;
        }),
      );
      this.exports.push(name => bag.get(name));
      return;
    }
    const module = this.modules[reader.u32()];
    if (module === undefined) {
      throw new Error('the component has no such module');
    }
    const given = new Map(
      reader.list(() => {
        const name = reader.name();
        reader.byte();
        return [name, this.exports[reader.u32()]] as const;
      }),
    );
    const number = this.instances.length;
    this.instances.push({ number, module, imported: (from, name) => given.get(from)?.(name) });
    this.exports.push(name => ({ instance: number, name }));
  }

  private alias(reader: Reader): void {
    const sort = reader.byte();
    const core = sort === CORE ? reader.byte() : undefined;
    const target = reader.byte();
    const from = reader.u32();
    if (target === 2) {
      reader.u32();
      return;
    }
    const name = reader.name();
    if (core !== undefined && target === 1) {
      this.items[core]?.push(this.exports[from]?.(name));
    }
  }

  private canon(reader: Reader): void {
    const what = reader.byte();
    if (what === CANON.lift || what === CANON.lower) {
      reader.byte();
      const of = reader.u32();
      const { memory, realloc, postReturn } = this.options(reader);
      if (what === CANON.lower) {
        // A function of the host's.
        this.items[CORE_SORT.function]?.push(undefined);
        return;
      }
      reader.u32();
      this.lifted.push({
        function: this.item(CORE_SORT.function, of),
        memory,
        realloc,
        postReturn,
      });
    } else if (what <= CANON.lastOfResources) {
      // Something about resources, which are the host's.
      reader.u32();
      this.items[CORE_SORT.function]?.push(undefined);
    } else {
      throw new Error(`the component has a function of an unknown kind, ${what}`);
    }
  }

  private options(reader: Reader) {
    const found: { memory?: Item; realloc?: Item; postReturn?: Item } = {};
    reader.list(() => {
      const option = reader.byte();
      if (option === OPTION.memory) {
        found.memory = this.item(CORE_SORT.memory, reader.u32());
      } else if (option === OPTION.realloc) {
        found.realloc = this.item(CORE_SORT.function, reader.u32());
      } else if (option === OPTION.postReturn) {
        found.postReturn = this.item(CORE_SORT.function, reader.u32());
      } else if (option !== OPTION.utf8) {
        throw new Error(`the component has a function with an unknown option, ${option}`);
      }
    });
    return { memory: found.memory, realloc: found.realloc, postReturn: found.postReturn };
  }

  private item(sort: number, index: number): Item {
    return this.items[sort]?.[index];
  }
}
