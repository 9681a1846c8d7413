//! The time, behind a trait: simulations have their own.

use std::fmt::Debug;
use std::time::SystemTime;

/// Tells the time.
pub trait Clock: Debug + Send + Sync {
    /// Returns the time now.
    fn now(&self) -> SystemTime;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
