//! Where a command writes: results to the standard output, remarks to the standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, Write as _};

use clap::ValueEnum;
use serde::Serialize;
use stagedoor_core::Problem;

use crate::failure::Failure;
use crate::terminal::{Paint, line};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people.
    Human,
    /// JSON, one object a line.
    Json,
}

/// The standard output and how it is written to.
pub(crate) struct Output {
    format: Format,
    out: BufWriter<io::Stdout>,
    paint: Paint,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let paint = match format {
            Format::Human => Paint::of(&io::stdout()),
            Format::Json => Paint::none(),
        };
        Self { format, out: BufWriter::new(io::stdout()), paint }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Returns the colours of the standard output.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(Failure::Output)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::Output)
    }

    /// Writes one JSON object on one line.
    pub(crate) fn json(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, object).map_err(|e| Failure::Output(e.into()))?;
        self.out.write_all(b"\n").map_err(Failure::Output)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::Output)
    }

    /// Tells people something that is no part of the result.
    pub(crate) fn remark(&self, text: &str) {
        let paint = Paint::of(&io::stderr());
        // Remarks that nobody can read are not worth a failure.
        let _ = writeln!(io::stderr(), "{} {}", paint.notable("note:"), line(text));
    }

    /// Tells people, on the standard error, of a problem that stops nothing.
    pub(crate) fn warning(&self, problem: &Problem) {
        let paint = Paint::of(&io::stderr());
        let file = problem.file().map(|file| format!("{}: ", line(file))).unwrap_or_default();
        let message = line(problem.message());
        // As a remark.
        let _ = writeln!(
            io::stderr(),
            "{} {file}{message} [{}]",
            paint.notable("warning:"),
            problem.code()
        );
    }

    /// Tells people, on the standard error, what is wrong.
    pub(crate) fn complaint(&self, text: &str) {
        let paint = Paint::of(&io::stderr());
        // The exit code says it too, where nobody reads this.
        let _ = writeln!(io::stderr(), "{} {}", paint.bad("error:"), line(text));
    }

    /// Reports a failure: in JSON on the standard output, for people on the standard error.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        // A reader that went away has seen enough: `| head`.
        if matches!(failure, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        if self.is_json() && !matches!(failure, Failure::Output(_)) {
            // What cannot be written cannot be reported either; the exit code says it.
            let _ = self.json(&failure.to_json()).and_then(|()| self.flush());
            return;
        }
        let _ = self.flush();
        let text = failure.to_text(Paint::of(&io::stderr()));
        let _ = io::stderr().write_all(text.as_bytes());
    }
}
