//! What strict validation sees of a policy, so that policies alike are validated once.
//!
//! Role grants differ in the groups and strings that they name, and in nothing that
//! Cedar's validator looks at. It asks of a string or of an ordinary entity's id only
//! whether another literal equals it; what it reads beyond that (types, actions, ids of
//! enumerated types, attribute names, numbers, patterns) stands in a shape as it is.
//!
//! INVARIANT: two policies of one shape have the same findings, or both have none. Only
//! shapes without findings are remembered, so that findings name the policy at hand.

use std::fmt::Write as _;
use std::sync::RwLock;

use cedar_policy_core::ast::{
    self, ActionConstraint, EntityReference, Expr, ExprKind, Literal, PrincipalOrResourceConstraint,
};
use cedar_policy_core::validator::{ValidatorEntityTypeKind, ValidatorSchema};

use crate::hash::FastSet;

/// Different literals in one policy; one with more is validated each time.
const LITERALS: usize = 32;
/// Shapes that are remembered.
const SHAPES: usize = 10_000;

/// Everything of a policy that its validation depends on, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(Box<[u8]>);

/// The shapes that were found to be valid.
pub(super) struct ValidFingerprints {
    /// Types that list their ids.
    listed: FastSet<ast::EntityType>,
    known: RwLock<FastSet<Fingerprint>>,
}

impl ValidFingerprints {
    pub(super) fn new(schema: &ValidatorSchema) -> Self {
        let listed = schema
            .entity_types()
            .filter(|type_| matches!(type_.kind, ValidatorEntityTypeKind::Enum(_)))
            .map(|type_| type_.name().clone())
            .collect();
        Self { listed, known: RwLock::default() }
    }

    /// Returns a policy's shape, if it has one that tells everything.
    pub(super) fn shape(&self, tree: &ast::Template) -> Option<Fingerprint> {
        let mut writer = Writer {
            listed: &self.listed,
            bytes: Vec::new(),
            strings: Vec::new(),
            uids: Vec::new(),
        };
        writer.policy(tree)?;
        Some(Fingerprint(writer.bytes.into_boxed_slice()))
    }

    pub(super) fn contains(&self, shape: &Fingerprint) -> bool {
        self.known.read().is_ok_and(|known| known.contains(shape))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.read().map_or(0, |known| known.len())
    }

    pub(super) fn insert(&self, shape: Fingerprint) {
        if let Ok(mut known) = self.known.write()
            && known.len() < SHAPES
        {
            known.insert(shape);
        }
    }
}

/// Writes one shape. Each part starts with a tag that says what follows, and how much.
struct Writer<'a> {
    listed: &'a FastSet<ast::EntityType>,
    bytes: Vec<u8>,
    strings: Vec<&'a str>,
    uids: Vec<&'a ast::EntityUID>,
}

impl<'a> Writer<'a> {
    fn policy(&mut self, tree: &'a ast::Template) -> Option<()> {
        self.scope(tree.principal_constraint().as_inner())?;
        self.scope(tree.resource_constraint().as_inner())?;
        match tree.action_constraint() {
            ActionConstraint::Any => self.tag(b'*'),
            ActionConstraint::Eq(uid) => {
                self.tag(b'=');
                self.uid(uid)?;
            }
            ActionConstraint::In(uids) => {
                self.tag(b'i');
                self.count(uids.len())?;
                uids.iter().try_for_each(|uid| self.uid(uid))?;
            }
        }
        match tree.non_scope_constraints() {
            Some(condition) => condition.subexpressions().try_for_each(|e| self.expression(e)),
            None => Some(()),
        }
    }

    fn scope(&mut self, constraint: &'a PrincipalOrResourceConstraint) -> Option<()> {
        match constraint {
            PrincipalOrResourceConstraint::Any => self.tag(b'*'),
            PrincipalOrResourceConstraint::Eq(reference) => {
                self.tag(b'=');
                self.reference(reference)?;
            }
            PrincipalOrResourceConstraint::In(reference) => {
                self.tag(b'i');
                self.reference(reference)?;
            }
            PrincipalOrResourceConstraint::Is(type_) => {
                self.tag(b's');
                self.type_(type_)?;
            }
            PrincipalOrResourceConstraint::IsIn(type_, reference) => {
                self.tag(b'b');
                self.type_(type_)?;
                self.reference(reference)?;
            }
        }
        Some(())
    }

