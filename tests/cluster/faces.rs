//! Every face answers alike: the library, `check`, `explain`, `test`, and `serve` over HTTP, about
//! random policies and reviews. Needs no cluster.
//!
//! `STAGEDOOR_CASES` (a factor) asks for more.

use std::iter::successors;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stagedoor_core::Engine;
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_kubernetes::conditional::{ConditionalReviewer, schema, status_fields};
use stagedoor_kubernetes::{Reviewer, SubjectAccessReview, VOCABULARY};
use stagedoor_tests::bytes::Choices;

use crate::client::Client;
use crate::webhook::Webhook;

/// Sets of policies, and reviews of each kind for each.
const SETS: u64 = 8;
const REVIEWS: usize = 100;

/// Returns the same bytes for the same seed.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    let first = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let states = successors(Some(first), next).skip(1);
    states.filter_map(|state| state.to_be_bytes().first().copied()).take(length).collect()
}

const PRINCIPALS: [&str; 8] = [
    "principal",
    "principal in k8s::Group::\"devs\"",
    "principal in k8s::Group::\"system:authenticated\"",
    "principal in k8s::UserName::\"carol\"",
    "principal == k8s::User::\"carol\"",
    "principal == k8s::User::\"u-1\"",
    "principal is k8s::ServiceAccount",
    "principal is k8s::User in k8s::Group::\"devs\"",
];
/// An action, and the type of resource that goes with it.
const ACTIONS: [(&str, &str); 9] = [
    ("action", "resource"),
    ("action", "resource is k8s::Resource"),
    ("action in k8s::Action::\"readOnly\"", "resource is k8s::Resource"),
    ("action in [k8s::Action::\"create\", k8s::Action::\"delete\"]", "resource is k8s::Resource"),
    ("action == k8s::Action::\"impersonate\"", "resource"),
    ("action == k8s::Action::\"impersonate\"", "resource is k8s::Group"),
    ("action == k8s::Action::\"unlistedVerb\"", "resource"),
    ("action in k8s::admission::Action::\"all\"", "resource is k8s::admission::Resource"),
    ("action == k8s::admission::Action::\"create\"", "resource is k8s::admission::Resource"),
];
const CONDITIONS: [&str; 7] = [
    "",
    "",
    "resource.resource == \"secrets\"",
    "resource has namespace && resource.namespace == \"a\"",
    "resource has name && resource.name like \"x*\"",
    // It overflows, and so cannot be evaluated.
    "resource.resource == \"pods\" && 9223372036854775807 + 1 > 0",
    "resource.apiGroup == \"\"",
];
const OBJECT: &str = "resource has object && resource.object.hasTag(\"/spec/hostNetwork\")";
const MODES: [&str; 8] = ["", "", "", "", "enforce", "warn", "warn", "audit"];

/// Returns policies that load; some may depend on the object, where that is known.
fn policies(choices: &mut Choices<'_>, conditional: bool) -> String {
    let mut text = "@id(\"base\") permit (principal, action, resource);\n".to_owned();
    if choices.chance(60) {
        text = String::new();
    }
    if conditional {
        text.push_str(&format!(
            "@id(\"open\") forbid (principal, action in k8s::Action::\"write\", \
             resource is k8s::Resource) when {{ {OBJECT} }};\n"
        ));
    }
    for number in 0..2 + choices.below(7) {
        let effect = if choices.chance(150) { "forbid" } else { "permit" };
        let (action, resource) = choices.pick(&ACTIONS.map(Some)).unwrap_or(("action", "resource"));
        let mut condition = match resource {
            "resource is k8s::Resource" | "resource is k8s::admission::Resource" => {
                choices.pick(&CONDITIONS).to_owned()
            }
            _ => String::new(),
        };
        let knows_object = match resource {
            "resource is k8s::admission::Resource" => true,
            "resource is k8s::Resource" => conditional,
            _ => false,
        };
        if knows_object && choices.chance(100) {
            condition = match condition.is_empty() {
                true => OBJECT.to_owned(),
                false => format!("{condition} && {OBJECT}"),
            };
        }
        let principal = choices.pick(&PRINCIPALS);
        let mode = match choices.pick(&MODES) {
            "" => String::new(),
            mode => format!("@mode(\"{mode}\") "),
        };
        let when = match condition.is_empty() {
            true => String::new(),
            false => format!(" when {{ {condition} }}"),
        };
        text.push_str(&format!(
            "@id(\"p{number}\") {mode}{effect} ({principal}, {action}, {resource}){when};\n"
        ));
    }
    text
}

