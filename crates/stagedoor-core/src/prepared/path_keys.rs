//! The literals of paths or slots, as decisions read them.

/// Literals by number, the first of them in place: reading one is a comparison and a load.
#[derive(Debug)]
pub(super) struct PathKeys<K, const FIRST: usize> {
    first: [K; FIRST],
    others: Box<[K]>,
}

impl<K, const FIRST: usize> PathKeys<K, FIRST> {
    /// `others` are those of the numbers from `FIRST` on.
    pub(super) fn new(first: [K; FIRST], others: Box<[K]>) -> Self {
        Self { first, others }
    }

    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&K> {
        match self.first.get(number) {
            Some(key) => Some(key),
            // INVARIANT: what is not among the first has a number from `FIRST` on.
            None => self.others.get(number - FIRST),
        }
    }
}
