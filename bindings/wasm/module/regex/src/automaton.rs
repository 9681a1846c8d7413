//! Whether there is a match, and how long it is: an automaton whose states are made when a text first
//! comes to them.

use std::collections::HashMap;

use super::program::{Program, Step, has};

/// Characters whose transitions are kept.
const ASCII: usize = 128;
/// No transition is known yet.
const UNKNOWN: u32 = u32::MAX;

/// The states that were met so far.
///
/// INVARIANT: there are few. An expression of Cedar's has as many as it has characters, and those of a
/// lexer some hundreds together, whatever the text.
#[derive(Debug, Default)]
pub(super) struct Automaton {
    states: Vec<State>,
    numbers: HashMap<Vec<usize>, u32>,
    /// Whether a match may begin anywhere.
    floats: bool,
}

#[derive(Debug)]
struct State {
    next: [u32; ASCII],
    /// The steps that the program may be at.
    steps: Vec<usize>,
    /// The last expression that matches here.
    matched: Option<usize>,
    /// The last that does if the text ends here.
    at_end: Option<usize>,
}

/// Where in a text a step is.
#[derive(Clone, Copy)]
struct Place {
    is_start: bool,
    is_end: bool,
}

const WITHIN: Place = Place { is_start: false, is_end: false };

impl Automaton {
    /// Returns an automaton of matches that begin where the text does, or anywhere.
    pub(super) fn new(floats: bool) -> Self {
        Self { floats, ..Self::default() }
    }

    /// Returns whether a text has a match.
    pub(super) fn is_match(&mut self, program: &Program, text: &str) -> bool {
        let mut state = self.start(program);
        for character in text.chars() {
            match self.states.get(state as usize) {
                Some(met) if met.matched.is_some() => return true,
                Some(met) if met.steps.is_empty() && !self.floats => return false,
                _ => state = self.next(program, state, character),
            }
        }
        self.states.get(state as usize).is_some_and(|state| state.at_end.is_some())
    }

    /// Returns how long the longest match is that begins where the text does, and the last expression
    /// that has it.
    pub(super) fn longest(&mut self, program: &Program, text: &str) -> Option<(usize, usize)> {
        let mut state = self.start(program);
        let mut longest = None;
        for (place, character) in text.char_indices() {
            let met = self.states.get(state as usize)?;
            longest = met.matched.map(|expression| (place, expression)).or(longest);
            if met.steps.is_empty() {
                return longest;
            }
            state = self.next(program, state, character);
        }
        let last = self.states.get(state as usize)?.at_end;
        last.map(|expression| (text.len(), expression)).or(longest)
    }

    fn start(&mut self, program: &Program) -> u32 {
        if self.states.is_empty() {
            let place = Place { is_start: true, is_end: false };
            let steps = closure(program, program.starts.iter().copied(), place);
            return self.state(program, steps);
        }
        0
    }

    fn next(&mut self, program: &Program, from: u32, character: char) -> u32 {
        let Some(state) = self.states.get(from as usize) else { return from };
        let kept = state.next.get(character as usize).copied();
        if let Some(next) = kept.filter(|next| *next != UNKNOWN) {
            return next;
        }
        let taking = state.steps.iter().filter_map(|step| match program.steps.get(*step)? {
            Step::Chars(ranges) if has(ranges, character) => Some(step + 1),
            _ => None,
        });
        let begins = if self.floats { program.starts.as_slice() } else { &[] };
        let steps = closure(program, taking.chain(begins.iter().copied()), WITHIN);
        let next = self.state(program, steps);
        let state = self.states.get_mut(from as usize);
        if let Some(place) = state.and_then(|state| state.next.get_mut(character as usize)) {
            *place = next;
        }
        next
    }

    fn state(&mut self, program: &Program, steps: Vec<usize>) -> u32 {
        if let Some(number) = self.numbers.get(&steps) {
            return *number;
        }
        let number = u32::try_from(self.states.len()).unwrap_or(UNKNOWN);
        let matched = matched(program, &steps);
        let is_start = self.states.is_empty();
        let place = Place { is_start, is_end: true };
        let at_end = matched_at(program, &steps, place);
        self.states.push(State { next: [UNKNOWN; ASCII], steps: steps.clone(), matched, at_end });
        self.numbers.insert(steps, number);
        number
    }
}

fn matched_at(program: &Program, steps: &[usize], place: Place) -> Option<usize> {
    matched(program, &closure(program, steps.iter().copied(), place))
}

/// Returns the last expression that matches.
fn matched(program: &Program, steps: &[usize]) -> Option<usize> {
    let of = |step: &usize| match program.steps.get(*step) {
        Some(Step::Match(expression)) => Some(*expression),
        _ => None,
    };
    steps.iter().filter_map(of).max()
}

/// Returns the steps that a program comes to without taking a character, in order.
fn closure(program: &Program, from: impl Iterator<Item = usize>, place: Place) -> Vec<usize> {
    let mut open: Vec<usize> = from.collect();
    let mut met = Vec::new();
    while let Some(step) = open.pop() {
        // Few: those of one place in one expression, or the beginnings of all.
        if met.contains(&step) {
            continue;
        }
        met.push(step);
        match program.steps.get(step) {
            Some(Step::Fork(one, other)) => open.extend([*other, *one]),
            Some(Step::Jump(to)) => open.push(*to),
            Some(Step::Mark(_)) => open.push(step + 1),
            Some(Step::Start) if place.is_start => open.push(step + 1),
            Some(Step::End) if place.is_end => open.push(step + 1),
            _ => {}
        }
    }
    // What only leads on is not needed any more; an end may still come.
    met.retain(|step| {
        matches!(program.steps.get(*step), Some(Step::Chars(_) | Step::End | Step::Match(_)))
    });
    met.sort_unstable();
    met
}
