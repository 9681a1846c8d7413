//! `stagedoor test`: runs the tests of policies.

mod measures;
mod watch;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_core::count_of;
use stagedoor_testing::{
    CaseReport, CaseResult, Counts, Coverage, Mutation, Options, Progress, Report, TestError,
    TestSuite, file_schema, format,
};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::{LoadArgs, tell_of_files};
use crate::output::Output;
use crate::review::or_unusable;
use crate::rules::{self, RulePlaces};
use crate::terminal::{line, printable};
use measures::{tell_coverage, tell_mutation};

/// Run the tests of policies.
///
/// Tests are files `*.test.yaml`, `*.test.yml` or `*.test.json`. Exits with 0 if all cases
/// come out as expected, with 1 if one does not, with 2 if test files, policies or fixtures
/// cannot be used.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Test files, or directories with test files anywhere below.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    /// Run only cases whose file, suite and name contain this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Begin no further case once one has failed.
    #[arg(long)]
    fail_fast: bool,

    /// Run again whenever policies, schemas, tests, fixtures or rules change, until interrupted.
    #[arg(long)]
    watch: bool,

    /// How to report, instead of text for people.
    #[arg(long, value_enum, value_name = "FORMAT")]
    report: Option<ReportFormat>,

    /// Measure what the cases reach of the policies: policies, clauses, actions.
    ///
    /// A clause is covered when it was both true and false in cases where that mattered to
    /// the decision. `// test:allow(coverage) REASON` in a policy excuses the clauses of a
    /// line.
    #[arg(
        long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true,
        default_missing_value = "text"
    )]
    coverage: Option<CoverageFormat>,

    /// Where to write the coverage, unless it is text: by default coverage.json, lcov.info or
    /// coverage.html.
    #[arg(long, value_name = "FILE", requires = "coverage")]
    coverage_file: Option<PathBuf>,

    /// Fail unless so many percent of the clauses are covered.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    min_coverage: Option<f64>,

    /// Make policies with one mistake each, and tell which of them no case notices.
    ///
    /// For each, a case is looked for that would. `// test:allow(mutant) REASON` in a policy,
    /// or the name of the change instead of `mutant`, excuses the mutants of a line.
    #[arg(long)]
    mutate: bool,

    /// How many seconds mutants may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "mutate")]
    budget: u64,

    /// Policies for test files that name none: files or directories. By default those beside
    /// each test file.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    policies: Vec<PathBuf>,

    /// Print the JSON Schema of test files, for editors, and run nothing.
    #[arg(long, conflicts_with_all = ["filter", "fail_fast", "report", "coverage", "min_coverage"])]
    file_schema: bool,
}

/// How coverage is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CoverageFormat {
    /// Lines for people.
    Text,
    /// Everything that was counted.
    Json,
    /// The tracefile that editors and services read.
    Lcov,
    /// A page with the policies coloured.
    Html,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "a number from 0 to 100 is expected".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// JUnit's XML.
    Junit,
    /// The Test Anything Protocol, version 14.
    Tap,
    /// Annotations of GitHub Actions, after the text for people.
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

pub(crate) fn run(args: &TestArgs, output: &mut Output) -> Result<Ending, Failure> {
    if args.file_schema {
        output.json(&file_schema())?;
        return Ok(Ending::Done);
    }
    if args.watch {
        return watch::watch(args, output);
    }
    once(args, output).map(|(ending, _)| ending)
}

/// Runs the tests once; returns what they are made of, if they could be loaded.
fn once(args: &TestArgs, output: &mut Output) -> Result<(Ending, Vec<PathBuf>), Failure> {
    let mut sources = Vec::new();
    let ended = load_and_run(args, &mut sources, output);
    if let Err(failure) = &ended
        && !matches!(failure, Failure::Output(_))
    {
        // Whoever reads the report reads of it there.
        report_unusable(args, &TestError::from(&failure.to_json()), output)?;
    }
    Ok((or_unusable(ended, output)?, sources))
}

