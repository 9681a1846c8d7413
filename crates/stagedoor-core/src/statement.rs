//! Cuts a policy text into its statements before Cedar parses them.
//!
//! Cutting first lets the loader hold one statement's syntax tree at a time, work
//! on several threads, and refuse what nests too deep before any recursion sees
//! it. Only what is needed for that is understood here: strings, comments,
//! brackets and the final `;` (see Cedar's
//! [policy grammar](https://docs.cedarpolicy.com/policies/syntax-grammar.html)).

use std::ops::Range;

use crate::limits::Limits;

/// One statement's place in its text, without leading blanks and comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) span: Range<usize>,
}

/// Why a text, or one statement of it, is refused before parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) offset: usize,
    pub(crate) reason: RefusalReason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    Length { given: usize },
    Nesting,
    Operators,
}

/// Returns the statements of `text` and those that pass a limit.
///
/// A statement without its `;` is returned as it is, for Cedar to complain about.
pub(crate) fn statements(text: &str, limits: &Limits) -> (Vec<Statement>, Vec<Refusal>) {
    let mut found = Vec::new();
    let mut refused = Vec::new();
    let mut scan = Scan::new(text);
    while let Some(start) = scan.skip_blanks() {
        match scan.statement(start, limits) {
            Ok(end) => found.push(Statement { span: start..end }),
            Err((end, reason)) => {
                refused.push(Refusal { offset: start, reason });
                scan.at = end;
            }
        }
    }
    (found, refused)
}

/// Returns whether a text has no statement: only blanks and comments.
pub(crate) fn is_blank(text: &str) -> bool {
    Scan::new(text).skip_blanks().is_none()
}

