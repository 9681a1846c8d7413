//! What takes the place of LALRPOP's lexer in the module: the same tokens, found with the expressions of
//! `regex` beside it.
//!
//! LALRPOP's makes a new automaton for each text that it reads, and Cedar reads texts as short as a
//! name; here all texts of a parser share one.
//!
//! A text may begin with a mark, a control character that says what it is read as (`lean.mjs`). It takes
//! no place in the text.

use core::marker::PhantomData;
use std::fmt;

use regex::{Error, Expressions};

use crate::ParseError;

/// What was read: the number of the expression that it matches, and its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token<'input>(pub usize, pub &'input str);

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
}

/// The expressions of a grammar, of which lexers are made.
pub struct MatcherBuilder {
    expressions: Expressions,
    /// Which of them are passed over.
    skipped: Vec<bool>,
}

impl MatcherBuilder {
    /// Returns the expressions, each with whether what it matches is passed over.
    pub fn new<'e>(expressions: impl IntoIterator<Item = (&'e str, bool)>) -> Result<Self, Error> {
        let (expressions, skipped): (Vec<_>, Vec<_>) = expressions.into_iter().unzip();
        Ok(Self { expressions: Expressions::new(expressions)?, skipped })
    }

    /// Returns a lexer of a text.
    pub fn matcher<'input, 'builder, E>(
        &'builder self,
        text: &'input str,
    ) -> Matcher<'input, 'builder, E> {
        Matcher { text, consumed: 0, begins: true, builder: self, error: PhantomData }
    }
}

/// A lexer: of what matches, the longest.
pub struct Matcher<'input, 'builder, E> {
    text: &'input str,
    consumed: usize,
    /// Whether nothing was read yet.
    begins: bool,
    builder: &'builder MatcherBuilder,
    error: PhantomData<fn() -> E>,
}

impl<'input, E> Iterator for Matcher<'input, '_, E> {
    type Item = Result<(usize, Token<'input>, usize), ParseError<usize, Token<'input>, E>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.text.is_empty() {
            let start = self.consumed;
            let longest = self.builder.expressions.longest(self.text);
            let is_mark = self.text.starts_with(is_mark);
            let begins = std::mem::take(&mut self.begins);
            let may_be = |length: usize| length > 0 && (begins || !is_mark);
            let Some((length, expression)) = longest.filter(|(length, _)| may_be(*length)) else {
                return Some(Err(ParseError::InvalidToken { location: start }));
            };
            let (token, left) = self.text.split_at(length);
            self.text = left;
            self.consumed += if is_mark { 0 } else { length };
            if self.builder.skipped.get(expression) != Some(&true) {
                return Some(Ok((start, Token(expression, token), self.consumed)));
            }
        }
        None
    }
}

/// No text of Cedar's has these outside of strings and comments.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{1}'..='\u{8}')
}
