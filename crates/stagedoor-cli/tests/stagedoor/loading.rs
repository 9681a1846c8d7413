//! One table of directories, read by every face: the same policies, the same revision, the same
//! problems.
#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stagedoor_backstage::{Permissions, PolicyEngine};
use stagedoor_core::{Engine, EngineBuilder, Limits, LoadError, Problem, RuleEvaluator};
use stagedoor_review::{LoadingError, Policies};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, WasmRules};
use stagedoor_source::{
    Bundle, EntryKind, GitTree, MemoryFileSystem, PolicySet, PolicySources, RealFileSystem,
    Vocabulary,
};
use stagedoor_webhook::{PoliciesError, PolicySource};

use crate::run::{repository, stagedoor};

const PLATFORMS: [Vocabulary; 2] =
    [stagedoor_backstage::VOCABULARY, stagedoor_kubernetes::VOCABULARY];

/// Where a row's directory is, in memory and below a temporary directory.
const ROOT: &str = "set";

#[derive(Debug, Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    bytes: BTreeMap<String, Vec<u8>>,
    /// Files with a schema that ships.
    #[serde(default)]
    shipped: BTreeMap<String, String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    #[serde(default)]
    pipes: Vec<String>,
    #[serde(default)]
    denied: Vec<String>,
    platform: Option<String>,
    loads: Option<Vec<usize>>,
    #[serde(default)]
    told: Vec<String>,
    about: Option<Vec<String>>,
    #[serde(default = "yes")]
    elsewhere: bool,
    #[serde(default)]
    rules: bool,
}

fn yes() -> bool {
    true
}

/// What a face makes of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Outcome {
    /// How many policies each set has, and its revision.
    sets: Vec<(usize, String)>,
    /// The codes of what is told, sorted.
    told: Vec<String>,
}

impl Outcome {
    /// Adds a set; what is told of files is the same for all of them.
    fn add(&mut self, loaded: Result<Engine, LoadError>) {
        let problems: Vec<Problem> = match loaded {
            Ok(engine) => {
                self.sets.push((engine.policies().len(), engine.revision().to_owned()));
                engine.warnings().to_vec()
            }
            Err(error) => error.problems().to_vec(),
        };
        self.told = codes(problems.iter().map(Problem::code));
    }
}

/// Returns codes, sorted, without what Cedar's validator warns of.
fn codes<'c>(codes: impl Iterator<Item = &'c str>) -> Vec<String> {
    let told = codes.filter(|code| !matches!(*code, "policy::warning" | "policy::validate"));
    let mut told: Vec<String> = told.map(str::to_owned).collect();
    told.sort();
    told
}

impl Row {
    fn files(&self) -> Result<BTreeMap<&str, Vec<u8>>> {
        let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        files.extend(self.files.iter().map(|(name, text)| (name.as_str(), text.clone().into())));
        files.extend(self.bytes.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
        for (name, which) in &self.shipped {
            let text = match which.as_str() {
                "backstage" => stagedoor_backstage::SCHEMA,
                "kubernetes" => stagedoor_kubernetes::SCHEMA,
                _ => stagedoor_kubernetes::admission::SCHEMA,
            };
            let text = match name.ends_with(".json") {
                false => text.to_owned(),
                true => {
                    let (fragment, _) = cedar_policy::SchemaFragment::from_cedarschema_str(text)?;
                    fragment.to_json_string()?
                }
            };
            files.insert(name, text.into());
        }
        Ok(files)
    }

    fn in_memory(&self) -> Result<MemoryFileSystem> {
        let path = |name: &str| Path::new(ROOT).join(name);
        let mut memory = MemoryFileSystem::default();
        for (name, bytes) in self.files()? {
            memory = memory.with_file(path(name), bytes);
        }
        for (name, target) in &self.links {
            memory = memory.with_link(path(name), target);
        }
        let memory = self.pipes.iter().fold(memory, |memory, name| memory.with_pipe(path(name)));
        let denied = self.denied.iter();
        Ok(denied.fold(memory, |memory, name| memory.with_unreadable(path(name), EntryKind::File)))
    }

    fn on_disk(&self, directory: &Path) -> Result<()> {
        for (name, bytes) in self.files()? {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().context("no directory")?)?;
            std::fs::write(path, bytes)?;
        }
        for (name, target) in &self.links {
            std::os::unix::fs::symlink(target, directory.join(name))?;
        }
        for name in &self.pipes {
            let made = Command::new("mkfifo").arg(directory.join(name)).status()?;
            ensure!(made.success(), "mkfifo");
        }
        Ok(())
    }

