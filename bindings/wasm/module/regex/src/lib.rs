//! What Cedar uses of `regex`, small: two of its engines in place of nine.
//!
//! The engines are those of `regex`. A lazy automaton says whether there is a match, and Pike's
//! machine, which is slow but works for all expressions, says where.

use std::fmt;
use std::ops::Index;
use std::sync::{Mutex, PoisonError};
use std::vec;

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::util::captures::Captures as Slots;
use regex_automata::{Anchored, Input};

/// A regular expression.
pub struct Regex {
    automaton: DFA,
    states: Mutex<Cache>,
    machine: PikeVM,
}

/// Why an expression is none.
#[derive(Debug, Clone)]
pub struct Error(String);

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
    slots: Slots,
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// [`Error`] if it is none, or asks for tables of Unicode that are not here.
    pub fn new(expression: &str) -> Result<Self, Error> {
        let machine = PikeVM::new(expression).map_err(|e| Error(e.to_string()))?;
        let automaton = DFA::new(expression).map_err(|e| Error(e.to_string()))?;
        let states = Mutex::new(automaton.create_cache());
        Ok(Self { automaton, states, machine })
    }

    /// Returns whether the text has a match.
    pub fn is_match(&self, text: &str) -> bool {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        self.runs_into_match(&mut states, text).unwrap_or_else(|| self.find_at(text, 0).is_some())
    }

    /// `None` if the automaton gives up, which takes a text unlike all that Cedar reads.
    fn runs_into_match(&self, states: &mut Cache, text: &str) -> Option<bool> {
        let input = Input::new(text).anchored(Anchored::No);
        let mut state = self.automaton.start_state_forward(states, &input).ok()?;
        for &byte in text.as_bytes() {
            state = self.automaton.next_state(states, state, byte).ok()?;
            if state.is_match() || state.is_dead() {
                return Some(state.is_match());
            }
            if state.is_quit() {
                return None;
            }
        }
        let last = self.automaton.next_eoi_state(states, state).ok()?;
        (!last.is_quit()).then(|| last.is_match())
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
        let mut slots = self.machine.create_captures();
        let input = Input::new(text).range(start..);
        self.machine.search(&mut self.machine.create_cache(), &input, &mut slots);
        slots.is_match().then_some(Captures { text, slots })
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
        let span = self.slots.get_group(group)?;
        Some(Match { text: self.text, start: span.start, end: span.end })
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

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regex")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
