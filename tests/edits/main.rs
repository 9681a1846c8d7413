//! Policies and entities that are edited: after each step everything is as if it had just been
//! loaded, and as Cedar has it.

mod entities;
mod loading;
mod policies;
mod resembling;
mod threads;

use anyhow::{Context as _, Result};
use stagedoor_tests::runner::number;

/// So many bytes one step of a script takes at the most.
const STEP: usize = 100;

/// Runs as many scripts of edits as the environment asks for, each by its number and with so many
/// steps; a few short ones where it does not.
fn for_each_script(script: impl Fn(u32, usize) -> Result<()>) -> Result<()> {
    let scripts = number("STAGEDOOR_EDIT_SCRIPTS").unwrap_or(6);
    let steps = number("STAGEDOOR_EDIT_STEPS").unwrap_or(40) as usize;
    let first = number("STAGEDOOR_SEED").unwrap_or(0);
    eprintln!("{scripts} scripts of {steps} steps, from number {first}");
    (first..first.saturating_add(scripts))
        .try_for_each(|number| script(number, steps).with_context(|| format!("script {number}")))
}

/// Returns what the choices of a script of this number are made of.
fn random_bytes(number: u32, steps: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number.into());
    std::iter::repeat_with(|| random.u8(..)).take(steps * STEP).collect()
}
