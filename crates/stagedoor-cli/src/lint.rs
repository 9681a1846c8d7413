//! `stagedoor lint`: what is wrong with policies that load.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stagedoor_core::count_of;
use stagedoor_review::Policies;
use stagedoor_review::lint::{
    Certainty, LintCode, LintFinding, LintLevel, LintPlace, LintReport, Linter, format,
};
use stagedoor_wire::sarif;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::Output;
use crate::review::{catalog, catalog_entities, or_unusable, policies, suite};
use crate::settings::Settings;
use crate::terminal::{Paint, line, printable};

/// Find what is wrong with policies that load.
///
/// Looks for policies that never match, that others make needless or that a forbid overrides, for
/// grants that are broader than they look, for names that nobody has, and for what Backstage cannot
/// be answered. `--explain CODE` tells what a finding means. A comment `// lint:allow(CODE) REASON`
/// before a policy suppresses a finding, `// lint:allow-file(CODE) REASON` does so for all of a file.
///
/// Test files below the paths tell by their fixtures which groups and entities exist.
///
/// Exits with 0 if nothing is found, with 1 if something is (see `--fail-on`), with 2 if the
/// policies cannot be used.
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Policies and schemas: files or directories. The schema of Backstage or Kubernetes that
    /// ships is added where they bring none.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    load: LoadArgs,

    /// Catalog files of Backstage: the groups and entities that exist.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    catalog: Vec<PathBuf>,

    /// Exit with 1 if a finding is at least as bad.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Warning)]
    fail_on: Level,

    /// How to report, instead of text for people.
    #[arg(long, value_enum, value_name = "FORMAT")]
    report: Option<ReportFormat>,

    /// Severities of findings, and files of which nothing is told; else `stagedoor.toml` here, if
    /// it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Show suppressed findings too, with the reasons.
    #[arg(long)]
    suppressed: bool,

    /// Tell what a code means, or with `all` list the codes, and look at nothing.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["catalog", "report"])]
    explain: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Note,
    Warning,
    Error,
}

