//! Loaded tests, ready to be run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_saphyr::Spanned;
use stagedoor_core::{
    DecideError, Decision, Engine, Entity, EntityUid, Explanation, RuleEvaluator,
};

use crate::ask::{Question, list_question, platform, question};
use crate::cedar_files;
use crate::coverage::{self, Coverage};
use crate::expectation::{Expectation, Found};
use crate::file::{Case, Invariant, Suite, Table, TestFile};
use crate::mutation::{self, Against, Mutation};
use crate::problem::{Place, Problem, TestError};
use crate::report::{
    CaseReport, CaseResult, ClausePlace, Failure, FileReport, GuardMessage, NearPolicy,
    PolicyMessage, PolicyPlace, Report,
};
use crate::selection::ListQuestion;
use crate::world::{Engines, Platform, World};
use crate::{invariant, parallel, read, table};

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
    pub(crate) world: World,
    tests: Vec<Test>,
    /// What the tests were made of, without fixtures.
    file: TestFile,
}

/// One case, cell or invariant.
struct Test {
    suite: Option<String>,
    name: String,
    place: Place,
    asked: Vec<Asked>,
    /// The question about all resources of a permission; `asked` holds each of them to it.
    list: Option<(ListQuestion, Expectation)>,
    is_matrix: bool,
}

/// One request of a test.
pub(crate) struct Asked {
    name: String,
    pub(crate) question: Question,
    pub(crate) expect: Expectation,
}

impl TestSuite {
    /// Reads the test files at the paths: files as they are given, and all below directories.
    ///
    /// # Errors
    ///
    /// [`TestError`] with everything that is wrong with test files, policies or fixtures.
    pub fn load(paths: &[PathBuf]) -> Result<Self, TestError> {
        Self::load_with(paths, &[])
    }

    /// Reads the test files at the paths, with policies for those that name none.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(paths: &[PathBuf], policies: &[PathBuf]) -> Result<Self, TestError> {
        Self::load_with_rules(paths, policies, None)
    }

    /// Reads the test files at the paths, as [`load_with`](Self::load_with), with custom rules
    /// that policies may be guarded by.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with_rules(
        paths: &[PathBuf],
        policies: &[PathBuf],
        rules: Option<Arc<dyn RuleEvaluator>>,
    ) -> Result<Self, TestError> {
        let started = Instant::now();
        let mut engines = Engines::new(rules);
        let mut error = TestError::default();
        let mut files = Vec::new();
        for path in read::find(paths)? {
            match LoadedFile::load(path, policies, &mut engines) {
                Ok(file) => files.push(file),
                Err(problems) => error.extend(problems),
            }
        }
        error.or(Self { files, engines, load: started.elapsed() })
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
            let World { policies, catalog_files, entity_files, .. } = &file.world;
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
        for Asked { question, .. } in tests.flat_map(|test| &test.asked) {
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
                file.cases.push(test.report(time, result));
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
            test.asked.iter().map(|asked| (&file.world.engine, &asked.question))
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
        let files: Vec<Against<'_>> = self
            .files
            .iter()
            .map(|file| Against {
                world: &file.world,
                cases: file.cases(),
                asked: file
                    .tests
                    .iter()
                    .filter(|test| options.chooses(file, test))
                    .flat_map(|test| test.asked.iter().map(|asked| (test.name.as_str(), asked)))
                    .collect(),
            })
            .collect();
        mutation::mutate(&files, budget)
    }

    fn chosen(&self, options: &Options) -> Vec<(usize, &LoadedFile, &Test)> {
        let files = self.files.iter().enumerate();
        files
            .flat_map(|(number, file)| file.tests.iter().map(move |test| (number, file, test)))
            .filter(|(_, file, test)| options.chooses(file, test))
            .collect()
    }
}

