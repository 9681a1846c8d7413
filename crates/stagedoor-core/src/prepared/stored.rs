//! A resource that is in a store, found once.

use std::fmt;
use std::sync::Arc;

use cedar_policy::EntityUid;

use super::known::EntityFacts;
use crate::entities::Entities;
use crate::node::Node;
use crate::symbols::{Symbols, Var};

/// A resource among the entities that a principal is among as well, ready for many requests and
/// threads.
///
/// Made for one engine. After a reload it still decides rightly with the new one, only not
/// as fast: make it anew with [`Engine::stored_resource`](crate::Engine::stored_resource) then.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, Entity, PreparedRequest};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc { owner: User };
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "permit(principal, action, resource)
///         when { resource.owner == principal };")
///     .build()?;
/// let ana: stagedoor_core::EntityUid = r#"User::"ana""#.parse()?;
/// let doc: stagedoor_core::EntityUid = r#"Doc::"1""#.parse()?;
/// let all = Entities::from_entities([
///     Entity::new(ana.clone()),
///     Entity::new(doc.clone()).with_attribute("owner", ana.clone()),
/// ])?;
///
/// // Once for many requests:
/// let (ana, doc) = (engine.principal(&ana, &all)?, engine.stored_resource(&doc, &all)?);
/// let view = engine.action(&r#"Action::"view""#.parse()?)?;
///
/// let ruling = engine.ruling_prepared(&PreparedRequest::stored(&ana, &view, &doc))?;
/// assert_eq!(ruling.decision(), Decision::Allow);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StoredResource {
    pub(crate) uid: EntityUid,
    pub(crate) entities: Entities,
    pub(crate) numbering: u64,
    node: Option<Arc<Node>>,
    known: Arc<EntityFacts>,
}

impl StoredResource {
    pub(crate) fn new(uid: &EntityUid, entities: &Entities, symbols: &Symbols) -> Self {
        let (known, node) = EntityFacts::of(Var::Resource, uid, entities, symbols);
        let (uid, entities) = (uid.clone(), entities.clone());
        Self { uid, entities, numbering: symbols.numbering, node, known: Arc::new(known) }
    }

    /// Returns the resource's id.
    #[must_use]
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// Returns the entities that the resource was found among.
    #[must_use]
    pub fn entities(&self) -> &Entities {
        &self.entities
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    #[inline]
    pub(crate) fn facts(&self) -> &EntityFacts {
        &self.known
    }
}

impl fmt::Debug for StoredResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredResource").field("uid", &self.uid).finish_non_exhaustive()
    }
}
