//! What memory a body may cost while it is decided, by what is in it.
//!
//! A text of megabytes costs little more than itself; as many keys of three letters cost a hundred
//! times as much. So the parts of a body are counted before anything is made of them.

/// Containers within each other that paths are followed into: more than any reader of JSON takes.
const DEPTH: usize = 512;

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
        let Parts { members, scalars, objects, lists, empties, paths } = Parts::of(json);
        [
            (json.len(), self.byte),
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
    members: usize,
    scalars: usize,
    objects: usize,
    lists: usize,
    empties: usize,
    /// The length of all paths together.
    paths: usize,
}

impl Parts {
    fn of(json: &str) -> Self {
        let mut parts = Self::default();
        let mut around = Around::default();
        // The length of the last text, which may be a key.
        let mut text = 0;
        let (mut before, mut in_word) = (0, false);
        let mut bytes = json.bytes();
        while let Some(byte) = bytes.next() {
            let is_word = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    in_word = false;
                    continue;
                }
                b'"' => {
                    text = skip_text(&mut bytes);
                    parts.scalars += 1;
                }
                b':' => {
                    parts.members += 1;
                    parts.scalars = parts.scalars.saturating_sub(1);
                    parts.paths = parts.paths.saturating_add(around.member(text));
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
                    if matches!(before, b'{' | b'[') {
                        *count = count.saturating_sub(1);
                        parts.empties += 1;
                    }
                    around.leave();
                }
                b',' => around.coming = None,
                _ if is_word && !in_word => parts.scalars += 1,
                _ => {}
            }
            (before, in_word) = (byte, is_word);
        }
        parts
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

/// Goes behind the end of a text, and returns its length.
fn skip_text(bytes: &mut impl Iterator<Item = u8>) -> usize {
    let mut length = 0;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => {
                bytes.next();
                length += 2;
            }
            _ => length += 1,
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::{MemoryCost, Parts};

    #[test]
    fn what_is_in_a_text_is_counted() {
        let parts = Parts::of(
            r#" {"a": {"b,:{": [1, -2.5e+3, true, null, "x:\",{", {}], "\"": {"c": "d"}}, "e": []} "#,
        );
        // `/a`, `/a/b,:{`, `/a/\"`, `/a/\"/c`, `/e`
        let paths = 2 + 7 + 5 + 7 + 2;
        let expected = Parts { members: 5, scalars: 6, objects: 3, lists: 1, empties: 2, paths };
        assert_eq!(parts, expected);
        // Elements have a path, too: `/a`, `/a/*/b`, `/a/*/*/c`.
        let parts = Parts::of(r#"{"a":[{"b":1},[{"c":1}]]}"#);
        let expected =
            Parts { members: 3, scalars: 2, objects: 3, lists: 2, empties: 0, paths: 2 + 6 + 8 };
        assert_eq!(parts, expected);
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
