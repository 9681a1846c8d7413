//! Some of many requests, spread over all.
//!
//! Requests are numbered by who asks and what for, so a step that shares a factor with the number
//! of either meets the same few again and again. A step that shares none with the number of all
//! meets every one before it meets any twice, and each factor of the number in turn.

/// Numbers below a bound in an order in which every beginning is spread evenly.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    all: usize,
    step: usize,
}

impl Sample {
    /// Returns an order of the numbers below `all`.
    pub(crate) fn of(all: usize) -> Self {
        // Near the golden ratio, multiples lie as far from each other as can be.
        let golden = (all as f64 * 0.618_033_988_749_894_9) as usize;
        let coprime = |step: &usize| common_factor(*step, all) == 1;
        let step = (golden.max(1)..all.max(2)).find(coprime).unwrap_or(1);
        Self { all, step }
    }

    /// Returns the number at a place of the order.
    pub(crate) fn at(self, place: usize) -> usize {
        let product = place as u128 * self.step as u128;
        // Below a bound that is a `usize` itself.
        (product % (self.all.max(1) as u128)) as usize
    }
}

fn common_factor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_is_met_once() {
        for all in (0..300).chain([480_576, 4240]) {
            let sample = Sample::of(all);
            let met: BTreeSet<usize> = (0..all).map(|place| sample.at(place)).collect();
            assert_eq!(met.len(), all);
            assert!(met.iter().all(|number| *number < all));
        }
    }

    /// 100 users times 7 documents, 100 requests: users and documents are met alike.
    #[test]
    fn no_part_is_met_by_few() {
        for (users, objects, limit) in [(100, 7, 100), (10, 424, 848), (600, 801, 24_000)] {
            let sample = Sample::of(users * objects);
            let numbers: Vec<usize> = (0..limit).map(|place| sample.at(place)).collect();
            let of = |part: &dyn Fn(usize) -> usize| {
                numbers.iter().map(|number| part(*number)).collect::<BTreeSet<_>>().len()
            };
            assert!(of(&|number| number % objects) >= objects.min(limit) * 2 / 3);
            assert!(of(&|number| number % users) >= users.min(limit) * 2 / 3);
            assert!(of(&|number| number / objects) >= users.min(limit) * 2 / 3);
        }
    }
}
