//! The server from outside: over TLS on the loopback, with certificates made on the spot.

mod admit;
mod authorize;
mod certificates;
mod hostile;
mod limits;
mod reload;
mod support;
