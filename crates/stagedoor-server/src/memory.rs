//! What memory a body may cost while it is decided, by what is in it.
//!
//! A text of megabytes costs little more than itself; as many keys of three letters cost a hundred
//! times as much. So the parts of a body are counted before anything is made of them.

/// Containers within each other that paths are followed into: more than any reader of JSON takes.
const DEPTH: usize = 512;
/// How much is looked at in one go: less than a millisecond.
const PIECE: usize = 64 << 10;

/// The bytes of memory that the parts of a JSON body may cost while it is decided.
///
/// # Examples
///
/// ```
/// use stagedoor_server::MemoryCost;
///
/// let cost = MemoryCost { byte: 1, member: 100, scalar: 10, ..MemoryCost::default() };
/// assert_eq!(cost.of(r#"{"a":[1,2]}"#), 11 + 100 + 20);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryCost {
    /// Each byte of the body.
    pub byte: usize,
    /// Each member of an object, without its value.
    pub member: usize,
    /// Each text, number or literal that is no key.
    pub scalar: usize,
    /// Each object that has members.
    pub object: usize,
    /// Each list that has elements.
    pub list: usize,
    /// Each object or list that is empty.
    pub empty: usize,
    /// Each byte of the paths of all members, from the outermost object: of what is kept by path.
    pub path: usize,
}

impl MemoryCost {
    /// Returns the cost of both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            byte: self.byte + other.byte,
            member: self.member + other.member,
            scalar: self.scalar + other.scalar,
            object: self.object + other.object,
            list: self.list + other.list,
            empty: self.empty + other.empty,
            path: self.path + other.path,
        }
    }

    /// Returns the bytes that a body may cost. What is no JSON is refused before it costs more.
    #[must_use]
    pub fn of(&self, json: &str) -> usize {
        let mut counter = PartCounter::default();
        counter.add(json.as_bytes());
        self.of_parts(&counter.parts)
    }

    /// As [`of`](Self::of), in pieces: megabytes take tens of milliseconds, in which the thread has
    /// connections and health to serve.
    pub(crate) async fn of_pieces(&self, json: &str) -> usize {
        let mut counter = PartCounter::default();
        for (number, piece) in json.as_bytes().chunks(PIECE).enumerate() {
            if number > 0 {
                tokio::task::yield_now().await;
            }
            counter.add(piece);
        }
        self.of_parts(&counter.parts)
    }

    fn of_parts(&self, parts: &Parts) -> usize {
        let Parts { bytes, members, scalars, objects, lists, empties, paths } = *parts;
        [
            (bytes, self.byte),
            (members, self.member),
            (scalars, self.scalar),
            (objects, self.object),
            (lists, self.list),
            (empties, self.empty),
            (paths, self.path),
        ]
        .iter()
        .fold(0, |sum: usize, (count, cost)| sum.saturating_add(count.saturating_mul(*cost)))
    }
}

/// How many parts a JSON text has.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    bytes: usize,
    members: usize,
    scalars: usize,
    objects: usize,
    lists: usize,
    empties: usize,
    /// The length of all paths together.
    paths: usize,
}

/// Counts the parts of a text that comes in pieces.
#[derive(Default)]
struct PartCounter {
    parts: Parts,
    around: Around,
    /// The length of the last text, which may be a key.
    text: usize,
    place: Place,
    /// The last byte that stands for something.
    before: u8,
}

/// Where a piece ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    /// Within a number or a literal.
    Word,
    Text,
    /// Behind a backslash within a text.
    Escape,
}

impl PartCounter {
    fn add(&mut self, mut piece: &[u8]) {
        self.parts.bytes = self.parts.bytes.saturating_add(piece.len());
        while let Some((byte, rest)) = piece.split_first() {
            piece = match self.place {
                Place::Escape => {
                    self.place = Place::Text;
                    rest
                }
                Place::Text => self.skip_text(piece),
                Place::Between | Place::Word => {
                    self.sign(*byte);
                    rest
                }
            };
        }
    }

