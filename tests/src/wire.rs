//! The corpus of what programs read and write: inputs in `cases/wire/*.json`, and beside each file
//! the answers to its cases, a line each, as every face gives them byte for byte.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use stagedoor_backstage::{Permissions, PolicyEngine, Principal};
use stagedoor_core::{Engine, EngineBuilder, Entities};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, WasmRules};
use stagedoor_wire::{
    BackstagePermission, BackstageUser, Decision, Explanation, List, QueryAnswer, QueryInput,
    RequestInput, WireError,
};

/// What stands for the revision, which every change of the loader changes.
pub const REVISION: &str = "REVISION";

/// The names of texts, in every face.
pub const SCHEMA: &str = "suite.cedarschema";
/// As [`SCHEMA`].
pub const POLICIES: &str = "suite.cedar";

/// A policy set with its cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireSuite {
    /// What it is about.
    pub description: String,
    /// `backstage`, or plain Cedar.
    pub platform: Option<String>,
    /// Schema in Cedar's syntax; lines.
    #[serde(default)]
    pub schema: Vec<String>,
    /// Policies in Cedar's syntax; lines.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Rules that policies are guarded by; see [`write_rules`].
    #[serde(default)]
    pub rules: Vec<String>,
    /// Entities in Cedar's JSON form.
    pub entities: Option<Box<RawValue>>,
    /// What is asked.
    pub cases: Vec<WireCase>,
}

/// One question. One of the last six is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireCase {
    /// What it shows.
    pub name: String,
    /// A request that is decided.
    pub decide: Option<Box<RawValue>>,
    /// A request whose decision is explained.
    pub explain: Option<Box<RawValue>>,
    /// Policies, in lines, that do not load.
    pub load: Option<Vec<String>>,
    /// A permission that Backstage asks for.
    pub backstage: Option<BackstageCase>,
    /// A request of which parts are not known.
    pub query: Option<Box<RawValue>>,
    /// What is to be listed.
    pub list: Option<Box<RawValue>>,
}

/// What Backstage asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackstageCase {
    /// The permission.
    pub permission: BackstagePermission,
    /// Who asks.
    pub user: Option<BackstageUser>,
}

impl WireSuite {
    /// Returns the answers of the library, a line each.
    ///
    /// # Errors
    ///
    /// If the policies of the suite do not load, or those of a case do.
    pub fn answers(&self) -> Result<Vec<String>> {
        ensure!(!self.cases.is_empty(), "there are no cases");
        let directory = tempfile::tempdir()?;
        let mut builder = Engine::builder();
        if !self.rules.is_empty() {
            write_rules(directory.path(), &self.rules)?;
            let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
            builder = builder.rules(Arc::new(WasmRules::load(&host, directory.path())?));
        }
        let engine = self.with_schema(builder).policies(POLICIES, self.policies.join("\n"));
        let engine = engine.build()?;
        let json = self.entities.as_ref().map_or("[]", |raw| raw.get());
        let entities = Entities::from_json_str(json, engine.schema())?;
        let answer = |case: &WireCase| -> Result<String> {
            let answer = self.answer(case, &engine, &entities);
            let answer = answer.with_context(|| format!("case `{}`", case.name))?;
            Ok(answer.replace(engine.revision(), REVISION))
        };
        self.cases.iter().map(answer).collect()
    }

    fn with_schema(&self, builder: EngineBuilder) -> EngineBuilder {
        match self.platform.as_deref() {
            Some("backstage") => {
                builder.schema("(shipped) backstage.cedarschema", stagedoor_backstage::SCHEMA)
            }
            _ => builder.schema(SCHEMA, self.schema.join("\n")),
        }
    }

    fn answer(&self, case: &WireCase, engine: &Engine, entities: &Entities) -> Result<String> {
        if let Some(json) = &case.decide {
            let decided = RequestInput::from_json(json.get())
                .and_then(|request| request.read(engine, entities))
                .and_then(|(request, entities)| Ok(engine.decide(&request, &entities)?));
            let decision = match &decided {
                Ok(outcome) => outcome.into(),
                Err(error) => Decision::refused(error.clone(), engine.revision()),
            };
            return Ok(serde_json::to_string(&decision)?);
        }
        if let Some(json) = &case.explain {
            let request = RequestInput::from_json(json.get())?;
            let (request, entities) = request.read(engine, entities)?;
            let explanation = engine.explain(&request, &entities)?;
            return Ok(serde_json::to_string(&Explanation::of(&explanation, engine))?);
        }
        if let Some(policies) = &case.load {
            let loaded = self.with_schema(Engine::builder());
            return match loaded.policies(POLICIES, policies.join("\n")).build() {
                Ok(_) => bail!("the policies load"),
                Err(error) => Ok(serde_json::to_string(&WireError::from(error))?),
            };
        }
        if let Some(json) = &case.query {
            let (query, _) = QueryInput::from_json(json.get())?.read(engine)?;
            let revision = engine.revision();
            let answers = engine.query(&query, entities)?;
            let told = answers.iter().map(|answer| QueryAnswer::of(answer, revision));
            return Ok(serde_json::to_string(&told.collect::<Vec<_>>())?);
        }
        if let Some(json) = &case.list {
            let (query, page) = QueryInput::from_json(json.get())?.read(engine)?;
            let listed = engine.list(&query, entities, &page)?;
            return Ok(serde_json::to_string(&List::of(&listed, engine.revision()))?);
        }
        let Some(BackstageCase { permission, user }) = &case.backstage else {
            bail!("nothing is asked")
        };
        let policy = PolicyEngine::new(engine.clone(), Permissions::known()?);
        let principal = user.clone().map(Principal::from_wire).transpose();
        let principal = principal.as_ref().map(Option::as_ref);
        Ok(serde_json::to_string(&policy.answer_permission(permission, principal))?)
    }
}

/// Writes rules that say yes (`willing`), no (`refuser`) or nothing (`trapper`) to everything.
///
/// # Errors
///
/// For another name, and if the directory cannot be written.
pub fn write_rules(directory: &Path, names: &[String]) -> Result<()> {
    for name in names {
        let evaluate = match name.as_str() {
            "willing" => "",
            "refuser" => "(i32.store8 (i32.const 604) (i32.const 0))",
            "trapper" => "unreachable",
            other => bail!("no rule is called `{other}`"),
        };
        let module = include_str!("../../crates/stagedoor-rule-host/tests/hostile/module.wat")
            .replace("{core}", "")
            .replace("{describe}", "")
            .replace("{evaluate}", evaluate)
            .replace("hostile", name);
        let text = include_str!("../../crates/stagedoor-rule-host/tests/hostile/component.wat")
            .replace("{imports}", "")
            .replace("{module}", &module)
            .replace("{version}", "0.1.0");
        std::fs::write(directory.join(name).with_extension("wasm"), wat::parse_str(text)?)?;
        // Time enough on a machine that does ten other things.
        let limits = directory.join(name).with_extension("limits.json");
        std::fs::write(limits, r#"{"deadlineMs": 1000}"#)?;
    }
    Ok(())
}
