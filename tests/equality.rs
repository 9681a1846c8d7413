//! Compiled decisions are Cedar's: decision, reasons and errors of generated policies, entities
//! and requests, by every way of asking.
//!
//! A run makes a slice of comparisons, the same ones each time. `STAGEDOOR_SEED` (a number) asks
//! for others, `STAGEDOOR_COMPARISONS` for more:
//!
//! ```sh
//! STAGEDOOR_COMPARISONS=1000000 cargo test --workspace --test equality -- --nocapture
//! ```

use anyhow::{Result, ensure};
use stagedoor_tests::equality::{Comparisons, TypedTrials, holds};
use stagedoor_tests::runner::{holds_from, number};
use stagedoor_tests::trial::seeds;

/// How many answers are compared unless more are asked for.
const COMPARISONS: usize = 30_000;
/// So many trials have one seed.
const TRIALS: u32 = 50;

#[test]
fn compiled_decisions_are_cedars() -> Result<()> {
    let wanted = number("STAGEDOOR_COMPARISONS").map_or(COMPARISONS, |n| n as usize);
    let first = number("STAGEDOOR_SEED").unwrap_or(0);
    let (typed, compared) = (TypedTrials::new()?, Comparisons::default());
    let mut seed = first;
    while compared.answers.get() < wanted {
        holds_from(seed, TRIALS, seeds(5..50), |seeds| holds(seeds, &typed, &compared))?;
        seed = seed.wrapping_add(1);
        if (seed - first).is_multiple_of(20) {
            eprintln!("{compared:?} up to seed {seed}");
        }
    }
    eprintln!("{compared:?}, seeds {first} to {}: 0 differ", seed.wrapping_sub(1));
    let Comparisons { answers, allowed, erring } = &compared;
    for (what, cell) in [("allowed", allowed), ("erring", erring)] {
        ensure!(cell.get() * 20 > answers.get(), "only {} of {} {what}", cell.get(), answers.get());
    }
    Ok(())
}
