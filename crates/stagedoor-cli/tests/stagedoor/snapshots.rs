//! What people read of every subcommand, as whole pages: a reviewer reads a change of words as a change
//! of `snapshots/*.snap`. `INSTA_UPDATE=always cargo test -p stagedoor-cli --test stagedoor snapshots`
//! writes them anew.
//!
//! What programs read is held byte for byte by `tests/wire.rs`, messages by `tests/messages.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::run::{repository, stagedoor};

const SCHEMA: &str = "entity Group;
entity User in [Group];
entity Service { tier: String, owner?: Group };
action deploy, restart appliesTo { principal: User, resource: Service };
";
const POLICIES: &str = r#"@id("sre-deploys")
@doc("Site reliability engineers deploy gold services.")
permit (
  principal in Group::"sre",
  action == Action::"deploy",
  resource
)
when { resource.tier == "gold" };

@id("owners-restart")
permit (principal, action == Action::"restart", resource)
when { resource has owner && principal in resource.owner };

@id("nobody-restarts-gold")
forbid (principal, action == Action::"restart", resource)
when { resource.tier == "gold" };
"#;
const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "ana"}, "attrs": {}, "parents": [{"type": "Group", "id": "sre"}]},
  {"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Service", "id": "ledger"}, "attrs": {"tier": "gold"}, "parents": []},
  {"uid": {"type": "Service", "id": "shop"}, "parents": [],
   "attrs": {"tier": "silver", "owner": {"__entity": {"type": "Group", "id": "sre"}}}}
]"#;
const TESTS: &str = r#"fixtures:
  entities:
    - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Group, id: sre }] }
    - { uid: { type: User, id: bob }, attrs: {}, parents: [] }
    - { uid: { type: Service, id: ledger }, attrs: { tier: gold }, parents: [] }
cases:
  - name: engineers deploy what is gold
    principal: User::"ana"
    action: Action::"deploy"
    resource: Service::"ledger"
    expect: { decision: allow, reasons: [sre-deploys] }
"#;
/// A case that fails.
const FAILS: &str = r#"  - name: others do, too
    principal: User::"bob"
    action: Action::"deploy"
    resource: Service::"ledger"
    expect: allow
"#;
/// Policies that are wrong in several ways.
const WRONG: &str = r#"@id("a") permit (principal, action == Action::"deploy", resource)
when { resource.tiers == "gold" };
@id("a") permit (principal, action == Action::"deploi", resource);
permit (principal, action, resource
"#;
const ROLES: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: pod-reader }
rules:
  - { apiGroups: [''], resources: [pods], verbs: [get, list] }
  - { apiGroups: [''], resources: [secrets], verbs: ['*'] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: readers }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pod-reader }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: Group, name: viewers }
";
const REVIEW: &str = r#"{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
  "user": "vera", "groups": ["viewers"],
  "resourceAttributes": {"verb": "list", "version": "v1", "resource": "secrets", "namespace": "payments"}}}"#;
