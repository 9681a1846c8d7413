//! References to catalog entities: `kind:namespace/name`.

use std::fmt;
use std::str::FromStr;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use smol_str::SmolStr;

/// The namespace of an entity that states none.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// A full reference to a catalog entity, in lower case.
///
/// Backstage compares references in two ways, once by case and once not. In
/// lower case, which is how [`stringifyEntityRef`] writes them, both agree.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::EntityRef;
///
/// let alice: EntityRef = "User:default/Alice".parse()?;
/// assert_eq!(alice.to_string(), "user:default/alice");
/// assert!("alice".parse::<EntityRef>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`stringifyEntityRef`]: https://backstage.io/docs/reference/catalog-model.stringifyentityref
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityRef {
    kind: SmolStr,
    namespace: SmolStr,
    name: SmolStr,
}

/// Text that is not a reference to a catalog entity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntityRefError {
    /// The kind, the namespace or the name is there but empty.
    #[error("`{0}` is not an entity reference: write `kind:namespace/name` with no part empty")]
    EmptyPart(String),
    /// The kind or the namespace is missing where none is guessed.
    #[error("`{0}` is not a full entity reference: write it as `kind:namespace/name`")]
    NotQualified(String),
}

impl EntityRef {
    /// Returns the reference with these parts.
    ///
    /// # Errors
    ///
    /// [`EntityRefError::EmptyPart`] if one of them is empty.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Result<Self, EntityRefError> {
        if kind.is_empty() || namespace.is_empty() || name.is_empty() {
            return Err(EntityRefError::EmptyPart(format!("{kind}:{namespace}/{name}")));
        }
        let lower = |part: &str| SmolStr::from(part.to_lowercase());
        Ok(Self { kind: lower(kind), namespace: lower(namespace), name: lower(name) })
    }

    /// Reads a reference as it stands in a catalog entity, where the field that
    /// holds it says what kind is meant: `spec.owner: team-a` is
    /// `group:default/team-a`.
    ///
    /// A namespace that is not stated is that of the entity which holds the field.
    ///
    /// # Errors
    ///
    /// [`EntityRefError::EmptyPart`], as for [`new`](Self::new).
    pub fn parse_within(
        text: &str,
        default_kind: &str,
        default_namespace: &str,
    ) -> Result<Self, EntityRefError> {
        let (kind, namespace, name) = parts(text);
        let (kind, namespace) =
            (kind.unwrap_or(default_kind), namespace.unwrap_or(default_namespace));
        Self::new(kind, namespace, name).map_err(|_| EntityRefError::EmptyPart(text.to_owned()))
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the Cedar entity of the given type that stands for this reference.
    #[must_use]
    pub fn uid(&self, entity_type: EntityTypeName) -> EntityUid {
        EntityUid::from_type_name_and_id(entity_type, EntityId::new(self.to_string()))
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.kind, self.namespace, self.name)
    }
}

impl FromStr for EntityRef {
    type Err = EntityRefError;

    /// Reads a full reference. Neither a kind nor a namespace is guessed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parts(text) {
            (Some(kind), Some(namespace), name) => Self::new(kind, namespace, name)
                .map_err(|_| EntityRefError::EmptyPart(text.to_owned())),
            _ => Err(EntityRefError::NotQualified(text.to_owned())),
        }
    }
}

/// Splits at the first colon and the first slash as Backstage does: a colon
/// behind the slash belongs to the name.
fn parts(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let (kind, rest) = match text.split_once(':') {
        Some((kind, rest)) if !kind.contains('/') => (Some(kind), rest),
        _ => (None, text),
    };
    match rest.split_once('/') {
        Some((namespace, name)) => (kind, Some(namespace), name),
        None => (kind, None, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_references_are_lower_cased() -> Result<(), EntityRefError> {
        for (text, expected) in [
            ("component:default/payments", "component:default/payments"),
            ("API:Payments-Team/Ledger.V2", "api:payments-team/ledger.v2"),
            ("user:default/Ünal", "user:default/ünal"),
            ("group:default/a/b", "group:default/a/b"),
            ("group:default/a:b", "group:default/a:b"),
        ] {
            assert_eq!(text.parse::<EntityRef>()?.to_string(), expected, "{text}");
        }
        Ok(())
    }

    #[test]
    fn nothing_is_guessed_for_a_full_reference() {
        for text in ["alice", "user:alice", "default/alice", "default/user:alice", ""] {
            let error = Err(EntityRefError::NotQualified(text.to_owned()));
            assert_eq!(text.parse::<EntityRef>(), error, "{text}");
        }
        for text in [":default/alice", "user:/alice", "user:default/", ":/"] {
            let error = Err(EntityRefError::EmptyPart(text.to_owned()));
            assert_eq!(text.parse::<EntityRef>(), error, "{text}");
        }
    }

    #[test]
    fn fields_of_an_entity_supply_what_is_left_out() -> Result<(), EntityRefError> {
        for (text, expected) in [
            ("team-a", "group:shop/team-a"),
            ("user:alice", "user:shop/alice"),
            ("other/Team-B", "group:other/team-b"),
            ("other/x:y", "group:other/x:y"),
            ("user:default/alice", "user:default/alice"),
        ] {
            let read = EntityRef::parse_within(text, "Group", "Shop")?;
            assert_eq!(read.to_string(), expected, "{text}");
        }
        for text in ["", "group:", "/x", "a/"] {
            assert!(EntityRef::parse_within(text, "Group", "default").is_err(), "{text}");
        }
        Ok(())
    }
}
