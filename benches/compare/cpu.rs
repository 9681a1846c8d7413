//! Time that this thread had a processor for: other programs on the machine do not count.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Returns the processor time that this thread has used so far.
pub(crate) fn used() -> Duration {
    // It is only refused for a clock that is not there, and this one always is.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// Returns the middle one of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