impl Options {
    fn chooses(&self, file: &LoadedFile, test: &Test) -> bool {
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
    fn cases(&self) -> Vec<Case> {
        let mut all = Vec::new();
        for (_, cases, tables, invariants) in parts(&self.file) {
            all.extend(cases.iter().map(|case| case.value.clone()));
            // What could not be made into cases did not load.
            let tables = tables.iter().flat_map(|table| table::cases(&table.value));
            let invariants =
                invariants.iter().flat_map(|about| invariant::cases(&about.value, &self.world));
            all.extend(tables.chain(invariants).flatten());
        }
        all
    }

    fn load(path: PathBuf, policies: &[PathBuf], engines: &mut Engines) -> Result<Self, TestError> {
        let mut file = read::read(&path)?;
        cedar_files::or_given(&mut file.policies, policies);
        // Before policies are loaded, whose schema depends on it.
        let mut error = TestError::default();
        for case in parts(&file).flat_map(|(_, cases, ..)| cases) {
            if let Err(message) = platform(&case.value) {
                let problem = Problem::new(&path, format!("`{}`: {message}", case.value.name));
                error.add(problem.at(case.referenced.into()));
            }
        }
        error.or(())?;
        let platforms: Vec<_> =
            platforms(&file).into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let world = World::load(&path, &mut file, &platforms, engines)?;
        let mut error = TestError::default();
        let mut tests_of = Vec::new();
        for (suite, cases, tables, invariants) in parts(&file) {
            let suite = suite.map(str::to_owned);
            let mut reader = Reader { world: &world, suite, path: &path, error: &mut error };
            cases.iter().for_each(|case| tests_of.extend(reader.case(case)));
            tables.iter().for_each(|table| tests_of.extend(reader.table(table)));
            invariants.iter().for_each(|about| tests_of.extend(reader.invariant(about)));
        }
        let tests = tests_of;
        if tests.is_empty() && error.problems().is_empty() {
            let help = "add `cases`, `tables`, `invariants` or `suites`";
            error.add(Problem::new(&path, "the file has no cases").with_help(help));
        }
        error.or(Self { path, world, tests, file })
    }
}

type Parts<'a> =
    (Option<&'a str>, &'a [Spanned<Case>], &'a [Spanned<Table>], &'a [Spanned<Invariant>]);

/// Returns what a file says outside suites and in each, with the suite's name.
fn parts(file: &TestFile) -> impl Iterator<Item = Parts<'_>> {
    let own = (None, &*file.cases, &*file.tables, &*file.invariants);
    let suites = file.suites.iter().map(|suite| {
        let Suite { name, cases, tables, invariants } = suite;
        (Some(name.as_str()), &**cases, &**tables, &**invariants)
    });
    std::iter::once(own).chain(suites)
}

/// Returns the platforms of a file's cases, as far as they can be told before loading.
fn platforms(file: &TestFile) -> Vec<Platform> {
    let mut platforms = Vec::new();
    let mut of_keys = |keys: &mut dyn Iterator<Item = &str>| {
        for key in keys {
            match key {
                "permission" => platforms.push(Platform::Backstage),
                "verb" => platforms.push(Platform::Kubernetes),
                // Who asks for admission is somebody of authorization's schema.
                "operation" => platforms.extend([Platform::Kubernetes, Platform::Admission]),
                "principal" => platforms.push(Platform::Cedar),
                _ => {}
            }
        }
    };
    for (_, cases, tables, invariants) in parts(file) {
        for case in cases {
            let Case { permission, verb, operation, principal, .. } = &case.value;
            let keys = [
                ("permission", permission),
                ("verb", verb),
                ("operation", operation),
                ("principal", principal),
            ];
            of_keys(&mut keys.into_iter().filter(|(_, v)| v.is_some()).map(|(key, _)| key));
        }
        for table in tables {
            let varied = [table.value.columns.as_str()];
            let header = table.value.grid.split('|').map(str::trim);
            of_keys(&mut table.value.with.keys().map(String::as_str).chain(varied).chain(header));
        }
        for about in invariants {
            of_keys(&mut about.value.over.keys().map(String::as_str));
        }
    }
    platforms
}

/// Makes tests of what a file says.
struct Reader<'a> {
    world: &'a World,
    suite: Option<String>,
    path: &'a std::path::Path,
    error: &'a mut TestError,
}

