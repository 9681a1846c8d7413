//! What is kept of objects and of `extra` makes no difference: random policies decide random
//! reviews alike, be it with what they mention or with everything.
#![expect(clippy::indexing_slicing, reason = "a choice of a list that is not empty")]

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stagedoor_core::{Decision, Engine};
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_kubernetes::{Reviewer, SCHEMA, SubjectAccessReview, admission};

/// Numbers that look random, the same ones each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

const PATHS: [&str; 14] = [
    "/a", "/a/b", "/a/*", "/a/*/b", "/a/*/b/*", "/b", "/b/c", "/b/~2", "/b/x~1y", "/b/x~0y",
    "/c/a/b", "/", "a", "/a/",
];
const KEYS: [&str; 7] = ["a", "b", "c", "*", "x/y", "x~y", ""];
const VALUES: [&str; 4] = ["x", "1", "true", "2.5"];

fn condition(numbers: &mut Numbers) -> String {
    let object = *numbers.of(&["resource.object", "resource.oldObject"]);
    let path = *numbers.of(&PATHS);
    let value = *numbers.of(&VALUES);
    let has = format!("{object}.hasTag({path:?})");
    match numbers.below(11) {
        0..=2 => has,
        3..=5 => format!("{has} && {object}.getTag({path:?}).contains({value:?})"),
        6 => format!("{object}.partial.contains({path:?})"),
        7 => format!("{object}.partial.containsAny([{path:?}, \"/b/c\"])"),
        8 => format!("{object}.numbers.hasTag({path:?}) && {object}.numbers.getTag({path:?}) > 0"),
        9 => format!("!({has} && {object}.getTag({path:?}).isEmpty())"),
        // Kept whole.
        _ => format!("{object}.partial.isEmpty() || {object}.hasTag(resource.apiGroup)"),
    }
}

fn value(numbers: &mut Numbers, depth: usize) -> Value {
    match numbers.below(if depth == 0 { 5 } else { 10 }) {
        0 => json!(null),
        1 => json!(numbers.below(3)),
        2 => json!(2.5),
        3 => json!(true),
        4 => json!(*numbers.of(&VALUES)),
        5 | 6 => (0..numbers.below(4)).map(|_| value(numbers, depth - 1)).collect(),
        _ => object(numbers, depth - 1),
    }
}

fn object(numbers: &mut Numbers, depth: usize) -> Value {
    let members = (0..numbers.below(5)).map(|_| {
        let key = (*numbers.of(&KEYS)).to_owned();
        (key, value(numbers, depth))
    });
    Value::Object(members.collect())
}

#[test]
fn objects_are_decided_by_what_is_mentioned_as_by_the_whole() -> Result<()> {
    let mut numbers = Numbers(21);
    let (mut allowed, mut narrow) = (0, 0);
    for _ in 0..120 {
        let mut policies = String::new();
        for effect in ["permit", "permit", "forbid"] {
            let guarded = format!(
                "resource has object && resource has oldObject && ({})",
                condition(&mut numbers)
            );
            policies += &format!("{effect} (principal, action, resource) when {{ {guarded} }};");
        }
        let engine = Engine::builder()
            .schema("kubernetes.cedarschema", SCHEMA)
            .schema("admission.cedarschema", admission::SCHEMA)
            .policies("p.cedar", policies.as_str())
            .build()?;
        let reviewer = Reviewer::new(engine)?;
        narrow += usize::from(!reviewer.keeps_objects());
        for _ in 0..20 {
            let review = json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "request": {
                    "uid": "u", "operation": "UPDATE", "namespace": "n", "name": "x",
                    "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
                    "resource": {"group": "", "version": "v1", "resource": "configmaps"},
                    "userInfo": {"username": "ann"},
                    "object": object(&mut numbers, 4), "oldObject": object(&mut numbers, 4),
                },
            });
            let review = review.to_string();
            let request = AdmissionRequest::from_review(&review)?;
            let (whole, entities) =
                request.request(reviewer.vocabulary()).map_err(anyhow::Error::msg)?;
            let expected = reviewer.enforced().decide(&whole, &entities)?;
            let outcome = reviewer.admission_outcome(&request).outcome.context("decided")?;
            let told = |outcome: &stagedoor_core::Outcome| {
                let ids: Vec<String> = outcome.reasons().map(|p| p.id().to_owned()).collect();
                (outcome.decision(), ids, outcome.errors().len())
            };
            assert_eq!(told(&outcome), told(&expected), "{policies}\n{review}");
            allowed += usize::from(expected.decision() == Decision::Allow);
        }
    }
    // Both happens, or nothing is shown.
    assert!(allowed > 100 && allowed < 2_300, "{allowed}");
    assert!(narrow > 30 && narrow < 120, "{narrow}");
    Ok(())
}

