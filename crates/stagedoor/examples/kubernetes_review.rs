//! Answers a SubjectAccessReview: `cargo run -p stagedoor --features kubernetes --example
//! kubernetes_review`.

use stagedoor::Engine;
use stagedoor::kubernetes::{ResourceAttributes, Reviewer, SCHEMA, Subject, SubjectAccessReview};

/// Asks what somebody may read, and what a forbid keeps from them.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema("kubernetes.cedarschema", SCHEMA)
        .policies(
            "payments.cedar",
            r#"@id("payments-reads")
               permit (principal in k8s::Group::"payments", action in k8s::Action::"readOnly",
                       resource is k8s::Resource);
               @id("no-secrets")
               forbid (principal, action in k8s::Action::"readOnly", resource is k8s::Resource)
               when { resource.resource == "secrets" };"#,
        )
        .build()?;
    let reviewer = Reviewer::new(engine)?;
    for (resource, allowed) in [("pods", true), ("secrets", false)] {
        let ana = Subject::new("ana").with_group("payments");
        let attributes = ResourceAttributes::new("list", "", resource);
        let review = reviewer.answer(SubjectAccessReview::new(ana, attributes));
        let status = review.status.unwrap_or_default();
        println!("list {resource}: {}", status.reason);
        assert_eq!(status.allowed, allowed);
    }
    Ok(())
}
