//! Text on a terminal: colour where it is wanted, and nothing that the terminal would obey.

use std::fmt::{self, Display};
use std::io::IsTerminal;

use stagedoor_core::Decision;
pub use stagedoor_core::{printable, single_line as line};
use stagedoor_wire::Verdict;

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Returns the paint for a stream: none unless it is a terminal and `NO_COLOR` is unset.
    #[must_use]
    pub fn of(stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: stream.is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// Returns no colour.
    #[must_use]
    pub fn none() -> Self {
        Self { on: false }
    }

    /// Returns whether there is any.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.on
    }

    /// Makes a text bold.
    pub fn bold<T: Display>(self, text: T) -> ColouredText<T> {
        self.with("1", text)
    }

    /// Makes a text stand back.
    pub fn dim<T: Display>(self, text: T) -> ColouredText<T> {
        self.with("2", text)
    }

    /// Makes a text the colour of what is allowed or in order.
    pub fn good<T: Display>(self, text: T) -> ColouredText<T> {
        self.with("1;32", text)
    }

    /// Makes a text the colour of what is denied or wrong.
    pub fn bad<T: Display>(self, text: T) -> ColouredText<T> {
        self.with("1;31", text)
    }

    /// Makes a text the colour of what somebody should look at.
    pub fn notable<T: Display>(self, text: T) -> ColouredText<T> {
        self.with("33", text)
    }

    /// Returns a decision in its colour, as wide as the longer of the two.
    #[must_use]
    pub fn decision(self, decision: Decision) -> String {
        let word = Verdict::from(decision).as_str();
        match decision {
            Decision::Allow => format!("{:<5}", self.good(word)),
            Decision::Deny => format!("{:<5}", self.bad(word)),
        }
    }

    fn with<T: Display>(self, code: &'static str, text: T) -> ColouredText<T> {
        ColouredText { code: self.on.then_some(code), text }
    }
}

/// Text with its colour.
#[derive(Debug)]
pub struct ColouredText<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: Display> Display for ColouredText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => {
                write!(f, "\x1b[{code}m")?;
                // With the formatter's width, which then counts the text alone.
                self.text.fmt(f)?;
                f.write_str("\x1b[0m")
            }
            None => self.text.fmt(f),
        }
    }
}

/// As [`printable`], but keeps codes of colour: for a text that was coloured already.
#[must_use]
pub fn printable_but_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut shown = parts.next().map(|first| printable(first).into_owned()).unwrap_or_default();
    for part in parts {
        match part.split_once('m') {
            Some((code, rest)) if code.bytes().all(|b| b.is_ascii_digit() || b == b';') => {
                shown.extend(["\x1b[", code, "m"]);
                shown.push_str(&printable(rest));
            }
            _ => shown.extend(["\\u{1b}[", &printable(part)]),
        }
    }
    shown
}

/// Breaks a text into lines of at most `width` characters, where its words allow.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in printable(text).split_whitespace() {
        let length = current.chars().count() + 1 + word.chars().count();
        if !current.is_empty() && length > width {
            lines.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    lines.push(current);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(printable("über\tuns"), "über\tuns");
        assert_eq!(printable("a\x1b[31mb\r"), "a\\u{1b}[31mb\\u{d}");
        assert_eq!(printable("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(line("two\n  lines"), "two lines");
        assert_eq!(
            printable_but_colours("\x1b[1;31mred\x1b[0m \x1b[2J \x1b]0;title\x07"),
            "\x1b[1;31mred\x1b[0m \\u{1b}[2J \\u{1b}]0;title\\u{7}"
        );
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("immeasurable", 3), ["immeasurable"]);
    }

    #[test]
    fn colour_does_not_count_for_the_width() {
        let on = Paint { on: true };
        assert_eq!(format!("{:<6}|", on.good("allow")), "\x1b[1;32mallow \x1b[0m|");
        assert_eq!(format!("{:<6}|", Paint { on: false }.good("allow")), "allow |");
    }
}