/// Returns somebody, in the fields of both kinds of reviews.
fn somebody(choices: &mut Choices<'_>) -> (&'static str, &'static str, Vec<&'static str>) {
    let user = choices.pick(&["carol", "dan", "system:serviceaccount:a:bot", "system:node:n1"]);
    let uid = choices.pick(&["", "u-1", "carol"]);
    let mut groups = vec!["system:authenticated"];
    groups.extend(choices.chance(128).then_some("devs"));
    (user, uid, groups)
}

/// A review, and the case of a test file that asks the same.
struct ReviewCase {
    review: Value,
    case: Value,
}

fn access_review(choices: &mut Choices<'_>, opts_in: bool) -> ReviewCase {
    let (user, uid, groups) = somebody(choices);
    let mut spec = json!({ "user": user, "uid": uid, "groups": groups });
    let mut case = json!({ "user": user, "uid": uid, "groups": groups });
    if choices.chance(24) {
        let (verb, path) = (choices.pick(&["get", "post"]), choices.pick(&["/healthz", "/api"]));
        spec["nonResourceAttributes"] = json!({ "verb": verb, "path": path });
        case["verb"] = verb.into();
        case["path"] = path.into();
    } else {
        let verb = choices.pick(&[
            "get",
            "list",
            "create",
            "update",
            "delete",
            "impersonate",
            "impersonate:user-info",
            "impersonate:user-info",
            "impersonate-on:user-info:list",
            "bind",
            "fly",
        ]);
        let (group, resource) = match Some(verb).filter(|verb| verb.starts_with("impersonate:")) {
            Some(_) => ("authentication.k8s.io", choices.pick(&["groups", "users", "nodes"])),
            None if verb == "impersonate" => ("", choices.pick(&["groups", "users"])),
            None => ("", choices.pick(&["pods", "secrets", "configmaps"])),
        };
        let name = choices.pick(&["", "x1", "*", "carol"]);
        let namespace = match group {
            "" if verb != "impersonate" => choices.pick(&["", "a", "b"]),
            _ => "",
        };
        spec["resourceAttributes"] = json!({
            "verb": verb, "group": group, "version": "v1", "resource": resource, "name": name,
            "namespace": namespace,
        });
        let fields = [
            ("verb", verb),
            ("apiGroup", group),
            ("resource", resource),
            ("resourceName", name),
            ("namespace", namespace),
        ];
        for (key, value) in fields {
            case[key] = value.into();
        }
    }
    if opts_in {
        let types = ["Allow", "Deny", "NoOpinion", "ConditionsMap", "Union"];
        spec["authorizationOptions"] = json!({ "handledDecisionTypes": types });
    }
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
    });
    ReviewCase { review, case }
}

fn admission_review(choices: &mut Choices<'_>) -> ReviewCase {
    let (user, uid, groups) = somebody(choices);
    let (name, namespace) = (choices.pick(&["x1", "y"]), choices.pick(&["a", "b"]));
    let operation = choices.pick(&["CREATE", "UPDATE", "DELETE"]);
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
        "spec": {},
    });
    if choices.chance(100) {
        object["spec"]["hostNetwork"] = true.into();
    }
    let old = (operation != "CREATE").then(|| object.clone());
    let new = (operation != "DELETE").then_some(object);
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "asked", "operation": operation, "name": name, "namespace": namespace,
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "userInfo": { "username": user, "uid": uid, "groups": groups },
            "object": new, "oldObject": old,
        },
    });
    let mut case = json!({
        "user": user, "uid": uid, "groups": groups, "operation": operation, "resource": "pods",
        "resourceName": name, "namespace": namespace,
    });
    for (key, value) in [("object", new), ("oldObject", old)] {
        if let Some(value) = value {
            case[key] = value;
        }
    }
    ReviewCase { review, case }
}

