//! Images of pods under admission.

use image_policy::ImagePolicy;
use serde_json::{Value, json};
use stagedoor_rule_sdk::{Entity, EntityUid, Error, Request, Rule as _, Verdict};

fn ask(fields: &Value, arguments: &Value) -> Result<Verdict, Error> {
    let object = EntityUid::new("k8s::admission::AdmittedObject", "new");
    let resource = Entity::new(EntityUid::new("k8s::admission::Resource", "pod"))
        .with_attributes(json!({ "kind": "Pod", "object": { "__entity": { "type": object.type_, "id": object.id } } }))?;
    let request =
        Request::new().with_resource(resource).with_related(Entity::new(object).with_tags(fields)?);
    ImagePolicy::evaluate_json(&request, &arguments.to_string())
}

fn one(image: &str, arguments: &Value) -> Result<bool, Error> {
    Ok(ask(&json!({ "/spec/containers/*/image": [image] }), arguments)?.holds)
}

fn digest() -> String {
    format!("sha256:{}", "0a".repeat(32))
}

#[test]
fn images_come_from_the_registries() -> Result<(), Error> {
    let ours = json!({ "registries": ["registry.example.com/platform", "localhost:5000", "docker.io/library"] });
    for (image, allowed) in [
        ("registry.example.com/platform/api", true),
        ("registry.example.com/platform/api:1.2", true),
        ("REGISTRY.example.com/platform/api", true),
        ("registry.example.com/platform", true),
        ("registry.example.com/platform-evil/api", false),
        ("registry.example.com/other/api", false),
        ("registry.example.com.evil.io/platform/api", false),
        ("evil.io/registry.example.com/platform/api", false),
        ("registry.example.com:8443/platform/api", false),
        ("localhost:5000/x", true),
        ("localhost/x", false),
        ("nginx", true),
        ("nginx:1.27", true),
        ("docker.io/nginx", true),
        ("index.docker.io/library/nginx", true),
        ("someone/nginx", false),
        ("registry.example.com/platform/../other/api", false),
        ("registry.example.com/platform//api", false),
        ("registry.example.com/platform/api:", false),
        ("registry.example.com/platform/api@sha256:12", false),
        ("registry.example.com/platform/API", false),
        (" registry.example.com/platform/api", false),
        ("", false),
        ("sha256:0123", false),
    ] {
        assert_eq!(one(image, &ours)?, allowed, "{image}");
    }
    Ok(())
}

#[test]
fn digests_and_tags() -> Result<(), Error> {
    let pinned = json!({ "registries": ["r.io"], "digests": true });
    assert!(one(&format!("r.io/a@{}", digest()), &pinned)?);
    assert!(one(&format!("r.io/a:1@{}", digest()), &pinned)?);
    assert!(!one("r.io/a:1", &pinned)?);
    let no_latest = json!({ "registries": ["r.io"], "forbiddenTags": ["latest"] });
    assert!(one("r.io/a:1", &no_latest)? && one(&format!("r.io/a@{}", digest()), &no_latest)?);
    assert!(!one("r.io/a", &no_latest)? && !one("r.io/a:latest", &no_latest)?);
    Ok(())
}

#[test]
fn every_image_of_every_kind_is_looked_at() -> Result<(), Error> {
    let ours = json!({ "registries": ["r.io"] });
    for path in [
        "/spec/containers/*/image",
        "/spec/initContainers/*/image",
        "/spec/ephemeralContainers/*/image",
        "/spec/template/spec/containers/*/image",
        "/spec/jobTemplate/spec/template/spec/initContainers/*/image",
    ] {
        let verdict = ask(&json!({ path: ["r.io/a", "r.io/b", "evil.io/c"] }), &ours)?;
        assert!(!verdict.holds, "{path}");
        let reason = "image `evil.io/c` comes from none of the registries";
        assert_eq!(verdict.reason.as_deref(), Some(reason));
        assert!(ask(&json!({ path: ["r.io/a", "r.io/b"] }), &ours)?.holds, "{path}");
    }
    assert!(ask(&json!({ "/data/a": ["x"] }), &ours)?.holds);
    Ok(())
}

#[test]
fn what_cannot_be_read_gives_no_verdict() -> Result<(), Error> {
    let ours = json!({ "registries": ["r.io"] }).to_string();
    assert!(ImagePolicy::evaluate_json(&Request::new(), &ours).is_err());
    let resource = Entity::new(EntityUid::new("R", "r"));
    let dangling = resource
        .clone()
        .with_attributes(json!({ "object": { "__entity": { "type": "O", "id": "o" } } }))?;
    assert!(ImagePolicy::evaluate_json(&Request::new().with_resource(dangling), &ours).is_err());
    // Deleting has no object.
    assert!(ImagePolicy::evaluate_json(&Request::new().with_resource(resource), &ours)?.holds);
    Ok(())
}
