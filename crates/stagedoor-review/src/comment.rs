//! The comments of Cedar texts.

/// Returns the comments of a Cedar text with their offsets.
pub(crate) fn comments(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = bytes.get(at) {
                    at += if *byte == b'\\' { 2 } else { 1 };
                    if *byte == b'"' {
                        break;
                    }
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                let rest = text.get(at..).unwrap_or_default();
                let comment = rest.lines().next().unwrap_or_default();
                let comment = comment.split('\r').next().unwrap_or_default();
                found.push((at, comment));
                at += comment.len().max(1);
            }
            _ => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::comments;

    #[test]
    fn strings_hide_comments() {
        let text =
            "@doc(\"a // b \\\" // c\") // real\npermit(principal, action, resource); // end";
        let found: Vec<&str> = comments(text).into_iter().map(|(_, comment)| comment).collect();
        assert_eq!(found, ["// real", "// end"]);
    }
}
