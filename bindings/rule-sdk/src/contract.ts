// A component of a module that follows the contract: `rule.wit` in the binary format of the
// component model (https://github.com/WebAssembly/component-model, design/mvp/Binary.md).

import {
  bytes,
  COMPONENT,
  COMPONENT_SECTION as SECTION,
  CORE_SORT,
  list,
  section,
  u32,
  type Part,
} from './binary.js';

/** What a rule exports: the contract's version that rules are built for. */
export const GUARD = 'stagedoor:rule/guard@0.2.0';

/** What the module must export, as the canonical ABI names it. */
export const EXPORTS = {
  memory: 'memory',
  realloc: 'cabi_realloc',
  describe: `${GUARD}#describe`,
  describeReturn: `cabi_post_${GUARD}#describe`,
  validate: `${GUARD}#validate`,
  validateReturn: `cabi_post_${GUARD}#validate`,
  evaluate: `${GUARD}#evaluate`,
  evaluateReturn: `cabi_post_${GUARD}#evaluate`,
} as const;

/** The sort of a component's function, type and instance. */
const SORT = { function: 1, type: 3, instance: 5 } as const;
const STRING = 0x73;
const BOOL = 0x7f;
const record = (fields: Readonly<Record<string, Part>>) => [0x72, list(Object.entries(fields))];
const listOf = (item: Part) => [0x70, item];
const option = (some: Part) => [0x6b, some];
const flags = (...names: string[]) => [0x6e, list(names)];
const result = (ok: Part | undefined, error: Part) => [
  0x6a,
  ok === undefined ? [0] : [1, ok],
  1,
  error,
];
const func = (parameters: Readonly<Record<string, Part>>, returned: Part) => [
  0x40,
  list(Object.entries(parameters)),
  0,
  returned,
];

/** Sections of a component, and how many types it has by now. */
class Component {
  private readonly parts: Part[] = [COMPONENT];
  private types = 0;

  add(id: number, ...items: readonly Part[]): void {
    this.parts.push(section(id, list(items)));
  }

  /** Adds a section that is one thing, not a list. */
  addWhole(id: number, body: Uint8Array): void {
    this.parts.push(section(id, body));
  }

  /** Defines a type, and returns its number. */
  type(definition: Part): Uint8Array {
    this.add(SECTION.type, definition);
    return this.counted();
  }

  /** The number of a type that an import or an export has just named. */
  counted(): Uint8Array {
    return u32(this.types++);
  }

  bytes(): Uint8Array {
    return bytes(...this.parts);
  }
}

interface Types {
  readonly named: Readonly<Record<string, Uint8Array>>;
  readonly describe: Uint8Array;
  readonly validate: Uint8Array;
  readonly evaluate: Uint8Array;
}

/** Defines the contract's types; `name` gives those a name that have one. */
function contract(to: Component, name: (name: string, type: Uint8Array) => Uint8Array): Types {
  const named: Record<string, Uint8Array> = {};
  const define = (what: string, definition: Part) =>
    (named[what] = name(what, to.type(definition)));
  const uid = define('entity-uid', record({ type: STRING, id: STRING }));
  const uids = to.type(listOf(uid));
  const entity = define(
    'entity',
    record({ uid, attributes: STRING, tags: STRING, ancestors: uids }),
  );
  const [someEntity, someUid, someText] = [entity, uid, STRING].map(some => to.type(option(some)));
  const request = define(
    'request',
    record({
      principal: someEntity ?? 0,
      action: someUid ?? 0,
      resource: someEntity ?? 0,
      context: someText ?? 0,
      related: to.type(listOf(entity)),
      arguments: STRING,
    }),
  );
  const verdict = define('verdict', record({ holds: BOOL, reason: someText ?? 0 }));
  const inputs = define('inputs', flags('principal', 'action', 'resource', 'context'));
  const info = define(
    'rule-info',
    record({ name: STRING, version: STRING, inputs, 'arguments-schema': STRING }),
  );
  const describe = to.type(func({}, info));
  const validate = to.type(func({ arguments: STRING }, to.type(result(undefined, STRING))));
  const evaluate = to.type(func({ request }, to.type(result(verdict, STRING))));
  return { named, describe, validate, evaluate };
}

/** A component that gives the functions which it is given names, and the types of these. */
function guard(): Uint8Array {
  const inner = new Component();
  const imported = contract(inner, (name, type) => {
    inner.add(SECTION.import, [0, `type-${name}`, SORT.type, 0, type]);
    return inner.counted();
  });
  inner.add(
    SECTION.import,
    [0, 'func-describe', SORT.function, imported.describe],
    [0, 'func-validate', SORT.function, imported.validate],
    [0, 'func-evaluate', SORT.function, imported.evaluate],
  );
  const exported = contract(inner, (name, type) => {
    inner.add(SECTION.export, [0, name, SORT.type, type, 0]);
    return inner.counted();
  });
  const typed = (type: Part) => [1, SORT.function, type];
  inner.add(
    SECTION.export,
    [0, 'describe', SORT.function, 0, typed(exported.describe)],
    [0, 'validate', SORT.function, 1, typed(exported.validate)],
    [0, 'evaluate', SORT.function, 2, typed(exported.evaluate)],
  );
  return inner.bytes();
}

/** Returns the component of a module that exports `EXPORTS`. */
export function componentOf(module: Uint8Array): Uint8Array {
  const outer = new Component();
  outer.addWhole(SECTION.module, module);
  outer.add(SECTION.coreInstance, [0, 0, 0]);
  const types = contract(outer, (_, type) => type);
  const alias = (sort: number, name: string) => [0, sort, 1, 0, name];
  const { memory, realloc, describe, describeReturn } = EXPORTS;
  const { validate, validateReturn, evaluate, evaluateReturn } = EXPORTS;
  const functions: string[] = [realloc, describe, describeReturn, validate, validateReturn];
  functions.push(evaluate, evaluateReturn);
  outer.add(
    SECTION.alias,
    alias(CORE_SORT.memory, memory),
    ...functions.map(name => alias(CORE_SORT.function, name)),
  );
  // UTF-8, the memory, how it is taken, what is called afterwards.
  const options = (postReturn: number) => list([[0], [3, 0], [4, 0], [5, postReturn]]);
  outer.add(
    SECTION.canon,
    [0, 0, 1, options(2), types.describe],
    [0, 0, 3, options(4), types.validate],
    [0, 0, 5, options(6), types.evaluate],
  );
  outer.addWhole(SECTION.component, guard());
  const given = [
    ['func-describe', SORT.function, 0],
    ['func-validate', SORT.function, 1],
    ['func-evaluate', SORT.function, 2],
    ...Object.entries(types.named).map(([name, type]) => [`type-${name}`, SORT.type, type]),
  ];
  outer.add(SECTION.instance, [0, 0, list(given)]);
  outer.add(SECTION.export, [0, GUARD, SORT.instance, 0, 0]);
  return outer.bytes();
}
