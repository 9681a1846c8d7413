//! Runs a property over generated cases: the same ones each time, unless asked otherwise.
//!
//! `STAGEDOOR_SEED` (a number) asks for other cases, `STAGEDOOR_CASES` (a factor) for more.

use anyhow::Result;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Holds `property` against `cases` values of `strategy`; on failure returns the smallest
/// one that was found.
///
/// # Errors
///
/// If the property fails.
pub fn holds<S: Strategy>(
    cases: u32,
    strategy: S,
    property: impl Fn(&S::Value) -> Result<()>,
) -> Result<()>
where
    S::Value: std::fmt::Debug,
{
    let cases = cases * number("STAGEDOOR_CASES").unwrap_or(1).max(1);
    holds_from(number("STAGEDOOR_SEED").unwrap_or(0), cases, strategy, property)
}

/// Returns the number that an environment variable holds, if it does.
#[must_use]
pub fn number(variable: &str) -> Option<u32> {
    std::env::var(variable).ok()?.parse().ok()
}

/// As [`holds`], from the seed of this number and for exactly so many cases.
///
/// # Errors
///
/// If the property fails.
pub fn holds_from<S: Strategy>(
    number: u32,
    cases: u32,
    strategy: S,
    property: impl Fn(&S::Value) -> Result<()>,
) -> Result<()>
where
    S::Value: std::fmt::Debug,
{
    let mut seed = [7; 32];
    for (byte, given) in seed.iter_mut().zip(number.to_le_bytes()) {
        *byte = given;
    }
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 3_000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner
        .run(&strategy, |value| {
            property(&value).map_err(|error| TestCaseError::fail(format!("{error:#}")))
        })
        .map_err(|error| anyhow::anyhow!("{error}"))
}
