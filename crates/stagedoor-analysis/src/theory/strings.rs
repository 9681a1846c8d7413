//! Texts that match some patterns and not others.
//!
//! All patterns are run side by side over one text: the state is, for each pattern, the set of
//! places in it that the text read so far can have led to. The first text in order of length that
//! leads to a state in which every pattern says what it must is an answer; where there is none, no
//! text of any length is one. Characters that no pattern names are alike, so one stands for all.

use std::collections::{BTreeSet, HashMap, VecDeque};

use cedar_policy_core::ast::{Pattern, PatternElem};
use smol_str::SmolStr;

/// So many states are looked at before the search is given up.
const STATES: usize = 20_000;

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StringSearch {
    Text(SmolStr),
    /// There is none.
    Nothing,
    /// More would have to be looked at than is reasonable.
    GaveUp,
}

/// Returns the pattern that a text alone matches.
pub(super) fn exactly(text: &str) -> Pattern {
    text.chars().map(PatternElem::Char).collect()
}

/// Returns a text that matches each pattern exactly if it is said to.
pub(super) fn text(patterns: &[(&Pattern, bool)]) -> StringSearch {
    let mut alphabet: BTreeSet<char> = BTreeSet::new();
    for (pattern, _) in patterns {
        for elem in pattern.iter() {
            if let PatternElem::Char(c) = elem {
                alphabet.insert(*c);
            }
        }
    }
    // One character that no pattern names stands for all of them.
    let other = ('a'..='z').chain('0'..='9').chain('\u{100}'..='\u{ffff}');
    alphabet.extend(other.into_iter().find(|c| !alphabet.contains(c)));

    // For each pattern the places in it that a text can have led to.
    type State = Vec<BTreeSet<usize>>;
    let start: State =
        patterns.iter().map(|(pattern, _)| closed(pattern, BTreeSet::from([0]))).collect();
    let mut from: HashMap<State, Option<(State, char)>> = HashMap::from([(start.clone(), None)]);
    let mut open = VecDeque::from([start]);
    while let Some(state) = open.pop_front() {
        let says = patterns
            .iter()
            .zip(&state)
            .all(|((pattern, wanted), places)| places.contains(&pattern.len()) == *wanted);
        if says {
            return StringSearch::Text(read(&from, state));
        }
        if from.len() > STATES {
            return StringSearch::GaveUp;
        }
        for c in &alphabet {
            let next: Vec<BTreeSet<usize>> = patterns
                .iter()
                .zip(&state)
                .map(|((pattern, _), places)| step(pattern, places, *c))
                .collect();
            // A pattern that must match and cannot any more.
            let is_lost = patterns
                .iter()
                .zip(&next)
                .any(|((_, wanted), places)| *wanted && places.is_empty());
            if !is_lost && !from.contains_key(&next) {
                from.insert(next.clone(), Some((state.clone(), *c)));
                open.push_back(next);
            }
        }
    }
    StringSearch::Nothing
}

type State = Vec<BTreeSet<usize>>;

fn read(from: &HashMap<State, Option<(State, char)>>, state: State) -> SmolStr {
    let mut text = Vec::new();
    let mut at = state;
    while let Some(Some((before, c))) = from.get(&at) {
        text.push(*c);
        at = before.clone();
    }
    text.iter().rev().collect::<String>().into()
}

/// Adds the places behind wildcards, which may stand for nothing.
fn closed(pattern: &Pattern, mut places: BTreeSet<usize>) -> BTreeSet<usize> {
    let elems = pattern.get_elems();
    let mut open: Vec<usize> = places.iter().copied().collect();
    while let Some(place) = open.pop() {
        if elems.get(place) == Some(&PatternElem::Wildcard) && places.insert(place + 1) {
            open.push(place + 1);
        }
    }
    places
}

fn step(pattern: &Pattern, places: &BTreeSet<usize>, c: char) -> BTreeSet<usize> {
    let mut next = BTreeSet::new();
    for place in places {
        match pattern.get_elems().get(*place) {
            Some(PatternElem::Wildcard) => {
                next.insert(*place);
            }
            Some(PatternElem::Char(own)) if *own == c => {
                next.insert(place + 1);
            }
            _ => {}
        }
    }
    closed(pattern, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        let elem = |c| if c == '*' { PatternElem::Wildcard } else { PatternElem::Char(c) };
        text.chars().map(elem).collect()
    }

    #[test]
    fn texts_match_what_they_must() {
        let some = |patterns: &[(&str, bool)]| {
            let patterns: Vec<(Pattern, bool)> =
                patterns.iter().map(|(text, wanted)| (pattern(text), *wanted)).collect();
            let given: Vec<(&Pattern, bool)> = patterns.iter().map(|(p, w)| (p, *w)).collect();
            let found = text(&given);
            if let StringSearch::Text(text) = &found {
                assert!(patterns.iter().all(|(p, wanted)| p.wildcard_match(text) == *wanted));
            }
            found
        };
        assert_eq!(some(&[("prod-*", true), ("prod-*", false)]), StringSearch::Nothing);
        assert_eq!(
            some(&[("prod-*", true), ("*-eu", true), ("prod-eu", false)]),
            StringSearch::Text("prod--eu".into())
        );
        assert_eq!(some(&[("a*b", true), ("*", true), ("a*", false)]), StringSearch::Nothing);
        assert_eq!(some(&[("*", false)]), StringSearch::Nothing);
        assert_eq!(
            some(&[("a*", true), ("ab*", false), ("a", false)]),
            StringSearch::Text("aa".into())
        );
        // Every text of two characters or more of which the second is not the first's.
        assert_eq!(
            some(&[("", false), ("a*", false), ("b*", false)]),
            StringSearch::Text("c".into())
        );
        assert_eq!(some(&[]), StringSearch::Text("".into()));
    }
}