fn load_and_run(
    args: &TestArgs,
    sources: &mut Vec<PathBuf>,
    output: &mut Output,
) -> Result<Ending, Failure> {
    let mut options = Options::default();
    let found = rules::below(args.paths.iter().chain(&args.policies));
    let policies: Vec<PathBuf> = args.paths.iter().chain(&args.policies).cloned().collect();
    let places = RulePlaces { named: &args.load.rules, found: &found, policies: &policies };
    let rules = rules::load(places, &args.load.rule_host)?;
    options.rules = match args.load.rules.as_slice() {
        [] => {
            let mut directories: Vec<PathBuf> =
                found.iter().filter_map(|file| Some(file.parent()?.to_owned())).collect();
            directories.dedup();
            directories
        }
        named => named.to_vec(),
    };
    let builder = TestSuite::builder()
        .tests(&args.paths)
        .policies(&args.policies)
        .limits(args.load.limits()?)
        .manifest(args.load.manifest());
    match rules.into_iter().fold(builder, |builder, rules| builder.rules(rules)).build() {
        Ok(suite) => {
            suite.engines().for_each(|engine| tell_of_files(engine.warnings(), output));
            *sources = suite.sources();
            run_suite(args, &suite, options, output)
        }
        Err(error) => {
            report_unusable(args, &error, output)?;
            unusable(&error, output)?;
            Ok(Ending::Unusable)
        }
    }
}

fn run_suite(
    args: &TestArgs,
    suite: &TestSuite,
    mut options: Options,
    output: &mut Output,
) -> Result<Ending, Failure> {
    options.filter.clone_from(&args.filter);
    options.fail_fast = args.fail_fast;
    if args.is_for_people(output) && std::io::stderr().is_terminal() {
        options.progress = progress();
    }
    let report = suite.run(&options);
    if report.cases().next().is_none() {
        let filter = args.filter.as_deref().unwrap_or_default();
        let message = format!("no case of {} matches the filter `{filter}`", suite.len());
        return Err(Failure::input(message));
    }
    let coverage = if args.coverage.is_some() || args.min_coverage.is_some() {
        let measured = suite.coverage(&options);
        Some(measured.map_err(|e| Failure::input(format!("coverage cannot be measured: {e}")))?)
    } else {
        None
    };
    let mutation = if args.mutate && report.passed() {
        let mutated = suite.mutate(&options, Duration::from_secs(args.budget));
        Some(mutated.map_err(|e| Failure::input(format!("mutants cannot be run: {e}")))?)
    } else {
        None
    };
    let short = coverage.iter().flat_map(|c| c.shortfalls(args.min_coverage.unwrap_or_default()));
    let missed = short.chain(mutation.iter().flat_map(Mutation::shortfalls)).collect::<Vec<_>>();
    match args.report {
        Some(ReportFormat::Junit) => {
            output.bytes(xml(format::junit(&report, &missed))?.as_bytes())?;
        }
        Some(ReportFormat::Tap) => output.bytes(format::tap(&report, &missed).as_bytes())?,
        Some(ReportFormat::Sarif) => output.bytes(format::sarif(&report, &missed).as_bytes())?,
        None if output.is_json() => {
            output.json(&ReportJson::of(&report, coverage.as_ref(), mutation.as_ref()))?;
        }
        Some(ReportFormat::Github) => {
            tell(&report, output)?;
            output.bytes(format::github(&report, &missed).as_bytes())?;
        }
        None => tell(&report, output)?,
    }
    let covered = match &coverage {
        Some(coverage) => tell_coverage(args, coverage, output)?,
        None => true,
    };
    let survived = match &mutation {
        Some(mutation) => tell_mutation(args, mutation, output)?,
        None => false,
    };
    let done = report.passed() && covered && !survived;
    Ok(if done { Ending::Done } else { Ending::Failed })
}

/// Writes the report of tests that cannot be run.
fn report_unusable(args: &TestArgs, error: &TestError, output: &mut Output) -> Result<(), Failure> {
    let text = match args.report {
        Some(ReportFormat::Junit) => xml(format::junit_problems(error))?,
        Some(ReportFormat::Github) => format::github_problems(error),
        Some(ReportFormat::Sarif) => format::sarif_problems(error),
        Some(ReportFormat::Tap) => "TAP version 14\nBail out! tests were not run\n".to_owned(),
        None => return Ok(()),
    };
    output.bytes(text.as_bytes())
}