    /// Loads sources as the row asks.
    fn load(&self, sources: PolicySources) -> Result<Outcome> {
        let rules = self.rules_of(&sources)?;
        let with_rules =
            |builder: EngineBuilder| rules.iter().cloned().fold(builder, EngineBuilder::rules);
        let mut outcome = Outcome::default();
        for set in self.sets(sources)? {
            outcome.add(with_rules(set.builder()).build());
        }
        Ok(outcome)
    }

    /// Returns the sets, each with the schema of the permissions that its files add.
    fn sets(&self, sources: PolicySources) -> Result<Vec<PolicySet>> {
        let limits = Limits::default();
        let sets = match &self.platform {
            Some(platform) => vec![PolicySet::of(sources, &PLATFORMS, &[platform], &limits)],
            None => PolicySet::all(sources, &PLATFORMS),
        };
        let with_permissions = |set: PolicySet| match set.is_about("backstage") {
            true => Ok(Permissions::known()?.with_sources(set.sources())?.add_to(set)),
            false => Ok(set),
        };
        sets.into_iter().map(with_permissions).collect()
    }

    fn rules_of(&self, sources: &PolicySources) -> Result<Option<Arc<dyn RuleEvaluator>>> {
        if sources.rules().is_empty() {
            return Ok(None);
        }
        let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
        Ok(Some(Arc::new(WasmRules::found(&host, sources.rules())?)))
    }

    /// Whether a commit can hold the directory.
    fn is_for_git(&self) -> bool {
        self.links.is_empty() && self.pipes.is_empty() && self.denied.is_empty() && !self.rules
    }
}

/// What the command says of a directory.
fn by_command(row: &Row, directory: &Path) -> Result<Outcome> {
    let mut args = vec!["validate", ROOT, "--format", "json"];
    args.extend(row.platform.iter().flat_map(|platform| ["--platform", platform.as_str()]));
    let run = stagedoor(directory, args, b"")?;
    let mut outcome = Outcome::default();
    for line in run.stdout.lines() {
        let said: serde_json::Value = serde_json::from_str(line)?;
        if said["valid"] == true {
            let count = said["policies"].as_u64().context("no count")?;
            let revision = said["revision"].as_str().context("no revision")?;
            outcome.sets.push((usize::try_from(count)?, revision.to_owned()));
        }
        let problems = said["problems"].as_array().into_iter().flatten();
        let told = problems.filter_map(|problem| problem["code"].as_str());
        outcome.told = codes(told.filter(|code| !code.starts_with("conditions::")));
    }
    let loads = outcome.sets.len() == run.stdout.lines().count();
    ensure!((run.exit == 0) == loads, "exit {}: {}{}", run.exit, run.stdout, run.stderr);
    Ok(outcome)
}

fn by_review(row: &Row, sources: PolicySources) -> Result<Outcome> {
    let rules = row.rules_of(&sources)?;
    let mut outcome = Outcome::default();
    match Policies::all(sources, rules, &Limits::default()) {
        Ok(sets) => sets.into_iter().for_each(|set| outcome.add(Ok(set.engine))),
        Err(LoadingError::Policies(error)) => outcome.add(Err(error)),
        Err(other) => return Err(other.into()),
    }
    Ok(outcome)
}

fn by_webhook(directory: PathBuf) -> Result<Outcome> {
    let source = PolicySource::new([directory]).beside(stagedoor_backstage::VOCABULARY);
    let mut outcome = Outcome::default();
    match source.builder() {
        Ok(builder) => outcome.add(builder.build()),
        Err(PoliciesError::Load(error)) => outcome.add(Err(error)),
        Err(other) => return Err(other.into()),
    }
    Ok(outcome)
}

fn git(directory: &Path, args: &[&str]) -> Result<()> {
    let run = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=m"])
        .args(["-c", "core.autocrlf=false"])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()?;
    ensure!(run.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&run.stderr));
    Ok(())
}

