//! What every face of Stagedoor is held to: cases, properties and hostile input.
//!
//! The runners stand beside this crate's `Cargo.toml`, one file each; here is what they share.

pub mod archive;
pub mod bounded;
pub mod bytes;
pub mod conformance;
pub mod equality;
pub mod faces;
pub mod fuzz;
#[cfg(feature = "wire")]
pub mod loading;
pub mod loose;
pub mod mutation;
pub mod runner;
pub mod suite;
pub mod trial;
pub mod typed;
#[cfg(feature = "wire")]
pub mod wire;
pub mod world;
