//! One table of directories, `loading.yaml`, and what every face is to make of each.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use stagedoor_backstage::Permissions;
use stagedoor_core::{Engine, EngineBuilder, Limits, LoadError, Problem, RuleEvaluator};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, WasmRules};
use stagedoor_source::{
    EntryKind, MemoryFileSystem, PolicySet, PolicySources, RealFileSystem, Vocabulary,
};

/// The platforms that directories may be about.
pub const PLATFORMS: [Vocabulary; 2] =
    [stagedoor_backstage::VOCABULARY, stagedoor_kubernetes::VOCABULARY];

/// Where a row's directory is, in memory and below a temporary directory.
pub const ROOT: &str = "set";

/// The table.
#[derive(Debug, Deserialize)]
pub struct Table {
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Table {
    /// Reads the table.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read() -> Result<Self> {
        let table: Self = serde_saphyr::from_str(include_str!("../cases/loading.yaml"))?;
        ensure!(table.rows.len() >= 50, "{} rows", table.rows.len());
        Ok(table)
    }

    /// Writes the directories of all rows below a directory, by their numbers, and what faces in
    /// JavaScript are to make of them as `expected.json`.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn write(&self, below: &Path) -> Result<()> {
        let mut expected = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            if !row.denied.is_empty() {
                continue;
            }
            let directory = below.join(number.to_string());
            std::fs::create_dir_all(&directory)?;
            row.on_disk(&directory)?;
            expected.extend(row.expected(&directory)?);
        }
        ensure!(expected.len() >= 50, "{} rows", expected.len());
        std::fs::write(below.join("expected.json"), serde_json::to_vec(&expected)?)?;
        Ok(())
    }
}

/// What a face in JavaScript is to make of a directory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Expectation<'r> {
    name: &'r str,
    directory: String,
    platform: Option<&'r str>,
    has_rules: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

/// A directory, with what is to come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What is special about it.
    pub name: String,
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
    /// Files that cannot be read.
    #[serde(default)]
    pub denied: Vec<String>,
    /// The platform that is asked for.
    pub platform: Option<String>,
    /// How many policies each set has.
    pub loads: Option<Vec<usize>>,
    /// The codes of what is told.
    #[serde(default)]
    pub told: Vec<String>,
    /// The platforms that it is about.
    pub about: Option<Vec<String>>,
    /// Whether texts alone and a bundle say the same.
    #[serde(default = "yes")]
    pub elsewhere: bool,
    /// Whether there are custom rules.
    #[serde(default)]
    pub rules: bool,
}

fn yes() -> bool {
    true
}

/// What a face makes of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// How many policies each set has, and its revision.
    pub sets: Vec<(usize, String)>,
    /// The codes of what is told, sorted.
    pub told: Vec<String>,
}

impl Outcome {
    /// Adds a set; what is told of files is the same for all of them.
    pub fn add(&mut self, loaded: Result<Engine, LoadError>) {
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
#[must_use]
pub fn codes<'c>(codes: impl Iterator<Item = &'c str>) -> Vec<String> {
    let told = codes.filter(|code| !matches!(*code, "policy::warning" | "policy::validate"));
    let mut told: Vec<String> = told.map(str::to_owned).collect();
    told.sort();
    told
}

impl Row {
    /// Returns the files with their bytes.
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub fn files(&self) -> Result<BTreeMap<&str, Vec<u8>>> {
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

    /// Returns the directory in memory, as [`ROOT`].
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub fn in_memory(&self) -> Result<MemoryFileSystem> {
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

    /// Writes the directory.
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub fn on_disk(&self, directory: &Path) -> Result<()> {
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
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub fn load(&self, sources: PolicySources) -> Result<Outcome> {
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
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub fn sets(&self, sources: PolicySources) -> Result<Vec<PolicySet>> {
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

    /// Returns the custom rules beside the policies, compiled.
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub fn rules_of(&self, sources: &PolicySources) -> Result<Option<Arc<dyn RuleEvaluator>>> {
        if sources.rules().is_empty() {
            return Ok(None);
        }
        let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
        Ok(Some(Arc::new(WasmRules::found(&host, sources.rules())?)))
    }

    /// Returns whether a commit can hold the directory.
    #[must_use]
    pub fn is_for_git(&self) -> bool {
        self.links.is_empty() && self.pipes.is_empty() && self.denied.is_empty() && !self.rules
    }

    /// Returns what is to come of the directory on disk: one for each platform where each has
    /// directories of its own.
    fn expected<'r>(&'r self, directory: &Path) -> Result<Vec<Expectation<'r>>> {
        let read = || PolicySources::read(&RealFileSystem, &[directory], &Limits::default());
        let sets = self.sets(read())?;
        let about = |set: &PolicySet| {
            let known = PLATFORMS.iter().map(|platform| platform.name);
            known.filter(|name| set.is_about(name)).collect::<Vec<_>>()
        };
        let platforms: Vec<Option<&str>> = match (&self.platform, sets.as_slice()) {
            (Some(platform), _) => vec![Some(platform)],
            // Permissions that files add are Backstage's.
            (None, [set]) => vec![about(set).into_iter().find(|name| *name == "backstage")],
            (None, sets) => sets.iter().flat_map(about).map(Some).collect(),
        };
        let rules = self.rules_of(&read())?;
        let expected = |platform: Option<&'r str>| {
            let asked: Vec<&str> = platform.into_iter().collect();
            let set = PolicySet::of(read(), &PLATFORMS, &asked, &Limits::default());
            let set = match platform {
                Some("backstage") => Permissions::known()?.with_sources(set.sources())?.add_to(set),
                _ => set,
            };
            let mut outcome = Outcome::default();
            outcome.add(rules.iter().cloned().fold(set.builder(), EngineBuilder::rules).build());
            let directory = directory.display().to_string();
            Ok(Expectation {
                name: &self.name,
                directory,
                platform,
                has_rules: self.rules,
                outcome,
            })
        };
        platforms.into_iter().map(expected).collect()
    }
}
