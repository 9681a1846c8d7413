//! What keeps a command from doing what it was asked, for people and for programs.

use std::fmt::Write as _;
use std::io;

use miette::{GraphicalReportHandler, GraphicalTheme};
use stagedoor_backstage::FileError;
use stagedoor_core::{LoadError, Problem, Severity};
use stagedoor_wire::WireError;

use crate::terminal::{Paint, line, printable, printable_but_colours};

/// Failure of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Policies or schemas do not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Catalog or permission files cannot be read.
    #[error(transparent)]
    Files(#[from] FileError),
    /// Requests, entities and whatever else programs hand over.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Anything else that is wrong with the input.
    #[error("{message}")]
    Input {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// The result cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
}

impl Failure {
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::Input { message: message.into(), help: None }
    }

    pub(crate) fn with_help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Input { message, .. } => Self::Input { message, help: Some(text.into()) },
            Self::Wire(error) => Self::Wire(error.with_help(text)),
            other => other,
        }
    }

    /// Returns whether policies did not load because no schema was there.
    pub(crate) fn lacks_schema(&self) -> bool {
        matches!(self, Self::Load(load) if load.problems().iter().any(|p| p.code() == "schema::missing"))
    }

    /// Returns the failure as programs read it.
    pub(crate) fn to_json(&self) -> WireError {
        match self {
            Self::Load(error) => error.into(),
            Self::Files(error) => error.into(),
            Self::Wire(error) => error.clone(),
            Self::Input { message, help } => {
                WireError { help: help.clone(), ..WireError::new("input::refused", message) }
            }
            Self::Output(_) => WireError::new("output::write", self.to_string()),
        }
    }

    pub(crate) fn to_text(&self, paint: Paint) -> String {
        let mut text = String::new();
        let error = paint.bad("error:");
        match self {
            Self::Load(load) => {
                // Warnings beside errors mostly follow from them; JSON has them all.
                let errors = load.problems().iter().filter(|p| p.severity() == Severity::Error);
                for problem in errors {
                    text.push_str(&report(problem, paint));
                }
                push_line(&mut text, format_args!("{error} {}", self.to_json().error));
            }
            Self::Files(files) => {
                for problem in files.problems() {
                    let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
                    let message = line(&problem.message);
                    push_line(
                        &mut text,
                        format_args!("{error} {}: {message}", paint.bold(line(&place))),
                    );
                    push_help(&mut text, problem.help.as_deref());
                }
                push_line(&mut text, format_args!("{error} {}", self.to_json().error));
            }
            Self::Input { message, help } | Self::Wire(WireError { error: message, help, .. }) => {
                push_line(&mut text, format_args!("{error} {}", printable(message)));
                push_help(&mut text, help.as_deref());
            }
            Self::Output(_) => push_line(&mut text, format_args!("{error} {self}")),
        }
        text
    }
}

/// Returns a problem with the lines that it is about.
pub(crate) fn report(problem: &Problem, paint: Paint) -> String {
    let mut text = String::new();
    if problem.line().is_some() {
        let theme = if paint.is_on() {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
        let mut drawn = String::new();
        if handler.render_report(&mut drawn, problem).is_ok() {
            // The drawing's own colours are wanted; what the files hold is not trusted.
            return match paint.is_on() {
                true => printable_but_colours(&drawn),
                false => printable(&drawn).into_owned(),
            };
        }
    }
    let severity = match problem.severity() {
        Severity::Error => paint.bad("error:"),
        Severity::Warning => paint.notable("warning:"),
    };
    let file = problem.file().map(|file| format!("{}: ", line(file))).unwrap_or_default();
    let (message, code) = (printable(problem.message()), paint.dim(problem.code()));
    push_line(&mut text, format_args!("{severity} {file}{message} [{code}]"));
    push_help(&mut text, problem.help());
    text
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

fn push_help(text: &mut String, help: Option<&str>) {
    for (n, line) in help.into_iter().flat_map(str::lines).enumerate() {
        let lead = if n == 0 { "help: " } else { "      " };
        push_line(text, format_args!("  {lead}{}", printable(line)));
    }
}