/// What was decided before, for `authorize` and for `replay`.
const RECORDED: &str = r#"{"principal": "User::\"ana\"", "action": "Action::\"deploy\"", "resource": "Service::\"ledger\"", "decision": "allow"}
{"principal": "User::\"bob\"", "action": "Action::\"deploy\"", "resource": "Service::\"ledger\"", "decision": "allow"}
"#;
/// What a cluster has decided, of which the policies would decide one otherwise.
const AUDITED: &str = r#"{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "1", "stage": "ResponseComplete", "verb": "list", "user": {"username": "vera", "groups": ["viewers", "system:authenticated"]}, "objectRef": {"resource": "pods", "namespace": "payments", "apiVersion": "v1"}, "annotations": {"authorization.k8s.io/decision": "allow"}}
{"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "2", "stage": "ResponseComplete", "verb": "list", "user": {"username": "vera", "groups": ["viewers", "system:authenticated"]}, "objectRef": {"resource": "secrets", "namespace": "payments", "apiVersion": "v1"}, "annotations": {"authorization.k8s.io/decision": "allow"}}
"#;
const CSV: &str = "p, role:default/readers, catalog-entity, read, allow
p, role:default/readers, catalog-entity, delete, deny
g, user:default/ana, role:default/readers
";

/// The runs, each with its name: they go on from one another, in one place.
const RUNS: &[(&str, &str)] = &[
    ("help", "--help"),
    ("version", "--version"),
    ("unknown", "authorise"),
    ("demo", "demo"),
    ("validate", "validate app"),
    ("validate_wrong", "validate wrong"),
    ("validate_backstage", "validate POLICIES/backstage"),
    (
        "authorize",
        "authorize --policies app --entities app/entities.json --requests recorded.jsonl",
    ),
    ("explain", "explain --policies app --entities app/entities.json --requests recorded.jsonl"),
    (
        "list_resources",
        "list resources --policies app --entities app/entities.json --principal User::\"ana\" --action Action::\"deploy\"",
    ),
    (
        "list_actions",
        "list actions --policies app --entities app/entities.json --principal User::\"ana\" --resource Service::\"shop\"",
    ),
    (
        "check_backstage",
        "check backstage --policies POLICIES/backstage --catalog CATALOG --user user:default/alice --permission catalog.entity.delete --entity component:default/payments-api",
    ),
    (
        "check_backstage_conditional",
        "check backstage --policies POLICIES/backstage --catalog CATALOG --user user:default/alice --permission catalog.entity.delete",
    ),
    (
        "explain_backstage",
        "explain backstage --policies POLICIES/backstage --catalog CATALOG --user user:default/alice --permission catalog.entity.delete --entity component:default/payments-api",
    ),
    ("check_kubernetes", "check kubernetes --policies POLICIES/kubernetes --review review.json"),
    (
        "explain_kubernetes",
        "explain kubernetes --policies POLICIES/kubernetes --review review.json",
    ),
    ("test", "test app"),
    ("test_failing", "test failing"),
    ("test_coverage", "test app --coverage"),
    ("test_mutants", "test app --mutate"),
    ("lint", "lint app"),
    ("lint_explain", "lint --explain shadowed"),
    ("fmt_check", "fmt --check app"),
    ("diff", "diff app changed"),
    ("diff_same", "diff app app"),
    (
        "prove",
        "prove --policies app --never (principal,action==Action::\"deploy\",resource)when{resource.tier==\"gold\"}",
    ),
    ("report", "report app --html page.html"),
    ("import_rbac", "import kubernetes-rbac roles.yaml"),
    ("import_backstage_rbac", "import backstage-rbac policy.csv"),
    ("audit", "audit kubernetes roles.yaml"),
    ("who_can", "who-can list secrets --policies POLICIES/kubernetes"),
    ("what_can", "what-can vera --group viewers --policies POLICIES/kubernetes"),
    ("deploy", "deploy kubernetes POLICIES/kubernetes --out deployed"),
    ("replay", "replay --policies POLICIES/kubernetes audit.jsonl"),
    ("bundle", "bundle app"),
    ("backstage_bundle", "backstage bundle POLICIES/backstage"),
    ("backstage_discover", "backstage discover --url http://127.0.0.1:9"),
    ("manifest", "manifest app --write"),
    ("manifest_again", "validate app --require-manifest"),
    ("sign_key", "sign --new-key ci.key"),
    ("push", "push app ./store/app:production --key ci.key"),
    ("verify", "verify ./store/app:production --trust ci.key.pub"),
    ("pull", "pull ./store/app:production --trust ci.key.pub --output pulled.bundle.json"),
    (
        "promote",
        "promote ./store/app:production ./store/app:staging --key ci.key --trust ci.key.pub",
    ),
    ("fleet", "fleet http://127.0.0.1:9"),
    ("rule_new", "rule new --lang rust on-call"),
    ("rule_check", "rule check recorded.jsonl"),
    ("serve", "serve kubernetes --policies nowhere"),
    ("completions", "completions powershell"),
    ("man", "man"),
];

/// Subcommands whose pages are too long to be read, and of which the first lines tell enough.
const LONG: &[&str] = &["backstage_bundle", "completions", "man", "deploy", "bundle"];

fn write(place: &Path) -> Result<()> {
    for set in ["app", "changed", "failing", "wrong"] {
        std::fs::create_dir_all(place.join(set))?;
        std::fs::write(place.join(set).join("app.cedarschema"), SCHEMA)?;
    }
    let file = |name: &str, text: &str| std::fs::write(place.join(name), text);
    file("app/app.cedar", POLICIES)?;
    file("app/entities.json", ENTITIES)?;
    file("app/app.test.yaml", TESTS)?;
    file("failing/app.cedar", POLICIES)?;
    file("failing/app.test.yaml", &[TESTS, FAILS].concat())?;
    file("changed/app.cedar", &POLICIES.replace("\"gold\" };\n\n", "\"silver\" };\n\n"))?;
    file("wrong/app.cedar", WRONG)?;
    file("roles.yaml", ROLES)?;
    file("review.json", REVIEW)?;
    file("recorded.jsonl", RECORDED)?;
    file("policy.csv", CSV)?;
    file("audit.jsonl", AUDITED)?;
    Ok(())
}

/// Takes out what differs from run to run, and between machines.
fn same_everywhere(text: &str, place: &Path) -> String {
    let mut text = text.replace(&place.display().to_string(), "PLACE");
    if let Ok(real) = place.canonicalize() {
        text = text.replace(&real.display().to_string(), "PLACE");
    }
    if let Ok(root) = repository("").canonicalize() {
        text = text.replace(&root.display().to_string(), "REPOSITORY");
    }
    text = text.replace(&repository("").display().to_string(), "REPOSITORY/");
    text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let mut shown = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let is_hash = word.len() >= 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
        shown.push_str(if is_hash { "HASH" } else { &word });
        word.clear();
        if c != '\0' {
            shown.push(c);
        }
    }
    without_times(&without_dates(&shown))
}