/// Returns the first place where brackets nest deeper than allowed, in a schema say.
pub(crate) fn too_deep(text: &str, limits: &Limits) -> Option<usize> {
    let mut scan = Scan::new(text);
    let mut depth = 0_usize;
    while let Some(at) = scan.skip_blanks() {
        match scan.next_token() {
            Token::Open => {
                depth += 1;
                if depth > limits.nesting {
                    return Some(at);
                }
            }
            // `Set<Set<…>>` nests in schemas.
            Token::Byte(b'<') => {
                depth += 1;
                if depth > limits.nesting {
                    return Some(at);
                }
            }
            Token::Close | Token::Byte(b'>') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

enum Token {
    Open,
    Close,
    End,
    Nesting,
    Operator,
    Byte(u8),
    Other,
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Moves past blanks and comments; returns where the next token starts.
    ///
    /// As Cedar's lexer does: a comment ends at either kind of line end, and blanks are
    /// all that Unicode calls white space.
    fn skip_blanks(&mut self) -> Option<usize> {
        loop {
            match self.peek(0)? {
                b'/' if self.peek(1) == Some(b'/') => {
                    while self.peek(0).is_some_and(|b| b != b'\n' && b != b'\r') {
                        self.at += 1;
                    }
                }
                _ => match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
                    Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                    _ => return Some(self.at),
                },
            }
        }
    }

    /// Moves past one token.
    fn next_token(&mut self) -> Token {
        let Some(byte) = self.peek(0) else { return Token::Other };
        self.at += 1;
        match byte {
            b'"' => {
                self.string();
                Token::Other
            }
            b'(' | b'[' | b'{' => Token::Open,
            b')' | b']' | b'}' => Token::Close,
            b';' => Token::End,
            b'!' if self.peek(0) != Some(b'=') => Token::Nesting,
            b'&' | b'|' | b'=' | b'<' | b'>' | b'!' => {
                if matches!(self.peek(0), Some(b'&' | b'|' | b'=')) {
                    self.at += 1;
                    Token::Operator
                } else {
                    Token::Byte(byte)
                }
            }
            b'+' | b'-' | b'*' | b'.' => Token::Operator,
            b if b.is_ascii_alphabetic() || b == b'_' => {
                let start = self.at - 1;
                while self.peek(0).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    self.at += 1;
                }
                match self.bytes.get(start..self.at) {
                    Some(b"if") => Token::Nesting,
                    Some(b"in" | b"is" | b"has" | b"like") => Token::Operator,
                    _ => Token::Other,
                }
            }
            b => Token::Byte(b),
        }
    }

    fn string(&mut self) {
        while let Some(byte) = self.peek(0) {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    /// Moves past the statement that starts here; returns its end.
    fn statement(
        &mut self,
        start: usize,
        limits: &Limits,
    ) -> Result<usize, (usize, RefusalReason)> {
        let (mut depth, mut deepest, mut nested, mut operators) = (0_usize, 0_usize, 0, 0);
        let mut last = start;
        while self.skip_blanks().is_some() {
            let token = self.next_token();
            last = self.at.min(self.bytes.len());
            match token {
                Token::Open => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                Token::Close => depth = depth.saturating_sub(1),
                Token::Nesting => nested += 1,
                Token::Operator | Token::Byte(b'<' | b'>') => operators += 1,
                Token::End => break,
                _ => {}
            }
        }
        let given = last - start;
        if given > limits.policy_bytes {
            return Err((last, RefusalReason::Length { given }));
        }
        if deepest > limits.nesting {
            return Err((last, RefusalReason::Nesting));
        }
        // A chain of `!`, `if` or operators deepens the tree by one each at most.
        if operators + nested > limits.operators {
            return Err((last, RefusalReason::Operators));
        }
        Ok(last)
    }
}

/// Returns where the scope constraint that starts with `variable` stands in a statement.
pub(crate) fn scope_part(statement: &str, variable: &str) -> Option<Range<usize>> {
    let mut scan = Scan::new(statement);
    let mut in_scope = false;
    let mut depth = 0_usize;
    let mut part: Option<Range<usize>> = None;
    while let Some(start) = scan.skip_blanks() {
        let token = scan.next_token();
        let word = statement.get(start..scan.at).unwrap_or_default();
        match token {
            Token::Open => depth += 1,
            Token::Close => {
                depth = depth.saturating_sub(1);
                if in_scope && depth == 0 {
                    return part;
                }
            }
            Token::Byte(b',') if in_scope && depth == 1 && part.is_some() => return part,
            _ => {}
        }
        if depth == 0 && matches!(word, "permit" | "forbid") {
            in_scope = true;
        } else if let Some(part) = &mut part {
            part.end = scan.at.min(statement.len());
        } else if in_scope && depth == 1 && word == variable {
            part = Some(start..scan.at);
        }
    }
    None
}

/// Returns where an annotation of this name stands in a statement.
pub(crate) fn annotation_part(statement: &str, name: &str) -> Option<Range<usize>> {
    let mut scan = Scan::new(statement);
    let mut at_sign = None;
    let mut part: Option<Range<usize>> = None;
    while let Some(start) = scan.skip_blanks() {
        let token = scan.next_token();
        let word = statement.get(start..scan.at).unwrap_or_default();
        if let Some(part) = &mut part {
            match token {
                Token::Close => {
                    part.end = scan.at;
                    return Some(part.clone());
                }
                // Without brackets, the annotation ends where something else begins.
                Token::Open => {}
                _ if word.starts_with('"') => {}
                _ => return Some(part.clone()),
            }
        } else if let Some(at) = at_sign.take().filter(|_| word == name) {
            part = Some(at..scan.at);
        } else if word == "@" {
            at_sign = Some(start);
        }
    }
    None
}

/// Returns where `permit` or `forbid` stands in a statement.
pub(crate) fn effect_part(statement: &str) -> Option<Range<usize>> {
    let mut scan = Scan::new(statement);
    let mut depth = 0_usize;
    let mut in_annotation = false;
    while let Some(start) = scan.skip_blanks() {
        let token = scan.next_token();
        let word = statement.get(start..scan.at).unwrap_or_default();
        if depth == 0 && !in_annotation && matches!(word, "permit" | "forbid") {
            return Some(start..scan.at);
        }
        in_annotation = word == "@";
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        let (found, refused) = statements(text, &Limits::default());
        assert_eq!(refused, []);
        found.iter().filter_map(|s| text.get(s.span.clone())).collect()
    }

    #[test]
    fn strings_and_comments_hide_semicolons() {
        let text = "// a; b\n@id(\"x;\\\";\") permit(principal, action, resource) when { \"//;\" == \"\" }; \n forbid(principal,action,resource);// end";
        let parts = cut(text);
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|p| p.ends_with(';')));
    }

    #[test]
    fn blanks_are_those_of_cedar() {
        let text = "// x\rforbid(principal,action,resource);\u{a0}\u{2028}\u{b}permit(principal,action,resource);\u{85}";
        assert_eq!(cut(text).len(), 2);
    }

    #[test]
    fn an_unfinished_statement_is_kept() {
        assert_eq!(
            cut("permit(principal, action, resource"),
            ["permit(principal, action, resource"]
        );
        assert_eq!(cut("permit(\"open"), ["permit(\"open"]);
        assert_eq!(cut("permit(\"open\\"), ["permit(\"open\\"]);
        assert_eq!(cut(" // nothing"), Vec::<&str>::new());
    }

    #[test]
    fn scope_parts_are_found() {
        let text = "@doc(\"permit(principal)\") permit(principal in G::\"a,b\", action in [A::\"x\", A::\"y\"], resource);";
        let part = |variable| scope_part(text, variable).and_then(|span| text.get(span));
        assert_eq!(part("principal"), Some("principal in G::\"a,b\""));
        assert_eq!(part("action"), Some("action in [A::\"x\", A::\"y\"]"));
        assert_eq!(part("resource"), Some("resource"));
        let guard = |text| annotation_part(text, "guard").and_then(|span| text.get(span));
        assert_eq!(
            guard("@id(\"guard\") @guard (\"a)\") @x permit(principal"),
            Some("@guard (\"a)\")")
        );
        assert_eq!(guard("@guard permit(principal"), Some("@guard"));
        assert_eq!(guard("@guards(\"a\") permit(principal.guard"), None);
        let effect = |text: &str| effect_part(text).map(|span| span.start);
        assert_eq!(effect(text), text.find("permit(principal in"));
        assert_eq!(effect("@permit(\"\") // permit\nforbid(principal"), Some(22));
    }

    #[test]
    fn what_nests_or_chains_too_far_is_refused() {
        let limits = Limits::default();
        let deep = format!(
            "permit(principal, action, resource) when {{ {}1{} }};",
            "(".repeat(65),
            ")".repeat(65)
        );
        let (_, refused) = statements(&deep, &limits);
        assert_eq!(refused.first().map(|r| &r.reason), Some(&RefusalReason::Nesting));
        let long = format!(
            "permit(principal, action, resource) when {{ true {} }};",
            "|| true ".repeat(2_001)
        );
        let (_, refused) = statements(&long, &limits);
        assert_eq!(refused.first().map(|r| &r.reason), Some(&RefusalReason::Operators));
    }
}
