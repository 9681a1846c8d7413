#![doc = include_str!("../README.md")]

#[cfg(target_arch = "wasm32")]
mod allocator;
mod error;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod request;
mod rule;
mod verdict;

pub use error::Error;
pub use request::{Entity, EntityUid, Request};
pub use rule::{Inputs, Rule};
pub use verdict::Verdict;