impl Reader<'_> {
    fn case(&mut self, case: &Spanned<Case>) -> Option<Test> {
        let place = case.referenced.into();
        let case = &case.value;
        if case.expect.is_conditional() {
            return self.list(case, place);
        }
        let asked = self.asked(case, place)?;
        Some(self.test(case.name.clone(), place, vec![asked], false))
    }

    /// Makes the test about all resources of a permission: the answer, and for each entity of
    /// the catalog the decision about it alone, which has to agree.
    fn list(&mut self, case: &Case, place: Place) -> Option<Test> {
        let question = match list_question(case, self.world) {
            Ok(question) => question,
            Err(message) => {
                self.problem(&case.name, message, place);
                return None;
            }
        };
        let mut asked = Vec::new();
        if let Some(selected) = case.expect.selects() {
            for entity in self.world.catalog.references().map(ToString::to_string) {
                let allowed = selected.contains(&entity);
                let decision = if allowed { Decision::Allow } else { Decision::Deny };
                let expect = Expectation::of(decision);
                let name = entity.clone();
                let one = Case { name, entity: Some(entity), expect, ..case.clone() };
                asked.push(self.asked(&one, place)?);
            }
        }
        let list = Some((question, case.expect.clone()));
        Some(Test { list, ..self.test(case.name.clone(), place, asked, true) })
    }

    fn table(&mut self, table: &Spanned<Table>) -> Vec<Test> {
        let place = table.referenced.into();
        match table::cases(&table.value) {
            Ok(cases) => cases
                .iter()
                .filter_map(|case| {
                    let asked = self.asked(case, place)?;
                    Some(self.test(case.name.clone(), place, vec![asked], false))
                })
                .collect(),
            Err(message) => {
                self.problem(&table.value.name, message, place);
                Vec::new()
            }
        }
    }

    fn invariant(&mut self, about: &Spanned<Invariant>) -> Option<Test> {
        let place = about.referenced.into();
        match invariant::cases(&about.value, self.world) {
            Ok(cases) => {
                let asked = cases.iter().filter_map(|case| self.asked(case, place)).collect();
                Some(self.test(about.value.name.clone(), place, asked, true))
            }
            Err(message) => {
                self.problem(&about.value.name, message, place);
                None
            }
        }
    }

    fn asked(&mut self, case: &Case, place: Place) -> Option<Asked> {
        let asked = platform(case).and_then(|_| question(case, self.world));
        match asked {
            Ok(question) => {
                Some(Asked { name: case.name.clone(), question, expect: case.expect.clone() })
            }
            Err(message) => {
                self.problem(&case.name, message, place);
                None
            }
        }
    }

    fn problem(&mut self, name: &str, message: impl std::fmt::Display, place: Place) {
        self.error.add(Problem::new(self.path, format!("`{name}`: {message}")).at(place));
    }

    fn test(&self, name: String, place: Place, asked: Vec<Asked>, is_matrix: bool) -> Test {
        Test { suite: self.suite.clone(), name, place, asked, list: None, is_matrix }
    }
}

impl Test {
    fn run(&self, world: &World) -> CaseResult {
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
            requests: self.asked.len() + usize::from(self.list.is_some()),
            time,
            result,
        }
    }
}

impl Asked {
    /// Decides the request; returns how it differs from what is expected.
    fn run(&self, world: &World) -> Option<Failure> {
        let engine = &world.engine;
        let Question { request, entities, .. } = &self.question;
        let explain = || engine.explain(request, entities);
        let found = if self.expect.needs_explanation() {
            explain().map(|explanation| Found::explained(&explanation))
        } else {
            engine.decide(request, entities).map(|outcome| Found::of(&outcome))
        };
        let differences = match found {
            Ok(found) => self.expect.differences(&found.renamed(&world.names)),
            Err(error) => return Some(self.refused(&error)),
        };
        if differences.is_empty() {
            return None;
        }
        Some(match explain() {
            Ok(explanation) => self.failure(engine, differences, &explanation),
            Err(error) => self.refused(&error),
        })
    }

    /// Returns the failure of a request that the engine does not decide.
    fn refused(&self, error: &DecideError) -> Failure {
        Failure {
            differences: vec![format!("the request is refused: {error}")],
            explain: self.question.explain.clone(),
            ..Failure::default()
        }
    }

    fn failure(
        &self,
        engine: &Engine,
        differences: Vec<String>,
        explanation: &Explanation,
    ) -> Failure {
        let outcome = explanation.outcome();
        let place = |policy: stagedoor_core::PolicyInfo<'_>| PolicyPlace {
            policy: policy.id().to_owned(),
            file: policy.file().to_owned(),
            line: policy.line(),
        };
        let nearest = explanation.nearest().iter().filter(|near| !near.failed().is_empty());
        debug_assert_eq!(outcome.revision(), engine.revision());
        Failure {
            request: None,
            differences,
            determined_by: outcome.reasons().map(place).collect(),
            nearest: nearest
                .take(1)
                .map(|near| NearPolicy {
                    policy: near.policy().to_owned(),
                    clauses: near.failed().iter().map(clause).collect(),
                })
                .collect(),
            errors: outcome
                .errors()
                .iter()
                .map(|error| PolicyMessage {
                    policy: error.policy().to_owned(),
                    message: error.message().to_owned(),
                })
                .collect(),
            guards: outcome
                .guards()
                .iter()
                .map(|guard| GuardMessage {
                    policy: guard.policy().to_owned(),
                    rule: guard.rule().to_owned(),
                    verdict: guard.verdict().to_string(),
                })
                .collect(),
            explain: self.question.explain.clone(),
        }
    }
}

fn clause(clause: &stagedoor_core::FailedClause) -> ClausePlace {
    ClausePlace {
        text: clause.text().to_owned(),
        file: clause.file().to_owned(),
        line: clause.line(),
        column: clause.column(),
    }
}
