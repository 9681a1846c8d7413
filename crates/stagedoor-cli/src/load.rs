//! The policies that a command's arguments name, loaded in the one way that all commands have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use stagedoor_backstage::{Permissions, with_permission_help};
use stagedoor_core::{Engine, Limits, Problem, Severity, SourceKind};
use stagedoor_source::{
    ManifestUse, PathOrigin, PolicyOrigin, PolicySet, PolicySources, RealFileSystem,
    limits_from_json,
};

use crate::failure::Failure;
use crate::input::{Input, is_stdin, unreadable};
use crate::output::Output;
use crate::platform::{PLATFORMS, Platform};
use crate::rules::{self, RuleFiles, RulePlaces};

/// Limits are not larger than this.
const LIMITS_BYTES: usize = 64 << 10;
/// Problems with where policies come from, which are told whatever a command prints.
const ABOUT_FILES: [&str; 5] = ["file::", "directory::", "set::", "manifest::", "rules::"];

/// How policies are loaded.
#[derive(Debug, Default, Args)]
pub(crate) struct LoadArgs {
    /// Directories of custom rules, `*.wasm`, that policies may be guarded by; else those in
    /// directories `rules` among the policies.
    #[arg(long = "rules", value_name = "DIR", num_args = 1..)]
    pub(crate) rules: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) rule_host: rules::RuleHostArgs,

    /// Limits on what is loaded, as JSON: `{"policyBytes": 131072}`.
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,

    /// Load a directory only if it is what its `stagedoor.manifest.json` says.
    #[arg(long)]
    require_manifest: bool,
}

/// Policies that were loaded.
#[derive(Debug)]
pub(crate) struct LoadedPolicies {
    pub(crate) engine: Engine,
    /// The permissions of Backstage with those that files beside the policies add.
    pub(crate) permissions: Permissions,
    pub(crate) set: PolicySet,
}

impl LoadArgs {
    pub(crate) fn manifest(&self) -> ManifestUse {
        if self.require_manifest { ManifestUse::Required } else { ManifestUse::Optional }
    }

    /// Returns the rules of a server's policies, which are read again; what is not compiled yet is
    /// waited for so long.
    pub(crate) fn rule_files(
        &self,
        policies: Vec<PathBuf>,
        wait: Duration,
    ) -> Result<RuleFiles, Failure> {
        RuleFiles::new(&self.rule_host, self.rules.clone(), policies, wait)
    }

    /// Returns files and directories as where policies come from.
    pub(crate) fn origin(&self, paths: &[PathBuf]) -> Arc<dyn PolicyOrigin> {
        Arc::new(PathOrigin::new(paths, self.manifest()))
    }

    pub(crate) fn limits(&self) -> Result<Limits, Failure> {
        limits_of(self.limits.as_deref())
    }

    /// Reads files and directories, `-` for the standard input, and schemas, whatever their files
    /// are called.
    pub(crate) fn sources(
        &self,
        paths: &[PathBuf],
        schemas: &[PathBuf],
        input: &mut Input,
    ) -> Result<PolicySources, Failure> {
        let limits = self.limits()?;
        let named = paths.iter().filter(|path| !is_stdin(path));
        for path in named.clone() {
            // Said here on one line; the engine would list it among problems of policies.
            std::fs::metadata(path).map_err(|e| unreadable(&Input::name(path), &e))?;
        }
        let named: Vec<&PathBuf> = named.collect();
        let mut sources =
            PolicySources::read_with(&RealFileSystem, &named, &limits, self.manifest());
        for path in paths.iter().filter(|path| is_stdin(path)) {
            sources = sources.with_text(Input::name(path), input.text(path, limits.file_bytes)?);
        }
        for path in schemas {
            let text = input.text(path, limits.file_bytes)?;
            let is_json = path.extension().is_some_and(|ending| ending == "json")
                || text.trim_start().starts_with('{');
            let kind = if is_json { SourceKind::SchemaJson } else { SourceKind::Schema };
            sources = sources.with_source(Input::name(path), kind, text);
        }
        Ok(sources)
    }

