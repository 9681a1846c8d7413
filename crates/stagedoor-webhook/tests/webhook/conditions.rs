//! Conditional authorization: `/authorize` tells conditions, `/conditions` evaluates them.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use stagedoor_webhook::ServerConfig;

use crate::support::{Client, Files, Running, eventually, review};

/// Team payments writes pods off the host; whoever may scale does not go beyond ten.
const POLICIES: &str = r#"
@id("payments-writes-pods")
permit(principal in k8s::Group::"payments", action in k8s::Action::"write", resource is k8s::Resource)
when { resource.resource == "pods" && resource has namespace && resource.namespace == "payments" };

@id("owners-write-what-they-own")
@doc("Whoever is named as owner.")
permit(principal, action in k8s::Action::"write", resource is k8s::Resource)
when {
  resource.apiGroup == "example.com" && resource has object &&
  resource.object.hasTag("/spec/owner") && resource.object.getTag("/spec/owner").contains(principal.name)
};

@id("no-host-network")
forbid(principal, action in k8s::Action::"write", resource is k8s::Resource)
when {
  resource.resource == "pods" && resource has object &&
  resource.object.hasTag("/spec/hostNetwork") && resource.object.getTag("/spec/hostNetwork").contains("true")
}
unless { principal in k8s::Group::"break-glass" };
"#;

fn conditional(files: &Files) -> ServerConfig {
    let mut config = files.config();
    config.experimental_conditional = true;
    config
}

/// Returns a review of alice, who may be in a group, and of whoever asks in a mode.
fn asked(verb: &str, resource: &str, group: &str, mode: &str) -> Value {
    let api_group = if resource == "widgets" { "example.com" } else { "" };
    let mut review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "alice",
            "groups": [group, "system:authenticated"],
            "resourceAttributes": {
                "verb": verb, "group": api_group, "resource": resource, "namespace": "payments",
                "version": "v1",
            },
        },
    });
    if !mode.is_empty() {
        review["spec"]["conditionalAuthorization"] = json!({"mode": mode});
    }
    review
}

async fn evaluated(client: &mut Client, sets: &Value, object: &Value) -> Result<Value> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1alpha1",
        "kind": "AuthorizationConditionsReview",
        "request": {
            "conditionSets": sets, "operation": "CREATE", "object": object, "oldObject": null,
            "options": {"kind": "CreateOptions"},
        },
    });
    let (code, body) = client.post("/conditions", review.to_string()).await?;
    ensure!(code == StatusCode::OK, "{code}: {body}");
    let answer: Value = serde_json::from_str(&body)?;
    assert_eq!(answer["apiVersion"], "authorization.k8s.io/v1alpha1");
    assert_eq!(answer["kind"], "AuthorizationConditionsReview");
    Ok(answer["response"].clone())
}

fn outcome(answer: &Value) -> (bool, bool) {
    (answer["allowed"] == json!(true), answer["denied"] == json!(true))
}

const ALLOWED: (bool, bool) = (true, false);
const DENIED: (bool, bool) = (false, true);
const NO_OPINION: (bool, bool) = (false, false);

