//! Cedar's parser, for one statement or for several in a row.
//!
//! Cedar has more parsers of one grammar: for a statement, an expression, an entity id. Each is a
//! copy of its tables, too large for the engine as WebAssembly; the one for policies reads them
//! all.

use std::ops::Range;

use cedar_policy::{EntityId, EntityUid};
use cedar_policy_core::ast;
use cedar_policy_core::parser::err::{ParseErrors, ToASTError, ToASTErrorKind};
use cedar_policy_core::parser::text_to_cst::parse_policies;
use cedar_policy_core::parser::{Node, cst};

use crate::error::ValueError;

/// Parses one policy or template.
pub(crate) fn statement(text: &str, id: &str) -> Result<ast::Template, Box<ParseErrors>> {
    one(text)?.to_template(ast::PolicyID::from_string(id)).map_err(Box::new)
}

/// Parses an expression: the condition of a policy that is made of it.
pub(crate) fn expression(text: &str) -> Option<ast::Expr> {
    // In lines of its own: the text may end with a comment.
    let policy = one(&format!("permit(principal,action,resource)when{{\n{text}\n}};")).ok()?;
    // The text may end this condition and begin another.
    let cst::Policy::Policy(written) = policy.as_inner()?;
    if written.conds.len() != 1 {
        return None;
    }
    let policy = policy.to_template(ast::PolicyID::from_string("expression")).ok()?;
    policy.non_scope_constraints().cloned()
}

/// Returns the entity of an id as Cedar writes it, `Type::"id"`; `None` for any other text.
///
/// An apostrophe may stand as it is, as it may in a policy: `User::"o'brien"` is the id that
/// Cedar writes as `User::"o\'brien"`. Cedar itself takes the second form alone.
///
/// # Examples
///
/// ```
/// use stagedoor_core::entity_uid;
///
/// let uid = entity_uid(r#"User::"o'brien""#).ok_or("an id")?;
/// assert_eq!(uid.id().unescaped(), "o'brien");
/// assert!(entity_uid("User::ana").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn entity_uid(text: &str) -> Option<EntityUid> {
    let (uid, as_written_by_cedar) = read_uid(text)?;
    // INVARIANT: an id has one spelling but for apostrophes, so that whoever compares texts,
    // in a log say, does not take one entity for two.
    (uid.to_string() == as_written_by_cedar).then_some(uid)
}

/// Returns the entity that a text means which is written nearly as Cedar writes ids.
pub(crate) fn nearly_uid(text: &str) -> Option<EntityUid> {
    read_uid(text).map(|(uid, _)| uid)
}

/// Reads an id with whatever escapes; returns it, and the text with its apostrophes escaped.
fn read_uid(text: &str) -> Option<(EntityUid, String)> {
    let (type_name, id) = text.strip_suffix('"')?.split_once("::\"")?;
    let (unescaped, as_written_by_cedar) = unescaped(id)?;
    let uid = EntityUid::from_type_name_and_id(type_name.parse().ok()?, EntityId::new(unescaped));
    Some((uid, format!("{type_name}::\"{as_written_by_cedar}\"")))
}

/// Returns the entity with this type and id. Nothing is quoted: any text is an id.
///
/// # Errors
///
/// [`ValueError`] if `type_name` is not the name of a type, such as `User` or `App::User`.
///
/// # Examples
///
/// ```
/// use stagedoor_core::uid;
///
/// let brien = uid("User", "o'brien")?;
/// assert_eq!(brien.id().unescaped(), "o'brien");
/// assert!(uid("User::\"x\"", "y").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn uid(type_name: &str, id: impl AsRef<str>) -> Result<EntityUid, ValueError> {
    let name = type_name
        .parse()
        .map_err(|_| ValueError::new("name of an entity type", type_name, "write `A` or `A::B`"))?;
    Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
}

/// Reads Cedar's escapes; returns the text that they mean, and what was read with its apostrophes
/// escaped. Cedar's own function keeps the whole text with each of its mistakes, of which an
/// untrusted text can have as many as it has characters.
fn unescaped(text: &str) -> Option<(String, String)> {
    let mut unescaped = String::with_capacity(text.len());
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text.chars();
    loop {
        let before = rest.as_str();
        let Some(c) = rest.next() else { return Some((unescaped, escaped)) };
        match c {
            '\\' => {
                unescaped.push(escape(&mut rest)?);
                escaped.push_str(before.get(..before.len() - rest.as_str().len())?);
            }
            '\'' => {
                unescaped.push(c);
                escaped.push_str("\\'");
            }
            _ => {
                unescaped.push(c);
                escaped.push(c);
            }
        }
    }
}

