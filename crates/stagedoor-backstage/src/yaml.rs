//! YAML as Backstage's catalog reads it, with the place of every node.
//!
//! Catalog files are read by the npm package `yaml`, whose core schema differs
//! from YAML 1.1 and from other readers in what a plain scalar means (`yes` and
//! `0b11` are strings, `007` is seven). Since those values end up in policies'
//! conditions, scalars are resolved here by that package's rules.
//!
//! JSON is read as the YAML that it is.

use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{self as parser, Event, Marker, Parser, ScalarStyle};

/// Bounds on one file. Each has an error that names it.
const FILE_BYTES: usize = 64 << 20;
const NODES: usize = 4_000_000;
const DEPTH: usize = 64;
const DOCUMENTS: usize = 100_000;

/// A place in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl From<&Marker> for Position {
    fn from(marker: &Marker) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
    }
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// Counts from 1.
    pub(crate) document: usize,
    pub(crate) place: Position,
    pub(crate) message: String,
}

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Position,
    pub(crate) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping, as the property name that JavaScript makes of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) place: Position,
}

impl Node {
    /// Returns the value under `key`, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(fields) => fields.iter().find(|(k, _)| k.text == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Returns the string, if this is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns what to call this value in a message.
    pub(crate) fn noun(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::String(_) => "a string",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }
}

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// Counts from 1, empty documents included.
    pub(crate) number: usize,
    pub(crate) root: Node,
}

/// Returns the documents of `text`; empty ones are left out.
pub(crate) fn documents(text: &str) -> Result<Vec<Document>, YamlError> {
    let start = Position { line: 1, column: 1 };
    if text.len() > FILE_BYTES {
        let message = format!("{} bytes are more than the limit of {FILE_BYTES}", text.len());
        return Err(YamlError { document: 1, place: start, message });
    }
    let options = parser::options! { emit_comments: false };
    let mut reader = Reader {
        documents: Vec::new(),
        number: 0,
        root: None,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|e| YamlError {
            document: reader.number.max(1),
            place: e.marker().into(),
            message: e.info(),
        })?;
        let place = Position::from(&span.start);
        reader.event(event, place).map_err(|message| YamlError {
            document: reader.number.max(1),
            place,
            message,
        })?;
    }
    Ok(reader.documents)
}

/// A list or mapping whose end has not come.
struct Open {
    place: Position,
    anchor: usize,
    /// How many nodes were read before it.
    before: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { fields: Vec<(Key, Node)>, keys: HashSet<String>, key: Option<Key> },
}

struct Reader {
    documents: Vec<Document>,
    number: usize,
    root: Option<Node>,
    open: Vec<Open>,
    /// Anchored nodes of this document, with how many nodes each is.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, place: Position) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.number += 1;
                self.anchors.clear();
                if self.number > DOCUMENTS {
                    return Err(format!("more than {DOCUMENTS} documents in one file"));
                }
                Ok(())
            }
            Event::DocumentEnd => {
                let root = self.root.take();
                // Backstage passes over documents that hold nothing, such as one
                // that a last `---` opens.
                if let Some(root) = root.filter(|root| root.content != Content::Null) {
                    self.documents.push(Document { number: self.number, root });
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1)?;
                let content = scalar(&text, style, tag.as_deref())?;
                self.add(Node { place, content }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "seq")?;
                self.start(place, anchor, Items::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                known_tag(tag.as_deref(), "map")?;
                let (fields, keys) = (Vec::new(), HashSet::new());
                self.start(place, anchor, Items::Map { fields, keys, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err("an alias inside the value that it stands for".to_owned());
                };
                self.count(size)?;
                // The parser has not counted the levels that the alias brings.
                if self.open.len() + height(&node) > DEPTH {
                    return Err(format!("values nest deeper than {DEPTH}"));
                }
                self.add(Node { place, ..node }, 0, size)
            }
            Event::UnresolvedAlias(name) => Err(format!("no anchor `&{name}` before this alias")),
            _ => Ok(()),
        }
    }

    /// Counts nodes, those that an alias repeats included: a short file may
    /// stand for a very large one.
    fn count(&mut self, more: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > NODES {
            return Err(format!("more than {NODES} values in one file, aliases counted in full"));
        }
        Ok(())
    }

    fn start(&mut self, place: Position, anchor: usize, items: Items) -> Result<(), String> {
        if self.open.len() >= DEPTH {
            return Err(format!("values nest deeper than {DEPTH}"));
        }
        let before = self.nodes;
        self.count(1)?;
        self.open.push(Open { place, anchor, before, items });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else {
            return Err("an end without a start".to_owned());
        };
        let content = match open.items {
            Items::List(items) => Content::List(items),
            Items::Map { fields, .. } => Content::Map(fields),
        };
        let size = self.nodes - open.before;
        self.add(Node { place: open.place, content }, open.anchor, size)
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), String> {
        if anchor > 0 {
            // The copy is kept, so it counts.
            self.count(size)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { fields, keys, key }) => match key.take() {
                Some(key) => fields.push((key, node)),
                None => *key = Some(new_key(node, keys)?),
            },
        }
        Ok(())
    }
}

