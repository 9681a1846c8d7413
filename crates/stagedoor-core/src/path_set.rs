//! Which paths surely have a value, so that nothing is looked up to find out.

use crate::number::PathNumber;

/// Paths by number, of the first few: of others nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PathSet(u64);

impl PathSet {
    /// Returns the set of one path; `None` of one whose number is too high.
    pub(crate) fn of(path: PathNumber) -> Option<Self> {
        let number = u32::try_from(path.index()).ok()?;
        1_u64.checked_shl(number).map(Self)
    }

    /// Returns the paths of both.
    #[inline]
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all paths of the other are in this set.
    #[inline]
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl FromIterator<PathNumber> for PathSet {
    fn from_iter<I: IntoIterator<Item = PathNumber>>(paths: I) -> Self {
        paths.into_iter().filter_map(Self::of).fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_is_in_no_set() {
        let path = |number| PathNumber::after(number);
        let set: PathSet = [path(0), path(63), path(64), path(1 << 20)].into_iter().collect();
        for (number, known) in [(0, true), (1, false), (63, true)] {
            let one = PathSet::of(path(number));
            assert_eq!(one.map(|one| set.contains(one)), Some(known), "{number}");
        }
        assert_eq!(PathSet::of(path(64)), None);
        assert!(set.contains(PathSet::default()) && !PathSet::default().contains(set));
    }
}
