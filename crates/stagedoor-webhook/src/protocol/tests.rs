//! What a server is told of the webhooks: which there are, what their bodies cost, what they ask.

use std::time::Instant;

use serde_json::{Value, json};
use stagedoor_core::Engine;

use super::*;
use crate::{PolicySetReviewer, PolicySource, ServerConfig, TlsFiles};

fn app(policies: PolicySource, change: impl FnOnce(&mut ServerConfig)) -> App {
    let mut config = ServerConfig::new(policies, TlsFiles::new("tls.crt", "tls.key"));
    change(&mut config);
    App::new(&config)
}

fn no_policies() -> PolicySource {
    PolicySource::new(Vec::<std::path::PathBuf>::new())
}

#[derive(Debug)]
struct AdmitsAll;

impl PolicySetReviewer for AdmitsAll {
    fn review(&self, _: &Value, _: Option<&Value>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn only_what_is_configured_is_there() {
    let told = |app: &App| {
        let endpoints = app.endpoints().into_iter();
        endpoints
            .map(|e| (e.name, e.path, e.body_bytes, e.is_heavy, e.is_compared))
            .collect::<Vec<_>>()
    };
    let sizes = |config: &mut ServerConfig| {
        (config.review_bytes, config.admission_bytes) = (10, 20);
    };
    let mut expected = vec![
        ("authorize", "/authorize".to_owned(), 10, false, true),
        ("admit", "/admit".to_owned(), 20, false, true),
    ];
    assert_eq!(told(&app(no_policies(), sizes)), expected);
    expected.push(("conditions", "/conditions".to_owned(), 20, false, false));
    expected.push(("policysets", "/policysets".to_owned(), 20, true, false));
    let all = app(no_policies(), |config| {
        sizes(config);
        config.experimental_conditional = true;
        config.policy_sets = Some(Arc::new(AdmitsAll));
    });
    assert_eq!(told(&all), expected);
}

/// Policies that read one field of objects.
const ONE_FIELD: &str = r#"
    permit(principal, action in k8s::admission::Action::"all", resource is k8s::admission::Resource)
    when { resource has object && resource.object.hasTag("/spec/replicas") };"#;
/// Policies that make up the path of the field that they read.
const ANY_FIELD: &str = r#"
    permit(principal, action in k8s::admission::Action::"all", resource is k8s::admission::Resource)
    when { resource has object && resource has name && resource.object.hasTag(resource.name) };"#;

#[test]
fn objects_cost_what_is_kept_of_them() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("p.cedar");
    let costs = |app: &App| {
        let endpoints = app.endpoints();
        endpoints.iter().map(|endpoint| app.memory(endpoint)).collect::<Vec<_>>()
    };
    for record_objects in [false, true] {
        let and_recorded =
            |cost: MemoryCost| if record_objects { cost.and(RECORD_MEMORY) } else { cost };
        let app = app(PolicySource::new([&file]), |config| config.record_objects = record_objects);
        // Before it is known what policies read, they may read all.
        assert_eq!(costs(&app), [REVIEW_MEMORY, and_recorded(OBJECT_MEMORY)]);
        for (policies, cost) in [(ONE_FIELD, FIELD_MEMORY), (ANY_FIELD, OBJECT_MEMORY)] {
            std::fs::write(&file, policies)?;
            app.policies.reload().map_err(|failure| failure.message)?;
            assert_eq!(costs(&app), [REVIEW_MEMORY, and_recorded(cost)], "{policies}");
        }
    }
    Ok(())
}

fn ask(app: &App, endpoint: &'static str, body: &Value) -> Result<(String, AnswerResult), String> {
    let (head, ()) = http::Request::new(()).into_parts();
    let body = body.to_string();
    let question = Question {
        endpoint,
        head: &head,
        request_id: "id",
        body: &body,
        part_deadline: Instant::now(),
        is_compared: true,
    };
    Ok((app.asked(&question, 0), app.answer(&question)))
}

/// Attributes of a SubjectAccessReview with the words that tell of them.
fn reviews() -> [(Value, &'static str); 4] {
    let pods = json!({"verb": "get", "resource": "pods", "version": "v1"});
    let scale = json!({
        "verb": "update", "group": "apps", "resource": "deployments", "subresource": "scale",
        "namespace": "payments", "name": "web", "version": "v1",
    });
    let all = json!({"verb": "list", "resource": "pods", "namespace": "payments", "version": "v1"});
    [
        (json!({"resourceAttributes": pods}), "ana get pods"),
        (json!({"resourceAttributes": all}), "ana list pods in payments"),
        (json!({"resourceAttributes": scale}), "ana update deployments.apps/scale web in payments"),
        (json!({"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}), "ana get /metrics"),
    ]
}

#[test]
fn what_is_asked_is_told_in_few_words() -> Result<(), Box<dyn std::error::Error>> {
    let app = app(no_policies(), |_| {});
    for (mut spec, expected) in reviews() {
        spec.as_object_mut().ok_or("an object")?.insert("user".to_owned(), json!("ana"));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
        });
        assert_eq!(ask(&app, AUTHORIZE, &review)?.0, expected);
        // What is no such review asks nothing.
        assert_eq!(ask(&app, ADMIT, &review)?.0, "");
    }
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "UPDATE", "name": "web", "namespace": "payments",
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "subResource": "scale", "userInfo": {"username": "ana"}, "object": {},
        },
    });
    let expected = "ana UPDATE deployments.apps/scale web in payments";
    assert_eq!(ask(&app, ADMIT, &review)?.0, expected);
    assert_eq!(ask(&app, AUTHORIZE, &review)?.0, "");
    Ok(())
}

/// An answer names the revision of the policies that decided, and counts what failed.
#[test]
fn answers_tell_the_revision_and_what_failed() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    std::fs::write(
        directory.path().join("p.cedar"),
        r#"permit(principal, action, resource) when { principal has name };
           forbid(principal, action, resource is k8s::Resource)
           when { resource.apiGroup == "sums" && 9223372036854775807 + 1 > 0 };"#,
    )?;
    let app = app(PolicySource::new([directory.path()]), |_| {});
    let review = |group: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": "ana", "resourceAttributes": {
                "verb": "get", "group": group, "resource": "pods", "version": "v1"}},
        })
    };
    let (_, early) = ask(&app, AUTHORIZE, &review(""))?;
    assert_eq!(early.err().map(|refusal| refusal.code().as_u16()), Some(503));
    app.policies.reload().map_err(|failure| failure.message)?;
    let loaded = app.policies.current().ok_or("policies")?;
    let engine: &Engine = loaded.value.reviewer.engine();
    for (group, errors) in [("", 0), ("sums", 1)] {
        let answer = ask(&app, AUTHORIZE, &review(group))?.1.map_err(|r| r.message().to_owned())?;
        assert_eq!(answer.revision.as_deref(), Some(engine.revision()));
        assert_eq!(answer.errors, errors, "{group}");
        let reason = answer.reasons.first().ok_or("a reason")?;
        assert!(!reason.text.is_empty() && reason.rest.is_empty(), "{reason:?}");
    }
    Ok(())
}
