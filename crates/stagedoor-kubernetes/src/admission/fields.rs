//! The fields of an object of any kind, by path, as policies see them.
//!
//! Strict policies need types, and Kubernetes' kinds are without number. So an object becomes
//! one Cedar entity whose tags are its fields: the JSON pointer of a field, with `*` for the
//! elements of a list, and the set of all values there as strings. Whatever is there has a
//! tag, a record or a list one with an empty set.
//!
//! All elements of a list share their paths. Which fields some of them lack is in `partial`.
//!
//! An object is read in a stream, and of what no policy mentions nothing is kept.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::hash::BuildHasher as _;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};
use smol_str::{SmolStr, ToSmolStr as _};
use stagedoor_core::{Record, Value};

use crate::mentions::{FieldMentions, FieldTree};

/// The most values and records of one object: more than Kubernetes stores, which takes 1.5 MiB.
const NODES: usize = 1_000_000;
/// What to do about an object that policies cannot be asked about.
const LEAVE_OUT: &str = "leave objects of its kind out by `matchConditions` or `rules` of the \
                         webhook's configuration";
/// The most bytes of all paths of one object.
const PATH_BYTES: usize = 32 << 20;
/// The longest value that policies see as it is, in bytes.
const VALUE_BYTES: usize = 16 << 10;

/// What an object holds, with the elements of each list laid one over the other.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// In how many of its parent's places it is.
    count: usize,
    /// Whether it is read for what it holds itself, and not only below.
    is_mentioned: bool,
    values: Values,
    number: Option<i64>,
    fields: BTreeMap<SmolStr, Box<Self>>,
    elements: Option<Box<Self>>,
}

/// The values at a path: mostly one, for which a tree would be ten times as large.
#[derive(Debug, Default)]
enum Values {
    #[default]
    None,
    One(SmolStr),
    Many(BTreeSet<SmolStr>),
}

impl Values {
    fn insert(&mut self, value: SmolStr) {
        match self {
            Self::None => *self = Self::One(value),
            Self::One(one) if *one == value => {}
            Self::One(one) => {
                *self = Self::Many([std::mem::take(one), value].into_iter().collect());
            }
            Self::Many(many) => {
                many.insert(value);
            }
        }
    }

    fn into_value(self) -> Value {
        Value::Set(match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![Value::String(one)],
            Self::Many(many) => many.into_iter().map(Value::String).collect(),
        })
    }
}

/// What policies see of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tags {
    /// The values at every path.
    pub(crate) values: Record,
    /// The whole numbers at paths that do not lead through lists.
    pub(crate) numbers: Record,
    /// The paths that some elements of a list lack.
    pub(crate) partial: Vec<Value>,
}

impl Fields {
    /// Reads a JSON object, and keeps what is mentioned of it.
    ///
    /// # Errors
    ///
    /// What is wrong with it: JSON, a key that comes twice, or its size.
    pub(crate) fn read(json: &str, mentions: &FieldMentions) -> Result<Self, String> {
        let kept = match mentions {
            FieldMentions::Every => Selection::Every,
            FieldMentions::Some(tree) => Selection::Some(tree),
        };
        let mut fields = Self { count: 1, ..Self::default() };
        let mut read = ReadTotals { nodes: 0, keys: RandomState::new() };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Seed { place: Some((&mut fields, kept)), read: &mut read }
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|e| e.to_string())?;
        Ok(fields)
    }

    /// Returns the fields by path.
    ///
    /// # Errors
    ///
    /// That the paths together are too long.
    pub(crate) fn tags(self) -> Result<Tags, String> {
        let mut tags = Tags::default();
        let mut room = PATH_BYTES;
        self.add(
            &mut String::new(),
            FieldPosition { list: false, partial: false },
            &mut tags,
            &mut room,
        )?;
        Ok(tags)
    }

    // INVARIANT: as deep as what serde_json reads, at most 128. What has become tags is let go.
    fn add(
        self,
        path: &mut String,
        within: FieldPosition,
        tags: &mut Tags,
        room: &mut usize,
    ) -> Result<(), String> {
        *room = room
            .checked_sub(path.len())
            .ok_or_else(|| format!("the object has too many long paths; {LEAVE_OUT}"))?;
        if self.is_mentioned && !path.is_empty() {
            // INVARIANT: copies of a long path share its text.
            let path = SmolStr::from(path.as_str());
            if let Some(number) = self.number.filter(|_| !within.list) {
                tags.numbers.insert(path.clone(), number.into());
            }
            if within.partial {
                tags.partial.push(Value::String(path.clone()));
            }
            tags.values.insert(path, self.values.into_value());
        }
        let length = path.len();
        for (name, field) in self.fields.into_iter().filter(|(_, field)| field.count > 0) {
            path.push('/');
            escape(&name, path);
            let partial = within.partial || field.count < self.count;
            field.add(path, FieldPosition { partial, ..within }, tags, room)?;
            path.truncate(length);
        }
        if let Some(elements) = self.elements {
            path.push_str("/*");
            elements.add(path, FieldPosition { list: true, ..within }, tags, room)?;
            path.truncate(length);
        }
        Ok(())
    }
}

