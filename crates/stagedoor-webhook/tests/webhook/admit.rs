//! `/admit`: objects as policies see them, and what is refused.

use anyhow::{Context as _, Result};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Files, Running};

const POLICIES: &str = include_str!("../../../../policies/kubernetes/admission/admission.cedar");

fn admission(operation: &str, resource: &str, object: &Value, old: &Value) -> Value {
    let (group, kind) = match resource {
        "pods" => ("", "Pod"),
        _ => ("apps", "Deployment"),
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": group, "version": "v1", "kind": kind},
            "resource": {"group": group, "version": "v1", "resource": resource},
            "requestKind": {"group": group, "version": "v1", "kind": kind},
            "name": "ledger",
            "namespace": "payments",
            "operation": operation,
            "userInfo": {"username": "alice", "groups": ["team-payments"], "extra": {"k": ["v"]}},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

async fn admit(client: &mut Client, review: &Value) -> Result<Value> {
    let (code, body) = client.post("/admit", review.to_string()).await?;
    anyhow::ensure!(code == StatusCode::OK, "{code}: {body}");
    let answer: Value = serde_json::from_str(&body)?;
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
    Ok(answer["response"].clone())
}

#[tokio::test]
async fn the_shipped_policies_admit_and_refuse() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(POLICIES)?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let pod = |spec: Value| json!({"kind": "Pod", "spec": spec});
    let deployment = |labels: Value| json!({"kind": "Deployment", "metadata": {"labels": labels}});
    let plain = pod(json!({"containers": [{"image": "a"}]}));
    let privileged = json!({"securityContext": {"privileged": true}});
    let cases = [
        ("CREATE", "pods", plain.clone(), Value::Null, None),
        ("DELETE", "pods", Value::Null, pod(json!({"hostNetwork": true})), None),
        (
            "CREATE",
            "pods",
            pod(json!({"hostNetwork": true})),
            Value::Null,
            Some("pods-stay-off-the-host"),
        ),
        ("CREATE", "pods", pod(json!({"hostNetwork": false})), Value::Null, None),
        (
            "UPDATE",
            "pods",
            pod(json!({"volumes": [{"emptyDir": {}}, {"hostPath": {"path": "/"}}]})),
            plain,
            Some("pods-stay-off-the-host"),
        ),
        (
            "CREATE",
            "pods",
            pod(json!({"containers": [{"image": "a"}], "initContainers": [privileged]})),
            Value::Null,
            Some("containers-are-not-privileged"),
        ),
        ("CREATE", "deployments", deployment(json!({"team": "payments"})), Value::Null, None),
        (
            "CREATE",
            "deployments",
            deployment(json!({"team": "other"})),
            Value::Null,
            Some("teams-label-what-they-run"),
        ),
        (
            "UPDATE",
            "deployments",
            deployment(json!({})),
            deployment(json!({"team": "payments"})),
            Some("teams-label-what-they-run"),
        ),
    ];
    for (operation, resource, object, old, forbidden_by) in cases {
        let review = admission(operation, resource, &object, &old);
        let response = admit(&mut client, &review).await?;
        assert_eq!(response["allowed"], json!(forbidden_by.is_none()), "{review}: {response}");
        match forbidden_by {
            None => assert_eq!(response.get("status"), None),
            Some(policy) => {
                let message = response["status"]["message"].as_str().context("a message")?;
                assert!(message.starts_with(&format!("forbidden by `{policy}`")), "{message}");
                assert_eq!(response["status"]["code"], 403);
            }
        }
        assert!(response["auditAnnotations"]["policy-revision"].is_string(), "{response}");
    }
    running.stop().await
}

#[tokio::test]
async fn policies_compare_old_and_new_and_count() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(
        r#"@id("admit") permit(principal, action in k8s::admission::Action::"all", resource);
           @id("owner-stays")
           forbid(principal, action == k8s::admission::Action::"update",
                  resource is k8s::admission::Resource)
           when {
             resource has object && resource has oldObject &&
             resource.oldObject.hasTag("/data/owner") &&
             !(resource.object.hasTag("/data/owner") &&
               resource.object.getTag("/data/owner") == resource.oldObject.getTag("/data/owner"))
           };
           @id("few-replicas")
           forbid(principal, action, resource is k8s::admission::Resource)
           when {
             resource has object && resource.object.numbers.hasTag("/spec/replicas") &&
             resource.object.numbers.getTag("/spec/replicas") > 10
           };
           @id("limits-everywhere")
           forbid(principal, action, resource is k8s::admission::Resource)
           when {
             resource has object &&
             resource.object.partial.contains("/spec/containers/*/resources/limits")
           };"#,
    )?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let long = |c: &str| c.repeat(200_000);
    let limited = json!({"resources": {"limits": {"cpu": "1"}}});
    let cases = [
        (json!({"data": {"owner": "a"}}), json!({"data": {"owner": "a"}}), true),
        (json!({"data": {"owner": "b"}}), json!({"data": {"owner": "a"}}), false),
        (json!({"data": {}}), json!({"data": {"owner": "a"}}), false),
        (json!({"data": {"owner": long("a")}}), json!({"data": {"owner": long("a")}}), true),
        (json!({"data": {"owner": long("b")}}), json!({"data": {"owner": long("a")}}), false),
        (json!({"spec": {"replicas": 10}}), Value::Null, true),
        (json!({"spec": {"replicas": 11}}), Value::Null, false),
        (json!({"spec": {"containers": [limited, limited]}}), Value::Null, true),
        (json!({"spec": {"containers": [limited, {}]}}), Value::Null, false),
    ];
    for (object, old, allowed) in cases {
        let review = admission("UPDATE", "deployments", &object, &old);
        let response = admit(&mut client, &review).await?;
        assert_eq!(response["allowed"], json!(allowed), "{response}");
    }
    running.stop().await
}

