//! `stagedoor serve authzen` over HTTP (the public vectors, tokens, reloads, hostile requests,
//! replicas), and `stagedoor replay`.
#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

mod collector;
mod compiling;
mod files;
mod neighbours;
mod records;
mod registry;
mod replay;
mod replicas;
mod serving;
mod shadow;
mod tokens;
mod vectors;
mod wire;