/// Where a path leads through.
#[derive(Debug, Clone, Copy)]
struct FieldPosition {
    list: bool,
    partial: bool,
}

/// Escapes a key as JSON pointers do, and a key `*` beyond that.
fn escape(key: &str, path: &mut String) {
    if key == "*" {
        return path.push_str("~2");
    }
    for c in key.chars() {
        match c {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            c => path.push(c),
        }
    }
}

/// What was read so far.
struct ReadTotals {
    nodes: usize,
    /// What keys are told apart by: a hash that nobody outside can foresee.
    keys: RandomState,
}

/// What is kept of a value.
#[derive(Debug, Clone, Copy)]
enum Selection<'m> {
    Every,
    Some(&'m FieldTree),
}

impl<'m> Selection<'m> {
    fn is_mentioned(self) -> bool {
        match self {
            Self::Every => true,
            Self::Some(tree) => tree.is_mentioned,
        }
    }

    /// Returns what is kept of a field.
    fn field(self, key: &str) -> Option<Self> {
        match self {
            Self::Every => Some(self),
            Self::Some(tree) => tree.fields.get(key).map(Self::Some),
        }
    }

    /// Returns what is kept of the elements of a list.
    fn elements(self) -> Option<Self> {
        match self {
            Self::Every => Some(self),
            Self::Some(tree) => tree.elements.as_deref().map(Self::Some),
        }
    }
}

/// Reads a value into the fields at its place; where it has none, it is read and let go.
struct Seed<'f, 'm, 'r> {
    place: Option<(&'f mut Fields, Selection<'m>)>,
    read: &'r mut ReadTotals,
}

