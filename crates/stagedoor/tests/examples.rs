//! The examples run, and what they assert holds.

#[path = "../examples/axum_service.rs"]
mod axum_service;
#[path = "../examples/batch.rs"]
mod batch;
#[path = "../examples/batch_job.rs"]
mod batch_job;
#[path = "../examples/command_line_tool.rs"]
mod command_line_tool;
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
#[path = "../examples/policy_tests.rs"]
mod policy_tests;
#[path = "../examples/reload.rs"]
mod reload;
#[path = "../examples/sources.rs"]
mod sources;

#[test]
fn every_example_runs() -> Result<(), Box<dyn std::error::Error>> {
    axum_service::main()?;
    batch::main()?;
    batch_job::main()?;
    command_line_tool::main()?;
    conditions::main()?;
    custom_rule::main()?;
    decide::main()?;
    entities::main()?;
    explain::main()?;
    kubernetes_review::main()?;
    links::main()?;
    policy_tests::main()?;
    reload::main()?;
    sources::main()
}