#[tokio::test]
async fn what_depends_on_the_object_is_told_and_evaluated() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(POLICIES)?;
    let running = Running::start(&files, conditional(&files)).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;

    let pods = asked("create", "pods", "payments", "HumanReadable");
    let status = client.review(pods.to_string()).await?;
    assert_eq!(outcome(&status), NO_OPINION);
    let pod_sets = status["conditionsChain"].clone();
    assert_eq!(pod_sets[0]["authorizerName"], "stagedoor");
    assert_eq!(pod_sets[0]["failureMode"], "Deny");
    let conditions = pod_sets[0]["conditions"].as_array().context("conditions")?;
    let told: Vec<_> = conditions.iter().map(|c| (&c["effect"], &c["id"])).collect();
    assert_eq!(
        told,
        [
            (&json!("Deny"), &json!("0-no-host-network")),
            (&json!("Allow"), &json!("1-payments-writes-pods"))
        ]
    );
    assert_eq!(conditions[1]["condition"], "true");
    let text = conditions[0]["condition"].as_str().context("a text")?;
    assert!(text.starts_with("(resource has object) &&"), "{text}");
    assert!(!text.contains("principal"), "{text}");

    let widgets = asked("update", "widgets", "", "Optimized");
    let status = client.review(widgets.to_string()).await?;
    assert_eq!(outcome(&status), NO_OPINION);
    let widget_sets = status["conditionsChain"].clone();
    assert_eq!(widget_sets[0]["conditions"].as_array().map(Vec::len), Some(1));
    assert_eq!(widget_sets[0]["conditions"][0]["effect"], "Allow");
    assert_eq!(widget_sets[0]["conditions"][0]["description"], Value::Null);

    // The policies are gone by now: the conditions alone decide.
    files.write_policies("@id(\"nobody\") forbid(principal, action, resource);")?;
    eventually("the policies are replaced", async || {
        Ok(client.review(review("list", "pods")).await?["denied"] == json!(true))
    })
    .await?;
    let host = json!({"spec": {"hostNetwork": true}});
    let cases = [
        (&pod_sets, json!({"spec": {}}), ALLOWED),
        (&pod_sets, json!({"spec": {"hostNetwork": false}}), ALLOWED),
        (&pod_sets, host.clone(), DENIED),
        (&pod_sets, Value::Null, ALLOWED),
        // An object that cannot be read.
        (&pod_sets, json!(["spec"]), DENIED),
        (&widget_sets, json!({"spec": {"owner": "alice"}}), ALLOWED),
        (&widget_sets, json!({"spec": {"owner": "bob"}}), NO_OPINION),
        (&widget_sets, json!({"spec": {}}), NO_OPINION),
        (&widget_sets, json!("alice"), NO_OPINION),
    ];
    for (sets, object, expected) in cases {
        let answer = evaluated(&mut client, sets, &object).await?;
        assert_eq!(outcome(&answer), expected, "{object}: {answer}");
    }
    // The first set with an opinion decides.
    let both = json!([widget_sets[0], pod_sets[0]]);
    assert_eq!(outcome(&evaluated(&mut client, &both, &host).await?), DENIED);
    let owned = json!({"spec": {"owner": "alice", "hostNetwork": true}});
    assert_eq!(outcome(&evaluated(&mut client, &both, &owned).await?), ALLOWED);
    let (_, metrics) = client.get("/metrics").await?;
    assert!(
        metrics
            .contains(r#"stagedoor_decisions_total{endpoint="authorize",outcome="conditional"} 2"#)
    );
    running.stop().await
}

#[tokio::test]
async fn who_understands_no_conditions_gets_none() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(POLICIES)?;
    let running = Running::start(&files, conditional(&files)).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let with = |review: Value, field: &str, value: Value| {
        let mut review = review;
        review["spec"]["resourceAttributes"][field] = value;
        review
    };
    let consent = "HumanReadable";
    let cases = [
        // What may be forbidden is denied, what may be permitted is not.
        (asked("create", "pods", "payments", ""), DENIED),
        (asked("create", "pods", "payments", "Perhaps"), DENIED),
        (asked("create", "widgets", "", ""), NO_OPINION),
        // Nobody's break-glass is asked about the object.
        (asked("create", "pods", "break-glass", ""), NO_OPINION),
        // Nothing is written, or it is not known what.
        (asked("get", "pods", "payments", consent), NO_OPINION),
        (with(asked("create", "pods", "payments", consent), "version", json!("*")), DENIED),
        (with(asked("create", "pods", "payments", consent), "version", Value::Null), DENIED),
        (with(asked("update", "widgets", "", consent), "version", json!("")), NO_OPINION),
        (with(asked("create", "widgets", "", consent), "resource", json!("*")), NO_OPINION),
    ];
    for (review, expected) in cases {
        let status = client.review(review.to_string()).await?;
        assert_eq!(outcome(&status), expected, "{review}: {status}");
        assert_eq!(status["conditionsChain"], Value::Null, "{review}");
    }
    // However the field looks, the review is answered.
    for field in [json!(null), json!([]), json!({}), json!({"mode": 1}), json!("HumanReadable")] {
        let mut review = asked("create", "pods", "payments", "");
        review["spec"]["conditionalAuthorization"] = field;
        assert_eq!(outcome(&client.review(review.to_string()).await?), DENIED);
    }
    running.stop().await
}

#[tokio::test]
async fn without_the_flag_there_are_no_conditions() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let mut asked: Value = serde_json::from_str(&review("create", "pods"))?;
    asked["spec"]["conditionalAuthorization"] = json!({"mode": "HumanReadable"});
    assert_eq!(client.review(asked.to_string()).await?["conditionsChain"], Value::Null);
    assert_eq!(client.post("/conditions", "{}").await?.0, StatusCode::NOT_FOUND);
    running.stop().await?;
    // A policy that depends on the object does not load.
    files.write_policies(POLICIES)?;
    let running = Running::start_unready(files.config()).await?;
    let error = running.ended().await.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("`owners-write-what-they-own` is about `k8s::Resource`"), "{error}");
    // One of admission does.
    let of_admission = POLICIES
        .replace("k8s::Resource)", "k8s::admission::Resource)")
        .replace("k8s::Action::\"write\"", "k8s::admission::Action::\"all\"");
    files.write_policies(&of_admission)?;
    Running::start(&files, files.config()).await?.stop().await
}

