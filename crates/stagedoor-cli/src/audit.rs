//! `stagedoor audit`: grants that somebody should look at.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use stagedoor_core::count_of;
use stagedoor_kubernetes::rbac::{
    AuditBaseline, AuditCheck, AuditFinding, AuditReport, AuditSeverity, Chain, PictureFormat,
};
use stagedoor_wire::sarif;

use crate::built_in_roles::{BuiltIn, RoleArgs};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;
use crate::terminal::{Paint, line};

/// Size of a baseline, in bytes.
const BASELINE_BYTES: usize = 128 << 20;

/// Find dangerous grants.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    platform: Platform,
}

#[derive(Debug, Subcommand)]
enum Platform {
    Kubernetes(KubernetesArgs),
}

/// Find dangerous grants among roles and bindings of Kubernetes.
///
/// Each finding names its severity, the subject, the binding, the rule and the reason; the worst
/// come first. With `--format json` there is one object a line. Ways of several steps to
/// everything, to nodes or to secrets are findings too, and `--chains` shows nothing but ways.
///
/// Exits with 2 if `--fail-on` is given and something at least as bad is found, or an object was
/// not looked at.
#[derive(Debug, Args)]
struct KubernetesArgs {
    #[command(flatten)]
    roles: RoleArgs,

    /// Exit with 2 if a finding is at least as bad.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<Severity>,

    /// Print SARIF 2.1.0, for code scanning.
    #[arg(long, conflicts_with_all = ["chains", "picture"])]
    sarif: bool,

    /// Leave out what an earlier audit found: what `--format json` printed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chains", "picture"])]
    baseline: Option<PathBuf>,

    /// Print who reaches everything, nodes or secrets, step by step.
    #[arg(long)]
    chains: bool,

    /// Print the same as a picture.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "chains")]
    picture: Option<Picture>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Picture {
    /// For Graphviz.
    Dot,
    /// For Mermaid, which forges draw in Markdown.
    Mermaid,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    fn known(self) -> AuditSeverity {
        match self {
            Self::Info => AuditSeverity::Info,
            Self::Low => AuditSeverity::Low,
            Self::Medium => AuditSeverity::Medium,
            Self::High => AuditSeverity::High,
            Self::Critical => AuditSeverity::Critical,
        }
    }
}

pub(crate) fn run(args: &AuditArgs, output: &mut Output) -> Result<Ending, Failure> {
    let Platform::Kubernetes(args) = &args.platform;
    let ended = look(args, output);
    if let (Err(failure), true) = (&ended, args.sarif)
        && !matches!(failure, Failure::Output(_))
    {
        // Whoever reads the report reads of it there.
        output.bytes(sarif::failure("stagedoor", &failure.to_json()).as_bytes())?;
    }
    ended
}

fn look(args: &KubernetesArgs, output: &mut Output) -> Result<Ending, Failure> {
    let resolved = args.roles.resolved(BuiltIn::All)?;
    if args.chains || args.picture.is_some() {
        tell_chains(&Chain::all_of(&resolved), args.picture, output)?;
    }
    let report = AuditReport::of(&resolved);
    let (report, known) = match &args.baseline {
        Some(path) => {
            let text = Input::default().text(path, BASELINE_BYTES)?;
            let baseline = AuditBaseline::read(&text)
                .map_err(|e| Failure::input(format!("`{}`: {e}", Input::name(path))))?;
            report.without(&baseline)
        }
        None => (report, 0),
    };
    if args.chains || args.picture.is_some() {
        // The findings only say how it ends.
    } else if args.sarif {
        output.line(report.to_sarif().trim_end())?;
    } else if output.is_json() {
        report.findings().iter().try_for_each(|finding| output.json(finding))?;
    } else {
        let paint = output.paint();
        for finding in report.findings() {
            output.line(told(finding, paint))?;
        }
        output.line(summary(&report, known))?;
    }
    // What was not looked at may be as bad as anything.
    let is_partial = report.findings().iter().any(|f| f.check == AuditCheck::NotRead);
    let fails = args.fail_on.is_some_and(|bar| is_partial || report.worst() >= Some(bar.known()));
    Ok(if fails { Ending::Denied } else { Ending::Done })
}

fn told(finding: &AuditFinding, paint: Paint) -> String {
    let severity = format!("{:<8}", finding.severity.as_str());
    let severity = match finding.severity {
        AuditSeverity::Critical | AuditSeverity::High => paint.bad(severity),
        AuditSeverity::Medium => paint.notable(severity),
        AuditSeverity::Low | AuditSeverity::Info => paint.dim(severity),
    };
    let check = format!("{:<24}", finding.check.id());
    format!("{severity}  {}  {}", paint.bold(check), line(&finding.message()))
}

/// Prints chains for people, for programs, or as a picture.
fn tell_chains(
    chains: &[Chain],
    picture: Option<Picture>,
    output: &mut Output,
) -> Result<(), Failure> {
    let format = match picture {
        Some(Picture::Dot) => PictureFormat::Dot,
        Some(Picture::Mermaid) => PictureFormat::Mermaid,
        None if output.is_json() => {
            return chains.iter().try_for_each(|chain| output.json(chain));
        }
        None => return chains.iter().try_for_each(|chain| tell_chain(chain, output)),
    };
    output.line(Chain::picture(chains, format).trim_end())
}

fn tell_chain(chain: &Chain, output: &mut Output) -> Result<(), Failure> {
    let paint = output.paint();
    let steps = count_of(chain.steps.len(), "step", "steps");
    let head = format!("{} reaches {} in {steps}", chain.subject, chain.target);
    output.line(paint.bold(line(&head)))?;
    for (number, step) in chain.steps.iter().enumerate() {
        let text = format!(
            "{} {} → {} (by {} to {} rules[{}])",
            step.from, step.does, step.to, step.binding, step.role, step.rule
        );
        output.line(format_args!("  {}. {}", number + 1, line(&text)))?;
    }
    Ok(())
}

fn summary(report: &AuditReport, known: usize) -> String {
    let bad = [AuditSeverity::Critical, AuditSeverity::High, AuditSeverity::Medium];
    let counts = bad.map(|severity| {
        let count = report.findings().iter().filter(|f| f.severity == severity).count();
        format!("{count} {severity}")
    });
    let known = if known == 0 { String::new() } else { format!("; {known} of the baseline") };
    format!("{} findings: {}{known}", report.findings().len(), counts.join(", "))
}
