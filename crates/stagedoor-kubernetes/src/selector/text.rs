//! Selectors as people type them: `app=web,tier in (a, b)` and `metadata.name=x`.

use super::{FieldRequirement, LabelRequirement, is_label_key, is_label_value};

/// Parses a label selector, or returns nothing if it is not one.
///
/// See [the grammar](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors).
pub(crate) fn parse_label_selector(text: &str) -> Option<Vec<LabelRequirement>> {
    let mut cursor = Cursor { rest: text };
    let mut requirements = Vec::new();
    cursor.skip_space();
    if cursor.rest.is_empty() {
        return Some(requirements);
    }
    loop {
        let requirement = cursor.requirement()?;
        let valid = is_label_key(&requirement.key)
            && requirement.values.iter().all(|value| is_label_value(value));
        if !valid {
            return None;
        }
        requirements.push(requirement);
        cursor.skip_space();
        if cursor.rest.is_empty() {
            return Some(requirements);
        }
        if !cursor.take(",") {
            return None;
        }
    }
}

/// Parses a field selector, or returns nothing if it is not one.
///
/// See [the grammar](https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/).
pub(crate) fn parse_field_selector(text: &str) -> Option<Vec<FieldRequirement>> {
    let terms = split_unescaped(text).into_iter().filter(|term| !term.is_empty());
    terms.map(field_term).collect()
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        let special = [',', '(', ')', '=', '!', '<', '>', ' ', '\t', '\r', '\n'];
        let end = self.rest.find(special).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    fn requirement(&mut self) -> Option<LabelRequirement> {
        self.skip_space();
        if self.take("!") {
            let key = self.word().to_owned();
            return Some(LabelRequirement { key, operator: "!", values: Vec::new() });
        }
        let key = self.word().to_owned();
        self.skip_space();
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Some(LabelRequirement { key, operator: "exists", values: Vec::new() });
        }
        // The longer token of two that begin alike comes first.
        let comparisons = [("==", "=="), ("=", "="), ("!=", "!="), (">", "gt"), ("<", "lt")];
        for (token, operator) in comparisons {
            if self.take(token) {
                let value = self.word();
                if matches!(operator, "gt" | "lt") && value.parse::<i64>().is_err() {
                    return None;
                }
                return Some(LabelRequirement { key, operator, values: vec![value.to_owned()] });
            }
        }
        let operator = match self.word() {
            "in" => "in",
            "notin" => "notin",
            _ => return None,
        };
        let values = self.values()?;
        Some(LabelRequirement { key, operator, values })
    }

    fn values(&mut self) -> Option<Vec<String>> {
        self.skip_space();
        if !self.take("(") {
            return None;
        }
        let mut values = Vec::new();
        loop {
            values.push(self.word().to_owned());
            self.skip_space();
            if self.take(")") {
                return Some(values);
            }
            if !self.take(",") {
                return None;
            }
        }
    }
}

/// Splits at commas that no backslash precedes; escapes stay in the terms.
fn split_unescaped(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            terms.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(term) = terms.last_mut() {
            term.push(c);
        }
    }
    terms
}

fn field_term(term: String) -> Option<FieldRequirement> {
    let at = term.find(['=', '!'])?;
    let (field, rest) = term.split_at_checked(at)?;
    let (operator, value) = if let Some(value) = rest.strip_prefix("!=") {
        ("!=", value)
    } else if let Some(value) = rest.strip_prefix("==") {
        ("=", value)
    } else {
        ("=", rest.strip_prefix('=')?)
    };
    Some(FieldRequirement { field: field.to_owned(), operator, value: unescape(value)? })
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                _ => return None,
            },
            ',' | '=' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::{parse_field_selector, parse_label_selector};

    fn labels(text: &str) -> Option<String> {
        let parsed = parse_label_selector(text)?;
        let shown = parsed.iter().map(|r| format!("{} {} {:?}", r.key, r.operator, r.values));
        Some(shown.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn label_selectors() {
        let cases = [
            ("", Some("")),
            ("owner=alice", Some(r#"owner = ["alice"]"#)),
            ("owner == alice", Some(r#"owner == ["alice"]"#)),
            ("owner!=alice", Some(r#"owner != ["alice"]"#)),
            ("owner", Some("owner exists []")),
            ("!owner", Some("owner ! []")),
            ("a in (x, y),b notin(z)", Some(r#"a in ["x", "y"]; b notin ["z"]"#)),
            ("example.com/age>3", Some(r#"example.com/age gt ["3"]"#)),
            ("owner=", Some(r#"owner = [""]"#)),
            ("owner=alice,", None),
            ("age>x", None),
            ("a in x", None),
            ("a in (x", None),
            ("=alice", None),
            ("a b", None),
            ("owner=-alice", None),
            ("Example.com/a=b", None),
        ];
        for (text, shown) in cases {
            assert_eq!(labels(text).as_deref(), shown, "`{text}`");
        }
    }

    #[test]
    fn field_selectors() {
        let fields = |text| {
            let parsed = parse_field_selector(text)?;
            let shown = parsed.iter().map(|r| format!("{} {} {}", r.field, r.operator, r.value));
            Some(shown.collect::<Vec<_>>().join("; "))
        };
        let cases = [
            ("", Some("")),
            ("metadata.name=x", Some("metadata.name = x")),
            ("metadata.name==x,spec.nodeName!=y", Some("metadata.name = x; spec.nodeName != y")),
            (r"a=x\,y\=z\\", Some(r"a = x,y=z\")),
            ("a=b=c", None),
            (r"a=\x", None),
            ("a", None),
            ("a!b", None),
        ];
        for (text, shown) in cases {
            assert_eq!(fields(text).as_deref(), shown, "`{text}`");
        }
    }
}
