//! Cedar's parser, for one statement or for several in a row.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cedar_policy_core::ast;
use cedar_policy_core::parser::err::ParseErrors;
use cedar_policy_core::parser::text_to_cst::parse_policies;
use cedar_policy_core::parser::{Node, cst, parse_policy_or_template};

use crate::error::causes;
use crate::policy::PolicyInfo;

/// Parses one policy or template.
pub(crate) fn statement(text: &str, id: &str) -> Result<ast::Template, Box<ParseErrors>> {
    parse_policy_or_template(Some(ast::PolicyID::from_string(id)), text).map_err(Box::new)
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

/// Parses a policy's text again, and links it if it is a link.
pub(crate) fn again(policy: PolicyInfo<'_>) -> Result<ast::Policy, String> {
    in_place(policy, policy.text())
}

/// Parses a text that stands in the place of a policy's, and links it if that is a link.
pub(crate) fn in_place(policy: PolicyInfo<'_>, text: &str) -> Result<ast::Policy, String> {
    let template = statement(text, policy.id()).map_err(|e| causes(&e))?;
    let template = Arc::new(template);
    let linked = match policy.link() {
        None => ast::Template::try_as_policy(template),
        Some((principal, resource)) => {
            let mut slots: HashMap<ast::SlotId, ast::EntityUID> = HashMap::new();
            if let Some(uid) = principal {
                slots.insert(ast::SlotId::principal(), uid.clone().into());
            }
            if let Some(uid) = resource {
                slots.insert(ast::SlotId::resource(), uid.clone().into());
            }
            ast::Template::link(template, ast::PolicyID::from_string(policy.id()), slots)
        }
    };
    linked.map_err(|e| causes(&e))
}
