// The one instance of the module, and what happens when it traps.

import { StagedoorError, type Failure } from './error.js';

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly stagedoor_input: (bytes: number) => number;
  readonly stagedoor_call: () => number;
  readonly stagedoor_output: () => number;
}

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
  try {
    compiled = source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source);
  } catch (cause) {
    throw uncompiled(cause);
  }
  drop();
}

/** Sets the module, which may still be on its way: `init(fetch(url))`. */
export async function init(source: Source | Response | Promise<Response>): Promise<void> {
  let given: Source | Response;
  try {
    given = await source;
  } catch (cause) {
    throw unfetched('it could not be fetched', cause);
  }
  if (given instanceof WebAssembly.Module) {
    initSync(given);
    return;
  }
  if ('arrayBuffer' in given && !given.ok) {
    throw unfetched(`\`${given.url}\` is answered with ${given.status}`);
  }
  let bytes: BufferSource;
  try {
    bytes = 'arrayBuffer' in given ? await given.arrayBuffer() : given;
  } catch (cause) {
    throw unfetched('it broke off on its way', cause);
  }
  let module: WebAssembly.Module;
  try {
    module = await WebAssembly.compile(bytes);
  } catch (cause) {
    throw uncompiled(cause);
  }
  initSync(module);
}

function unfetched(reason: string, cause?: unknown): StagedoorError {
  const message = `the module is not there: ${reason}`;
  const help =
    'serve `@stagedoor/wasm/stagedoor.wasm` with the page, and give `init` its URL: ' +
    "with a bundler, `new URL('@stagedoor/wasm/stagedoor.wasm', import.meta.url)`";
  return new StagedoorError({ code: 'module::missing', message, help }, { cause });
}

function uncompiled(cause: unknown): StagedoorError {
  const reason = cause instanceof Error ? cause.message : String(cause);
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
        const message = 'the module is not there: call `init` with `stagedoor.wasm` first';
        throw new StagedoorError({ code: 'module::missing', message });
      }
      initSync(find());
    }
    running = new WebAssembly.Instance(compiled as WebAssembly.Module, {})
      .exports as unknown as Exports;
  }
  return running;
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

const freed = new FinalizationRegistry<{ generation: number; call: string }>(held => {
  if (held.generation === generation && running !== undefined) {
    try {
      call(held.call);
    } catch {
      // A trap, which lost all that was to be freed. Nobody is there to be told.
    }
  }
});

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
      freed.register(this, { generation, call: this.#freeing() }, this);
    }
    return this.#number;
  }

  free(): void {
    freed.unregister(this);
    if (this.#generation === generation && running !== undefined) {
      call(this.#freeing());
    }
  }

  #freeing(): string {
    const name = this.kind === 'engine' ? 'free' : 'freeEntities';
    return JSON.stringify({ [name]: { [this.kind]: this.#number } });
  }
}
