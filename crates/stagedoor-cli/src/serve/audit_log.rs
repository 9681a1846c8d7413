//! Where a server records its decisions.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use stagedoor_audit::{
    DecisionLog, DecisionSink, Decisions, DropRule, FileSink, Form, LogOptions, Otlp, Pointer,
    Writer,
};

use super::options::positive;
use crate::failure::Failure;

/// What a collector wants to be sent along, as OpenTelemetry's own exporters read it.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// What is recorded of decisions, and where.
#[derive(Debug, Args)]
pub(crate) struct AuditLogArgs {
    /// Where decisions are recorded: `-` for the standard output, a file, the URL of an
    /// OpenTelemetry collector (`http://…:4318`), or `none`.
    ///
    /// A file is readable by its owner alone, and is opened again at SIGHUP. A collector gets the
    /// headers that the environment variable `OTEL_EXPORTER_OTLP_HEADERS` names.
    #[arg(long, value_name = "WHERE", default_value = "-")]
    audit_log: String,

    /// The form of the records.
    #[arg(long, value_enum, default_value_t = AuditFormat::Json)]
    audit_log_format: AuditFormat,

    /// Which decisions are recorded.
    #[arg(long, value_enum, default_value_t = AuditDecisions::DenialsAndChanges)]
    audit_log_decisions: AuditDecisions,

    /// Records only a part of the decisions of an outcome, such as `allowed=0.01`.
    #[arg(long, value_name = "OUTCOME=RATE")]
    audit_log_sample: Vec<String>,

    /// Leaves records out in which a part has a value, such as `/request/user=system:kube-*`.
    #[arg(long, value_name = "POINTER=VALUE")]
    audit_log_drop: Vec<DropRule>,

    /// Masks a part of each record, such as `/request/extra/*`.
    #[arg(long, value_name = "POINTER")]
    audit_log_mask: Vec<Pointer>,

    /// Allow nothing that is not recorded: each record is written before its decision is told.
    #[arg(long)]
    audit_log_required: bool,

    /// Records that may wait to be written; more are dropped and counted.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = positive)]
    audit_log_buffer: usize,

    /// Memory of the records that wait to be written, in MiB; more are dropped and counted.
    #[arg(long, value_name = "MIB", default_value_t = LogOptions::default().buffer_bytes >> 20, value_parser = positive)]
    audit_log_buffer_size: usize,

    /// The size at which a file is renamed to `FILE.1`, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    audit_log_max_size: u64,

    /// How many renamed files stay.
    #[arg(long, value_name = "N", default_value_t = 10)]
    audit_log_max_files: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AuditFormat {
    /// JSON lines of the own form, which `stagedoor replay` reads.
    Json,
    /// OCSF 1.8.0: API Activity.
    Ocsf,
    /// The Elastic Common Schema.
    Ecs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AuditDecisions {
    /// Those that do not allow.
    Denials,
    /// Those that do not allow, and those that allow anything but reading.
    DenialsAndChanges,
    /// All.
    All,
}

impl AuditLogArgs {
    /// Returns the log, if there is to be one.
    pub(crate) fn log(&self) -> Result<Option<Arc<DecisionLog>>, Failure> {
        let sink: Box<dyn DecisionSink> = match self.audit_log.as_str() {
            "none" if self.audit_log_required => {
                return Err(Failure::input("`--audit-log-required` needs a log of decisions")
                    .with_help("give `--audit-log`"));
            }
            "none" => return Ok(None),
            "-" => Box::new(Writer::new(std::io::stdout())),
            url if url.starts_with("http://") || url.starts_with("https://") => {
                let headers = std::env::var(HEADERS).unwrap_or_default();
                let sink = Otlp::new(url).with_headers(&headers);
                Box::new(sink.map_err(|e| Failure::input(format!("`{HEADERS}`: {e}")))?)
            }
            path => {
                let (bytes, files) = (self.audit_log_max_size << 20, self.audit_log_max_files);
                let sink = FileSink::open(path, bytes, files).map_err(|e| {
                    Failure::input(format!("cannot write decisions to `{path}`: {e}"))
                })?;
                Box::new(sink)
            }
        };
        let mut options = LogOptions::default();
        options.buffer = self.audit_log_buffer;
        options.buffer_bytes = self.audit_log_buffer_size.saturating_mul(1 << 20);
        options.required = self.audit_log_required;
        let rules = &mut options.rules;
        rules.decisions = match self.audit_log_decisions {
            AuditDecisions::Denials => Decisions::Denials,
            AuditDecisions::DenialsAndChanges => Decisions::DenialsAndChanges,
            AuditDecisions::All => Decisions::All,
        };
        if self.audit_log_required {
            // What is not recorded is not allowed, so that nothing allowed may be left out.
            if !self.audit_log_sample.is_empty() || !self.audit_log_drop.is_empty() {
                return Err(Failure::input(
                    "`--audit-log-required` allows nothing that is not recorded: it goes with \
                     neither `--audit-log-sample` nor `--audit-log-drop`",
                ));
            }
            rules.decisions = Decisions::All;
        }
        rules.drop.clone_from(&self.audit_log_drop);
        rules.mask.clone_from(&self.audit_log_mask);
        for rule in &self.audit_log_sample {
            rules.sample(rule).map_err(|e| Failure::input(e.to_string()))?;
        }
        let form = match self.audit_log_format {
            AuditFormat::Json => Form::Own,
            AuditFormat::Ocsf => Form::Ocsf,
            AuditFormat::Ecs => Form::Ecs,
        };
        Ok(Some(Arc::new(DecisionLog::new(options, form, sink))))
    }
}
