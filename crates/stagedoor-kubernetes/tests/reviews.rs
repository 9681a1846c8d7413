//! Reviews as they come: what is read, what is refused and with which words.
#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

use anyhow::{Context as _, Result, ensure};
use stagedoor_kubernetes::{Attributes, SubjectAccessReview};

fn review(spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{spec}}}"#
    )
}

#[test]
fn reads_what_kube_apiserver_sends() -> Result<()> {
    let json = r#"{
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": null},
        "spec": {
            "resourceAttributes": {
                "namespace": "payments", "verb": "list", "group": "apps", "version": "v1",
                "resource": "deployments", "subresource": "scale", "name": "ledger",
                "fieldSelector": {"requirements": [
                    {"key": "metadata.name", "operator": "In", "values": ["ledger"]}]},
                "labelSelector": {"requirements": [{"key": "app", "operator": "Exists"}]},
                "aFieldOfTheFuture": 1
            },
            "user": "alice", "groups": ["payments", "system:authenticated"],
            "extra": {"scopes": ["a", "b"], "none": null}, "uid": "42"
        },
        "status": {"allowed": false}
    }"#;
    let review = SubjectAccessReview::from_json(json)?;
    let Attributes::Resource(attributes) = &review.spec.attributes else {
        anyhow::bail!("not a resource: {review:?}");
    };
    assert_eq!(attributes.namespace, "payments");
    assert_eq!(attributes.verb, "list");
    assert_eq!(attributes.group, "apps");
    assert_eq!(attributes.version, "v1");
    assert_eq!(attributes.resource, "deployments");
    assert_eq!(attributes.subresource, "scale");
    assert_eq!(attributes.name, "ledger");
    let fields = attributes.field_selector.as_ref().context("field selector")?;
    assert_eq!(fields.requirements.first().map(|r| r.key.as_str()), Some("metadata.name"));
    let subject = &review.spec.subject;
    assert_eq!((subject.user.as_str(), subject.uid.as_str()), ("alice", "42"));
    assert_eq!(subject.groups, ["payments", "system:authenticated"]);
    assert_eq!(
        subject.extra.get("scopes").map(Vec::as_slice),
        Some(["a".into(), "b".into()].as_slice())
    );
    Ok(())
}

#[test]
fn writes_back_what_it_read() -> Result<()> {
    let json = r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","metadata":{"name":"x","labels":{"a":"b"}},"spec":{"nonResourceAttributes":{"path":"/healthz","verb":"get"},"user":"alice","groups":["g"],"extra":{"k":["v"]},"uid":"7"}}"#;
    assert_eq!(serde_json::to_string(&SubjectAccessReview::from_json(json)?)?, json);
    Ok(())
}

