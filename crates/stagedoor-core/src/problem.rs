//! What is wrong with policies, schemas and files, all of it at once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::cut;
use crate::limits::raise;
use crate::source::Source;
use crate::text::count_of;

mod excerpt;

/// How much a [`Problem`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Loading goes on.
    Warning,
    /// Nothing is loaded.
    Error,
}

/// One thing that is wrong, and where.
///
/// The text of the error carries no position: [`file`](Self::file), [`line`](Self::line)
/// and [`column`](Self::column) do, and as a [`miette::Diagnostic`] it shows the line itself.
#[derive(Debug, Clone)]
pub struct Problem {
    severity: Severity,
    code: &'static str,
    message: String,
    help: Option<String>,
    policy: Option<String>,
    place: Option<SourceLocation>,
}

#[derive(Debug, Clone)]
struct SourceLocation {
    file: Arc<str>,
    text: Arc<str>,
    span: Range<usize>,
    line: usize,
    column: usize,
}

impl Problem {
    /// Returns a problem that keeps policies from being loaded. `code` is stable, of the form
    /// `file::read`.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: cut(&message.into()),
            help: None,
            policy: None,
            place: None,
        }
    }

    /// Returns a problem that is told while loading goes on.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(cut(&help.into()));
        self
    }

    /// Names the policy that is meant.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<String>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    pub(crate) fn at(mut self, source: &Source, span: Range<usize>) -> Self {
        let (line, column) = source.position(span.start);
        self.place = Some(SourceLocation {
            file: Arc::clone(&source.name),
            text: Arc::clone(&source.text),
            span,
            line,
            column,
        });
        self
    }

    /// Places the problem in a file, as a whole.
    #[must_use]
    pub fn in_file(mut self, name: &str) -> Self {
        self.place = Some(SourceLocation {
            file: name.into(),
            text: "".into(),
            span: 0..0,
            line: 0,
            column: 0,
        });
        self
    }

    /// Says that a file is larger than it may be.
    #[must_use]
    pub fn file_too_large(name: &str, limit: usize) -> Self {
        let message = format!("the file is larger than the limit of {limit} bytes");
        Self::error("limit::file-bytes", message)
            .with_help(format!("split the file, or {}", raise("fileBytes")))
            .in_file(name)
    }

    /// Returns how much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the stable code of this kind of problem, such as `policy::parse`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.code
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Returns the id of the policy that is meant, where one is.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Returns the file, or what the caller called the text.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.place.as_ref().map(|p| p.file.as_ref())
    }

    /// Returns the line, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|p| p.line).filter(|n| *n > 0)
    }

    /// Returns the column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|p| p.column).filter(|n| *n > 0)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl miette::Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.place.as_ref().filter(|p| p.line > 0).map(|p| p as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let place = self.place.as_ref().filter(|p| p.line > 0)?;
        let span = miette::LabeledSpan::underline(excerpt::label(&place.text, &place.span));
        Some(Box::new(std::iter::once(span)))
    }
}

impl miette::SourceCode for SourceLocation {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        if let Some(excerpt) = excerpt::of(&self.text, span, before + after > 0) {
            return Ok(Box::new(miette::MietteSpanContents::new_named(
                self.file.to_string(),
                self.text.get(excerpt.range.clone()).unwrap_or_default().as_bytes(),
                (excerpt.range.start, excerpt.range.len()).into(),
                self.line.saturating_sub(1),
                excerpt.column,
                1,
            )));
        }
        let read = self.text.as_ref().read_span(span, before, after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.file.to_string(),
            read.data(),
            *read.span(),
            read.line(),
            read.column(),
            read.line_count(),
        )))
    }
}

/// Failure to load policies: every problem that was found. Nothing was loaded.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, Severity};
///
/// let loaded = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "permit(principal, action, resource)\nwhen { resource.colour == 1 };")
///     .build();
/// let error = loaded.err().ok_or("policies that do not load")?;
/// let problem = &error.problems()[0];
/// assert_eq!((problem.severity(), problem.code()), (Severity::Error, "policy::validate"));
/// assert_eq!((problem.file(), problem.line()), (Some("p.cedar"), Some(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LoadError {
    problems: Vec<Problem>,
    unreported: usize,
}

