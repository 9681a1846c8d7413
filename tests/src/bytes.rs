//! Turns bytes into choices, so that one generator serves property tests and fuzzers.
//!
//! Zero is always the plainest choice, and a spent source gives zeros: shrinking bytes
//! shrinks what is made of them.

/// A source of choices.
#[derive(Debug, Clone)]
pub struct Choices<'b> {
    bytes: std::iter::Copied<std::slice::Iter<'b, u8>>,
}

impl<'b> Choices<'b> {
    /// Returns a source that reads `bytes` from the start.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes: bytes.iter().copied() }
    }

    /// Returns a number below `bound`, or 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let byte = usize::from(self.bytes.next().unwrap_or_default());
        byte.checked_rem(bound).unwrap_or_default()
    }

    /// Returns `true` in `of` cases out of 256; `false` when spent.
    pub fn chance(&mut self, of: u8) -> bool {
        self.bytes.next().unwrap_or_default() > u8::MAX - of
    }

    /// Returns one of `from`, which must not be empty, or else the default.
    pub fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len());
        from.get(at).copied().unwrap_or_default()
    }
}
