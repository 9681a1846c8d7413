//! Texts of others, made safe to show.
//!
//! Names, reasons and messages come from files, requests and rules that others wrote. A terminal
//! obeys control characters, a CI server takes a line that begins with `::` for a command, and `##[` or
//! `##vso[` wherever it stands, a reader is misled by characters that turn the direction of writing, and
//! XML has no place for noncharacters. Whoever writes such a text for people or for another program uses these.

use std::borrow::Cow;
use std::fmt;

/// Returns a number and what it counts, of which there is `one` or `many`.
///
/// # Examples
///
/// ```
/// use stagedoor_core::count_of;
///
/// assert_eq!(count_of(1, "policy", "policies"), "1 policy");
/// assert_eq!(count_of(0, "policy", "policies"), "0 policies");
/// ```
#[must_use]
pub fn count_of(count: impl fmt::Display, one: &str, many: &str) -> String {
    let count = count.to_string();
    let noun = if count == "1" { one } else { many };
    count + " " + noun
}

/// Returns whether a character is shown as something else than itself, or is obeyed.
///
/// These are control characters, those that separate lines, those that turn the direction of
/// writing or show nothing, and the noncharacters of Unicode.
///
/// # Examples
///
/// ```
/// use stagedoor_core::is_unsafe;
///
/// assert!(is_unsafe('\u{1b}') && is_unsafe('\u{202e}'));
/// assert!(!is_unsafe('é'));
/// ```
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}' | '\u{FDD0}'..='\u{FDEF}' | '\u{FFF9}'..='\u{FFFB}'
        )
        || u32::from(c) & 0xFFFE == 0xFFFE
}

/// Returns a text in which nothing is obeyed: what [`is_unsafe`] is escaped as `\u{…}`, but
/// line feeds and tabs stay.
///
/// # Examples
///
/// ```
/// use stagedoor_core::printable;
///
/// assert_eq!(printable("über\n\tuns"), "über\n\tuns");
/// assert_eq!(printable("a\u{1b}[31mb\r"), "a\\u{1b}[31mb\\u{d}");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_unsafe(c) && c != '\n' && c != '\t')
}

/// Returns a text on one line: blanks and line ends become one blank each, and what
/// [`is_unsafe`] otherwise is escaped as `\u{…}`.
///
/// # Examples
///
/// ```
/// use stagedoor_core::single_line;
///
/// assert_eq!(single_line(" no\n::add-mask::x\r\n"), "no ::add-mask::x");
/// assert_eq!(single_line("x\u{202e}y"), "x\\u{202e}y");
/// assert_eq!(single_line("no ##[add-mask]y"), "no #\\u{23}[add-mask]y");
/// ```
#[must_use]
pub fn single_line(text: &str) -> String {
    let words: Vec<&str> = text.split(char::is_whitespace).filter(|w| !w.is_empty()).collect();
    escaped(&words.join(" "), is_unsafe).into_owned()
}

fn escaped(text: &str, is_odd: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_odd) && !text.contains("##") {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut left = text.chars();
    while let Some(c) = left.next() {
        let is_command = c == '#' && shown.ends_with('#') && is_command(left.as_str());
        if is_odd(c) || is_command { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Returns whether what follows `##` makes it a command to a CI server: GitHub's runner obeys `##[name]`
/// within a line, that of Azure Pipelines `##vso[name]`.
fn is_command(after: &str) -> bool {
    after.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).starts_with('[')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_without_what_is_obeyed() {
        for (text, shown) in [
            ("plain", "plain"),
            ("", ""),
            (" a \t b\u{a0}c\u{3000}d ", "a b c d"),
            ("a\u{2028}b\u{2029}c\u{85}d\u{b}e", "a b c d e"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{200b}\u{feff}\u{2066}", "\\u{200b}\\u{feff}\\u{2066}"),
            ("\u{fffe}\u{ffff}\u{1ffff}", "\\u{fffe}\\u{ffff}\\u{1ffff}"),
            ("x ##vso[task.setvariable]y", "x #\\u{23}vso[task.setvariable]y"),
            ("###[error]", "##\\u{23}[error]"),
            ("## a heading, #[attribute]", "## a heading, #[attribute]"),
            // Joiners belong to how some are written.
            ("emoji 👩‍🚀, می\u{200c}خواهم", "emoji 👩‍🚀, می\u{200c}خواهم"),
        ] {
            assert_eq!(single_line(text), shown);
            assert!(!single_line(text).contains(is_unsafe));
        }
    }

    #[test]
    fn printable_text_keeps_its_lines() {
        assert_eq!(printable("a\n\tb\rc"), "a\n\tb\\u{d}c");
        assert!(matches!(printable("a\nb"), Cow::Borrowed(_)));
    }
}
