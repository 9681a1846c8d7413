//! Texts that policies and schemas come from, and positions in them.

use std::sync::{Arc, OnceLock};

/// One named text.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// File name, or what the caller called the text.
    pub(crate) name: Arc<str>,
    pub(crate) text: Arc<str>,
    /// Where lines begin, once a position was asked for.
    lines: Arc<OnceLock<Box<[usize]>>>,
}

impl Source {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into().into(), text: text.into().into(), lines: Arc::default() }
    }

    /// Returns line and column of a byte offset, both from 1; columns count characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let starts = self.lines.get_or_init(|| {
            let later = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(later).collect()
        });
        let line = starts.partition_point(|start| *start <= end);
        let start = line.checked_sub(1).and_then(|n| starts.get(n)).copied().unwrap_or_default();
        let column = self.text.get(start..end).unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}
