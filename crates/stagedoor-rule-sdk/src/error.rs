//! Why a rule gives no verdict.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

/// Why a rule gives no verdict. It fails closed: a guarded permit is off, a guarded forbid on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Message>);

/// Behind a pointer: results that carry an error are returned in registers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message(String);

impl Error {
    /// Returns an error with this message, which the decision shows.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Message(message.into())))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.0)
    }
}

impl core::error::Error for Error {}

impl From<&str> for Error {
    #[cold]
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
