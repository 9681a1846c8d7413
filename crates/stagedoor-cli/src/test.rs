//! `stagedoor test`: runs the tests of policies.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_testing::{
    CaseReport, CaseResult, Counts, Options, Report, TestError, TestSuite, file_schema, format,
};

use crate::cli::Ending;
use crate::failure::Failure;
use crate::output::Output;
use crate::terminal::{line, printable};

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

    /// Run only cases whose file, suite and name contain this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Begin no further case once one has failed.
    #[arg(long)]
    fail_fast: bool,

    /// How to report, instead of text for people.
    #[arg(long, value_enum, value_name = "FORMAT")]
    report: Option<ReportFormat>,

    /// Print the JSON Schema of test files, for editors, and run nothing.
    #[arg(long, conflicts_with_all = ["filter", "fail_fast", "report"])]
    file_schema: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// JUnit's XML.
    Junit,
    /// The Test Anything Protocol, version 14.
    Tap,
    /// Annotations of GitHub Actions, after the text for people.
    Github,
}

pub(crate) fn run(args: &TestArgs, output: &mut Output) -> Result<Ending, Failure> {
    if args.file_schema {
        output.json(&file_schema())?;
        return Ok(Ending::Done);
    }
    let suite = match TestSuite::load(&args.paths) {
        Ok(suite) => suite,
        Err(error) => {
            unusable(&error, output)?;
            return Ok(Ending::Unusable);
        }
    };
    let mut options = Options::default();
    options.filter.clone_from(&args.filter);
    options.fail_fast = args.fail_fast;
    let report = suite.run(&options);
    if report.cases().next().is_none() {
        let filter = args.filter.as_deref().unwrap_or_default();
        let message = format!("no case of {} matches the filter `{filter}`", suite.len());
        unusable_message(&message, output)?;
        return Ok(Ending::Unusable);
    }
    match args.report {
        Some(ReportFormat::Junit) => {
            let xml = format::junit(&report)
                .map_err(|e| Failure::input(format!("the report cannot be written: {e}")))?;
            output.bytes(xml.as_bytes())?;
        }
        Some(ReportFormat::Tap) => output.bytes(format::tap(&report).as_bytes())?,
        None if output.is_json() => output.json(&ReportJson::of(&report))?,
        Some(ReportFormat::Github) => {
            tell(&report, output)?;
            output.bytes(format::github(&report).as_bytes())?;
        }
        None => tell(&report, output)?,
    }
    Ok(if report.passed() { Ending::Done } else { Ending::Failed })
}

#[derive(Serialize)]
struct ReportJson<'a> {
    #[serde(flatten)]
    counts: Counts,
    #[serde(flatten)]
    report: &'a Report,
    load_ms: f64,
    run_ms: f64,
}

impl<'a> ReportJson<'a> {
    fn of(report: &'a Report) -> Self {
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let (load_ms, run_ms) = (ms(report.load), ms(report.run));
        Self { counts: report.counts(), report, load_ms, run_ms }
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
        output.line(format_args!("{path}: {ran} case{}, {state}", plural(ran)))?;
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
        "{summary} ({requests} request{}; loaded in {load} ms, decided in {run} ms)",
        plural(requests)
    ))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[derive(Serialize)]
struct UnusableJson<'a> {
    error: String,
    problems: &'a [stagedoor_testing::Problem],
    unreported: usize,
}

fn unusable(error: &TestError, output: &mut Output) -> Result<(), Failure> {
    let count = error.problems().len() + error.unreported();
    let summary = format!("tests were not run: {count} problem{}", plural(count));
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

fn unusable_message(message: &str, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let error = message.to_owned();
        return output.json(&UnusableJson { error, problems: &[], unreported: 0 });
    }
    output.complaint(message);
    Ok(())
}
