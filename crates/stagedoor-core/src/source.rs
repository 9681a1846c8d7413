//! Texts that policies and schemas come from, and positions in them.

use std::sync::{Arc, OnceLock};

/// The mark that some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns a text without the byte order mark that some editors put before it.
///
/// # Examples
///
/// ```
/// assert_eq!(stagedoor_core::without_byte_order_mark("\u{feff}permit"), "permit");
/// ```
#[must_use]
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// What a text holds.
///
/// # Examples
///
/// ```
/// use stagedoor_core::SourceKind;
///
/// assert_eq!(SourceKind::of("shop.cedar"), Some(SourceKind::Policies));
/// assert_eq!(SourceKind::of("notes.txt"), None);
/// assert!(SourceKind::of_text("request.cedarschema", "").is_schema());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// Policies and templates in Cedar's syntax: `*.cedar`.
    Policies,
    /// A policy set, or one policy, in Cedar's JSON form: `*.cedar.json`.
    PoliciesJson,
    /// A schema in Cedar's syntax: `*.cedarschema`.
    Schema,
    /// A schema in Cedar's JSON form: `*.cedarschema.json`.
    SchemaJson,
}

impl SourceKind {
    /// Returns what a file of this name holds; `None` if the name does not tell.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            name if name.ends_with(".cedar") => Self::Policies,
            name if name.ends_with(".cedar.json") => Self::PoliciesJson,
            name if name.ends_with(".cedarschema") => Self::Schema,
            name if name.ends_with(".cedarschema.json") => Self::SchemaJson,
            _ => return None,
        })
    }

    /// Returns what a text of this name holds: policies, in JSON if it begins with `{`, where the
    /// name does not tell.
    #[must_use]
    pub fn of_text(name: &str, text: &str) -> Self {
        Self::of(name).unwrap_or_else(|| {
            // No policy in Cedar's syntax begins with a bracket.
            let is_json = without_byte_order_mark(text).trim_start().starts_with('{');
            if is_json { Self::PoliciesJson } else { Self::Policies }
        })
    }

    /// Returns whether it is a schema, in either form.
    #[must_use]
    pub fn is_schema(self) -> bool {
        matches!(self, Self::Schema | Self::SchemaJson)
    }
}

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
        let mut text = text.into();
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len_utf8());
        }
        Self { name: name.into().into(), text: text.into(), lines: Arc::default() }
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
