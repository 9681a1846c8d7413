//! The texts of files, and what is wrong with them in the words of their authors.

use std::path::Path;

use stagedoor_core::{nearest_name, unknown_key, without_byte_order_mark};
use stagedoor_source::{FileSystem as _, RealFileSystem};

use crate::problem::{Problem, TestError};

/// A test file is not larger than this.
const FILE_BYTES: u64 = 16 << 20;

/// Reads a file that a test file refers to.
pub(crate) fn read(path: &Path) -> Result<String, TestError> {
    let unreadable = |e: std::io::Error| {
        Problem::new(path, format!("cannot be read: {e}")).with_help("check the path")
    };
    let bytes = RealFileSystem.read(path, FILE_BYTES).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES {
        let message = format!("the file is larger than {FILE_BYTES} bytes");
        return Err(Problem::new(path, message).with_help("split the file").into());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Problem::new(path, format!("not UTF-8 after byte {at}"))
    })?;
    Ok(without_byte_order_mark(&text).to_owned())
}

/// Returns what an error of the parser says, without the place and the lines around it.
pub(crate) fn said(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = line.trim_start_matches("error: ");
    let said = match line.strip_prefix("line ").and_then(|placed| placed.split_once(": ")) {
        Some((place, said))
            if place.chars().all(|c| c.is_ascii_digit() || " column".contains(c)) =>
        {
            said
        }
        _ => line,
    };
    // What follows is for programmers.
    let said = said.split(", set DuplicateKeyPolicy").next().unwrap_or(said);
    in_words(said).unwrap_or_else(|| stagedoor_core::plain_reason(said))
}

/// Returns what is wrong with a file in the words of its author; nothing for what has none here.
fn in_words(said: &str) -> Option<String> {
    for (found, told) in [
        (
            "multiple YAML documents",
            "a file is one YAML document: what follows `---` belongs in a file of its own",
        ),
        ("tabs disallowed", "a tab cannot indent: use spaces"),
        ("expected sequence start", "a list belongs here: begin each item with `- `"),
        ("expected mapping start", "keys with values belong here: `key: value`"),
    ] {
        if said.contains(found) {
            return Some(told.to_owned());
        }
    }
    if let Some(key) = said.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'))
    {
        return Some(format!(
            "`{key}` is missing; if it is written, look at the indentation: the keys of one thing \
             begin in one column"
        ));
    }
    let (what, rest) = match said.strip_prefix("unknown field `") {
        Some(rest) => ("key", rest),
        None => ("word", said.strip_prefix("unknown variant `")?),
    };
    let (given, known) = rest.split_once("`, expected ")?;
    let known = known.strip_prefix("one of ").unwrap_or(known);
    let known: Vec<&str> = known.split(", ").map(|name| name.trim_matches('`')).collect();
    if what == "key" {
        return Some(unknown_key(given, known));
    }
    let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let near = nearest_name(given, known.iter().copied());
    let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    Some(format!("`{given}` is none of {}{near}", listed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_what_is_meant() {
        let keys = "name, expect, user, resource, principal";
        for (said, told) in [
            (
                format!("unknown field `resourse`, expected one of {keys}"),
                "did you mean `resource`?",
            ),
            (
                "unknown variant `denny`, expected one of allow, deny".to_owned(),
                "did you mean `deny`?",
            ),
            ("missing field `expect`".to_owned(), "indentation"),
            (
                "multiple YAML documents detected; use from_str_multiple".to_owned(),
                "one YAML document",
            ),
            ("tabs disallowed within this context".to_owned(), "use spaces"),
            ("expected sequence start".to_owned(), "`- `"),
        ] {
            let words = in_words(&said).unwrap_or_default();
            assert!(words.contains(told), "{said}: {words}");
        }
        assert_eq!(in_words("invalid type: map"), None);
    }
}
