//! A program as one begins it: the platforms' words, and a decision each way.

use stagedoor::{Decision, Engine, Entities, Entity, Request};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema(
            "shop.cedarschema",
            "entity Team; entity User in [Team]; entity Service { tier: String };
             action deploy appliesTo { principal: User, resource: Service };",
        )
        .policies(
            "shop.cedar",
            r#"@id("payments-deploy")
               permit(principal in Team::"payments", action == Action::"deploy", resource)
               when { resource.tier == "gold" };"#,
        )
        .build()?;
    for (tier, expected) in [("gold", Decision::Allow), ("lead", Decision::Deny)] {
        let entities = Entities::from_entities([
            Entity::new(r#"User::"ana""#.parse()?).with_parent(r#"Team::"payments""#.parse()?),
            Entity::new(r#"Service::"ledger""#.parse()?).with_attribute("tier", tier),
        ])?;
        let request = Request::new(
            r#"User::"ana""#.parse()?,
            r#"Action::"deploy""#.parse()?,
            r#"Service::"ledger""#.parse()?,
        );
        let outcome = engine.decide(&request, &entities)?;
        assert_eq!(outcome.decision(), expected, "of {tier}");
    }
    // What ships with the crates of the platforms has come along.
    assert!(stagedoor::backstage::SCHEMA.contains("namespace Backstage"));
    assert!(stagedoor::kubernetes::SCHEMA.contains("namespace k8s"));
    println!("decided by the crate");
    Ok(())
}
