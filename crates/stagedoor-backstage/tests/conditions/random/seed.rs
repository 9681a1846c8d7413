//! Random numbers.

/// The same numbers for the same seed, on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Seed(fastrand::Rng);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end.max(1))
    }

    /// Returns true in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Returns one of the items.
    pub(crate) fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items.get(self.below(items.len())).copied().unwrap_or_default()
    }

    /// Returns some of the items, at least one.
    pub(crate) fn some<'a>(&mut self, items: &[&'a str]) -> Vec<&'a str> {
        let mut found: Vec<&str> = items.iter().copied().filter(|_| self.chance(40)).collect();
        if found.is_empty() {
            found.push(self.pick(items));
        }
        found
    }
}
