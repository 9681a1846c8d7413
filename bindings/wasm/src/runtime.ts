// The one instance of the module, and what happens when it traps.

import { StagedoorError, type Failure } from './error.js';

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly stagedoor_input: (bytes: number) => number;
  readonly stagedoor_call: () => number;
  readonly stagedoor_output: () => number;
}

const EXPORTS: readonly (keyof Exports)[] = [
  'memory',
  'stagedoor_input',
  'stagedoor_call',
  'stagedoor_output',
];

type Source = WebAssembly.Module | BufferSource;

let compiled: WebAssembly.Module | undefined;
let running: Exports | undefined;
let find: (() => Source) | undefined;
let generation = 0;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Tells how the module is found when it is first needed. */
export function findBy(finder: () => Source): void {
  find = finder;
}

/** Sets the module, compiled or as bytes. Not needed in Node, which finds it by itself. */
export function initSync(source: Source): void {
  let module: WebAssembly.Module;
  try {
    module = source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source);
  } catch (cause) {
    throw uncompiled(cause);
  }
  // Any module compiles. What is in force stays until this is known to be the engine.
  const has = new Set(WebAssembly.Module.exports(module).map(({ name }) => name));
  const lacks = EXPORTS.filter(name => !has.has(name));
  if (lacks.length > 0) {
    throw uncompiled(new TypeError(`it has no \`${lacks.join('` and no `')}\``));
  }
  compiled = module;
  drop();
}

/**
 * Sets the module: by its URL, from which it is fetched, by an answer that may still be on its
 * way, such as `fetch(url)`, compiled, or as bytes. Takes what `import` of
 * `@stagedoor/wasm/stagedoor.wasm` gives, whichever of these a host or bundler makes of it.
 */
export async function init(
  source: Source | Response | Promise<Response> | URL | string,
): Promise<void> {
  let given: Source | Response;
  try {
    const there = await source;
    given = typeof there === 'string' || there instanceof URL ? await fetch(there) : there;
  } catch (cause) {
    const named = typeof source === 'string' || source instanceof URL;
    const what = named ? `\`${String(source)}\`` : 'it';
    throw missing(`${what} could not be fetched: ${messageOf(cause)}`, cause);
  }
  if (given instanceof WebAssembly.Module) {
    initSync(given);
    return;
  }
  let bytes: BufferSource;
  if (isResponse(given)) {
    if (!given.ok) {
      throw missing(`\`${given.url}\` is answered with ${given.status}`);
    }
    try {
      bytes = await given.arrayBuffer();
    } catch (cause) {
      throw missing(`it broke off on its way: ${messageOf(cause)}`, cause);
    }
  } else {
    bytes = given;
  }
  let module: WebAssembly.Module;
  try {
    module = await WebAssembly.compile(bytes);
  } catch (cause) {
    throw uncompiled(cause);
  }
  initSync(module);
}

function isResponse(given: Source | Response): given is Response {
  // Not `instanceof`: there are answers of other makers than the host.
  return typeof given === 'object' && given !== null && 'arrayBuffer' in given;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function missing(reason: string, cause?: unknown): StagedoorError {
  const message = `the module is not there: ${reason}`;
  const help =
    'serve `@stagedoor/wasm/stagedoor.wasm` with the page, and give `init` its URL, as the README ' +
    'shows for each bundler';
  return new StagedoorError({ code: 'module::missing', message, help }, { cause });
}

function uncompiled(cause: unknown): StagedoorError {
  const reason = messageOf(cause);
  // Browsers say it in words of their own, and name the policy or `unsafe-eval` in all of them.
  const refused = /content security policy|unsafe-eval/i.test(reason);
  const message = refused
    ? `the page may not compile WebAssembly: ${reason}`
    : `what was given is not the module: ${reason}`;
  const help = refused
    ? "add `'wasm-unsafe-eval'` to `script-src` of the page's Content-Security-Policy"
    : 'give the bytes of `@stagedoor/wasm/stagedoor.wasm`, of this version of the package';
  const code = refused ? 'module::refused' : 'module::invalid';
  return new StagedoorError({ code, message, help }, { cause });
}

function drop() {
  running = undefined;
  generation += 1;
}

function instance(): Exports {
  if (running === undefined) {
    if (compiled === undefined) {
      if (find === undefined) {
        throw missing('nothing has called `init`');
      }
      initSync(find());
    }
    running = started(compiled as WebAssembly.Module);
  }
  return running;
}

function started(module: WebAssembly.Module): Exports {
  let exports: WebAssembly.Exports;
  try {
    exports = new WebAssembly.Instance(module, {}).exports;
  } catch (cause) {
    const message = `the host does not start the module: ${messageOf(cause)}`;
    const help =
      'give it memory; a build that is not for release may be larger than browsers take ' +
      'on the thread of a page';
    throw new StagedoorError({ code: 'module::refused', message, help }, { cause });
  }
  return exports as unknown as Exports;
}

/** Makes a call, in JSON, and returns what it gives back. */
export function call<T>(text: string): T {
  const { memory, stagedoor_input, stagedoor_call, stagedoor_output } = instance();
  const bytes = encoder.encode(text);
  let answer: string;
  try {
    const input = stagedoor_input(bytes.length);
    new Uint8Array(memory.buffer, input, bytes.length).set(bytes);
    const length = stagedoor_call();
    answer = decoder.decode(new Uint8Array(memory.buffer, stagedoor_output(), length));
  } catch (cause) {
    // Whatever it was doing is half done: a new instance loads the policies again.
    drop();
    const message = 'the module trapped, out of memory or stack; policies are loaded again';
    throw new StagedoorError({ code: 'module::trapped', message }, { cause });
  }
  const { ok, error } = JSON.parse(answer) as { ok?: T; error?: Failure };
  if (error !== undefined) {
    throw new StagedoorError(error);
  }
  return ok as T;
}

function free(held: { generation: number; call: string }): void {
  if (held.generation === generation && running !== undefined) {
    try {
      call(held.call);
    } catch {
      // A trap, which lost all that was to be freed. Nobody is there to be told.
    }
  }
}

// workerd has none up to the compatibility date 2025-05-05. `close()` frees there.
const freed =
  typeof FinalizationRegistry === 'function' ? new FinalizationRegistry(free) : undefined;

/** A number of something in the module, which is made again if the instance was lost. */
export class Handle {
  #generation = -1;
  #number = 0;

  constructor(
    private readonly kind: 'engine' | 'entities',
    private readonly make: () => number,
  ) {
    void this.number;
  }

  get number(): number {
    instance();
    if (this.#generation !== generation) {
      this.#number = this.make();
      this.#generation = generation;
      freed?.register(this, { generation, call: this.#freeing() }, this);
    }
    return this.#number;
  }

  free(): void {
    freed?.unregister(this);
    if (this.#generation === generation && running !== undefined) {
      call(this.#freeing());
    }
  }

  #freeing(): string {
    const name = this.kind === 'engine' ? 'free' : 'freeEntities';
    return JSON.stringify({ [name]: { [this.kind]: this.#number } });
  }
}