/// Replaces `2026-11-30T04:32:00Z`.
fn without_dates(text: &str) -> String {
    let is_date = |word: &str| {
        word.len() == 20
            && word.ends_with('Z')
            && word.bytes().all(|b| b.is_ascii_digit() || b"-:TZ".contains(&b))
    };
    let words = text.split_inclusive([' ', '\n']).map(|word| {
        let bare = word.trim_end();
        if is_date(bare) { word.replace(bare, "DATE") } else { word.to_owned() }
    });
    words.collect()
}

/// Replaces `12 ms` and `1.5 s`.
fn without_times(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for at in 1..words.len() {
        // What follows the unit may begin another line.
        let unit = words.get(at).and_then(|word| word.split(|c: char| !c.is_alphabetic()).next());
        if !unit.is_some_and(|unit| ["ms", "s", "µs"].contains(&unit)) {
            continue;
        }
        if let Some(number) = words.get_mut(at - 1)
            && number.trim_start_matches('(').parse::<f64>().is_ok()
        {
            *number = if number.starts_with('(') { "(N".to_owned() } else { "N".to_owned() };
        }
    }
    words.join(" ")
}

#[test]
fn pages_of_every_subcommand() -> Result<()> {
    let place = tempfile::tempdir()?;
    write(place.path())?;
    let policies = repository("policies").canonicalize()?.display().to_string();
    let catalog = format!("{policies}/backstage/demo/catalog-info.yaml");
    let mut failed = Vec::new();
    for (name, line) in RUNS {
        let args: Vec<String> = line
            .split(' ')
            .map(|arg| arg.replace("CATALOG", &catalog).replace("POLICIES", &policies))
            .collect();
        let run = stagedoor(place.path(), &args, b"").with_context(|| (*name).to_owned())?;
        let mut page = run.stdout.clone();
        if LONG.contains(name) {
            let cut = |line: &str| line.chars().take(200).chain(['\n']).collect::<String>();
            page = page.lines().take(20).map(cut).collect();
        }
        let mut text = format!("$ stagedoor {line}\nexit: {}\n\n{page}", run.exit);
        if !run.stderr.is_empty() {
            text.push_str(&format!("\n-- standard error --\n{}", run.stderr));
        }
        let text = same_everywhere(&text, place.path());
        let held = std::panic::catch_unwind(|| insta::assert_snapshot!(*name, text));
        if held.is_err() {
            failed.push(*name);
        }
    }
    ensure!(failed.is_empty(), "pages have changed: {failed:?}");
    Ok(())
}

/// No subcommand is without a page.
#[test]
fn every_subcommand_has_a_page() -> Result<()> {
    let help = stagedoor(Path::new("/"), ["--help"], b"")?.stdout;
    let commands = help.split_once("Commands:").context("there are commands")?.1;
    let commands = commands.split_once("Options:").map_or(commands, |(before, _)| before);
    let named: BTreeSet<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    ensure!(named.len() > 25, "{named:?}");
    let run: BTreeSet<&str> = RUNS.iter().filter_map(|(_, line)| line.split(' ').next()).collect();
    let missing: Vec<_> = named.difference(&run).collect();
    ensure!(missing.is_empty(), "there is no page of {missing:?}");
    Ok(())
}
