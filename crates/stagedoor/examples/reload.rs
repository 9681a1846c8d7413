//! Replaces policies while decisions go on: `cargo run -p stagedoor --example reload`.

use stagedoor::{Decision, Engine, EngineBuilder, EngineHolder, Entities, Request, uid};

fn load(policies: &str) -> EngineBuilder {
    let schema = "entity User, Door; action open appliesTo { principal: User, resource: Door };";
    Engine::builder().schema("doors.cedarschema", schema).policies("doors.cedar", policies)
}

/// Loads other policies, and policies that are wrong, which change nothing.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let first = load(r#"permit (principal == User::"ana", action, resource);"#).build()?;
    let holder = EngineHolder::new(first);
    let request = Request::new(uid("User", "bob")?, uid("Action", "open")?, uid("Door", "front")?);
    let decide = || -> Result<Decision, Box<dyn std::error::Error>> {
        Ok(holder.current().decide(&request, &Entities::empty())?.decision())
    };
    assert_eq!(decide()?, Decision::Deny);

    holder.reload(load("permit (principal, action, resource);"))?;
    assert_eq!(decide()?, Decision::Allow);

    let wrong = load("permit (principal, action, resource) when { principal.badge };");
    if let Err(error) = holder.reload(wrong) {
        println!("what was loaded before stays in force: {error}");
    }
    assert_eq!(decide()?, Decision::Allow);
    Ok(())
}
