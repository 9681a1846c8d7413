// The engine as WebAssembly, anywhere: call `init` with `stagedoor.wasm` first.

export type * from './answers.js';
export { Engine } from './engine.js';
export { Entities } from './entities.js';
export { StagedoorError } from './error.js';
export type { ConditionBudget, EngineOptions, SourceText } from './options.js';
export { init, initSync } from './runtime.js';
export type * from './wire.js';