    /// Goes to the end of a text, or behind a backslash in it; returns what comes then.
    fn skip_text<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let plain = piece.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        let (text, rest) = piece.split_at(plain.unwrap_or(piece.len()));
        self.text += text.len();
        match rest.split_first() {
            Some((b'"', rest)) => {
                self.place = Place::Between;
                rest
            }
            Some((_, rest)) => {
                self.text += 2;
                self.place = Place::Escape;
                rest
            }
            None => rest,
        }
    }

    /// Counts a byte that is in no text.
    fn sign(&mut self, byte: u8) {
        let (parts, around) = (&mut self.parts, &mut self.around);
        let is_word = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let in_word = self.place == Place::Word;
        self.place = if is_word { Place::Word } else { Place::Between };
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return,
            b'"' => {
                (self.place, self.text) = (Place::Text, 0);
                parts.scalars += 1;
            }
            b':' => {
                parts.members += 1;
                parts.scalars = parts.scalars.saturating_sub(1);
                parts.paths = parts.paths.saturating_add(around.member(self.text));
            }
            b'{' => {
                parts.objects += 1;
                around.enter();
            }
            b'[' => {
                parts.lists += 1;
                around.enter();
            }
            b'}' | b']' => {
                let count = if byte == b'}' { &mut parts.objects } else { &mut parts.lists };
                if matches!(self.before, b'{' | b'[') {
                    *count = count.saturating_sub(1);
                    parts.empties += 1;
                }
                around.leave();
            }
            b',' => around.coming = None,
            _ if is_word && !in_word => parts.scalars += 1,
            _ => {}
        }
        self.before = byte;
    }
}

/// The containers around a place.
#[derive(Default)]
struct Around {
    /// The lengths of their paths.
    paths: Vec<usize>,
    /// How many there are beyond those.
    deeper: usize,
    /// The length of the path of the member whose value comes.
    coming: Option<usize>,
}

impl Around {
    fn here(&self) -> usize {
        self.paths.last().copied().unwrap_or(0)
    }

    /// Returns the length of the path of a member.
    fn member(&mut self, key: usize) -> usize {
        let path = self.here() + 1 + key;
        self.coming = Some(path);
        path
    }

    fn enter(&mut self) {
        // An element of a list has the path `…/*`.
        let element = || self.paths.last().map_or(0, |path| path + 2);
        let path = self.coming.take().unwrap_or_else(element);
        match self.paths.len() < DEPTH {
            true => self.paths.push(path),
            false => self.deeper += 1,
        }
    }

    fn leave(&mut self) {
        self.coming = None;
        match self.deeper.checked_sub(1) {
            Some(deeper) => self.deeper = deeper,
            None => drop(self.paths.pop()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryCost, PartCounter, Parts};

    fn parts(json: &str) -> Parts {
        let mut counter = PartCounter::default();
        counter.add(json.as_bytes());
        counter.parts
    }

    #[test]
    fn what_is_in_a_text_is_counted() {
        let json = r#" {"a": {"b,:{": [1, -2.5e+3, true, null, "x:\",{", {}], "\"": {"c": "d"}}, "e": []} "#;
        // `/a`, `/a/b,:{`, `/a/\"`, `/a/\"/c`, `/e`
        let paths = 2 + 7 + 5 + 7 + 2;
        let bytes = json.len();
        let expected =
            Parts { bytes, members: 5, scalars: 6, objects: 3, lists: 1, empties: 2, paths };
        assert_eq!(parts(json), expected);
        // However it is cut.
        for first in 0..bytes {
            for second in first..bytes {
                let mut counter = PartCounter::default();
                let (head, rest) = json.as_bytes().split_at(first);
                let (middle, tail) = rest.split_at(second - first);
                [head, middle, tail].into_iter().for_each(|piece| counter.add(piece));
                assert_eq!(counter.parts, expected, "{first} {second}");
            }
        }
        // Elements have a path, too: `/a`, `/a/*/b`, `/a/*/*/c`.
        let json = r#"{"a":[{"b":1},[{"c":1}]]}"#;
        let (bytes, paths) = (json.len(), 2 + 6 + 8);
        let expected =
            Parts { bytes, members: 3, scalars: 2, objects: 3, lists: 2, empties: 0, paths };
        assert_eq!(parts(json), expected);
    }

    #[test]
    fn paths_that_grow_with_depth_are_counted_as_long_as_they_are() {
        let leaves: Vec<String> = (10_000..20_000).map(|n| format!(r#""{n}":1"#)).collect();
        let json = format!(r#"{{"{}":{{{}}}}}"#, "k".repeat(4_000), leaves.join(","));
        let cost = MemoryCost { path: 1, ..MemoryCost::default() };
        assert_eq!(cost.of(&json), 4_001 + 10_000 * 4_007);
    }

    #[test]
    fn what_is_no_json_is_counted_as_well_as_can_be() {
        let cost = MemoryCost { byte: 1, member: 1, scalar: 1, ..MemoryCost::default() };
        for text in ["", "\"", "\"\\", "}]}]", ":,:,", "\u{fc}\u{0}", "{\"a", "[[[[{{{{"] {
            assert!(cost.of(text) <= 2 * text.len() + 2, "{text}");
        }
        let deep = "[".repeat(5_000) + &"]".repeat(5_000) + r#"{"a":1}"#;
        let path = MemoryCost { path: 1, ..MemoryCost::default() };
        assert_eq!(path.of(&deep), 2, "whoever goes in comes out again");
    }
}
