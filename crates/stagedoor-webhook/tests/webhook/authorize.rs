//! `/authorize`: decisions over TLS with both versions of HTTP, and what is refused.

use crate::support::{Client, Files, Running, review};
use anyhow::Result;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn reviews_are_answered_with_status() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let tls = files.client(None)?;
    for mut client in [
        Client::connect(running.address, tls.clone()).await?,
        Client::connect_http2(running.address, tls).await?,
    ] {
        let allowed = client.review(review("list", "pods")).await?;
        assert_eq!(allowed, json!({"allowed": true, "reason": "allowed by `readers-read`"}));

        let forbidden = client.review(review("list", "secrets")).await?;
        let reason = "forbidden by `no-secrets`";
        assert_eq!(forbidden, json!({"allowed": false, "denied": true, "reason": reason}));

        let no_opinion = client.review(review("frobnicate", "pods")).await?;
        assert_eq!(no_opinion, json!({"allowed": false, "reason": "no policy permits this"}));
    }
    running.stop().await
}

#[tokio::test]
async fn what_no_policy_permits_is_denied_for_good_if_asked_for() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.config();
    config.no_opinion_denies = true;
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;

    let denied = client.review(review("create", "pods")).await?;
    let expected = json!({"allowed": false, "denied": true, "reason": "no policy permits this"});
    assert_eq!(denied, expected);
    let allowed = client.review(review("get", "pods")).await?;
    assert_eq!(allowed["allowed"], json!(true));
    running.stop().await
}

#[tokio::test]
async fn policies_see_selectors() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(
        r#"@id("own-pods")
           permit(principal, action == k8s::Action::"list", resource is k8s::Resource) when {
             resource has fieldSelector &&
             resource.fieldSelector.contains(
               { field: "spec.nodeName", operator: "=", value: "worker-1" })
           };"#,
    )?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    for (node, allowed) in [("worker-1", true), ("worker-2", false)] {
        let mut body: Value = serde_json::from_str(&review("list", "pods"))?;
        body["spec"]["resourceAttributes"]["fieldSelector"] = json!({
            "requirements": [{"key": "spec.nodeName", "operator": "In", "values": [node]}],
        });
        let status = client.review(body.to_string()).await?;
        assert_eq!(status["allowed"], json!(allowed), "{node}: {status}");
    }
    running.stop().await
}

/// What no review is, with the code it is refused with.
fn malformed() -> Vec<(&'static str, Bytes, u16)> {
    let edited = |field: &str, value: Value| {
        let mut body: Value = serde_json::from_str(&review("list", "pods")).unwrap_or_default();
        if let Some(place) = body.pointer_mut(field) {
            *place = value;
        }
        Bytes::from(body.to_string())
    };
    vec![
        ("nothing", Bytes::new(), 400),
        ("not JSON", Bytes::from("kind: SubjectAccessReview"), 400),
        ("cut off", Bytes::from(review("list", "pods").replace("}}}", "")), 400),
        ("two", Bytes::from(review("list", "pods") + &review("list", "pods")), 400),
        ("a list", Bytes::from(format!("[{}]", review("list", "pods"))), 400),
        ("null", Bytes::from("null"), 400),
        ("deep", Bytes::from("[".repeat(100_000)), 400),
        ("deep inside", edited("/spec/user", deep()), 400),
        ("not UTF-8", Bytes::from(&b"{\"kind\": \"\xff\"}"[..]), 400),
        ("another kind", edited("/kind", json!("SelfSubjectAccessReview")), 400),
        ("another version", edited("/apiVersion", json!("authorization.k8s.io/v1alpha1")), 400),
        ("a number as user", edited("/spec/user", json!(7)), 400),
        ("a list as spec", edited("/spec", json!(["alice"])), 400),
        ("no attributes", edited("/spec/resourceAttributes", Value::Null), 400),
        ("a string as groups", edited("/spec/groups", json!("readers")), 400),
        ("too large", Bytes::from(" ".repeat((1 << 20) + 1)), 413),
    ]
}

fn deep() -> Value {
    (0..100).fold(json!("alice"), |inner, _| json!([inner]))
}

#[tokio::test]
async fn malformed_reviews_are_refused_with_a_status() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let tls = files.client(None)?;
    for (what, body, expected) in malformed() {
        let mut client = Client::connect(running.address, tls.clone()).await?;
        let (code, answer) = client.post("/authorize", body).await?;
        assert_eq!(code.as_u16(), expected, "{what}: {answer}");
        let status: Value = serde_json::from_str(&answer)?;
        assert_eq!(status["apiVersion"], "v1", "{what}");
        assert_eq!(status["kind"], "Status", "{what}");
        assert_eq!(status["status"], "Failure", "{what}");
        assert_eq!(status["code"], expected, "{what}");
        assert!(status["message"].as_str().is_some_and(|m| !m.is_empty()), "{what}: {answer}");
        assert!(status.get("allowed").is_none(), "{what}");
    }
    let mut client = Client::connect(running.address, tls).await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    let (_, metrics) = client.get("/metrics").await?;
    let refused = malformed().len();
    let count = r#"stagedoor_decisions_total{endpoint="authorize",outcome="refused"}"#;
    assert!(metrics.contains(&format!("{count} {refused}\n")), "{metrics}");
    running.stop().await
}

#[tokio::test]
async fn other_paths_methods_and_types_are_refused() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let paths = ["/", "/authorize/", "//authorize", "/AUTHORIZE", "/authorize/x", "/%61uthorize"];
    for path in paths {
        let (code, body) = client.post(path, review("list", "pods")).await?;
        assert_eq!(code, StatusCode::NOT_FOUND, "{path}: {body}");
        assert!(body.contains(r#""kind":"Status""#), "{path}: {body}");
    }
    let (code, body) = client.get("/authorize").await?;
    assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED, "{body}");
    assert!(body.contains(r#""kind":"Status""#), "{body}");

    for (content_type, expected) in [
        ("application/json; charset=utf-8", StatusCode::OK),
        ("application/yaml", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/vnd.kubernetes.protobuf", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let mut request =
            client.request(Method::POST, "/authorize", review("list", "pods").into())?;
        request.headers_mut().insert("content-type", content_type.parse()?);
        let (code, body) = client.send(request).await?;
        assert_eq!(code, expected, "{content_type}: {body}");
    }
    running.stop().await
}
