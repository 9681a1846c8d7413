#![doc = include_str!("../README.md")]

#[cfg(feature = "backstage")]
pub use stagedoor_backstage as backstage;
pub use stagedoor_core::*;
#[cfg(feature = "kubernetes")]
pub use stagedoor_kubernetes as kubernetes;
#[cfg(feature = "rules")]
pub use stagedoor_rule_host as rules;
pub use stagedoor_source as source;
