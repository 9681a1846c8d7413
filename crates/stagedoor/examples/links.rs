//! One template, linked for each grant: `cargo run -p stagedoor --example links`.

use stagedoor::{Decision, Engine, Entities, Request, TemplateLink, uid};

/// Grants folders to users, each by a link, which costs a fraction of a policy.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Engine::builder()
        .schema(
            "folders.cedarschema",
            "entity User, Folder; action read appliesTo { principal: User, resource: Folder };",
        )
        .policies(
            "folders.cedar",
            r#"@id("reader")
               permit (principal == ?principal, action == Action::"read", resource == ?resource);"#,
        );
    for (user, folder) in [("ana", "plans"), ("bob", "photos")] {
        builder = builder.link(TemplateLink {
            template: "reader".to_owned(),
            id: format!("{user} reads {folder}"),
            principal: Some(uid("User", user)?),
            resource: Some(uid("Folder", folder)?),
        });
    }
    let engine = builder.build()?;
    let read = |user: &str, folder: &str| -> Result<Request, Box<dyn std::error::Error>> {
        Ok(Request::new(uid("User", user)?, uid("Action", "read")?, uid("Folder", folder)?))
    };
    let outcome = engine.decide(&read("ana", "plans")?, &Entities::empty())?;
    let reasons: Vec<_> = outcome.reasons().map(|policy| policy.id()).collect();
    println!("{:?} by {reasons:?}", outcome.decision());
    assert_eq!(reasons, ["ana reads plans"]);
    let outcome = engine.decide(&read("ana", "photos")?, &Entities::empty())?;
    assert_eq!(outcome.decision(), Decision::Deny);
    Ok(())
}
