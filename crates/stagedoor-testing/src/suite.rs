//! Loaded tests, ready to be run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_saphyr::Spanned;
use stagedoor_core::{DecideError, Engine, Explanation};

use crate::ask::{Question, platform, question};
use crate::expectation::{Expectation, Found};
use crate::file::{Case, Invariant, Suite, Table, TestFile};
use crate::problem::{Place, Problem, TestError};
use crate::report::{
    CaseReport, CaseResult, ClausePlace, Failure, FileReport, NearPolicy, PolicyMessage,
    PolicyPlace, Report,
};
use crate::world::{Engines, Platform, World};
use crate::{invariant, read, table};

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
}

pub(crate) struct LoadedFile {
    pub(crate) path: PathBuf,
    pub(crate) world: World,
    tests: Vec<Test>,
}

/// One case, cell or invariant.
struct Test {
    suite: Option<String>,
    name: String,
    place: Place,
    asked: Vec<Asked>,
    is_matrix: bool,
}

/// One request of a test.
struct Asked {
    name: String,
    question: Question,
    expect: Expectation,
}

impl TestSuite {
    /// Reads the test files at the paths: files as they are given, and all below directories.
    ///
    /// # Errors
    ///
    /// [`TestError`] with everything that is wrong with test files, policies or fixtures.
    pub fn load(paths: &[PathBuf]) -> Result<Self, TestError> {
        let started = Instant::now();
        let mut engines = Engines::default();
        let mut error = TestError::default();
        let mut files = Vec::new();
        for path in read::find(paths)? {
            match LoadedFile::load(path, &mut engines) {
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

    /// Returns the engines that decide the cases.
    pub fn engines(&self) -> impl Iterator<Item = &Engine> {
        self.engines.iter()
    }

    /// Runs the cases, on all processors.
    #[must_use]
    pub fn run(&self, options: &Options) -> Report {
        let started = Instant::now();
        let chosen: Vec<(usize, &LoadedFile, &Test)> = self
            .files
            .iter()
            .enumerate()
            .flat_map(|(number, file)| file.tests.iter().map(move |test| (number, file, test)))
            .filter(|(_, file, test)| options.chooses(file, test))
            .collect();
        let next = AtomicUsize::new(0);
        let stopped = AtomicBool::new(false);
        let results = Mutex::new(Vec::with_capacity(chosen.len()));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            let mut own = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((_, file, test)) = chosen.get(number) else { break };
                let started = Instant::now();
                let result = if stopped.load(Ordering::Relaxed) {
                    CaseResult::NotRun
                } else {
                    test.run(&file.world.engine)
                };
                if options.fail_fast && matches!(result, CaseResult::Failed(_)) {
                    stopped.store(true, Ordering::Relaxed);
                }
                own.push((number, started.elapsed(), result));
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(chosen.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|(number, _, _)| *number);

        let mut files: Vec<FileReport> = self
            .files
            .iter()
            .map(|file| FileReport { path: file.path.clone(), cases: Vec::new() })
            .collect();
        for ((file, _, test), (_, time, result)) in chosen.iter().zip(results) {
            if let Some(file) = files.get_mut(*file) {
                file.cases.push(test.report(time, result));
            }
        }
        Report { files, load: self.load, run: started.elapsed() }
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
    fn load(path: PathBuf, engines: &mut Engines) -> Result<Self, TestError> {
        let mut file = read::read(&path)?;
        let platforms: Vec<_> =
            platforms(&file).into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let world = World::load(&path, &mut file, &platforms, engines)?;
        let mut error = TestError::default();
        let mut tests = Vec::new();
        let TestFile { cases, tables, invariants, suites, .. } = file;
        let own = Suite { name: String::new(), cases, tables, invariants };
        for suite in std::iter::once(own).chain(suites) {
            let name = (!suite.name.is_empty()).then(|| suite.name.clone());
            let mut reader = Reader { world: &world, suite: name, path: &path, error: &mut error };
            suite.cases.iter().for_each(|case| tests.extend(reader.case(case)));
            suite.tables.iter().for_each(|table| tests.extend(reader.table(table)));
            suite.invariants.iter().for_each(|about| tests.extend(reader.invariant(about)));
        }
        if tests.is_empty() {
            let help = "add `cases`, `tables`, `invariants` or `suites`";
            error.add(Problem::new(&path, "the file has no cases").with_help(help));
        }
        error.or(Self { path, world, tests })
    }
}

/// Returns the platforms of a file's cases, as far as they can be told before loading.
fn platforms(file: &TestFile) -> Vec<Platform> {
    let suites = std::iter::once((&file.cases, &file.tables, &file.invariants))
        .chain(file.suites.iter().map(|suite| (&suite.cases, &suite.tables, &suite.invariants)));
    let mut platforms = Vec::new();
    let mut of_keys = |keys: &mut dyn Iterator<Item = &str>| {
        platforms.extend(keys.filter_map(|key| match key {
            "permission" => Some(Platform::Backstage),
            "verb" => Some(Platform::Kubernetes),
            "principal" => Some(Platform::Cedar),
            _ => None,
        }));
    };
    for (cases, tables, invariants) in suites {
        for case in cases {
            let Case { permission, verb, principal, .. } = &case.value;
            let keys = [("permission", permission), ("verb", verb), ("principal", principal)];
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
        let asked = self.asked(&case.value, place)?;
        Some(self.test(case.value.name.clone(), place, vec![asked], false))
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
        Test { suite: self.suite.clone(), name, place, asked, is_matrix }
    }
}

impl Test {
    fn run(&self, engine: &Engine) -> CaseResult {
        let mut failures = Vec::new();
        for asked in &self.asked {
            if let Some(mut failure) = asked.run(engine) {
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
            requests: self.asked.len(),
            time,
            result,
        }
    }
}

impl Asked {
    /// Decides the request; returns how it differs from what is expected.
    fn run(&self, engine: &Engine) -> Option<Failure> {
        let Question { request, entities, .. } = &self.question;
        let explain = || engine.explain(request, entities);
        let found = if self.expect.needs_explanation() {
            explain().map(|explanation| Found::explained(&explanation))
        } else {
            engine.decide(request, entities).map(|outcome| Found::of(&outcome))
        };
        let differences = match found {
            Ok(found) => self.expect.differences(&found),
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
            request: None,
            differences: vec![format!("the request is refused: {error}")],
            determined_by: Vec::new(),
            nearest: Vec::new(),
            errors: Vec::new(),
            explain: self.question.explain.clone(),
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
