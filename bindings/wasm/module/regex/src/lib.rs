//! What Cedar uses of `regex`, small: expressions as Cedar has them, and two engines in place of nine.
//!
//! An automaton whose states are made when they are needed says whether there is a match, and how
//! long it is; Pike's machine, which is slow but remembers places, says where its groups are. Neither
//! goes back in a text. LALRPOP's lexer is made of the first ([`Expressions`]).

mod automaton;
mod captures;
mod digits;
mod expression;
mod program;

use std::fmt;
use std::ops::Index;
use std::sync::{Mutex, PoisonError};
use std::vec;

use automaton::Automaton;
use captures::{Marks, first_match};
use program::Program;

/// A regular expression.
pub struct Regex {
    program: Program,
    states: Mutex<Automaton>,
}

/// Expressions of which the longest match counts, as those of a lexer.
pub struct Expressions {
    program: Program,
    states: Mutex<Automaton>,
}

/// Why an expression is none, or none that is needed here.
#[derive(Debug, Clone)]
pub struct Error(&'static str);

/// Part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

/// A match, and those of the groups in the expression.
pub struct Captures<'t> {
    text: &'t str,
    marks: Marks,
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is none, or has what Cedar's do not have.
    pub fn new(expression: &str) -> Result<Self, Error> {
        let program = Program::of([expression])?;
        Ok(Self { program, states: Mutex::new(Automaton::new(true)) })
    }

    /// Returns whether the text has a match.
    pub fn is_match(&self, text: &str) -> bool {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.is_match(&self.program, text)
    }

    /// Returns the first match that starts at `start` or after it.
    pub fn find_at<'t>(&self, text: &'t str, start: usize) -> Option<Match<'t>> {
        self.search(text, start)?.get(0)
    }

    /// Returns all matches, of an expression that matches no empty text.
    pub fn find_iter<'t>(&self, text: &'t str) -> vec::IntoIter<Match<'t>> {
        let mut found: Vec<Match<'t>> = Vec::new();
        let mut start = 0;
        while let Some(next) = self.find_at(text, start).filter(|next| next.end > start) {
            start = next.end;
            found.push(next);
        }
        found.into_iter()
    }

    /// Returns the first match with its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.search(text, 0)
    }

    fn search<'t>(&self, text: &'t str, start: usize) -> Option<Captures<'t>> {
        let marks = first_match(&self.program, text, start)?;
        Some(Captures { text, marks })
    }
}

impl Expressions {
    /// Compiles expressions.
    ///
    /// # Errors
    ///
    /// [`Error`] if one of them is none, or has what Cedar's do not have.
    pub fn new<'e>(expressions: impl IntoIterator<Item = &'e str>) -> Result<Self, Error> {
        let program = Program::of(expressions)?;
        Ok(Self { program, states: Mutex::new(Automaton::new(false)) })
    }

    /// Returns how long the longest match is that begins where the text does, in bytes, and the number
    /// of the last expression that has it.
    pub fn longest(&self, text: &str) -> Option<(usize, usize)> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.longest(&self.program, text)
    }
}

impl Error {
    fn of(reason: &'static str) -> Self {
        Self(reason)
    }
}

impl<'t> Match<'t> {
    /// Returns where the match starts, in bytes.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Returns where it ends.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Returns its text.
    pub fn as_str(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }
}

impl<'t> Captures<'t> {
    /// Returns the match of a group; 0 is the match of the whole.
    pub fn get(&self, group: usize) -> Option<Match<'t>> {
        let mark = |number: usize| self.marks.get(number).copied().flatten();
        let first = group.checked_mul(2)?;
        Some(Match { text: self.text, start: mark(first)?, end: mark(first + 1)? })
    }

    /// Returns the texts of the match and of its groups; that of a group without match is empty.
    pub fn extract<const N: usize>(&self) -> (&'t str, [&'t str; N]) {
        (self.text_of(0), std::array::from_fn(|group| self.text_of(group + 1)))
    }

    fn text_of(&self, group: usize) -> &'t str {
        self.get(group).map_or("", |found| found.as_str())
    }
}

impl Index<usize> for Captures<'_> {
    type Output = str;

    fn index(&self, group: usize) -> &str {
        self.text_of(group)
    }
}

impl fmt::Debug for Expressions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expressions")
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regex")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Error {}
