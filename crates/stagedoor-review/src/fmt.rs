//! Policies in Cedar's own format.

use cedar_policy::{Policy, PolicySet, Template};
use cedar_policy_formatter::{Config, policies_str_to_pretty};

/// How policies are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// The longest line.
    pub line_width: usize,
    /// The indentation.
    pub indent_width: u8,
}

impl Default for Style {
    fn default() -> Self {
        Self { line_width: 100, indent_width: 2 }
    }
}

/// A text that is not formatted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It is no text of policies.
    #[error("{0}")]
    Syntax(String),
    /// Formatting would have changed what it says.
    #[error("the formatter would change {0}")]
    Changed(&'static str),
}

/// Returns a text of policies as Cedar's formatter lays it out. What it says is the same: the
/// policies are compared before and after, and so are the comments.
///
/// # Errors
///
/// [`FormatError`] if the text does not parse, or would not say the same.
///
/// # Examples
///
/// ```
/// use stagedoor_review::fmt::{Style, formatted};
///
/// let text = "permit(principal,action,resource)when{context.mfa};// everybody\n";
/// let expected = "\
/// permit (principal, action, resource)
/// when { context.mfa }; // everybody
/// ";
/// assert_eq!(formatted(text, &Style::default())?, expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn formatted(text: &str, style: &Style) -> Result<String, FormatError> {
    let parse = |text: &str| text.parse::<PolicySet>().map_err(|e| FormatError::Syntax(whole(&e)));
    let before = parse(text)?;
    if before.is_empty() {
        // Nothing but comments: the formatter has nothing to lay out.
        return Ok(text.to_owned());
    }
    let config =
        Config { line_width: style.line_width, indent_width: isize::from(style.indent_width) };
    let (header, rest) = header(text);
    let pretty =
        policies_str_to_pretty(rest, &config).map_err(|e| FormatError::Syntax(format!("{e:#}")))?;
    let pretty = format!("{header}{}\n", pretty.trim_end());
    if !says_the_same(&before, &parse(&pretty)?) {
        return Err(FormatError::Changed("a policy"));
    }
    if comments(text) != comments(&pretty) {
        return Err(FormatError::Changed("a comment"));
    }
    Ok(pretty)
}

/// Splits off the comments that a blank line sets apart at the beginning: they are about the
/// file, and the formatter would join them to the first policy.
fn header(text: &str) -> (&str, &str) {
    let mut end = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.trim().is_empty() {
            end = at;
        } else if !line.starts_with("//") {
            break;
        }
    }
    let header = text.get(..end).unwrap_or_default();
    if header.trim().is_empty() {
        ("", text)
    } else {
        (header, text.get(end..).unwrap_or_default())
    }
}

/// Returns whether two texts hold the same policies in the same order.
fn says_the_same(one: &PolicySet, other: &PolicySet) -> bool {
    // The ids are positions, so that the order is compared with what is said.
    fn said(set: &PolicySet) -> Option<Vec<(String, String)>> {
        let policy =
            |policy: &Policy| Some((policy.id().to_string(), policy.to_json().ok()?.to_string()));
        let template = |template: &Template| {
            Some((template.id().to_string(), template.to_json().ok()?.to_string()))
        };
        let all = set.policies().map(policy).chain(set.templates().map(template));
        let mut all: Vec<_> = all.collect::<Option<_>>()?;
        all.sort_unstable();
        Some(all)
    }
    matches!((said(one), said(other)), (Some(one), Some(other)) if one == other)
}

/// Returns the comments of a text, in order.
fn comments(text: &str) -> Vec<&str> {
    crate::comment::comments(text).into_iter().map(|(_, comment)| comment.trim_end()).collect()
}

/// Returns an error of Cedar's parser with its place.
fn whole(error: &cedar_policy::ParseErrors) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_twice_changes_nothing() -> Result<(), FormatError> {
        let text = "// first\n@id(\"a\")permit(principal in G::\"x\",action in[Action::\"r\",Action::\"w\"],resource)\n\
             // why\nwhen{resource.a&&(resource.b||resource.c)// end\n};\n\n\n// last\n";
        let once = formatted(text, &Style::default())?;
        assert_eq!(formatted(&once, &Style::default())?, once);
        for comment in ["// first", "// why", "// end", "// last"] {
            assert!(once.contains(comment), "{once}");
        }
        Ok(())
    }

    #[test]
    fn what_is_about_the_file_stays_apart() -> Result<(), FormatError> {
        let text = "// The file.\n\n// The policy.\npermit (principal, action, resource);\n";
        assert_eq!(formatted(text, &Style::default())?, text);
        Ok(())
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let error = formatted("permit(principal, action);", &Style::default());
        assert!(matches!(error, Err(FormatError::Syntax(_))), "{error:?}");
        assert_eq!(formatted("// only this", &Style::default()), Ok("// only this".to_owned()));
    }

    #[test]
    fn templates_are_policies_too() -> Result<(), FormatError> {
        let text = "@id(\"t\") permit(principal==?principal,action,resource in?resource);";
        assert!(formatted(text, &Style::default())?.contains("principal == ?principal"));
        Ok(())
    }
}