#[tokio::test]
async fn what_cannot_be_decided_is_not_admitted() -> Result<()> {
    let files = Files::new()?;
    files.write_policies("permit(principal, action, resource);")?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let good = admission("CREATE", "pods", &json!({}), &Value::Null);
    assert_eq!(admit(&mut client, &good).await?["allowed"], json!(true));

    let undecidable = [
        ("/request/operation", json!("PATCH"), "the operation `PATCH`"),
        ("/request/operation", json!("create"), "the operation `create`"),
        ("/request/object", json!("text"), "not an object"),
        ("/request/object", json!([{}]), "not an object"),
        ("/request/userInfo/username", json!("x".repeat(70_000)), "string of 70000 bytes"),
        ("/request/object", json!({"a": vec![1; 1_000_001]}), "more than 1000000 values"),
    ];
    for (field, value, expected) in undecidable {
        let mut review = good.clone();
        *review.pointer_mut(field).context("a field")? = value;
        let response = admit(&mut client, &review).await?;
        assert_eq!(response["allowed"], json!(false), "{field}: {response}");
        let error = response["auditAnnotations"]["evaluation-error"].as_str().unwrap_or_default();
        assert!(error.contains(expected), "{field}: {response}");
    }

    let malformed = [
        ("/kind", json!("SubjectAccessReview")),
        ("/apiVersion", json!("admission.k8s.io/v1beta1")),
        ("/request", Value::Null),
        ("/request", json!([])),
        ("/request/uid", json!("")),
        ("/request/userInfo", Value::Null),
        ("/request/dryRun", json!("yes")),
    ];
    for (field, value) in malformed {
        let mut review = good.clone();
        *review.pointer_mut(field).context("a field")? = value;
        let (code, body) = client.post("/admit", review.to_string()).await?;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{field}: {body}");
        assert!(body.contains(r#""kind":"Status""#), "{field}: {body}");
    }
    let twice = good.to_string().replace(r#""object":{}"#, r#""object":{"a":1,"a":2}"#);
    let response = admit(&mut client, &serde_json::from_str(&good.to_string())?).await?;
    assert_eq!(response["allowed"], json!(true));
    let (_, body) = client.post("/admit", twice).await?;
    assert!(body.contains(r#""allowed":false"#) && body.contains("given twice"), "{body}");
    running.stop().await
}

#[tokio::test]
async fn policies_of_authorization_alone_admit_nothing() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let review = admission("CREATE", "pods", &json!({}), &Value::Null);
    let response = admit(&mut client, &review).await?;
    assert_eq!(response["allowed"], json!(false));
    assert_eq!(response["status"]["message"], "no policy permits this");
    running.stop().await
}
