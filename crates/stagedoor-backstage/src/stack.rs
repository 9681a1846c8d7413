//! Room for what walks expressions.

/// Runs what walks expressions with room enough for whatever the limits let through.
pub(crate) fn with_stack<R>(work: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(1 << 20, 16 << 20, work)
}