#[test]
fn extra_is_decided_by_what_is_mentioned_as_by_the_whole() -> Result<()> {
    let cases = [
        ("principal has extra", [true, true, true, false]),
        (
            "principal has extra && principal.extra.contains({key: \"a\", values: [\"1\"]})",
            [true, false, false, false],
        ),
        (
            "principal has extra && principal.extra.containsAll([{key: \"a\", values: [\"1\"]}, {key: \"b\", values: [\"y\"]}])",
            [true, false, false, false],
        ),
        (
            "principal has extra && principal.extra == [{key: \"a\", values: [\"2\"]}]",
            [false, true, false, false],
        ),
    ];
    let extras = [
        json!({"a": ["1"], "b": ["y"], "c": ["x"]}),
        json!({"a": ["2"]}),
        json!({"c": ["1"]}),
        json!({}),
    ];
    for (condition, expected) in cases {
        let engine = Engine::builder()
            .schema("kubernetes.cedarschema", SCHEMA)
            .policies(
                "p.cedar",
                format!("permit (principal, action, resource) when {{ {condition} }};"),
            )
            .build()?;
        let reviewer = Reviewer::new(engine)?;
        for (extra, expected) in extras.iter().zip(expected) {
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": {"user": "ann", "extra": extra,
                         "resourceAttributes": {"verb": "get", "resource": "pods"}},
            });
            let review = SubjectAccessReview::from_json(&review.to_string())?;
            let subject = &review.spec.subject;
            let ruling = reviewer.ruling(subject, &review.spec.attributes);
            assert_eq!(ruling.allowed, expected, "{condition} {extra}: {ruling:?}");
        }
    }
    Ok(())
}

#[test]
fn more_than_anybody_has_is_denied() -> Result<()> {
    let engine = Engine::builder()
        .schema("kubernetes.cedarschema", SCHEMA)
        .policies(
            "p.cedar",
            "permit (principal, action, resource) when { principal has extra && !principal.extra.isEmpty() };",
        )
        .build()?;
    let reviewer = Reviewer::new(engine)?;
    let ruling = |extra: Value, groups: Vec<String>| -> Result<_> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": "ann", "extra": extra, "groups": groups,
                     "resourceAttributes": {"verb": "get", "resource": "pods"}},
        });
        let review = SubjectAccessReview::from_json(&review.to_string())?;
        Ok(reviewer.ruling(&review.spec.subject, &review.spec.attributes))
    };
    let keys = |count: usize| -> Value {
        (0..count)
            .map(|n| (format!("k{n}"), json!(["v"])))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    assert!(ruling(keys(4_096), vec![])?.allowed);
    let many = ruling(keys(4_097), vec![])?;
    assert!(many.denied && many.evaluation_error.contains("4097 values"), "{many:?}");
    let groups = (0..10_001).map(|n| n.to_string()).collect();
    let many = ruling(keys(1), groups)?;
    assert!(many.denied && many.evaluation_error.contains("10000 ancestors"), "{many:?}");
    Ok(())
}