/// Returns how many levels of lists and mappings `node` has.
fn height(node: &Node) -> usize {
    let below = match &node.content {
        Content::List(items) => items.iter().map(height).max(),
        Content::Map(fields) => fields.iter().map(|(_, value)| height(value)).max(),
        _ => return 0,
    };
    1 + below.unwrap_or_default()
}

fn new_key(node: Node, keys: &mut HashSet<String>) -> Result<Key, String> {
    let text = match node.content {
        Content::Null => String::new(),
        Content::Bool(value) => value.to_string(),
        Content::Number(value) => number_text(value),
        Content::String(text) => text,
        Content::List(_) | Content::Map(_) => {
            return Err("a key must be a string, not a list or a mapping".to_owned());
        }
    };
    if text == "<<" {
        return Err("merge keys (`<<`) are not read: Backstage does not merge them either, \
                    unless it is configured to. Write the fields out"
            .to_owned());
    }
    if !keys.insert(text.clone()) {
        return Err(format!("key `{text}` is given twice"));
    }
    Ok(Key { text, place: node.place })
}

/// Refuses tags that would change what a list or mapping means.
fn known_tag(tag: Option<&parser::Tag>, expected: &str) -> Result<(), String> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => Err(unknown_tag(tag)),
        _ => Ok(()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&parser::Tag>) -> Result<Content, String> {
    let string = || Content::String(text.to_owned());
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => plain(text),
            _ => Ok(string()),
        };
    };
    // Other tags are refused rather than resolved: what they mean differs from
    // reader to reader.
    match tag.core_suffix() {
        Some("str") => Ok(string()),
        _ if tag.original() == "!" => Ok(string()),
        _ => Err(unknown_tag(tag)),
    }
}

fn unknown_tag(tag: &parser::Tag) -> String {
    format!("tag `{}` is not read: leave it out", tag.original())
}

/// Resolves a plain scalar by the core schema of the npm package `yaml`.
fn plain(text: &str) -> Result<Content, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        _ => match number(text) {
            Some(value) if value.is_finite() => Content::Number(value),
            Some(_) => return Err(format!("`{text}` is not a number that JSON can hold")),
            None => Content::String(text.to_owned()),
        },
    })
}

fn number(text: &str) -> Option<f64> {
    let radix = |digits: &str, radix: u32| {
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        // Doubles round as JavaScript's do, as long as the digits are few.
        all.then(|| u64::from_str_radix(digits, radix).map_or(f64::INFINITY, |n| n as f64))
    };
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        _ if matches!(text, ".nan" | ".NaN" | ".NAN") => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let some_digit = !whole.is_empty() || !fraction.is_empty();
    if !(digits(whole) && digits(fraction) && some_digit && exponent_fits) {
        return None;
    }
    text.parse().ok()
}

/// Returns a number as JavaScript's `String(value)` prints it.
pub(crate) fn number_text(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rust's shortest digits are JavaScript's; the layouts differ.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-6..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{}", exponent.unsigned_abs())
}
