//! Loaded tests, ready to be run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stagedoor_core::{DecideError, Engine, Entity, EntityUid, Limits, RuleEvaluator, unknown_key};

use stagedoor_source::ManifestUse;

use crate::collect::{Collector, parts, platforms};
use crate::command::Command;
use crate::coverage::{self, Coverage};
use crate::environment::{Engines, TestEnvironment};
use crate::file::{Case, KEYS, TestFile};
use crate::mutation::{self, Mutation, MutationTarget};
use crate::names::Names;
use crate::problem::{Position, Problem, TestError};
use crate::report::{CaseReport, CaseResult, Failure, FileReport, Report};
use crate::resolve::platform;
use crate::resolved_case::ResolvedCase;
use crate::test_case::TestCase;
use crate::{bound, cedar_files, invariant, parallel, read, table, text};

/// So many requests of an invariant are told of.
const TOLD: usize = 5;

/// Tests that were read, with the policies and fixtures that they are about.
///
/// # Examples
///
/// ```
/// use stagedoor_testing::{Options, TestSuite};
///
/// let directory = tempfile::tempdir()?;
/// let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
/// write("app.cedarschema", "entity User, Doc; action read appliesTo { principal: User, resource: Doc };")?;
/// write("app.cedar", r#"@id("all-read") permit(principal, action == Action::"read", resource);"#)?;
/// write("app.test.yaml", r#"
/// cases:
///   - name: everybody reads
///     principal: User::"ana"
///     action: Action::"read"
///     resource: Doc::"d1"
///     expect: { decision: allow, reasons: [all-read] }
/// "#)?;
/// let report = TestSuite::load(&[directory.path().to_owned()])?.run(&Options::default());
/// assert!(report.passed());
/// assert_eq!(report.counts().passed, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TestSuite {
    pub(crate) files: Vec<LoadedFile>,
    engines: Engines,
    load: Duration,
}

/// Collects tests and what they need, and loads them as a [`TestSuite`].
///
/// # Examples
///
/// ```
/// use stagedoor_testing::TestSuite;
///
/// let error = TestSuite::builder().tests(["no/such.test.yaml"]).build().err();
/// assert_eq!(error.ok_or("it was loaded")?.problems().len(), 1);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct TestSuiteBuilder {
    paths: Vec<PathBuf>,
    policies: Vec<PathBuf>,
    rules: Option<Arc<dyn RuleEvaluator>>,
    limits: Limits,
    manifest: ManifestUse,
    resembled: Vec<Engine>,
}

