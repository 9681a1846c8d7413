//! The pattern of `like`, cut at its wildcards once.

use cedar_policy_core::ast::{Pattern, PatternElem};

/// A pattern whose wildcards each stand for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    /// What the text begins with; all of it, if there is no wildcard.
    start: Box<str>,
    /// What follows the first wildcard: what comes somewhere, in order, and what the text
    /// ends with.
    rest: Option<Rest>,
}

type Rest = (Box<[Box<str>]>, Box<str>);

impl Glob {
    pub(crate) fn new(pattern: &Pattern) -> Self {
        let mut parts = vec![String::new()];
        for elem in pattern.iter() {
            match (elem, parts.last_mut()) {
                (PatternElem::Char(c), Some(part)) => part.push(*c),
                (PatternElem::Wildcard, _) | (_, None) => parts.push(String::new()),
            }
        }
        let mut parts = parts.into_iter().map(String::into_boxed_str);
        let start = parts.next().unwrap_or_default();
        let end = parts.next_back();
        Self { start, rest: end.map(|end| (parts.filter(|part| !part.is_empty()).collect(), end)) }
    }

    /// Returns whether a text matches. Each part is looked for once and where it comes first:
    /// if the text matches at all, it matches so.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((between, end)) = &self.rest else { return *text == *self.start };
        let rest = text.strip_prefix(&*self.start).and_then(|rest| rest.strip_suffix(&**end));
        let Some(mut rest) = rest else { return false };
        for part in between {
            match rest.split_once(&**part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All patterns and texts of a few letters, as Cedar matches them.
    #[test]
    fn matches_what_cedar_matches() {
        let elems = [PatternElem::Wildcard, PatternElem::Char('a'), PatternElem::Char('ß')];
        let (mut matching, mut compared) = (0, 0);
        for pattern in words(&elems, 5) {
            let pattern: Pattern = pattern.into_iter().collect();
            let glob = Glob::new(&pattern);
            for text in words(&['a', 'ß'], 5) {
                let text: String = text.into_iter().collect();
                assert_eq!(glob.matches(&text), pattern.wildcard_match(&text), "{pattern} {text}");
                matching += usize::from(glob.matches(&text));
                compared += 1;
            }
        }
        assert!(matching * 20 > compared && matching * 2 < compared, "{matching} of {compared}");
    }

    fn words<T: Copy>(letters: &[T], longest: usize) -> Vec<Vec<T>> {
        let mut all = vec![Vec::new()];
        let mut last: Vec<Vec<T>> = all.clone();
        for _ in 0..longest {
            let longer = |word: &Vec<T>| {
                let word = word.clone();
                letters.iter().map(move |letter| {
                    let mut word = word.clone();
                    word.push(*letter);
                    word
                })
            };
            last = last.iter().flat_map(longer).collect();
            all.extend(last.iter().cloned());
        }
        all
    }
}
