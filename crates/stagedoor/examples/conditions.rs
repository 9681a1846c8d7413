//! Answers as Backstage's permission policy: `cargo run -p stagedoor --features backstage --example
//! conditions`.

use stagedoor::backstage::{PermissionQuery, PolicyDecision, PolicyEngine, User};

/// Asks whether a user may delete entities, without saying which.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let owners = r#"
        @id("owners-delete")
        permit (
          principal is Backstage::User,
          action == Backstage::Action::"catalog.entity.delete",
          resource is Backstage::CatalogEntity
        ) when { resource.owners.containsAny(principal.claims) };"#;
    let policies = PolicyEngine::builder().texts([("owners.cedar", owners)]).build()?;
    let delete = PermissionQuery {
        name: "catalog.entity.delete",
        action: Some("delete"),
        resource_type: Some("catalog-entity"),
    };
    let ana = User::new("user:default/ana".parse()?).into();

    let answer = policies.decide(&delete, Some(&ana));
    // The catalog applies the condition in its database.
    println!("{}", serde_json::to_string_pretty(answer.decision())?);
    assert!(matches!(answer.decision(), PolicyDecision::Conditional { .. }));
    // Nobody who is signed in to nothing.
    assert!(matches!(policies.decide(&delete, None).decision(), PolicyDecision::Deny));
    Ok(())
}