#[test]
fn refuses_with_the_field_that_is_wrong() -> Result<()> {
    let cases = [
        ("[]", "not a SubjectAccessReview"),
        ("{\"kind\":", "EOF while parsing"),
        (
            r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[]}}"#,
            "`kind` is `Pod`; only `SubjectAccessReview` is answered",
        ),
        (
            r#"{"apiVersion":"authorization.k8s.io/v1alpha1","kind":"SubjectAccessReview",
                "spec":{"user":"a","nonResourceAttributes":{"path":"/"}}}"#,
            "`apiVersion` is `authorization.k8s.io/v1alpha1`",
        ),
        (
            r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview",
                "spec":{"user":"a","group":["g"],"nonResourceAttributes":{"path":"/"}}}"#,
            "`spec.group` is of v1beta1",
        ),
        (
            r#"{"apiVersion":"authorization.k8s.io/v1beta1","kind":"SubjectAccessReview",
                "spec":{"user":"a","groups":["g"],"nonResourceAttributes":{"path":"/"}}}"#,
            "`spec.groups` is of v1",
        ),
        (
            &review(r#"{"user":"a"}"#),
            "`spec`: not a SubjectAccessReview: give `resourceAttributes` or",
        ),
        (
            &review(r#"{"user":"a","resourceAttributes":{},"nonResourceAttributes":{}}"#),
            "give either `resourceAttributes` or `nonResourceAttributes`, not both",
        ),
        (&review(r#"{"nonResourceAttributes":{"path":"/"}}"#), "give `user` or `groups`"),
        (
            &review(r#"{"user":1,"nonResourceAttributes":{}}"#),
            "`spec.user`: not a SubjectAccessReview: found integer `1`, expected a string at line 1 column 85",
        ),
        (
            &review(r#"{"user":"a","user":"b","nonResourceAttributes":{}}"#),
            "duplicate field `user`",
        ),
        (
            &review(r#"{"user":"a","extra":{"k":["1"],"k":["2"]},"nonResourceAttributes":{}}"#),
            "the key `k` is given twice",
        ),
        (
            &review(r#"{"user":"a","resourceAttributes":{"resource":["pods"]}}"#),
            "`spec.resourceAttributes.resource`",
        ),
        (
            &review(
                r#"{"user":"a","resourceAttributes":{"labelSelector":
                    {"rawSelector":"a","requirements":[{"key":"a","operator":"Exists"}]}}}"#,
            ),
            "not both",
        ),
        (
            &format!("{} x", review(r#"{"user":"a","nonResourceAttributes":{}}"#)),
            "trailing characters",
        ),
        (
            &review(r#"{"user":"a","nonResourceAttributes":["/healthz","get"]}"#),
            "`spec.nonResourceAttributes`: not a SubjectAccessReview: found a list",
        ),
        (
            &review(
                r#"{"user":"a","resourceAttributes":{"labelSelector":{"requirements":[["a","Exists"]]}}}"#,
            ),
            "found a list, expected an object",
        ),
        (&review("null"), "give `spec`"),
        (&"[".repeat(200_000), "expected an object"),
        (&format!("{{\"metadata\":{}", "[".repeat(200_000)), "recursion limit"),
        (&" ".repeat(9 << 20), "larger than the limit"),
    ];
    for (json, words) in cases {
        let Err(error) = SubjectAccessReview::from_json(json) else {
            anyhow::bail!("read {json}");
        };
        ensure!(error.to_string().contains(words), "`{error}` says nothing of `{words}`");
    }
    Ok(())
}

#[test]
fn reads_streams_and_names_the_document() -> Result<()> {
    let good = "apiVersion: authorization.k8s.io/v1\nkind: SubjectAccessReview\nspec:\n  user: alice\n  \
                nonResourceAttributes: { path: /healthz, verb: get }\n";
    let reviews = SubjectAccessReview::read_all(&format!("---\n{good}---\n{good}---\n"))?;
    assert_eq!(reviews.len(), 2);
    let json = serde_json::to_string_pretty(reviews.first().context("a review")?)?;
    assert_eq!(SubjectAccessReview::read_all(&json)?.as_slice(), reviews.get(..1).context("one")?);

    let bomb = "a: &a [x,x]\n".to_owned()
        + &(1..40).map(|n| format!("b{n}: &b{n} [*a,*a,*a,*a,*a,*a]\n")).collect::<String>();
    let cases = [
        (String::new(), "holds no review"),
        (good.replace("alice", "[alice]"), "document 1: `spec.user`: found a list"),
        (good.replace("alice", "12"), "document 1: `spec.user`: found integer `12`"),
        (format!("{good}---\nkind: Pod\n"), "document 2: `kind` is `Pod`"),
        (
            format!("{good}---\n{}", good.replace("verb:", "verbs:")),
            "document 2: `spec.nonResourceAttributes.verbs`: no such field",
        ),
        (format!("{good}---\n{good}spec: {{}}\n"), "document 2: "),
        (format!("{good}---\n\tx: ["), "document 2: "),
        (format!("{good}grantor: me\n"), "`grantor`: no such field"),
        (bomb, "document 1: "),
        ("[".repeat(100_000), "document 1: "),
        ("- ".repeat(100_000), "document 1: "),
    ];
    for (text, words) in cases {
        let Err(error) = SubjectAccessReview::read_all(&text) else {
            anyhow::bail!("read {text}");
        };
        ensure!(error.to_string().contains(words), "`{error}` says nothing of `{words}`");
    }
    Ok(())
}

#[test]
fn v1beta1_is_read_and_answered_in_v1beta1() -> Result<()> {
    let text = r#"{"apiVersion":"authorization.k8s.io/v1beta1","kind":"SubjectAccessReview",
        "spec":{"user":"bob","group":["devs","ops"],"uid":"1","extra":{"k":["v"]},
                "resourceAttributes":{"namespace":"t","verb":"get","version":"v1","resource":"pods"},
                "conditionalAuthorization":{"mode":"HumanReadable"}}}"#;
    let review = SubjectAccessReview::from_json(text)?;
    assert_eq!(review.spec.subject.groups, ["devs", "ops"]);
    // It knows no conditions, whatever stands in it.
    assert_eq!(review.spec.conditions, stagedoor_kubernetes::ConditionsMode::NotUnderstood);
    let written = serde_json::to_value(&review)?;
    assert_eq!(written["apiVersion"], "authorization.k8s.io/v1beta1");
    assert_eq!(written["spec"]["group"], serde_json::json!(["devs", "ops"]));
    assert_eq!(written["spec"].get("groups"), None);
    assert_eq!(SubjectAccessReview::read_all(text)?, [review]);
    Ok(())
}
