//! Explains a denial: `cargo run -p stagedoor --example explain`.

use stagedoor::{Engine, Entities, Entity, PolicyStatus, Request, uid};

/// Says which alternative of a forbid holds, and what would have to be different.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema(
            "files.cedarschema",
            "entity User; entity File { type: String, size: Long };
             action upload appliesTo { principal: User, resource: File };",
        )
        .policies(
            "files.cedar",
            r#"@id("anybody") permit (principal, action == Action::"upload", resource);
               @id("unsafe") forbid (principal, action == Action::"upload", resource)
               when { resource.size > 100 || resource.type == "exe" };"#,
        )
        .build()?;
    let setup = uid("File", "setup")?;
    let entities = Entities::from_entities([Entity::new(setup.clone())
        .with_attribute("type", "exe")
        .with_attribute("size", 5)])?;
    let request = Request::new(uid("User", "ana")?, uid("Action", "upload")?, setup);

    let explanation = engine.explain(&request, &entities)?;
    let mut held = Vec::new();
    for policy in explanation.policies() {
        if *policy.status() != PolicyStatus::Satisfied {
            continue;
        }
        for alternative in policy.held().iter().flat_map(|clause| clause.alternatives()) {
            for value in alternative.values() {
                println!("{} holds: {value}", policy.policy());
                held.push(value.to_string());
            }
        }
    }
    assert_eq!(held, ["`resource.type` is `\"exe\"`"]);
    for counterfactual in explanation.counterfactuals() {
        let changes: Vec<_> = counterfactual.changes().iter().map(ToString::to_string).collect();
        println!("it would be allowed if {}", changes.join(" and "));
        assert_eq!(changes, ["`resource.type` were not `\"exe\"`"]);
    }
    Ok(())
}
