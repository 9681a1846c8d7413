//! What a guard adds to a decision, and how long a rule takes to load.
//!
//! `GUARD_RULES` names a directory with `image_policy.wasm` and `name-convention.wasm`, as
//! `policies/rules/README.md` builds them.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use criterion::Criterion;
use stagedoor_core::{Engine, Entities, Entity, Request, Value};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, RuleLimits, WasmRule, WasmRules};

const SCHEMA: &str = r#"
    entity User; entity Object tags Set<String>;
    entity Resource = { name: String, namespace: String, object: Object };
    action create appliesTo { principal: User, resource: Resource };"#;

const RUST: &str = r#"@guard("image-policy")
    @guard_args("{\"registries\": [\"registry.example.com\"], \"digests\": true}")"#;

const TYPESCRIPT: &str = r#"@guard("name-convention")
    @guard_args("{\"template\": \"{namespace}-<words>\"}")"#;

fn main() -> Result<()> {
    let directory = std::env::var_os("GUARD_RULES").map(PathBuf::from);
    let directory = directory.context("GUARD_RULES names no directory of components")?;
    let cache = tempfile::tempdir()?;
    let host = RuleHost::new(
        &HostConfig::default()
            .with_compiler(Compiler::InProcess)
            .with_cache(cache.path().join("rules")),
    )?;
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("guards");
    let (request, entities) = asked()?;
    for (what, annotations) in [("none", ""), ("rust", RUST), ("typescript", TYPESCRIPT)] {
        let engine = engine(&host, &directory, annotations)?;
        let outcome = engine.decide(&request, &entities)?;
        let allowed = outcome.decision() == stagedoor_core::Decision::Allow;
        anyhow::ensure!(allowed, "{what}: {outcome:?}");
        group.bench_function(what, |bencher| {
            bencher.iter(|| black_box(engine.decide(&request, &entities)));
        });
    }
    for file in ["image_policy.wasm", "name-convention.wasm"] {
        let bytes = std::fs::read(directory.join(file))?;
        let load = || WasmRule::load(&host, &bytes, patient());
        anyhow::ensure!(load()?.from_cache(), "{file} was not cached");
        group.bench_function(format!("load/{file}"), |bencher| bencher.iter(|| black_box(load())));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// A guard that fails would be measured as one that answers fast.
fn patient() -> RuleLimits {
    let mut limits = RuleLimits::default();
    limits.deadline = Duration::from_secs(1);
    limits
}

fn engine(host: &RuleHost, directory: &Path, annotations: &str) -> Result<Engine> {
    let mut rules = WasmRules::default();
    for file in ["image_policy.wasm", "name-convention.wasm"] {
        let rule = WasmRule::load(host, &std::fs::read(directory.join(file))?, patient())?;
        rules.add(rule).map_err(|rule| anyhow!("`{}` is there twice", rule.name()))?;
    }
    let policies = format!("@id(\"p\") {annotations} permit (principal, action, resource);");
    let builder = Engine::builder().schema("s.cedarschema", SCHEMA).policies("p.cedar", policies);
    Ok(builder.rules(Arc::new(rules)).build()?)
}

/// A request of some 500 bytes: a pod with two images.
fn asked() -> Result<(Request, Entities)> {
    let image = |name: &str| format!("registry.example.com/{name}@sha256:{}", "0a".repeat(32));
    let images = [image("payments/api"), image("payments/sidecar")];
    let object = Entity::new(r#"Object::"o""#.parse()?)
        .with_tag("/metadata/name", Value::from_iter(["payments-api"]))
        .with_tag("/spec/containers/*/image", Value::from_iter(images));
    let resource = Entity::new(r#"Resource::"r""#.parse()?)
        .with_attribute("name", "payments-api")
        .with_attribute("namespace", "payments")
        .with_attribute("object", object.uid.clone());
    let request = Request::new(
        r#"User::"ana""#.parse()?,
        r#"Action::"create""#.parse()?,
        resource.uid.clone(),
    );
    Ok((request, Entities::from_entities([object, resource])?))
}