/// Reads what follows a backslash.
fn escape(rest: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        '0' => '\0',
        't' => '\t',
        'r' => '\r',
        'n' => '\n',
        c @ ('\'' | '"' | '\\') => c,
        'u' => {
            let (code, after) = rest.as_str().strip_prefix('{')?.split_once('}')?;
            *rest = after.chars();
            char::from_u32(u32::from_str_radix(code, 16).ok()?)?
        }
        _ => return None,
    })
}

fn one(text: &str) -> Result<Node<Option<cst::Policy>>, Box<ParseErrors>> {
    let parsed = parse_policies(text).map_err(Box::new)?;
    let loc = parsed.loc.clone();
    let mut policies = parsed.node.map(|policies| policies.0).unwrap_or_default();
    match (policies.pop(), policies.len()) {
        (Some(policy), 0) => Ok(policy),
        (last, more) => {
            let found = format!("{} policies", more + usize::from(last.is_some()));
            let kind = ToASTErrorKind::wrong_node("one policy", found, None::<String>);
            Err(Box::new(ToASTError::new(kind, loc).into()))
        }
    }
}

/// Parses a text of the statements at `spans`, into their concrete syntax.
///
/// Each call of Cedar's parser builds its lexer's tables anew, which takes as long as
/// parsing one statement does. `None` unless the text is right and holds just these.
pub(crate) fn statements(
    text: &str,
    spans: impl ExactSizeIterator<Item = Range<usize>>,
) -> Option<Vec<Node<Option<cst::Policy>>>> {
    let nodes = parse_policies(text).ok()?.node?.0;
    let is_at = |(node, span): (&Node<Option<cst::Policy>>, Range<usize>)| {
        node.loc.as_ref().is_some_and(|loc| (loc.start()..loc.end()) == span)
    };
    (nodes.len() == spans.len() && nodes.iter().zip(spans).all(is_at)).then_some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_cedar_reads_them() {
        let texts = [
            r#"User::"alice""#,
            r#"A::B::"x y""#,
            r#"User::"""#,
            r#"User::"a\"b""#,
            r#"User::"a\\b\n""#,
            r#"User::"\u{202e}""#,
            r#"User::"größe""#,
            r#"User::"\0\t\'""#,
            r#"User::"\u{}""#,
            r#"User::"\u{110000}""#,
            r#"User::"\u{202e""#,
            "User::\"a\rb\"",
            r#"User::"a::"b""#,
            r#"User::"\x41""#,
            r#"User::"a"b""#,
            r#"User::"a\""#,
            r#"User::"a\q""#,
            r#" User::"a""#,
            r#"User :: "a""#,
            r#"User::"a" // alice"#,
            r#"if::"a""#,
            r#"__cedar::"a""#,
            r#"::"a""#,
            r#"User::a"#,
            "User",
            "\"",
            "",
        ];
        for text in texts {
            assert_eq!(entity_uid(text), text.parse().ok(), "{text}");
        }
        assert_eq!(texts.iter().filter(|text| entity_uid(text).is_some()).count(), 8);
    }

    #[test]
    fn an_apostrophe_stands_for_itself() {
        let written = entity_uid(r#"User::"o\'brien""#);
        assert!(written.as_ref().is_some_and(|uid| uid.id().unescaped() == "o'brien"));
        assert_eq!(entity_uid(r#"User::"o'brien""#), written);
        // A backslash before it is one of its own here.
        let slash = entity_uid(r#"User::"o\\'brien""#);
        assert!(slash.is_some_and(|uid| uid.id().unescaped() == r"o\'brien"));
        for text in [r#"User::"o'\u{41}""#, "User::\"'\u{202e}\"", r#"Us'er::"a""#, r#"User::"'"'"#]
        {
            assert_eq!(entity_uid(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_of_mistakes_takes_no_more_memory_than_itself() {
        let text = format!("User::\"{}\"", "\\q".repeat(1 << 20));
        assert_eq!(entity_uid(&text), None);
    }

    #[test]
    fn expressions_are_read_as_cedar_reads_them() {
        for text in ["1", r#"ip("10.0.0.1")"#, "principal.a && !context.b // why", "[{a: 1}]"] {
            assert_eq!(expression(text), text.parse().ok(), "{text}");
            assert!(expression(text).is_some(), "{text}");
        }
        let others = ["", "1 2", "}; permit(principal, action, resource) when { 1"];
        for text in others.into_iter().chain(["true } when { true", "1 } unless { 2"]) {
            assert_eq!(expression(text), None, "{text}");
        }
    }

    #[test]
    fn one_policy_is_one() {
        let policy = "permit (principal, action, resource);";
        assert!(statement(policy, "a").is_ok_and(|template| template.id().to_string() == "a"));
        for (text, found) in [("// none", 0), (&format!("{policy}\n{policy}"), 2)] {
            let told = statement(text, "a").map_err(|e| e.to_string()).err().unwrap_or_default();
            assert_eq!(told, format!("expected one policy, found {found} policies"));
        }
    }
}