fn xml<E: std::fmt::Display>(written: Result<String, E>) -> Result<String, Failure> {
    written.map_err(|e| Failure::input(format!("the report cannot be written: {e}")))
}

/// Tells on the terminal how many cases have been run, ten times a second at most.
fn progress() -> Progress {
    let last = Mutex::new(Instant::now());
    Progress::new(move |done, all| {
        // Whoever finds another thread telling has nothing to add.
        let Ok(mut last) = last.try_lock() else { return };
        if done == all {
            eprint!("\r\x1b[K");
        } else if last.elapsed() > Duration::from_millis(100) {
            *last = Instant::now();
            eprint!("\r{done} of {all} cases");
        }
    })
}

impl TestArgs {
    /// Whether the standard output is for people, and not for a program that reads a report.
    fn is_for_people(&self, output: &Output) -> bool {
        !output.is_json() && matches!(self.report, None | Some(ReportFormat::Github))
    }
}

#[derive(Serialize)]
struct ReportJson<'a> {
    #[serde(flatten)]
    counts: Counts,
    #[serde(flatten)]
    report: &'a Report,
    load_ms: f64,
    run_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<&'a Coverage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mutation: Option<&'a Mutation>,
}

impl<'a> ReportJson<'a> {
    fn of(
        report: &'a Report,
        coverage: Option<&'a Coverage>,
        mutation: Option<&'a Mutation>,
    ) -> Self {
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let (load_ms, run_ms) = (ms(report.load), ms(report.run));
        Self { counts: report.counts(), report, load_ms, run_ms, coverage, mutation }
    }
}

/// Tells people of failed cases, and of how many passed.
fn tell(report: &Report, output: &mut Output) -> Result<(), Failure> {
    let paint = output.paint();
    for file in &report.files {
        let failed = |case: &&CaseReport| matches!(case.result, CaseResult::Failed(_));
        let ran = file.cases.len();
        let bad = file.cases.iter().filter(failed).count();
        if ran == 0 {
            continue;
        }
        let path = line(&file.path.display().to_string());
        let state = match bad {
            0 => paint.good("ok").to_string(),
            bad => paint.bad(&format!("{bad} failed")).to_string(),
        };
        output.line(format_args!("{path}: {}, {state}", count_of(ran, "case", "cases")))?;
        for case in file.cases.iter().filter(failed) {
            let CaseResult::Failed(failures) = &case.result else { continue };
            let suite = case.suite.iter().map(|suite| format!("{suite}: ")).collect::<String>();
            let name = line(&format!("{suite}{}", case.name));
            let place = paint.dim(format!("{path}:{}", case.line));
            output.line(format_args!("  {} {name} {place}", paint.bad("failed")))?;
            for text in failures.iter().flat_map(format::failure) {
                output.line(format_args!("      {}", printable(&text)))?;
            }
        }
    }
    let Counts { passed, failed, not_run, .. } = report.counts();
    let requests: usize = report.cases().map(|case| case.requests).sum();
    let mut summary = format!("{passed} passed");
    if failed > 0 {
        summary.push_str(&format!(", {failed} failed"));
    }
    if not_run > 0 {
        summary.push_str(&format!(", {not_run} not run"));
    }
    let summary = if report.passed() {
        paint.good(&summary).to_string()
    } else {
        paint.bad(&summary).to_string()
    };
    let (load, run) = (report.load.as_millis(), report.run.as_millis());
    output.line(format_args!(
        "{summary} ({}; loaded in {load} ms, decided in {run} ms)",
        count_of(requests, "request", "requests")
    ))
}

#[derive(Serialize)]
struct UnusableJson<'a> {
    error: String,
    problems: &'a [stagedoor_testing::Problem],
    unreported: usize,
}

fn unusable(error: &TestError, output: &mut Output) -> Result<(), Failure> {
    let count = error.problems().len() + error.unreported();
    let summary = format!("tests were not run: {}", count_of(count, "problem", "problems"));
    if output.is_json() {
        let (problems, unreported) = (error.problems(), error.unreported());
        return output.json(&UnusableJson { error: summary, problems, unreported });
    }
    for problem in error.problems() {
        output.complaint(&problem.to_string());
    }
    output.complaint(&summary);
    Ok(())
}
