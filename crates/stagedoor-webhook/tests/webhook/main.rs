//! The server from outside: over TLS on the loopback, with certificates made on the spot.

mod authorize;
mod certificates;
mod limits;
mod reload;
mod support;
