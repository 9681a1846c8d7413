//! `stagedoor audit`: grants that somebody should look at.

use clap::{Args, Subcommand, ValueEnum};
use stagedoor_kubernetes::rbac::{AuditFinding, AuditReport, AuditSeverity};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;
use crate::roles::RoleArgs;
use crate::terminal::{Paint, line};

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
/// come first. With `--format json` there is one object a line.
///
/// Exits with 2 if `--fail-on` is given and something at least as bad is found.
#[derive(Debug, Args)]
struct KubernetesArgs {
    #[command(flatten)]
    roles: RoleArgs,

    /// Exit with 2 if a finding is at least as bad.
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<Severity>,

    /// Print SARIF 2.1.0, for code scanning.
    #[arg(long)]
    sarif: bool,
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
    let report = AuditReport::of(&args.roles.resolved()?);
    if args.sarif {
        output.line(report.to_sarif().trim_end())?;
    } else if output.is_json() {
        report.findings().iter().try_for_each(|finding| output.json(finding))?;
    } else {
        let paint = output.paint();
        for finding in report.findings() {
            output.line(told(finding, paint))?;
        }
        output.line(summary(&report))?;
    }
    let fails = args.fail_on.is_some_and(|bar| report.worst() >= Some(bar.known()));
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

fn summary(report: &AuditReport) -> String {
    let bad = [AuditSeverity::Critical, AuditSeverity::High, AuditSeverity::Medium];
    let counts = bad.map(|severity| {
        let count = report.findings().iter().filter(|f| f.severity == severity).count();
        format!("{count} {severity}")
    });
    format!("{} findings: {}", report.findings().len(), counts.join(", "))
}