impl Level {
    fn known(self) -> LintLevel {
        match self {
            Self::Note => LintLevel::Note,
            Self::Warning => LintLevel::Warning,
            Self::Error => LintLevel::Error,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of GitHub Actions, after the text for people.
    Github,
}

pub(crate) fn run(args: &LintArgs, output: &mut Output) -> Result<Ending, Failure> {
    let ended = match &args.explain {
        Some(code) => explain(code, output),
        None => look(args, output),
    };
    if let (Err(failure), Some(report)) = (&ended, args.report)
        && !matches!(failure, Failure::Output(_))
    {
        // Whoever reads the report reads of it there.
        let error = failure.to_json();
        let text = match report {
            ReportFormat::Sarif => sarif::failure("stagedoor lint", &error),
            ReportFormat::Github => format::github_unusable(&error),
        };
        output.bytes(text.as_bytes())?;
    }
    or_unusable(ended, output)
}

fn look(args: &LintArgs, output: &mut Output) -> Result<Ending, Failure> {
    let settings = Settings::read(args.config.as_ref())?;
    let sets = policies(&args.paths, &args.load, output)?;
    let catalog = catalog(&args.catalog)?;
    let suite = suite(&args.paths, &sets.iter().collect::<Vec<_>>(), output);
    let lint = |policies: &Policies| {
        let mut linter = Linter::new(&policies.engine)
            .with_permissions(policies.permissions.clone())
            .with_entities(catalog_entities(&catalog));
        if let Some(suite) = &suite {
            linter = linter.with_entities(suite.entities()).with_entities(suite.principals());
        }
        linter.run()
    };
    let mut report = sets.iter().map(lint).reduce(LintReport::and).unwrap_or_default();
    settings.lint.apply(&mut report);
    match args.report {
        Some(ReportFormat::Sarif) => output.bytes(format::sarif(&report).as_bytes())?,
        None if output.is_json() => output.json(&report)?,
        Some(ReportFormat::Github) => {
            tell(&report, args.suppressed, output)?;
            output.bytes(format::github(&report).as_bytes())?;
        }
        None => tell(&report, args.suppressed, output)?,
    }
    let fails = report.worst() >= Some(args.fail_on.known());
    Ok(if fails { Ending::Failed } else { Ending::Done })
}

fn explain(code: &str, output: &mut Output) -> Result<Ending, Failure> {
    if code == "all" {
        for code in LintCode::ALL {
            let (level, summary) = (code.level().as_str(), code.summary());
            output.line(format_args!("{:<24}{level:<9}{summary}", code.id()))?;
        }
        return Ok(Ending::Done);
    }
    let code: LintCode = code.parse().map_err(|e: stagedoor_review::lint::UnknownLintCode| {
        Failure::input(e.to_string()).with_help("`--explain all` lists the codes")
    })?;
    let paint = output.paint();
    let (level, summary) = (painted(code.level(), paint), code.summary());
    output.line(format_args!("{} ({level}): {summary}\n", paint.bold(code.id())))?;
    output.line(code.explanation())?;
    Ok(Ending::Done)
}

/// Tells people of findings, and of how many there are.
fn tell(report: &LintReport, suppressed: bool, output: &mut Output) -> Result<(), Failure> {
    let paint = output.paint();
    let shown = report.findings.iter().filter(|f| suppressed || f.suppressed.is_none());
    for finding in shown {
        tell_of(finding, output)?;
    }
    let count = |level: LintLevel| {
        let count = report.open().filter(|finding| finding.level == level).count();
        count_of(count, level.as_str(), &format!("{}s", level.as_str()))
    };
    let counts = [LintLevel::Error, LintLevel::Warning, LintLevel::Note].map(count).join(", ");
    let hidden = report.findings.iter().filter(|finding| finding.suppressed.is_some()).count();
    let hidden = if hidden == 0 { String::new() } else { format!(", {hidden} suppressed") };
    let off = match report.turned_off {
        0 => String::new(),
        off => format!(", {off} turned off by settings"),
    };
    let counts = match report.worst() {
        None | Some(LintLevel::Note) => paint.good(counts).to_string(),
        Some(LintLevel::Warning) => paint.notable(counts).to_string(),
        Some(LintLevel::Error) => paint.bad(counts).to_string(),
    };
    let policies = count_of(report.policies, "policy", "policies");
    output.line(format_args!("{policies}: {counts}{hidden}{off}"))?;
    if report.skipped_pairs > 0 {
        let skipped = report.skipped_pairs;
        output
            .remark(&format!("{skipped} pairs of policies that are much alike were not compared"));
    }
    Ok(())
}

fn tell_of(finding: &LintFinding, output: &mut Output) -> Result<(), Failure> {
    let paint = output.paint();
    let (level, code) = (painted(finding.level, paint), paint.bold(finding.code.id()));
    let policy = finding.place.policy.as_deref();
    let policy = policy.map(|policy| format!("`{}`: ", line(policy))).unwrap_or_default();
    let probably = match finding.certainty {
        Certainty::Heuristic => paint.dim(" (heuristic)").to_string(),
        Certainty::Sure => String::new(),
    };
    let place = place(&finding.place).map(|place| format!("{place}: ")).unwrap_or_default();
    let message = line(&finding.message);
    output.line(format_args!("{place}{level} {code}: {policy}{message}{probably}"))?;
    if let Some(other) = &finding.other {
        let id = other.policy.as_deref().map(line).unwrap_or_default();
        let place = self::place(other).unwrap_or_default();
        output.line(format_args!("    `{id}` is at {place}"))?;
    }
    if let Some(help) = &finding.help {
        output.line(format_args!("    help: {}", printable(help)))?;
    }
    if let Some(reason) = &finding.suppressed {
        output.line(format_args!("    suppressed: {}", line(reason)))?;
    }
    Ok(())
}

fn place(place: &LintPlace) -> Option<String> {
    let file = line(place.file.as_deref()?);
    Some(place.line.map_or_else(|| file.clone(), |number| format!("{file}:{number}")))
}

fn painted(level: LintLevel, paint: Paint) -> String {
    match level {
        LintLevel::Error => paint.bad("error").to_string(),
        LintLevel::Warning => paint.notable("warning").to_string(),
        LintLevel::Note => paint.dim("note").to_string(),
    }
}
