//! The engine as one WebAssembly module: what `stagedoor-wasm` exports, and no more.

extern crate stagedoor_wasm as _;
