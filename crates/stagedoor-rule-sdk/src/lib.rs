#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod allocator;
mod error;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod json;
mod request;
mod rule;
mod verdict;

pub use error::Error;
pub use request::{Entity, EntityUid, Extension, Request};
pub use rule::{Inputs, Rule};
pub use verdict::Verdict;
