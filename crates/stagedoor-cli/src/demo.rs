//! `stagedoor demo`: a small organisation, a dozen requests, and what the shipped policies say.

use clap::Args;
use stagedoor_demo::Demo;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Decide a dozen requests of a small organisation by the policies that ship.
///
/// Nothing is read and nothing is prepared: policies, people and things are part of the
/// command, and the decisions are made while it runs.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

pub(crate) fn run(output: &mut Output) -> Result<Ending, Failure> {
    let demo = Demo::decide().map_err(|error| Failure::input(error.to_string()))?;
    if output.is_json() {
        for row in demo.rows() {
            output.json(row)?;
        }
        return Ok(Ending::Done);
    }
    let page = demo.text(output.paint());
    output.bytes(page.as_bytes())?;
    Ok(Ending::Done)
}
