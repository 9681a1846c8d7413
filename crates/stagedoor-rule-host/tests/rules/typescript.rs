//! `name-convention`, which is written in TypeScript: its own tests, and the component.
//!
//! Needs `node` and `npm`; their absence is a failure, since nothing would be tested.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::{Context as _, Result, anyhow, ensure};
use stagedoor_core::{Decision, Engine, Entities, Entity, Request, Value};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, RuleLimits, WasmRule, WasmRules};
use stagedoor_source::FromFiles as _;

use crate::{patient, root};

/// Builds the SDK and the rule once, runs their tests, and returns the component.
fn component() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|e| format!("{e:?}")));
    built.as_deref().map_err(|e| anyhow!("{e}"))
}

fn build() -> Result<PathBuf> {
    let (sdk, rule) =
        (root().join("bindings/rule-sdk"), root().join("policies/rules/name-convention"));
    for folder in [&sdk, &rule] {
        npm(folder, &INSTALL)?;
        npm(folder, &["run", "build"])?;
    }
    Ok(rule.join("dist/name-convention.wasm"))
}

/// By the lock file. It lacks packages of other platforms, which `npm ci` takes for a fault.
const INSTALL: [&str; 5] = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];

fn npm(folder: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("npm").current_dir(folder).args(args).output();
    let output = output.context("`npm` is needed")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm {args:?}: {printed}\n{errors}");
    Ok(printed)
}

fn rule() -> Result<WasmRule> {
    rule_within(patient())
}

/// Compiled once, which takes a debug build seconds, and kept in a cache of this program's own.
fn rule_within(limits: RuleLimits) -> Result<WasmRule> {
    static HOST: OnceLock<Result<RuleHost, String>> = OnceLock::new();
    static COMPILING: Mutex<()> = Mutex::new(());
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-rules");
    let host = || {
        RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess).with_cache(&cache))
    };
    let host = HOST.get_or_init(|| host().map_err(|e| e.to_string()));
    let host = host.as_ref().map_err(|e| anyhow!("{e}"))?;
    let bytes = std::fs::read(component()?)?;
    let _compiling = COMPILING.lock().map_err(|e| anyhow!("{e}"))?;
    Ok(WasmRule::load(host, &bytes, limits)?)
}

fn named(name: &str, namespace: &str) -> Result<(Request, Entities)> {
    let resource = Entity::new(r#"Resource::"r""#.parse()?)
        .with_attribute("name", name)
        .with_attribute("namespace", namespace);
    let request =
        Request::new(r#"User::"u""#.parse()?, r#"Action::"create""#.parse()?, resource.uid.clone());
    Ok((request, Entities::from_entities([resource])?))
}

const FORM: &str = r#"{"template": "{namespace}-<words>"}"#;

#[test]
fn their_own_tests_pass() -> Result<()> {
    component()?;
    for (folder, told) in [
        ("bindings/rule-sdk", "what varies is missing"),
        ("policies/rules/name-convention", "names have the form of the template"),
    ] {
        let printed = npm(&root().join(folder), &["test"])?;
        ensure!(printed.contains(told), "{printed}");
    }
    Ok(())
}

#[test]
fn a_component_of_typescript_is_a_rule() -> Result<()> {
    let rule = rule()?;
    ensure!(rule.name() == "name-convention" && rule.version() == "0.1.0", "{rule:?}");
    ensure!(rule.contents().imports.is_empty(), "{:?}", rule.contents());
    ensure!(rule.inputs().resource && !rule.inputs().context);
    ensure!(rule.check_arguments(FORM).is_ok());
    let wrong = rule.check_arguments(r#"{"templat": "x"}"#).err().context("it was taken")?;
    ensure!(wrong.contains("`/templat` is not known"), "{wrong}");
    for (name, holds) in [("pay-api", true), ("pay", false), ("search-api", false)] {
        let (request, entities) = named(name, "pay")?;
        let given = rule.evaluate(&request, &entities, FORM)?;
        ensure!(given.holds == holds, "{name}: {given:?}");
        ensure!(given.reason.is_none() == holds, "{given:?}");
    }
    Ok(())
}

#[test]
fn an_error_thrown_is_told_and_fails_closed() -> Result<()> {
    let rule = rule()?;
    let (request, entities) = named("pay-api", "pay")?;
    let given = rule.evaluate(&request, &entities, r#"{"template": "{team}"}"#);
    let error = given.err().context("there is a verdict")?;
    ensure!(error.code() == "wasm_rule::error", "{error:?}");
    ensure!(error.to_string() == "the resource has no single text `team`", "{error}");
    Ok(())
}

#[test]
fn the_same_request_takes_the_same_fuel_in_typescript() -> Result<()> {
    let mut fuel = Vec::new();
    for _ in 0..2 {
        let rule = rule()?;
        for _ in 0..20 {
            let (request, entities) = named("pay-api", "pay")?;
            fuel.push(rule.evaluate(&request, &entities, FORM)?.fuel);
        }
    }
    fuel.dedup();
    ensure!(fuel.len() == 1, "{fuel:?}");
    // Far from the limit that a rule has by itself.
    ensure!(fuel.first().is_some_and(|fuel| *fuel < RuleLimits::default().fuel / 4), "{fuel:?}");
    Ok(())
}

/// As large as an object in etcd may be, under the limits that a rule has by itself.
#[test]
fn the_largest_object_of_kubernetes_is_read_in_typescript() -> Result<()> {
    let rule = rule_within(RuleLimits::default())?;
    let label = |n| format!("labels-of-an-object-that-is-large-{n:06}");
    let labels: Vec<String> = (0..37_000).map(label).collect();
    ensure!(labels.iter().map(String::len).sum::<usize>() > 1_450_000);
    for (name, holds) in [("pay-api", true), ("search-api", false)] {
        let resource = Entity::new(r#"Resource::"r""#.parse()?)
            .with_attribute("name", name)
            .with_attribute("namespace", "pay")
            .with_attribute("labels", Value::from_iter(labels.clone()));
        let request = Request::new(
            r#"User::"u""#.parse()?,
            r#"Action::"create""#.parse()?,
            resource.uid.clone(),
        );
        let given = rule.evaluate(&request, &Entities::from_entities([resource])?, FORM)?;
        ensure!(given.holds == holds, "{name}: {given:?}");
    }
    Ok(())
}

#[test]
fn a_policy_is_guarded_by_typescript() -> Result<()> {
    let mut rules = WasmRules::default();
    rules.add(rule()?).map_err(|rule| anyhow!("{} is there twice", rule.name()))?;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let engine = Engine::builder()
        .file(examples.join("naming/naming.cedarschema"))
        .file(examples.join("naming/naming.cedar"))
        .rules(Arc::new(rules))
        .build()?;
    for (name, decision) in [("payments-api", Decision::Allow), ("search-api", Decision::Deny)] {
        let request = Request::new(
            r#"User::"ana""#.parse()?,
            r#"Action::"create""#.parse()?,
            r#"Service::"s""#.parse()?,
        );
        let service = Entity::new(r#"Service::"s""#.parse()?)
            .with_attribute("name", name)
            .with_attribute("namespace", Value::String("payments".into()));
        let outcome = engine.decide(&request, &Entities::from_entities([service])?)?;
        ensure!(outcome.decision() == decision, "{name}: {outcome:?}");
    }
    Ok(())
}