impl LoadError {
    /// Returns the failure that these problems are.
    #[must_use]
    pub fn of(problems: Vec<Problem>) -> Self {
        Self::new(problems, 0)
    }

    pub(crate) fn new(problems: Vec<Problem>, unreported: usize) -> Self {
        Self { problems, unreported }
    }

    /// Returns the problems: errors first, then warnings, each in the order of the files.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Replaces what to do about problems, where a platform knows better than Cedar does.
    #[must_use]
    pub fn with_help(mut self, help: impl Fn(&Problem) -> Option<String>) -> Self {
        for problem in &mut self.problems {
            if let Some(better) = help(problem) {
                problem.help = Some(better);
            }
        }
        self
    }

    /// Returns how many problems were found beyond [`Limits::problems`](crate::Limits::problems);
    /// there may be more, since loading soon stops looking.
    #[must_use]
    pub fn unreported(&self) -> usize {
        self.unreported
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.problems.iter().filter(|p| p.severity == Severity::Error).count();
        let total = errors + self.unreported;
        let total = count_of(total, "problem", "problems");
        write!(f, "policies were not loaded: {total}")?;
        for problem in self.problems.iter().filter(|p| p.severity == Severity::Error) {
            f.write_str("\n  ")?;
            if let Some(file) = problem.file() {
                f.write_str(file)?;
                if let (Some(line), Some(column)) = (problem.line(), problem.column()) {
                    write!(f, ":{line}:{column}")?;
                }
                f.write_str(": ")?;
            }
            write!(f, "{} ({})", problem.message, problem.code)?;
        }
        if self.unreported > 0 {
            write!(f, "\n  and at least {} more", self.unreported)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

impl miette::Diagnostic for LoadError {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("policies::load"))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|p| p as &dyn miette::Diagnostic)))
    }
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic as _;

    use super::*;
    use crate::Engine;

    /// Returns what a terminal is told of a problem: code, severity, help and the text at the label.
    fn told(problem: &Problem) -> (String, Option<miette::Severity>, bool, Option<String>) {
        let code = problem.code().to_string();
        let label = problem.labels().into_iter().flatten().next();
        let excerpt = label.and_then(|label| {
            let read = problem.source_code()?.read_span(label.inner(), 0, 0).ok()?;
            Some(String::from_utf8_lossy(read.data()).into_owned())
        });
        let diagnostic: &dyn miette::Diagnostic = problem;
        let of_diagnostic = diagnostic.code().map(|code| code.to_string());
        assert_eq!(of_diagnostic.as_ref(), Some(&code));
        let help = diagnostic.help().map(|help| help.to_string());
        assert_eq!(help.as_deref(), problem.help());
        (code, diagnostic.severity(), help.is_some(), excerpt)
    }

    #[test]
    fn a_terminal_is_told_what_programs_are() -> Result<(), Box<dyn std::error::Error>> {
        let schema = "entity User; action view appliesTo { principal: User, resource: User };";
        let text = "permit(principal, action, resource)\nwhen { resource.colour == 1 };";
        let build = || Engine::builder().schema("s.cedarschema", schema).policies("p.cedar", text);
        let error = build().build().err().ok_or("an error")?;
        let problem = error.problems().first().ok_or("a problem")?;
        let (code, severity, _, excerpt) = told(problem);
        assert_eq!((code.as_str(), severity), ("policy::validate", Some(miette::Severity::Error)));
        assert_eq!((problem.line(), problem.column()), (Some(2), Some(8)));
        assert_eq!(excerpt.as_deref(), Some("resource.colour"));
        let code = error.code().map(|code| code.to_string());
        assert_eq!(code.as_deref(), Some("policies::load"));
        assert_eq!(error.related().map(Iterator::count), Some(1));

        // Of a whole file there is no line to show.
        let problem = Problem::file_too_large("big.cedar", 10);
        let (code, severity, has_help, excerpt) = told(&problem);
        assert_eq!((code.as_str(), severity), ("limit::file-bytes", Some(miette::Severity::Error)));
        assert!(has_help && excerpt.is_none() && problem.source_code().is_none());
        assert_eq!(
            (problem.file(), problem.line(), problem.column()),
            (Some("big.cedar"), None, None)
        );
        Ok(())
    }
}
