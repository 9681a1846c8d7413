//! What `@guard_args` says: a JSON object, or a line for each argument.
//!
//! ```cedar
//! @guard_args("
//!   people: ['alice', 'bo']
//!   hours: {'from': '08:00', 'to': '17:00'}
//! ")
//! ```
//!
//! A string may stand in single quotes, which Cedar's strings need no escape for.

use serde_json::{Map, Value};

use crate::json::unambiguous;
use crate::reason::plain_reason;

/// Reads arguments.
///
/// # Errors
///
/// What is wrong with them.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, String> {
    let mut entries = entries(text).map(str::trim).filter(|entry| !entry.is_empty()).peekable();
    if entries.peek().is_none_or(|first| named(first).is_none()) {
        let json = unambiguous(&requoted(text)).map_err(|e| format!("is not JSON: {e}"))?;
        let Value::Object(object) = json else { return Err("is not a JSON object".to_owned()) };
        return Ok(object);
    }
    let mut arguments = Map::new();
    for entry in entries {
        let Some((name, value)) = named(entry) else {
            return Err(format!(
                "has a line that is not `name: value`: `{}`",
                entry.escape_debug()
            ));
        };
        let value = unambiguous(&requoted(value)).map_err(|e| {
            let reason = plain_reason(&e.to_string());
            format!("has a value of `{name}` that is not JSON: {reason}")
        })?;
        if arguments.insert(name.to_owned(), value).is_some() {
            return Err(format!("names `{name}` twice"));
        }
    }
    Ok(arguments)
}

/// Returns the name and the value of a line.
fn named(entry: &str) -> Option<(&str, &str)> {
    let (name, value) = entry.split_once(':')?;
    let name = name.trim_end();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '$');
    (!name.is_empty() && name.chars().all(fits)).then(|| (name, value.trim()))
}

/// Returns the lines of a text. One goes on while a bracket or a quote in it is open.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let mut state = Reading::default();
    text.split(move |c| {
        state.takes(c);
        c == '\n' && state.quote.is_none() && state.depth <= 0
    })
}

/// Where in JSON a reader is.
#[derive(Default)]
struct Reading {
    quote: Option<char>,
    is_escaped: bool,
    depth: i64,
}

impl Reading {
    fn takes(&mut self, c: char) {
        let was_escaped = std::mem::take(&mut self.is_escaped);
        match (self.quote, c) {
            (Some(_), '\\') => self.is_escaped = !was_escaped,
            (Some(quote), c) if c == quote && !was_escaped => self.quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => self.quote = Some(c),
            (None, '[' | '{') => self.depth += 1,
            (None, ']' | '}') => self.depth -= 1,
            (None, _) => {}
        }
    }
}

/// Returns a text in which strings in single quotes are JSON's.
fn requoted(text: &str) -> String {
    let mut state = Reading::default();
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        let (before, was_escaped) = (state.quote, state.is_escaped);
        state.takes(c);
        match (before, c) {
            (None, '\'') => json.push('"'),
            (Some('\''), '\'') if was_escaped => {
                // JSON has no escape for it.
                json.pop();
                json.push('\'');
            }
            (Some('\''), '\'') => json.push('"'),
            (Some('\''), '"') if !was_escaped => json.push_str("\\\""),
            _ => json.push(c),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn lines_and_json_say_the_same() {
        let json =
            r#"{"people":["al'ice","b\"o"],"hours":{"from":"08:00","days":[1,2]},"on":true}"#;
        for text in [
            json,
            r#"{'people': ['al\'ice', 'b"o'], 'hours': {'from': '08:00', 'days': [1, 2]}, 'on': true}"#,
            "
              people: ['al\\'ice', 'b\"o']
              hours: {'from': '08:00', 'days': [1, 2]}
              on: true
            ",
            "people: [\"al'ice\",\r\n 'b\\\"o'\r\n]\r\n\r\nhours : {\n'from': '08:00',\n\"days\": [1,\n2]}\non:true",
        ] {
            let read = read(text).map(|arguments| serde_json::Value::Object(arguments).to_string());
            let expected: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
            assert_eq!(read.as_deref(), Ok(expected.to_string().as_str()), "{text}");
        }
        assert_eq!(read("a: '\\\\'").map(|a| a.get("a").cloned()), Ok(Some("\\".into())));
        assert_eq!(read("{}").map(|arguments| arguments.len()), Ok(0));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (text, says) in [
            ("", "is not JSON"),
            ("alice", "is not JSON"),
            ("[]", "is not a JSON object"),
            ("'a'", "is not a JSON object"),
            ("{'a': 1, \"a\": 2}", "is not JSON"),
            ("a: 1\na: 2", "names `a` twice"),
            ("a: 1\nb", "has a line that is not `name: value`: `b`"),
            ("a: 1\n'b': 2", "has a line that is not `name: value`"),
            ("a: 1, 'b': 2", "has a value of `a` that is not JSON: trailing characters"),
            ("a: alice", "has a value of `a` that is not JSON"),
            ("a:", "has a value of `a` that is not JSON"),
            ("a: 'x\nb: 2", "has a value of `a` that is not JSON"),
            ("a: [1\nb: 2", "has a value of `a` that is not JSON"),
            ("a: {'b': 1, 'b': 2}", "has a value of `a` that is not JSON"),
            ("a: ]\nb: [", "has a value of `a` that is not JSON"),
        ] {
            let error = read(text).err().unwrap_or_default();
            assert!(error.starts_with(says), "{text:?}: {error}");
        }
    }
}
