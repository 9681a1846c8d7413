//! Writes random policy sets, entities and decisions as JSON, for the comparison with
//! Backstage's own code in `bindings/conditions-proof`:
//!
//! `cargo run -p stagedoor-backstage --example condition_cases SETS ENTITIES SEED > cases.json`

#[path = "../tests/conditions/policies.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod policies;
#[path = "../tests/conditions/random/mod.rs"]
#[expect(unused_imports, reason = "the tests use the rest")]
mod random;

use std::io::Write as _;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let numbers: Result<Vec<usize>, _> = std::env::args().skip(1).map(|arg| arg.parse()).collect();
    let numbers = numbers.context("three numbers are expected: SETS ENTITIES SEED")?;
    let [sets, entities, seed] = numbers.as_slice() else {
        anyhow::bail!("three numbers are expected: SETS ENTITIES SEED");
    };
    let mut seed = random::Seed::new(u64::try_from(*seed)?);
    let cases = random::Cases::new(&mut seed, *sets, *entities)?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &cases)?;
    writeln!(out)?;
    Ok(())
}
