//! The examples run, and what they assert holds.

#[path = "../examples/batch.rs"]
mod batch;
#[path = "../examples/decide.rs"]
mod decide;
#[path = "../examples/entities.rs"]
mod entities;
#[path = "../examples/explain.rs"]
mod explain;
#[path = "../examples/links.rs"]
mod links;
#[path = "../examples/reload.rs"]
mod reload;

#[test]
fn every_example_runs() -> Result<(), Box<dyn std::error::Error>> {
    batch::main()?;
    decide::main()?;
    entities::main()?;
    explain::main()?;
    links::main()?;
    reload::main()
}