impl TestSuiteBuilder {
    /// Adds test files: files as they are given, and all below directories.
    #[must_use]
    pub fn tests(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.paths.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Adds policies for test files that name none; else those beside each test file are taken.
    #[must_use]
    pub fn policies(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.policies.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Sets the rules that policies may be guarded by.
    #[must_use]
    pub fn rules(mut self, rules: Arc<dyn RuleEvaluator>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Names an engine of policies that are mostly those of the tests, so that they need not be
    /// read again; see [`EngineBuilder::resembling`](stagedoor_core::EngineBuilder::resembling).
    #[must_use]
    pub fn resembling(mut self, engine: &Engine) -> Self {
        self.resembled.push(engine.clone());
        self
    }

    /// Sets the limits within which policies are loaded.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Says whether directories of policies are held to their manifests.
    #[must_use]
    pub fn manifest(mut self, manifest: ManifestUse) -> Self {
        self.manifest = manifest;
        self
    }

    /// Loads everything.
    ///
    /// # Errors
    ///
    /// [`TestError`] with everything that is wrong with test files, policies or fixtures.
    pub fn build(self) -> Result<TestSuite, TestError> {
        let started = Instant::now();
        let mut engines = Engines::new(self.rules, self.limits, self.manifest);
        engines.resembled = self.resembled;
        let mut error = TestError::default();
        let mut files = Vec::new();
        for path in read::find(&self.paths)? {
            match LoadedFile::load(path, &self.policies, &mut engines) {
                Ok(file) => files.push(file),
                Err(problems) => error.extend(problems),
            }
        }
        error.or(TestSuite { files, engines, load: started.elapsed() })
    }
}

/// How tests are run.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Only cases whose file, suite and name, put together, contain this.
    pub filter: Option<String>,
    /// Whether no further case is begun once one has failed.
    pub fail_fast: bool,
    /// Who is told how far a run is.
    pub progress: Progress,
    /// Directories of custom rules, which commands that explain failures name.
    pub rules: Vec<PathBuf>,
}

/// Is called with how many cases have been run and how many there are, from several threads.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(usize, usize) + Send + Sync>>);

impl Progress {
    /// Returns one that calls a function.
    pub fn new(tell: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(crate) fn call(&self, done: usize, all: usize) {
        if let Some(tell) = &self.0 {
            tell(done, all);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress(told)" } else { "Progress(none)" })
    }
}

pub(crate) struct LoadedFile {
    pub(crate) path: PathBuf,
    pub(crate) world: TestEnvironment,
    tests: Vec<TestCase>,
    /// What the tests were made of, without fixtures.
    file: TestFile,
}

impl TestSuite {
    /// Returns a builder, to load tests with.
    #[must_use]
    pub fn builder() -> TestSuiteBuilder {
        TestSuiteBuilder::default()
    }

    /// Reads the test files at the paths: files as they are given, and all below directories.
    ///
    /// # Errors
    ///
    /// [`TestError`] with everything that is wrong with test files, policies or fixtures.
    pub fn load(paths: &[PathBuf]) -> Result<Self, TestError> {
        Self::builder().tests(paths).build()
    }

    /// Returns how many cases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.iter().map(|file| file.tests.len()).sum()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the files and directories that the tests are made of.
    #[must_use]
    pub fn sources(&self) -> Vec<PathBuf> {
        let of_file = |file: &LoadedFile| {
            let TestEnvironment { policies, catalog_files, entity_files, .. } = &file.world;
            let used = policies.iter().chain(catalog_files).chain(entity_files);
            let used = std::iter::once(&file.path).chain(used).cloned();
            used.chain(file.manifests()).collect::<Vec<_>>()
        };
        let all: BTreeSet<PathBuf> = self.files.iter().flat_map(of_file).collect();
        all.into_iter().collect()
    }

    /// Returns whoever asks in the cases, with their groups as parents.
    #[must_use]
    pub fn principals(&self) -> Vec<Entity> {
        let mut all: BTreeMap<&EntityUid, &Entity> = BTreeMap::new();
        let tests = self.files.iter().flat_map(|file| &file.tests);
        for ResolvedCase { question, .. } in tests.flat_map(|test| &test.asked) {
            if let Some(entity) = question.entities.get(&question.request.principal) {
                all.entry(&entity.uid).or_insert(entity);
            }
        }
        all.into_values().cloned().collect()
    }

    /// Returns the engines that decide the cases.
    pub fn engines(&self) -> impl Iterator<Item = &Engine> {
        self.engines.iter()
    }

    /// Runs the cases, on all processors.
    #[must_use]
    pub fn run(&self, options: &Options) -> Report {
        let started = Instant::now();
        let chosen = self.chosen(options);
        let stopped = AtomicBool::new(false);
        let done = AtomicUsize::new(0);
        let results = parallel::map(chosen.len(), |number| {
            let started = Instant::now();
            let result = match chosen.get(number) {
                Some((_, file, test)) if !stopped.load(Ordering::Relaxed) => test.run(&file.world),
                _ => CaseResult::NotRun,
            };
            if options.fail_fast && matches!(result, CaseResult::Failed(_)) {
                stopped.store(true, Ordering::Relaxed);
            }
            options.progress.call(done.fetch_add(1, Ordering::Relaxed) + 1, chosen.len());
            (started.elapsed(), result)
        });

        let mut files: Vec<FileReport> = self
            .files
            .iter()
            .map(|file| FileReport { path: file.path.clone(), cases: Vec::new() })
            .collect();
        for ((file, _, test), (time, result)) in chosen.iter().zip(results) {
            if let Some(file) = files.get_mut(*file) {
                file.cases.push(test.report(time, naming(&options.rules, result)));
            }
        }
        Report { files, load: self.load, run: started.elapsed() }
    }

    /// Measures what the cases reach of the policies, whether they pass or not.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if a request is refused: no policy is asked about it.
    pub fn coverage(&self, options: &Options) -> Result<Coverage, DecideError> {
        let chosen = self.chosen(options);
        coverage::measure(chosen.iter().flat_map(|(_, file, test)| {
            let decided = test.asked.iter().filter(|asked| asked.question.refused.is_none());
            decided.map(|asked| (&file.world.engine, &asked.question))
        }))
    }

    /// Makes policies with one mistake each, and looks which of them no case notices.
    ///
    /// Only where all cases pass does it tell something. What is not known when the budget is
    /// used up is told as such.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if a request is refused.
    pub fn mutate(&self, options: &Options, budget: Duration) -> Result<Mutation, DecideError> {
        let files: Vec<MutationTarget<'_>> = self
            .files
            .iter()
            .map(|file| MutationTarget {
                world: &file.world,
                cases: file.cases(),
                asked: file
                    .tests
                    .iter()
                    .filter(|test| options.chooses(file, test))
                    .flat_map(|test| test.asked.iter().map(|asked| (test.name.as_str(), asked)))
                    // What no policy has a part in notices no mutant.
                    .filter(|(_, asked)| asked.question.refused.is_none())
                    .collect(),
            })
            .collect();
        mutation::mutate(&files, budget)
    }

    fn chosen(&self, options: &Options) -> Vec<(usize, &LoadedFile, &TestCase)> {
        let files = self.files.iter().enumerate();
        files
            .flat_map(|(number, file)| file.tests.iter().map(move |test| (number, file, test)))
            .filter(|(_, file, test)| options.chooses(file, test))
            .collect()
    }
}

impl Options {
    fn chooses(&self, file: &LoadedFile, test: &TestCase) -> bool {
        let Some(filter) = &self.filter else { return true };
        let suite = test.suite.as_deref().unwrap_or_default();
        format!("{} {suite} {}", file.path.display(), test.name).contains(filter.as_str())
    }
}

impl LoadedFile {
    /// Returns the manifests that Kubernetes objects of the fixtures are read from.
    fn manifests(&self) -> impl Iterator<Item = PathBuf> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let paths = self.world.fixtures.objects.values().filter_map(|object| object.as_str());
        paths.map(|path| directory.join(path))
    }

    /// Returns all cases of the file, those of tables and invariants, too.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut all = Vec::new();
        for (_, cases, tables, invariants) in parts(&self.file) {
            all.extend(cases.iter().map(|case| case.value.clone()));
            // What could not be made into cases did not load.
            let cells = tables.iter().flat_map(|table| table::cases(&table.value)).flatten();
            all.extend(cells.map(|cell| cell.case));
            let invariants =
                invariants.iter().flat_map(|about| invariant::cases(&about.value, &self.world));
            all.extend(invariants.flatten());
        }
        all
    }

    fn load(path: PathBuf, policies: &[PathBuf], engines: &mut Engines) -> Result<Self, TestError> {
        let text = text::read(&path)?;
        let mut file = read::read(&path, &text)?;
        cedar_files::or_given(&mut file.policies, policies);
        // Before policies are loaded, whose schema depends on it.
        let mut error = TestError::default();
        for case in parts(&file).flat_map(|(_, cases, ..)| cases) {
            if let Err(message) = platform(&case.value) {
                let problem = Problem::new(&path, format!("`{}`: {message}", case.value.name));
                error.add(problem.at(case.referenced.into()));
            }
        }
        for (name, place, message) in wrong_keys(&file) {
            error.add(Problem::new(&path, format!("`{name}`: {message}")).at(place));
        }
        error.or(())?;
        let platforms: Vec<_> =
            platforms(&file).into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let world = TestEnvironment::load(&path, &mut file, &platforms, engines)?;
        let mut error = TestError::default();
        let mut tests_of = Vec::new();
        let names = Names::of(&world);
        let world_of = (&world, &names);
        for (suite, cases, tables, invariants) in parts(&file) {
            let suite = suite.map(str::to_owned);
            let mut collector = Collector::new(world_of, suite, (&path, &text), &mut error);
            cases.iter().for_each(|case| tests_of.extend(collector.case(case)));
            tables.iter().for_each(|table| tests_of.extend(collector.table(table)));
            invariants.iter().for_each(|about| tests_of.extend(collector.invariant(about)));
        }
        let mut collector = Collector::new(world_of, None, (&path, &text), &mut error);
        file.bounds.iter().for_each(|given| tests_of.extend(collector.bound(given)));
        let tests = tests_of;
        if tests.is_empty() && error.problems().is_empty() {
            let help = "add `cases`, `tables`, `invariants`, `bounds` or `suites`";
            error.add(Problem::new(&path, "the file has no cases").with_help(help));
        }
        error.or(Self { path, world, tests, file })
    }
}

impl TestCase {
    fn run(&self, world: &TestEnvironment) -> CaseResult {
        if let Some(bound) = &self.bound {
            return bound::run(bound, &world.engine);
        }
        let mut failures = Vec::new();
        if let Some((question, expect)) = &self.list {
            let differences = match question.ask(world) {
                Ok(selection) => expect.selection_differences(&selection),
                Err(message) => vec![message],
            };
            if !differences.is_empty() {
                failures.push(Failure { differences, ..Failure::default() });
            }
        }
        for asked in &self.asked {
            if let Some(mut failure) = asked.run(world) {
                failure.request = self.is_matrix.then(|| asked.name.clone());
                failures.push(failure);
                if failures.len() == TOLD {
                    break;
                }
            }
        }
        if failures.is_empty() { CaseResult::Passed } else { CaseResult::Failed(failures) }
    }

    fn report(&self, time: Duration, result: CaseResult) -> CaseReport {
        CaseReport {
            suite: self.suite.clone(),
            name: self.name.clone(),
            line: self.place.line,
            column: self.place.column,
            requests: self.asked.len()
                + usize::from(self.list.is_some())
                + usize::from(self.bound.is_some()),
            time,
            result,
        }
    }
}

/// Returns the keys of tables and invariants that no case has, each with its table's name and place.
fn wrong_keys(file: &TestFile) -> Vec<(String, Position, String)> {
    let mut wrong = Vec::new();
    for (_, _, tables, invariants) in parts(file) {
        for table in tables {
            let told = table::wrong_keys(&table.value).into_iter();
            let (name, place) = (&table.value.name, Position::from(table.referenced));
            wrong.extend(told.map(|message| (name.clone(), place, message)));
        }
        for about in invariants {
            let told = about.value.over.keys().filter(|key| !KEYS.contains(&key.as_str()));
            let (name, place) = (&about.value.name, Position::from(about.referenced));
            wrong.extend(
                told.map(|key| {
                    (name.clone(), place, format!("`over`: {}", unknown_key(key, KEYS)))
                }),
            );
        }
    }
    wrong
}

/// Adds directories of rules to the commands that explain failures.
fn naming(rules: &[PathBuf], mut result: CaseResult) -> CaseResult {
    if let CaseResult::Failed(failures) = &mut result {
        for command in failures.iter_mut().filter_map(|failure| failure.explain.as_mut()) {
            let mut named = Command::resumed(std::mem::take(command));
            named.paths("--rules", rules);
            *command = named.text;
        }
    }
    result
}
