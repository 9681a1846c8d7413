//! How what goes on for long tells what it does.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How the names of Stagedoor's own parts begin.
const OWN: &str = "stagedoor";

/// How a server tells what it does.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// How the log is written, to the standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// How much is logged.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,

    /// How much is logged by another part than Stagedoor's own, which tell warnings only:
    /// `h2=debug` shows the frames of HTTP/2.
    #[arg(long, value_name = "PART=LEVEL", num_args = 1.., value_parser = log_part)]
    log_part: Vec<(String, LogLevel)>,
}

fn log_part(text: &str) -> Result<(String, LogLevel), String> {
    let (part, level) = text.split_once('=').ok_or("give `PART=LEVEL`")?;
    Ok((part.to_owned(), LogLevel::from_str(level, false)?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Text for people.
    Text,
    /// JSON, one object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

impl LogArgs {
    /// Begins to log.
    pub(crate) fn start(&self) {
        let own = LevelFilter::from(self.log_level);
        let targets = Targets::new().with_default(own.min(LevelFilter::WARN)).with_target(OWN, own);
        let parts = self.log_part.iter().map(|(part, level)| (part.clone(), (*level).into()));
        let targets = targets.with_targets(parts.collect::<Vec<(String, LevelFilter)>>());
        // The targets alone say what is told.
        let log = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Json => log.json().flatten_event(true).finish().with(targets).init(),
            LogFormat::Text => {
                let colour =
                    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                log.with_ansi(colour).finish().with(targets).init();
            }
        }
    }
}