fn check(row: &Row) -> Result<()> {
    let limits = Limits::default();
    let memory = row.in_memory()?;
    let expected = row.load(PolicySources::read(&memory, &[ROOT], &limits))?;
    let counts: Vec<usize> = expected.sets.iter().map(|(count, _)| *count).collect();
    let mut told = row.told.clone();
    told.sort();
    ensure!(expected.told == told, "told {:?}", expected.told);
    ensure!(counts == row.loads.clone().unwrap_or_default(), "loads {counts:?}");
    if let Some(about) = &row.about {
        let sets = row.sets(PolicySources::read(&memory, &[ROOT], &limits))?;
        let found: Vec<&str> = sets.iter().flat_map(PolicySet::platforms).collect();
        ensure!(found == *about, "about {found:?}");
    }
    if !row.denied.is_empty() {
        return Ok(());
    }

    let place = tempfile::tempdir()?;
    let directory = place.path().join(ROOT);
    std::fs::create_dir(&directory)?;
    row.on_disk(&directory)?;
    let read = || PolicySources::read(&RealFileSystem, &[&directory], &limits);
    let mut faces: Vec<(&str, Outcome)> = Vec::new();
    // Rules are read at their paths, which files in memory have not.
    faces.push(("disk", row.load(read())?));
    faces.push(("command", by_command(row, place.path())?));
    if row.platform.is_none() {
        faces.push(("review", by_review(row, read())?));
    }
    let about = row.about.as_deref().unwrap_or_default();
    if about == ["kubernetes"] {
        faces.push(("webhook", by_webhook(directory.clone())?));
    }
    if about == ["backstage"] {
        let policies = PolicyEngine::load(&directory)?;
        let mut outcome = Outcome::default();
        outcome.add(Ok(policies.engine().clone()));
        faces.push(("backstage", outcome));
    }
    if row.elsewhere {
        let texts = row.files()?.into_iter();
        let texts: Vec<(&str, String)> = texts
            .map(|(name, bytes)| Ok((name, String::from_utf8(bytes)?)))
            .collect::<Result<_>>()?;
        let hidden =
            |name: &str| name.split('/').any(|n| n.starts_with('.') || n == "node_modules");
        let texts = texts.into_iter().rev().filter(|(name, _)| !hidden(name));
        faces.push(("texts", row.load(PolicySources::from_texts(texts))?));
        for set in row.sets(read())? {
            let Ok(engine) = set.builder().build() else { continue };
            let json = Bundle::of(set.sources(), &engine)?.to_json();
            let bundle = Bundle::from_json("b", &json)?;
            let again = row.sets(PolicySources::from_bundle(&bundle))?;
            let [again] = again.as_slice() else { anyhow::bail!("a bundle of one set is one") };
            ensure!(again.builder().build()?.revision() == engine.revision(), "bundle");
            ensure!(Bundle::of(again.sources(), &engine)?.to_json() == json, "bundle of a bundle");
        }
    }
    if row.is_for_git() {
        git(place.path(), &["init", "--quiet"])?;
        git(place.path(), &["add", "--all", "--force"])?;
        git(place.path(), &["commit", "--quiet", "--message", "all"])?;
        let tree = GitTree::open_in(place.path(), &format!("HEAD:{ROOT}"))?;
        faces.push(("git", row.load(PolicySources::read(&tree, &[tree.path()], &limits))?));
    }
    for (face, outcome) in faces {
        // Files in memory cannot be read by those who run rules.
        let expected = if row.rules { row.load(read())? } else { expected.clone() };
        ensure!(outcome == expected, "{face}: {outcome:?}, not {expected:?}");
    }
    Ok(())
}

#[test]
fn every_face_reads_the_same_of_a_directory() -> Result<()> {
    let text = std::fs::read_to_string(repository("crates/stagedoor-cli/tests/loading.yaml"))?;
    let table: Table = serde_saphyr::from_str(&text)?;
    ensure!(table.rows.len() >= 50, "{} rows", table.rows.len());
    let mut wrong = Vec::new();
    for row in &table.rows {
        if let Err(error) = check(row) {
            wrong.push(format!("{}: {error:#}", row.name));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
