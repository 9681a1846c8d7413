//! The rules that ship, compiled from source, loaded and asked by an engine.

mod typescript;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use stagedoor_core::{
    Decision, Engine, Entities, Entity, Extension, GuardVerdict, LoadError, Request, Value,
};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, RuleLimits, WasmRule, WasmRules};
use stagedoor_source::FromFiles as _;

/// Compiles the rules once, and returns the directory of the components.
fn components() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|e| format!("{e:?}")));
    built.as_deref().map_err(|e| anyhow!("{e}"))
}

fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules");
    let built = Command::new("sh")
        .arg(root.join("crates/stagedoor-rule-sdk/wasm32.sh"))
        .args(["cargo", "build", "--release", "--locked", "--target", "wasm32-unknown-unknown"])
        .current_dir(root.join("policies/rules"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .context("the rules are built by a shell")?;
    ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(target.join("wasm32-unknown-unknown/release"))
}

fn bytes(name: &str) -> Result<Vec<u8>> {
    Ok(std::fs::read(components()?.join(format!("{name}.wasm")))?)
}

/// Limits with time enough on a machine that does ten other things.
fn patient() -> RuleLimits {
    let mut limits = RuleLimits::default();
    limits.deadline = Duration::from_secs(1);
    limits
}

fn rules() -> Result<Arc<WasmRules>> {
    let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
    let mut rules = WasmRules::default();
    for name in ["change_window", "image_policy"] {
        let rule = WasmRule::load(&host, &bytes(name)?, patient())?;
        rules.add(rule).map_err(|rule| anyhow!("{} is there twice", rule.name()))?;
    }
    Ok(Arc::new(rules))
}

const SCHEMA: &str = r#"
    entity User; entity AdmittedObject tags Set<String>;
    entity Resource = { object?: AdmittedObject };
    action deploy, create appliesTo {
        principal: User, resource: Resource, context: { now?: datetime }
    };"#;

const POLICIES: &str = r#"
    @id("deploy-in-hours")
    @guard("change-window")
    @guard_args("{\"windows\": [{\"days\": [\"mon\"], \"from\": \"09:00\", \"to\": \"17:00\"}]}")
    permit (principal, action == Action::"deploy", resource);

    @id("anybody-creates")
    permit (principal, action == Action::"create", resource);

    @id("images-of-ours")
    @guard("image-policy")
    @guard_args("{\"registries\": [\"registry.example.com\"]}")
    permit (principal, action == Action::"deploy", resource) when { resource has object };"#;

fn engine(policies: &str) -> Result<Result<Engine, LoadError>> {
    let builder = Engine::builder().schema("s.cedarschema", SCHEMA);
    Ok(builder.policies("p.cedar", policies).rules(rules()?).build())
}

fn deploy(at: Option<&str>) -> Result<Request> {
    let request = Request::new(
        r#"User::"u""#.parse()?,
        r#"Action::"deploy""#.parse()?,
        r#"Resource::"r""#.parse()?,
    );
    Ok(match at {
        Some(at) => request.with_context("now", Extension::datetime(at)?),
        None => request,
    })
}

#[test]
fn components_are_small_and_describe_themselves() -> Result<()> {
    let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
    for (file, name) in [("change_window", "change-window"), ("image_policy", "image-policy")] {
        let bytes = bytes(file)?;
        let rule = WasmRule::load(&host, &bytes, RuleLimits::default())?;
        ensure!(rule.name() == name && rule.version() == "0.1.0", "{rule:?}");
        ensure!(bytes.len() < 64 << 10, "{name} has {} bytes", bytes.len());
        ensure!(rule.contents().imports.is_empty());
    }
    Ok(())
}

#[test]
fn a_change_window_opens_and_closes() -> Result<()> {
    let engine = engine(POLICIES)??;
    for (at, decision, verdict) in [
        ("2026-11-23T10:00:00Z", Decision::Allow, "yes"),
        ("2026-11-23T18:00:00Z", Decision::Deny, "no: no change window is open on Monday at 18:00"),
        (
            "2026-11-24T10:00:00Z",
            Decision::Deny,
            "no: no change window is open on Tuesday at 10:00",
        ),
    ] {
        let outcome = engine.decide(&deploy(Some(at))?, &Entities::empty())?;
        assert_eq!(outcome.decision(), decision, "{at}");
        let said = outcome.guards().iter().map(|guard| guard.verdict().to_string());
        assert_eq!(said.collect::<Vec<_>>(), [verdict], "{at}");
    }
    // Without the time the rule errs, and the permit is off.
    let outcome = engine.decide(&deploy(None)?, &Entities::empty())?;
    assert_eq!(outcome.decision(), Decision::Deny);
    assert_eq!(outcome.errors().iter().map(|e| e.code()).collect::<Vec<_>>(), ["wasm_rule::error"]);
    Ok(())
}

#[test]
fn images_of_an_object_are_looked_through() -> Result<()> {
    let engine = engine(POLICIES)??;
    for (images, holds) in [
        (vec!["registry.example.com/a", "registry.example.com/b:1"], true),
        (vec!["registry.example.com/a", "docker.io/b"], false),
        (vec![], true),
    ] {
        let object = Entity::new(r#"AdmittedObject::"o""#.parse()?)
            .with_tag("/spec/containers/*/image", Value::from_iter(images.clone()));
        let resource =
            Entity::new(r#"Resource::"r""#.parse()?).with_attribute("object", object.uid.clone());
        let entities = Entities::from_entities([object, resource])?;
        // No window is open: the image policy alone decides.
        let outcome = engine.decide(&deploy(Some("2026-11-24T10:00:00Z"))?, &entities)?;
        ensure!((outcome.decision() == Decision::Allow) == holds, "{images:?}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn arguments_that_do_not_fit_are_told_with_their_place() -> Result<()> {
    for (arguments, says) in [
        (
            r#"{\"windows\": [{\"days\": [\"mon\"], \"from\": \"09:00\"}]}"#,
            "`/windows/0` lacks `to`",
        ),
        (r#"{\"window\": []}"#, "`/window` is not known"),
        (
            r#"{\"windows\": [{\"days\": [\"monday\"], \"from\": \"09:00\", \"to\": \"10:00\"}]}"#,
            "`/windows/0/days/0` is none of",
        ),
    ] {
        let text = format!(
            "@id(\"x\")\n@guard(\"change-window\")\n@guard_args(\"{arguments}\")\npermit (principal, action, resource);"
        );
        let Err(error) = engine(&text)? else { anyhow::bail!("{arguments} were taken") };
        let problem = error.problems().first().context("no problem")?;
        ensure!(problem.code() == "guard::arguments" && problem.line() == Some(2), "{error}");
        ensure!(problem.message().contains(says), "{error}");
    }
    Ok(())
}

/// The rule's own answer, worked out from the days and hours alone.
#[test]
fn windows_agree_with_a_table_of_hours() -> Result<()> {
    let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
    let rule = WasmRule::load(&host, &bytes("change_window")?, patient())?;
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let windows = (0_usize..7, 0_i64..24, 1_i64..24, 0_i64..(7 * 24));
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    runner.run(&windows, |(day, from, length, hour)| {
        let failed = |e: &dyn std::fmt::Display| TestCaseError::fail(e.to_string());
        let to = (from + length) % 24;
        let arguments = format!(
            r#"{{"windows": [{{"days": ["{}"], "from": "{from:02}:00", "to": "{to:02}:00"}}]}}"#,
            names.get(day).copied().unwrap_or_default()
        );
        // 2026-11-23 is a Monday.
        let now = 1_795_392_000_000 + hour * 3_600_000;
        let request = deploy(None).map_err(|e| failed(&e))?.with_context("now", Value::Long(now));
        let given =
            rule.evaluate(&request, &Entities::empty(), &arguments).map_err(|e| failed(&e))?;
        let start = i64::try_from(day).unwrap_or_default() * 24 + from;
        let expected = (hour - start).rem_euclid(7 * 24) < length;
        prop_assert_eq!(given.holds, expected, "{} at hour {}", arguments, hour);
        Ok(())
    })?;
    Ok(())
}

#[test]
fn replayed_requests_take_the_same_fuel() -> Result<()> {
    let mut fuel = Vec::new();
    for _ in 0..2 {
        let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
        let rule = WasmRule::load(&host, &bytes("change_window")?, patient())?;
        for _ in 0..100 {
            let request = deploy(Some("2026-11-23T10:00:00Z"))?;
            fuel.push(rule.evaluate(&request, &Entities::empty(), r#"{"windows": []}"#)?.fuel);
        }
    }
    fuel.dedup();
    ensure!(fuel.len() == 1, "{fuel:?}");
    Ok(())
}

#[test]
fn a_failed_guard_keeps_a_forbid_on() -> Result<()> {
    let policies = r#"
        @id("p") permit (principal, action, resource);
        @id("f") @guard("change-window") forbid (principal, action, resource);"#;
    let outcome = engine(policies)??.decide(&deploy(None)?, &Entities::empty())?;
    assert_eq!(outcome.decision(), Decision::Deny);
    ensure!(matches!(outcome.guards(), [g] if matches!(g.verdict(), GuardVerdict::Failed(_))));
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_examples_load_and_decide() -> Result<()> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let deploy = Engine::builder()
        .file(examples.join("deploy.cedarschema"))
        .file(examples.join("deploy.cedar"))
        .rules(rules()?)
        .build()?;
    for (group, at, decision) in [
        ("developers", "2026-11-23T10:00:00Z", Decision::Allow),
        ("developers", "2026-11-27T10:00:00Z", Decision::Deny),
        ("developers", "2026-12-21T10:00:00Z", Decision::Deny),
        ("operators", "2026-12-21T10:00:00Z", Decision::Allow),
    ] {
        let user =
            Entity::new(r#"User::"u""#.parse()?).with_parent(format!("Group::{group:?}").parse()?);
        let request = Request::new(
            user.uid.clone(),
            r#"Action::"deploy""#.parse()?,
            r#"Service::"s""#.parse()?,
        );
        let now = Extension::datetime(at)?;
        let entities = Entities::from_entities([user])?;
        let outcome = deploy.decide(&request.with_context("now", now), &entities)?;
        assert_eq!(outcome.decision(), decision, "{group} at {at}: {outcome:?}");
    }
    let kubernetes = root().join("policies/kubernetes");
    Engine::builder()
        .file(kubernetes.join("kubernetes.cedarschema"))
        .file(kubernetes.join("admission/admission.cedarschema"))
        .file(examples.join("admission.cedar"))
        .rules(rules()?)
        .build()?;
    Ok(())
}

/// As large as an object in etcd may be, under the limits that a rule has by itself.
#[test]
fn the_largest_object_of_kubernetes_is_read_in_rust() -> Result<()> {
    let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
    let rule = WasmRule::load(&host, &bytes("image_policy")?, RuleLimits::default())?;
    let arguments = r#"{"registries": ["registry.example.com"], "digests": true}"#;
    for (foreign, holds) in [(None, true), (Some("evil.example.com/x"), false)] {
        let digest = "0a".repeat(32);
        let image = |n| format!("registry.example.com/payments/api-{n}@sha256:{digest}");
        let images: Vec<String> =
            (0..13_700).map(image).chain(foreign.map(str::to_owned)).collect();
        ensure!(images.iter().map(String::len).sum::<usize>() > 1_500_000);
        let object = Entity::new(r#"AdmittedObject::"o""#.parse()?)
            .with_tag("/spec/containers/*/image", Value::from_iter(images));
        let resource =
            Entity::new(r#"Resource::"r""#.parse()?).with_attribute("object", object.uid.clone());
        let request = Request::new(
            r#"User::"u""#.parse()?,
            r#"Action::"create""#.parse()?,
            resource.uid.clone(),
        );
        let entities = Entities::from_entities([object, resource])?;
        let given = rule.evaluate(&request, &entities, arguments)?;
        ensure!(given.holds == holds, "{given:?}");
    }
    Ok(())
}

/// The rules and the SDK are a workspace of their own: their tests run from here.
#[test]
fn the_tests_of_the_rules_pass() -> Result<()> {
    let tested = Command::new("cargo")
        .args(["test", "--locked", "--workspace"])
        .current_dir(root().join("policies/rules"))
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules-native"))
        .output()?;
    let told = String::from_utf8_lossy(&tested.stdout);
    ensure!(tested.status.success(), "{told}\n{}", String::from_utf8_lossy(&tested.stderr));
    ensure!(told.contains("windows_open_and_close ... ok"), "{told}");
    Ok(())
}