impl Seed<'_, '_, '_> {
    fn value(self, value: impl FnOnce() -> SmolStr) {
        if let Some((fields, kept)) = self.place
            && kept.is_mentioned()
        {
            fields.values.insert(value());
        }
    }

    fn number(&mut self, number: Option<i64>) {
        if let Some((fields, kept)) = &mut self.place
            && kept.is_mentioned()
        {
            fields.number = number;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        self.read.nodes += 1;
        if self.read.nodes > NODES {
            return Err(D::Error::custom(format_args!("more than {NODES} values; {LEAVE_OUT}")));
        }
        if let Some((fields, kept)) = &mut self.place {
            fields.is_mentioned = kept.is_mentioned();
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    /// As if it was not there: a place that only ever holds nothing counts 0.
    fn visit_unit<E>(self) -> Result<(), E> {
        if let Some((fields, _)) = self.place {
            fields.count = fields.count.saturating_sub(1);
        }
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.value(|| if value { "true".into() } else { "false".into() });
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.number(Some(value));
        self.value(|| value.to_smolstr());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.number(i64::try_from(value).ok());
        self.value(|| value.to_smolstr());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.value(|| value.to_smolstr());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.value(|| if value.len() <= VALUE_BYTES { value.into() } else { digest(value).into() });
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { place, read } = self;
        let kept = place.and_then(|(fields, kept)| Some((fields, kept.elements()?)));
        let Some((fields, kept)) = kept else {
            while list.next_element_seed(Seed { place: None, read: &mut *read })?.is_some() {}
            return Ok(());
        };
        let mut elements = fields.elements.take().unwrap_or_default();
        loop {
            elements.count += 1;
            let place = Some((&mut *elements, kept));
            if list.next_element_seed(Seed { place, read: &mut *read })?.is_none() {
                break;
            }
        }
        elements.count -= 1;
        fields.elements = (elements.count > 0).then_some(elements);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { mut place, read } = self;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<SmolStr>()? {
            // Which of two values counts would depend on who reads the text.
            if !seen.insert(read.keys.hash_one(&key)) {
                return Err(A::Error::custom(format_args!("the key `{key}` is given twice")));
            }
            let field = place.as_mut().and_then(|(fields, kept)| {
                let kept = kept.field(&key)?;
                let field = fields.fields.entry(key).or_default();
                field.count += 1;
                Some((&mut **field, kept))
            });
            map.next_value_seed(Seed { place: field, read: &mut *read })?;
        }
        Ok(())
    }
}

/// Returns what stands for a long value. Policies can still tell whether it changed.
fn digest(value: &str) -> String {
    let hash = Sha256::digest(value.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use stagedoor_core::Value;

    use super::{Fields, NODES};
    use crate::mentions::FieldMentions;

    fn tags(json: &str) -> Result<super::Tags, String> {
        Fields::read(json, &FieldMentions::Every)?.tags()
    }

    /// As many values as fit into what etcd stores: one byte each, with a comma.
    #[test]
    fn the_largest_objects_are_read() -> Result<(), String> {
        const STORED: usize = 3 << 19;
        let items = "1,".repeat(STORED / 2 - 10);
        assert_eq!(tags(&format!("{{\"x\":[{items}1]}}"))?.values.len(), 2);
        let keys: Vec<String> = (0..200_000).map(|n| format!("\"{n:x}\":1")).collect();
        let object = format!("{{{}}}", keys.join(","));
        assert!(object.len() > STORED);
        assert_eq!(tags(&object)?.values.len(), keys.len());
        Ok(())
    }

    #[test]
    fn fields_are_sets_of_values_by_pointer() -> Result<(), String> {
        let tags = tags(
            r#"{"metadata": {"labels": {"app.kubernetes.io/name": "x", "*": "star", "a~b": ""}},
                "spec": {"replicas": 3, "ratio": 0.5, "paused": true, "nothing": null,
                         "ports": [8080, 8080, -1], "empty": [], "record": {}}}"#,
        )?;
        let expected: [(&str, &[&str]); 13] = [
            ("/metadata", &[]),
            ("/metadata/labels", &[]),
            ("/metadata/labels/app.kubernetes.io~1name", &["x"]),
            ("/metadata/labels/~2", &["star"]),
            ("/metadata/labels/a~0b", &[""]),
            ("/spec", &[]),
            ("/spec/replicas", &["3"]),
            ("/spec/ratio", &["0.5"]),
            ("/spec/paused", &["true"]),
            ("/spec/ports", &[]),
            ("/spec/ports/*", &["-1", "8080"]),
            ("/spec/empty", &[]),
            ("/spec/record", &[]),
        ];
        for (path, values) in expected {
            let values: Value = values.iter().copied().collect();
            assert_eq!(tags.values.get(path), Some(&values), "{path}");
        }
        assert_eq!(tags.values.len(), expected.len(), "{:?}", tags.values.keys());
        let numbers: Vec<_> = tags.numbers.iter().collect();
        assert_eq!(numbers, [(&"/spec/replicas".into(), &Value::Long(3))]);
        assert_eq!(tags.partial, []);
        Ok(())
    }

    #[test]
    fn what_some_elements_lack_is_partial() -> Result<(), String> {
        let tags = tags(
            r#"{"c": [{"s": {"root": false}, "i": "a", "p": [{"h": 1}]},
                      {"s": {}, "i": "b", "p": [{"h": 2}, {"n": 1}]},
                      {"s": null, "i": "c"}]}"#,
        )?;
        let paths = ["/c/*/p", "/c/*/p/*", "/c/*/p/*/h", "/c/*/p/*/n", "/c/*/s", "/c/*/s/root"];
        assert_eq!(tags.partial, paths.map(Value::from));
        assert_eq!(tags.values.get("/c/*/i"), Some(&["a", "b", "c"].into_iter().collect()));
        Ok(())
    }

    #[test]
    fn ambiguous_and_excessive_objects_are_refused() {
        let refused = [
            (r#"{"a": 1, "a": 1}"#.to_owned(), "the key `a` is given twice"),
            (r#"{"x": [{"a": 1}, {"a": 1, "a": null}]}"#.to_owned(), "given twice"),
            (format!("{}1{}", "[".repeat(200), "]".repeat(200)), "recursion limit"),
            (format!("[{}1]", "1,".repeat(NODES)), "more than"),
            (long_paths(), "too many long paths"),
            ("{} {}".to_owned(), "trailing"),
        ];
        for (json, expected) in refused {
            let error = tags(&json).err().unwrap_or_default();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    fn long_paths() -> String {
        let leaves: String = (0..20_000).map(|n| format!(r#""{n}":1,"#)).collect();
        format!(r#"{{"{}":{{{leaves}"x":1}}}}"#, "k".repeat(4096))
    }

    #[test]
    fn long_values_stay_comparable() -> Result<(), String> {
        let object = |c: &str| tags(&format!(r#"{{"a": "{}"}}"#, c.repeat(100_000)));
        assert_eq!(object("x")?, object("x")?);
        assert_ne!(object("x")?, object("y")?);
        Ok(())
    }
}