    fn reference(&mut self, reference: &'a EntityReference) -> Option<()> {
        match reference {
            EntityReference::EUID(uid) => self.uid(uid),
            EntityReference::Slot(_) => {
                self.tag(b'?');
                Some(())
            }
        }
    }

    /// Writes a node without its operands, which follow in the tree's own order: the tags
    /// and counts of all nodes tell the tree.
    fn expression(&mut self, expr: &'a Expr) -> Option<()> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(b)) => self.bytes.extend([b'B', u8::from(*b)]),
            ExprKind::Lit(Literal::Long(n)) => {
                self.tag(b'N');
                self.bytes.extend(n.to_le_bytes());
            }
            ExprKind::Lit(Literal::String(string)) => {
                self.tag(b'S');
                plain(string)?;
                let number = position(&mut self.strings, string.as_str())?;
                self.bytes.push(number);
            }
            ExprKind::Lit(Literal::EntityUID(uid)) => self.uid(uid)?,
            ExprKind::Var(var) => self.bytes.extend([b'V', *var as u8]),
            ExprKind::If { .. } => self.tag(b'?'),
            ExprKind::And { .. } => self.tag(b'&'),
            ExprKind::Or { .. } => self.tag(b'|'),
            ExprKind::UnaryApp { op, .. } => self.bytes.extend([b'1', *op as u8]),
            ExprKind::BinaryApp { op, .. } => self.bytes.extend([b'2', *op as u8]),
            ExprKind::GetAttr { attr, .. } => {
                self.tag(b'.');
                self.text(attr)?;
            }
            ExprKind::HasAttr { attr, .. } => {
                self.tag(b'h');
                self.text(attr)?;
            }
            ExprKind::ExtHasAttr { attrs, .. } => {
                self.tag(b'H');
                self.count(attrs.len())?;
                attrs.iter().try_for_each(|attr| self.text(attr))?;
            }
            ExprKind::Like { pattern, .. } => {
                self.tag(b'~');
                self.text(&pattern.to_string())?;
            }
            ExprKind::Is { entity_type, .. } => {
                self.tag(b's');
                self.type_(entity_type)?;
            }
            ExprKind::Set(items) => {
                self.tag(b'[');
                self.count(items.len())?;
            }
            ExprKind::Record(fields) => {
                self.tag(b'{');
                self.count(fields.len())?;
                fields.keys().try_for_each(|name| self.text(name))?;
            }
            // Extension functions read their strings; slots and unknowns do not stand in conditions.
            _ => return None,
        }
        Some(())
    }

    fn uid(&mut self, uid: &'a ast::EntityUID) -> Option<()> {
        let id: &str = uid.eid().as_ref();
        plain(id)?;
        self.tag(b'E');
        self.type_(uid.entity_type())?;
        if uid.is_action() || self.listed.contains(uid.entity_type()) {
            self.tag(b'"');
            return self.text(id);
        }
        self.tag(b'#');
        let number = position(&mut self.uids, uid)?;
        self.bytes.push(number);
        Some(())
    }

    fn type_(&mut self, type_: &ast::EntityType) -> Option<()> {
        let start = self.bytes.len();
        self.count(0)?;
        // Writing to a vector of bytes does not fail.
        let _ = write!(Text(&mut self.bytes), "{type_}");
        let length = u32::try_from(self.bytes.len() - start - 4).ok()?;
        self.bytes.get_mut(start..start + 4)?.copy_from_slice(&length.to_le_bytes());
        Some(())
    }

    fn text(&mut self, text: &str) -> Option<()> {
        plain(text)?;
        self.count(text.len())?;
        self.bytes.extend(text.as_bytes());
        Some(())
    }

    fn count(&mut self, count: usize) -> Option<()> {
        self.bytes.extend(u32::try_from(count).ok()?.to_le_bytes());
        Some(())
    }

    fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }
}

/// Returns how many different items came before the first equal one.
fn position<T: PartialEq>(items: &mut Vec<T>, item: T) -> Option<u8> {
    let known = items.iter().position(|other| *other == item);
    let number = known.unwrap_or(items.len());
    if known.is_none() {
        if items.len() == LITERALS {
            return None;
        }
        items.push(item);
    }
    u8::try_from(number).ok()
}

/// Cedar warns of characters that look like others or reorder text; none of these do.
fn plain(text: &str) -> Option<()> {
    text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()).then_some(())
}

struct Text<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend(text.as_bytes());
        Ok(())
    }
}
