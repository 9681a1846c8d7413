//! The examples run, and what they assert holds.

#[path = "../examples/batch.rs"]
mod batch;
#[path = "../examples/conditions.rs"]
mod conditions;
#[path = "../examples/custom_rule.rs"]
mod custom_rule;
#[path = "../examples/decide.rs"]
mod decide;
#[path = "../examples/entities.rs"]
mod entities;
#[path = "../examples/explain.rs"]
mod explain;
#[path = "../examples/kubernetes_review.rs"]
mod kubernetes_review;
#[path = "../examples/links.rs"]
mod links;
#[path = "../examples/reload.rs"]
mod reload;
#[path = "../examples/sources.rs"]
mod sources;

#[test]
fn every_example_runs() -> Result<(), Box<dyn std::error::Error>> {
    batch::main()?;
    conditions::main()?;
    custom_rule::main()?;
    decide::main()?;
    entities::main()?;
    explain::main()?;
    kubernetes_review::main()?;
    links::main()?;
    reload::main()?;
    sources::main()
}
