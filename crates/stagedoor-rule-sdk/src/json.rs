//! JSON, as serde reads it.
//!
//! Small and fast in a component, which lives for one call: text is borrowed, and no code is
//! linked that a rule's types do not need. Most of `serde_json`'s weight is for telling floats.

mod deserializer;
mod reader;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::ToString as _;
use core::fmt::Display;

use serde::Deserialize;
use serde::de::{Expected, Unexpected};

use crate::error::Error;
use reader::Reader;

/// Reads a value.
///
/// # Errors
///
/// [`Error`] if this is not JSON, or does not fit; it names the byte, from 1.
pub(crate) fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(json);
    let value = T::deserialize(&mut reader);
    match value {
        Ok(value) => reader.end().map(|()| value),
        Err(error) => Err(error),
    }
    .map_err(|error| Error::new(format!("{error} at byte {}", reader.position())))
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("found {}, expected {expected}", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
}

/// Names what was found. Serde would write it out, and link how floats are.
fn kind(found: Unexpected<'_>) -> &str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a string",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "a list",
        Unexpected::Other(what) => what,
        _ => "an object",
    }
}