#[tokio::test]
async fn conditions_that_cannot_be_evaluated_count_against_the_request() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(POLICIES)?;
    let mut config = conditional(&files);
    let running = Running::start(&files, config.clone()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let set = |effect: &str, type_: &str, condition: &str| {
        json!([{"authorizerName": "stagedoor", "conditions": [
            {"id": "a", "effect": "Allow", "type": "stagedoor-cedar", "condition": "true"},
            {"id": "x", "effect": effect, "type": type_, "condition": condition},
        ]}])
    };
    let long = "true && ".repeat(2000) + "true";
    let cannot_be = [
        ("stagedoor-cedar", "1 +"),
        ("stagedoor-cedar", ""),
        ("stagedoor-cedar", "1"),
        ("stagedoor-cedar", "principal has name"),
        ("stagedoor-cedar", "resource.object.numbers.getTag(\"/n\") > 1"),
        ("stagedoor-cedar", long.as_str()),
        ("k8s.io/cel", "true"),
        ("", "true"),
    ];
    for (type_, condition) in cannot_be {
        for (effect, expected) in [("Deny", DENIED), ("NoOpinion", NO_OPINION), ("Allow", ALLOWED)]
        {
            let sets = set(effect, type_, condition);
            let answer = evaluated(&mut client, &sets, &json!({})).await?;
            assert_eq!(outcome(&answer), expected, "{effect} {type_} {condition}: {answer}");
            let alone = json!([{"conditions": [sets[0]["conditions"][1]]}]);
            let answer = evaluated(&mut client, &alone, &json!({})).await?;
            let expected = if effect == "Deny" { DENIED } else { NO_OPINION };
            assert_eq!(outcome(&answer), expected, "{effect} {type_} {condition}: {answer}");
            assert_ne!(answer["evaluationError"], Value::Null, "{answer}");
        }
    }
    let wrong = [
        json!([]),
        json!({"kind": "AuthorizationConditionsReview", "apiVersion": "authorization.k8s.io/v1"}),
        json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "request": {}}),
        json!({"kind": "AuthorizationConditionsReview", "apiVersion": "v1",
               "request": {"conditionSets": set("Deny", "stagedoor-cedar", "true")}}),
        json!({"kind": "AuthorizationConditionsReview", "apiVersion": "authorization.k8s.io/v1",
               "request": {"conditionSets": []}}),
        json!({"kind": "AuthorizationConditionsReview", "apiVersion": "authorization.k8s.io/v1",
               "request": {"conditionSets": set("Perhaps", "stagedoor-cedar", "true")}}),
        json!({"kind": "AuthorizationConditionsReview", "apiVersion": "authorization.k8s.io/v1",
               "request": {"conditionSets": [{"conditions": vec![json!({"effect": "Allow"}); 1025]}]}}),
    ];
    for body in wrong {
        let (code, answer) = client.post("/conditions", body.to_string()).await?;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer.contains(r#""kind":"Status""#), "{answer}");
    }
    running.stop().await?;
    config.no_opinion_denies = true;
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let sets = set("NoOpinion", "stagedoor-cedar", "true");
    assert_eq!(outcome(&evaluated(&mut client, &sets, &json!({})).await?), DENIED);
    running.stop().await
}

#[tokio::test]
async fn what_does_not_fit_into_a_condition_is_denied_or_left_out() -> Result<()> {
    let files = Files::new()?;
    let long = "x".repeat(1100);
    let policy = |effect: &str, id: &str| {
        format!(
            "@id(\"{id}\") {effect}(principal, action, resource is k8s::Resource) when {{ \
             resource has object && resource.object.hasTag(\"/{long}\") }};"
        )
    };
    for (policies, expected) in [
        (policy("permit", "p"), NO_OPINION),
        (policy("permit", "p") + &policy("forbid", "f"), DENIED),
        ("permit(principal, action, resource);".to_owned() + &policy("forbid", "f"), DENIED),
    ] {
        files.write_policies(&policies)?;
        let running = Running::start(&files, conditional(&files)).await?;
        let mut client = Client::connect(running.address, files.client(None)?).await?;
        let review = asked("create", "pods", "", "Optimized").to_string();
        let status = client.review(review).await?;
        assert_eq!(outcome(&status), expected, "{status}");
        assert_eq!(status["conditionsChain"], Value::Null);
        running.stop().await?;
    }
    Ok(())
}
