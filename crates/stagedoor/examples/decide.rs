//! Decides one request: `cargo run -p stagedoor --example decide`.

use stagedoor::{Decision, Engine, Entities, Entity, Request, uid};

const SCHEMA: &str = "
    entity Team;
    entity User in [Team];
    entity Service { tier: String };
    action deploy appliesTo { principal: User, resource: Service, context: { reviewed: Bool } };";

const POLICIES: &str = r#"
    @id("payments-deploys-gold")
    permit (principal in Team::"payments", action == Action::"deploy", resource)
    when { resource.tier == "gold" };

    @id("nothing-unreviewed")
    forbid (principal, action, resource)
    unless { context.reviewed };"#;

/// Loads policies, and asks about a reviewed and an unreviewed deployment.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema("shop.cedarschema", SCHEMA)
        .policies("shop.cedar", POLICIES)
        .build()?;
    let (ana, ledger) = (uid("User", "ana")?, uid("Service", "ledger")?);
    let entities = Entities::from_entities([
        Entity::new(ana.clone()).with_parent(uid("Team", "payments")?),
        Entity::new(ledger.clone()).with_attribute("tier", "gold"),
    ])?;
    let deploy = Request::new(ana, uid("Action", "deploy")?, ledger);
    for (reviewed, expected) in [(true, Decision::Allow), (false, Decision::Deny)] {
        let request = deploy.clone().with_context("reviewed", reviewed);
        let outcome = engine.decide(&request, &entities)?;
        let reasons: Vec<_> = outcome.reasons().map(|policy| policy.id()).collect();
        println!("reviewed: {reviewed}: {:?} by {reasons:?}", outcome.decision());
        assert_eq!(outcome.decision(), expected);
    }
    Ok(())
}
