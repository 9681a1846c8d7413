//! How long a call may take: the time that the rule itself ran.
//!
//! Epochs pass by the clock on the wall, also while a machine with other work lets the thread wait.
//! A rule is not to fail for that, or every guard would on a busy machine. So when the deadline
//! comes, the processor time of the thread is looked at, and what is left of the deadline is
//! given once more.
//!
//! That must end as well: a call is given [`EXTENSIONS`] deadlines of ticks at the most.

use std::time::Duration;

use wasmtime::UpdateDeadline;

use crate::epoch::TICK;

/// Deadlines by the clock that a call is given at the most.
pub(crate) const EXTENSIONS: u64 = 20;

/// What is left for one call.
pub(crate) struct CpuBudget {
    deadline: Duration,
    /// The thread's processor time when the call began.
    began: Option<Duration>,
    /// Ticks that may still be given.
    ticks: u64,
}

impl CpuBudget {
    /// Begins a call on this thread, at a processor time of it.
    pub(crate) fn since(deadline: Duration, began: Option<Duration>) -> Self {
        Self { deadline, began, ticks: ticks(deadline).saturating_mul(EXTENSIONS - 1) }
    }

    /// Returns how many ticks a call is given at first.
    pub(crate) fn first(&self) -> u64 {
        // The current tick may be about to end.
        ticks(self.deadline).saturating_add(1)
    }

    /// Says what to do when the ticks that were given have passed.
    pub(crate) fn passed(&mut self) -> UpdateDeadline {
        self.more(processor_time()).map_or(UpdateDeadline::Interrupt, UpdateDeadline::Continue)
    }

    /// Returns how many more ticks are given. A clock that cannot be read gives none.
    fn more(&mut self, now: Option<Duration>) -> Option<u64> {
        let used = now?.saturating_sub(self.began?);
        let left = self.deadline.checked_sub(used).filter(|left| !left.is_zero())?;
        let given = ticks(left);
        self.ticks = self.ticks.checked_sub(given)?;
        Some(given)
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
}

/// Returns the processor time of this thread.
pub(crate) fn processor_time() -> Option<Duration> {
    cpu_time::ThreadTime::try_now().ok().map(|time| time.as_duration())
}

#[cfg(test)]
mod tests {
    use super::{CpuBudget, EXTENSIONS, processor_time};
    use std::time::Duration;

    const DEADLINE: Duration = Duration::from_millis(5);

    fn at(micros: u64) -> Option<Duration> {
        Some(Duration::from_micros(1_000_000 + micros))
    }

    #[test]
    fn a_rule_that_ran_for_its_deadline_is_cut() {
        let mut budget = CpuBudget::since(DEADLINE, at(0));
        assert_eq!(budget.first(), 6);
        assert_eq!(budget.more(at(5_000)), None);
        assert_eq!(budget.more(at(9_000_000)), None);
    }

    #[test]
    fn a_rule_that_waited_is_given_what_is_left() {
        let mut budget = CpuBudget::since(DEADLINE, at(0));
        assert_eq!(budget.more(at(100)), Some(5));
        assert_eq!(budget.more(at(3_500)), Some(2));
        assert_eq!(budget.more(at(4_999)), Some(1));
        assert_eq!(budget.more(at(5_001)), None);
    }

    #[test]
    fn waiting_ends_after_so_many_deadlines() {
        let mut budget = CpuBudget::since(DEADLINE, at(0));
        let given: u64 = std::iter::from_fn(|| budget.more(at(1))).sum();
        assert_eq!(given, 5 * (EXTENSIONS - 1));
    }

    #[test]
    fn without_a_clock_the_first_deadline_is_the_last() {
        assert_eq!(CpuBudget::since(DEADLINE, None).more(at(1)), None);
        assert_eq!(CpuBudget::since(DEADLINE, at(0)).more(None), None);
    }

    #[test]
    fn the_clock_of_a_thread_passes_while_it_works_only() {
        let began = processor_time();
        assert!(began.is_some());
        while processor_time() <= began {
            std::hint::spin_loop();
        }
    }
}
