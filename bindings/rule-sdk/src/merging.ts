// One module of the modules of a component, so that a call has one instance to make, not thirteen.
//
// QuickJS comes as a library for dynamic linking: its table of functions is filled and its addresses
// are added up in each new instance. In one module both are known beforehand.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import {
  bytes,
  list,
  MODULE,
  MODULE_SECTION as SECTION,
  Reader,
  section,
  sections,
  u32,
  type Part,
} from './binary.js';
import type { Instance, Item } from './linking.js';

/** The module of what the host would have: each of its functions traps. */
const HOST = 'host';

/**
 * Returns one module that exports these items under these names, and nothing else. It imports
 * nothing: what would be the host's function traps.
 */
export function merged(
  instances: readonly Instance[],
  exports: Readonly<Record<string, Item>>,
): Uint8Array {
  const traps = new Traps();
  const modules = instances.map(instance => ({
    name: moduleName(instance.number),
    bytes: renamed(instance, traps),
  }));
  modules.push({ name: HOST, bytes: traps.module() });
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-rule-'));
  try {
    const files = modules.flatMap(({ name, bytes }) => {
      const file = join(folder, `${name}.wasm`);
      writeFileSync(file, bytes);
      return [file, name];
    });
    const whole = join(folder, 'whole');
    binaryen('wasm-merge', [...files, '-o', whole]);
    writeFileSync(whole, exporting(readFileSync(whole), exports));
    const small = join(folder, 'small');
    // It would miss that a global may be initialised from an earlier one. The host validates.
    binaryen('wasm-opt', [whole, '--no-validation', ...PASSES, '-o', small]);
    return readFileSync(small);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the modules use, and nothing that the host does not know. */
const FEATURES = [
  'bulk-memory',
  'extended-const',
  'multimemory',
  'multivalue',
  'mutable-globals',
  'nontrapping-float-to-int',
  'reference-types',
  'sign-ext',
  'simd',
].map(feature => `--enable-${feature}`);

/** Addresses become constants, and what nobody calls goes. */
const PASSES = [
  '--simplify-globals',
  '--precompute',
  '--simplify-globals',
  '--directize',
  '--remove-unused-module-elements',
];

function binaryen(tool: string, args: readonly string[]) {
  const home = dirname(createRequire(import.meta.url).resolve('binaryen/package.json'));
  execFileSync(process.execPath, [join(home, 'bin', tool), ...args, ...FEATURES], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function moduleName(instance: number): string {
  return `instance-${instance}`;
}

/** The name of an export that no other module has. */
function exportName(instance: number, name: string): string {
  return `${instance}:${name}`;
}

/** Returns a module whose imports and exports are named as `merged` links them. */
function renamed({ number, module, imported }: Instance, traps: Traps): Uint8Array {
  let types: Uint8Array[] = [];
  const out: Part[] = [MODULE];
  for (const { id, body } of sections(module)) {
    const reader = new Reader(body);
    if (id === SECTION.type) {
      types = reader.list(() => functionType(reader));
    }
    if (id === SECTION.import) {
      const imports = reader.list(() => {
        const item = imported(reader.name(), reader.name());
        const from = reader.offset;
        const type = importedType(reader);
        const description = reader.since(from);
        if (item !== undefined) {
          return [moduleName(item.instance), exportName(item.instance, item.name), description];
        }
        const signature = type === undefined ? undefined : types[type];
        if (signature === undefined) {
          throw new Error('the component imports what is no function');
        }
        return [HOST, traps.of(signature), description];
      });
      out.push(section(SECTION.import, list(imports)));
    } else if (id === SECTION.export) {
      const named = exported(reader).map(({ name, item }) => [exportName(number, name), item]);
      out.push(section(SECTION.export, list(named)));
    } else if (id !== SECTION.custom) {
      out.push(section(id, body));
    }
  }
  return bytes(...out);
}

/** Returns a module of whose exports only these are left. */
function exporting(module: Uint8Array, exports: Readonly<Record<string, Item>>): Uint8Array {
  const wanted = Object.entries(exports).flatMap(([name, item]) =>
    item === undefined ? [] : [{ name, found: exportName(item.instance, item.name) }],
  );
  const out: Part[] = [MODULE];
  for (const { id, body } of sections(module)) {
    if (id !== SECTION.export) {
      out.push(section(id, body));
      continue;
    }
    const items = new Map(exported(new Reader(body)).map(({ name, item }) => [name, item]));
    const kept = wanted.map(({ name, found }) => {
      const item = items.get(found);
      if (item === undefined) {
        throw new Error(`the component has no \`${name}\``);
      }
      return [name, item];
    });
    out.push(section(SECTION.export, list(kept)));
  }
  return bytes(...out);
}

function exported(reader: Reader): { name: string; item: Uint8Array }[] {
  return reader.list(() => {
    const name = reader.name();
    const from = reader.offset;
    reader.byte();
    reader.u32();
    return { name, item: reader.since(from) };
  });
}

/** Reads what is imported. Returns the number of a function's type. */
function importedType(reader: Reader): number | undefined {
  const kind = reader.byte();
  if (kind === 0) {
    return reader.u32();
  }
  if (kind === 3) {
    reader.take(2);
    return undefined;
  }
  if (kind === 1) {
    reader.byte();
  }
  const bounded = (reader.byte() & 1) === 1;
  reader.u32();
  if (bounded) {
    reader.u32();
  }
  return undefined;
}

function functionType(reader: Reader): Uint8Array {
  const from = reader.offset;
  if (reader.byte() !== 0x60) {
    throw new Error('the component has a type that is no function');
  }
  // Numbers and references, each a byte.
  reader.take(reader.u32());
  reader.take(reader.u32());
  return reader.since(from);
}

/** Functions that trap, one for each type. */
class Traps {
  private readonly types = new Map<string, { type: Uint8Array; name: string }>();

  /** Returns the name of the one of a type. */
  of(type: Uint8Array): string {
    const key = Buffer.from(type).toString('hex');
    const known = this.types.get(key) ?? { type, name: `${this.types.size}` };
    this.types.set(key, known);
    return known.name;
  }

  module(): Uint8Array {
    const all = [...this.types.values()];
    const numbers = all.map((_, number) => u32(number));
    const exports = all.map(({ name }, number) => [name, 0, u32(number)]);
    // No local variables, `unreachable`, `end`.
    const code = all.map(() => [3, 0, 0x00, 0x0b]);
    return bytes(
      MODULE,
      section(SECTION.type, list(all.map(({ type }) => type))),
      section(SECTION.function, list(numbers)),
      section(SECTION.export, list(exports)),
      section(SECTION.code, list(code)),
    );
  }
}