/// Builds the library's own reviewer.
fn library(policies: &str, conditional: bool) -> Result<(Reviewer, Option<ConditionalReviewer>)> {
    let mut builder = Engine::builder().policies("p.cedar", policies);
    for (number, shipped) in VOCABULARY.schemas.iter().enumerate() {
        let text = if conditional && number == 0 { schema()? } else { shipped.text.to_string() };
        builder = builder.schema(shipped.name, text);
    }
    let reviewer = Reviewer::new(builder.build().with_context(|| policies.to_owned())?)?;
    let open = ConditionalReviewer::new(&reviewer)?;
    let open = (conditional && open.is_needed()).then_some(open);
    Ok((reviewer, open))
}

#[test]
fn every_face_answers_alike() -> Result<()> {
    let factor = std::env::var("STAGEDOOR_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut compared = 0;
    let (mut allowed, mut denied, mut unenforced, mut with_conditions) = (0, 0, 0, 0);
    for seed in 0..SETS * factor {
        let stream = bytes(seed, 64 + REVIEWS * 40);
        let mut choices = Choices::new(&stream);
        let conditional = seed % 3 == 2;
        let text = policies(&mut choices, conditional);
        let (reviewer, open) = library(&text, conditional)?;
        let mut webhook = Webhook::new()?;
        webhook.write_policy("p.cedar", &text)?;
        let flag: &[&str] = if conditional { &["--experimental-conditional"] } else { &[] };
        webhook = webhook.with_args(flag);
        webhook.start().with_context(|| text.clone())?;
        let client = webhook.asking()?;

        let reviews: Vec<ReviewCase> = (0..REVIEWS)
            .map(|number| access_review(&mut choices, conditional && number % 2 == 0))
            .collect();
        let admissions: Vec<ReviewCase> =
            (0..REVIEWS).map(|_| admission_review(&mut choices)).collect();
        let asked: Vec<&ReviewCase> = reviews.iter().chain(&admissions).collect();
        let checked = answers(&webhook, "check", &asked, flag)?;
        let explained = answers(&webhook, "explain", &asked, flag)?;

        let mut cases = Vec::new();
        for (number, asked) in asked.iter().enumerate() {
            let place = || format!("seed {seed}, {}\n{text}", asked.review);
            let body = asked.review.to_string();
            let is_admission = number >= reviews.len();
            let expected = match is_admission {
                true => serde_json::to_value(
                    reviewer.admission(&AdmissionRequest::from_review(&body)?),
                )?["response"]
                    .clone(),
                false => status(&reviewer, open.as_ref(), &body)?,
            };
            let path = if is_admission { "/admit" } else { "/authorize" };
            let field = if is_admission { "response" } else { "status" };
            let served = client.post(path, &asked.review)?.ok().with_context(place)?;
            ensure!(served[field] == expected, "{}\n{served}\nlibrary: {expected}", place());
            let check = checked.get(number).with_context(place)?;
            ensure!(check[field] == expected, "{}\n{check}\nlibrary: {expected}", place());
            let depends = !expected["conditionalDecision"].is_null();
            let explain = explained.get(number).with_context(place)?;
            let is_allowed = expected["allowed"] == true;
            if open.is_none() || is_admission {
                let decision = if is_allowed { "allow" } else { "deny" };
                ensure!(explain["decision"] == decision, "{}\n{explain}\n{expected}", place());
            } else {
                // What depends on the object is told beside what is known without it.
                let told = explain.get("depends").is_some() || explain["decision"] == "deny";
                ensure!(!depends || told, "{}\n{explain}\n{expected}", place());
            }
            let mut case = asked.case.clone();
            case["name"] = format!("case {number}").into();
            case["expect"] = if is_allowed { "allow" } else { "deny" }.into();
            // A policy that cannot be evaluated is named by a case, or it fails.
            let errors = reviewer_errors(&reviewer, &expected, is_admission);
            if !errors.is_empty() {
                case["expect"] = json!({ "decision": case["expect"], "errors": errors });
            }
            cases.push(case);
            compared += 1;
            allowed += usize::from(is_allowed);
            denied += usize::from(expected["denied"] == true);
            let reason = expected["reason"].as_str().unwrap_or_default();
            let annotated = !expected["auditAnnotations"]["not-enforced"].is_null();
            unenforced += usize::from(annotated || reason.contains("; not enforced: "));
            with_conditions += usize::from(depends);
        }
        if !conditional {
            tested(&webhook, cases).with_context(|| format!("seed {seed}\n{text}"))?;
        }
    }
    println!(
        "{compared} reviews by five faces, {allowed} allowed, {denied} denied, {unenforced} with \
         policies that are not enforced, {with_conditions} with conditions, 0 differences"
    );
    for (what, count) in [("allowed", allowed), ("denied", denied), ("not enforced", unenforced)] {
        ensure!(count * 20 > compared, "only {count} of {compared} are {what}");
    }
    ensure!(with_conditions > 0, "no answer has conditions");
    Ok(())
}

/// Returns what the library says, with conditions.
fn status(reviewer: &Reviewer, open: Option<&ConditionalReviewer>, body: &str) -> Result<Value> {
    let review = SubjectAccessReview::from_json(body)?;
    let Some(open) = open else {
        let answered = reviewer.answer(review).status.context("a status")?;
        return Ok(serde_json::to_value(answered)?);
    };
    let answer = open.decide(reviewer, &review.spec);
    let mut status = serde_json::to_value(answer.status)?;
    let conditions = answer.conditions.as_ref();
    let fields = serde_json::to_value(status_fields(review.spec.conditions, conditions))?;
    if let (Some(status), Some(fields)) = (status.as_object_mut(), fields.as_object()) {
        status.extend(fields.clone());
    }
    Ok(status)
}

/// Returns the policies that decide and could not be evaluated, by what the answer says.
fn reviewer_errors(reviewer: &Reviewer, answer: &Value, is_admission: bool) -> Vec<String> {
    let told = match is_admission {
        true => &answer["auditAnnotations"]["evaluation-error"],
        false => &answer["evaluationError"],
    };
    let told = told.as_str().unwrap_or_default();
    let enforced = reviewer.enforced().policies();
    let erring = enforced.filter(|policy| told.contains(&format!("policy `{}`: ", policy.id())));
    erring.map(|policy| policy.id().to_owned()).collect()
}

/// Asks the command, and returns one answer for each review.
fn answers(
    webhook: &Webhook,
    command: &str,
    asked: &[&ReviewCase],
    flag: &[&str],
) -> Result<Vec<Value>> {
    let reviews: String = asked.iter().map(|asked| format!("{}\n", asked.review)).collect();
    std::fs::write(webhook.path("reviews.json"), reviews)?;
    let mut args = vec![command, "kubernetes", "--policies", "policies"];
    args.extend(["--review", "reviews.json", "--format", "json"]);
    args.extend(flag);
    let told = webhook.command(&args)?;
    let answers: Vec<Value> =
        told.lines().map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<_>>()?;
    ensure!(answers.len() == asked.len(), "{command}: {} answers", answers.len());
    Ok(answers)
}

/// Runs the same as cases of a test file.
fn tested(webhook: &Webhook, cases: Vec<Value>) -> Result<()> {
    let tests = webhook.path("tests");
    std::fs::create_dir(&tests)?;
    let file = json!({ "policies": ["../policies"], "cases": cases });
    std::fs::write(tests.join("random.test.yaml"), file.to_string())?;
    let output = Command::new(env!("CARGO_BIN_EXE_stagedoor"))
        .current_dir(webhook.path("."))
        .args(["test", "tests"])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Webhook {
    /// Returns a client as kube-apiserver is one.
    fn asking(&self) -> Result<Client> {
        let base = format!("https://{}", self.address);
        Client::with_certificate(base, &self.authority.pem(), &self.client)
    }
}
