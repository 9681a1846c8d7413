//! What is shown of lines that are too long to be shown.

use std::ops::Range;

use miette::SourceSpan;

/// A line that is longer is not shown as a whole.
const LINE_BYTES: usize = 400;
/// So much is shown on either side of the place.
const AROUND: usize = 80;
/// So much of the place itself is underlined.
const MARKED: usize = 80;

/// A part of a line.
pub(super) struct Excerpt {
    pub(super) range: Range<usize>,
    /// The column that it starts at, from 0.
    pub(super) column: usize,
}

/// Returns what is underlined of a place: all of it, unless its line is too long.
pub(super) fn label(text: &str, span: &Range<usize>) -> Range<usize> {
    let end = text.len().min(span.end);
    if !is_long(text, span.start, end) {
        return span.clone();
    }
    // An excerpt is of one line.
    let line_end = line_end(text, span.start);
    let marked = text.ceil_char_boundary((span.start + MARKED).min(text.len()));
    span.start..marked.min(line_end).min(end)
}

/// Returns the part of the line around a place, if the line is too long to be shown. `context`
/// says whether lines around the place are wanted at all.
pub(super) fn of(text: &str, span: &SourceSpan, context: bool) -> Option<Excerpt> {
    let start = span.offset().min(text.len());
    let end = start.saturating_add(span.len()).min(text.len());
    if !context || !is_long(text, start, end) {
        return None;
    }
    let (from, to) = (line_start(text, start), line_end(text, start));
    let range = text.floor_char_boundary(start.saturating_sub(AROUND)).max(from)
        ..text.ceil_char_boundary((end + AROUND).min(text.len())).min(to).max(start);
    let column = text.get(from..range.start).unwrap_or_default().chars().count();
    Some(Excerpt { range, column })
}

/// Whether a line of the place, or the one before or after it, is too long.
fn is_long(text: &str, start: usize, end: usize) -> bool {
    let from = line_start(text, start);
    let from = line_start(text, from.saturating_sub(1));
    let to = line_end(text, line_end(text, end).saturating_add(1).min(text.len()));
    text.get(from..to).unwrap_or_default().split('\n').any(|line| line.len() > LINE_BYTES)
}

fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..text.floor_char_boundary(at)).unwrap_or_default();
    before.rfind('\n').map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    let at = text.ceil_char_boundary(at);
    let after = text.get(at..).unwrap_or_default();
    after.find('\n').map_or(text.len(), |newline| at + newline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_holds_the_place() {
        let long = "ä".repeat(10_000);
        for text in [long.clone(), format!("a\n{long}\nb"), format!("{long}\nshort\n{long}")] {
            for start in (0..text.len()).step_by(97).chain([0, text.len()]) {
                let start = text.floor_char_boundary(start);
                for length in [0, 2, 5_000, text.len()] {
                    let end = text.floor_char_boundary((start + length).min(text.len()));
                    let marked = label(&text, &(start..end));
                    assert!(marked.len() <= MARKED + 3, "{marked:?}");
                    assert_eq!(marked.start, start);
                    let span = (marked.start, marked.len()).into();
                    let Some(excerpt) = of(&text, &span, true) else {
                        assert!(!is_long(&text, marked.start, marked.end));
                        continue;
                    };
                    assert!(excerpt.range.len() <= 2 * AROUND + MARKED + 8, "{:?}", excerpt.range);
                    assert!(excerpt.range.start <= marked.start && marked.end <= excerpt.range.end);
                    assert!(text.get(excerpt.range).is_some_and(|part| !part.contains('\n')));
                }
            }
        }
    }

    #[test]
    fn what_is_short_is_shown_as_it_is() {
        let text = "permit (\n  principal,\n  action\n);";
        assert_eq!(label(text, &(0..text.len())), 0..text.len());
        assert!(of(text, &(0, text.len()).into(), true).is_none());
    }
}
