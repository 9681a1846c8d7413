//! Sets of rows of a table, a block at a time.

/// Rows of one block.
pub(crate) const BLOCK: usize = 64 * WORDS;
const WORDS: usize = 64;

/// Some rows of a block, by their place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows([u64; WORDS]);

impl Rows {
    pub(crate) const NONE: Self = Self([0; WORDS]);

    /// Returns the first rows, at most a block of them.
    pub(crate) fn first(count: usize) -> Self {
        let mut rows = Self::NONE;
        for (number, word) in rows.0.iter_mut().enumerate() {
            let left = count.saturating_sub(number * 64);
            *word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
        }
        rows
    }

    pub(crate) fn insert(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    pub(crate) fn remove(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / 64) {
            *word &= !(1 << (row % 64));
        }
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    pub(crate) fn or(&self, other: &Self) -> Self {
        self.with(other, |a, b| a | b)
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        self.with(other, |a, b| a & !b)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(number, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                if bit == 64 {
                    return None;
                }
                left &= left - 1;
                Some(number * 64 + bit)
            })
        })
    }

    fn with(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let mut rows = Self::NONE;
        for ((word, a), b) in rows.0.iter_mut().zip(&self.0).zip(&other.0) {
            *word = of(*a, *b);
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_set() {
        let first = Rows::first(70);
        assert_eq!(
            (first.count(), Rows::first(0).count(), Rows::first(BLOCK).count()),
            (70, 0, BLOCK)
        );
        let mut some = Rows::NONE;
        [0, 63, 64, 69, 70, BLOCK - 1].into_iter().for_each(|row| some.insert(row));
        assert_eq!(first.and(&some).iter().collect::<Vec<_>>(), [0, 63, 64, 69]);
        assert_eq!(some.without(&first).iter().collect::<Vec<_>>(), [70, BLOCK - 1]);
        assert_eq!(first.or(&some).count(), 72);
        some.remove(63);
        assert!(
            some.contains(64) && !some.contains(63) && !some.is_empty() && Rows::NONE.is_empty()
        );
    }
}