    /// Loads the set of one platform, or all as one set.
    pub(crate) fn load(
        &self,
        paths: &[PathBuf],
        platform: Option<Platform>,
        output: &Output,
    ) -> Result<LoadedPolicies, Failure> {
        let mut input = Input::default();
        let sources = self.sources(paths, &[], &mut input)?;
        let asked: Vec<&str> = platform.into_iter().map(Platform::name).collect();
        let set = PolicySet::of(sources, &PLATFORMS, &asked, &self.limits()?);
        self.build(set, output)
    }

    /// Loads a set, and tells of what is odd about its files.
    pub(crate) fn build(&self, set: PolicySet, output: &Output) -> Result<LoadedPolicies, Failure> {
        let loaded = self.build_quietly(set)?;
        tell_of_files(loaded.engine.warnings(), output);
        Ok(loaded)
    }

    /// Loads a set, whose warnings the caller tells of.
    pub(crate) fn build_quietly(&self, set: PolicySet) -> Result<LoadedPolicies, Failure> {
        let mut permissions = Permissions::known()?;
        let set = match set.is_about(Platform::Backstage.name()) {
            true => {
                permissions = permissions.with_sources(set.sources())?;
                permissions.add_to(set)
            }
            false => set,
        };
        let rules = rules::load(RulePlaces::of(&self.rules, set.sources()), &self.rule_host)?;
        let builder = set.builder();
        let builder = rules.into_iter().fold(builder, |b, rules| b.rules(rules));
        let engine = builder.build().map_err(with_permission_help)?;
        Ok(LoadedPolicies { engine, permissions, set })
    }
}

/// Reads a file of limits; without one they are the default ones.
pub(crate) fn limits_of(path: Option<&Path>) -> Result<Limits, Failure> {
    let Some(path) = path else { return Ok(Limits::default()) };
    let text = Input::default().text(path, LIMITS_BYTES)?;
    limits_from_json(&text)
        .map_err(|reason| Failure::input(format!("`{}`: {reason}", Input::name(path))))
}

/// Tells people what is not read among policies, and what else is odd about their files.
pub(crate) fn tell_of_files(warnings: &[Problem], output: &Output) {
    for warning in warnings.iter().filter(|warning| is_about_files(warning)) {
        output.warning(warning);
    }
}

/// Whether a problem is about where policies come from.
pub(crate) fn is_about_files(problem: &Problem) -> bool {
    problem.severity() == Severity::Warning
        && ABOUT_FILES.iter().any(|about| problem.code().starts_with(about))
}

/// Where policies and schemas are.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// Policies: files or directories, `-` for the standard input.
    ///
    /// Of a directory all `*.cedar`, `*.cedar.json`, `*.cedarschema` and
    /// `*.cedarschema.json` below it are read. A file of another name is read as policies, or as
    /// a bundle. The schemas of the platforms that they are about are added unless they bring
    /// their own.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) policies: Vec<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    /// A schema, as Cedar text or (`*.json`) as JSON; several are taken together.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    schema: Vec<PathBuf>,

    /// Decide exactly as Cedar does.
    ///
    /// No schema is needed, nothing is validated, a `forbid` that cannot be evaluated
    /// is left out, and policies have Cedar's positional ids (`policy0`). A schema that
    /// is given serves to read entities and requests.
    #[arg(long)]
    exact_cedar: bool,
}

impl PolicyArgs {
    pub(crate) fn engine(&self, input: &mut Input, output: &Output) -> Result<Engine, Failure> {
        let sources = self.load.sources(&self.policies, &self.schema, input)?;
        if !self.exact_cedar {
            let set = PolicySet::of(sources, &PLATFORMS, &[], &self.load.limits()?);
            return Ok(self.load.build(set, output)?.engine);
        }
        let builder = sources.add_to(Engine::builder()).limits(self.load.limits()?).exact_cedar();
        let rules = rules::load(RulePlaces::of(&self.load.rules, &sources), &self.load.rule_host)?;
        let engine = rules.into_iter().fold(builder, |b, rules| b.rules(rules)).build()?;
        tell_of_files(engine.warnings(), output);
        Ok(engine)
    }
}
