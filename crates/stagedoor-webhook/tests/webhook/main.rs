//! The server from outside: over TLS on the loopback, with certificates made on the spot.
#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

mod admit;
mod authorize;
mod certificates;
mod conditions;
mod hostile;
mod limits;
mod policy_sets;
mod records;
mod reload;
mod shadow;
mod slow_rules;
mod sources;
mod support;
