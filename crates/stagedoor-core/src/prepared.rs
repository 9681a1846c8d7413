//! Requests whose parts are prepared: what is the same for many requests is looked up once.
//!
//! A [`Principal`] and an [`Action`] are kept and used for many requests; a [`Resource`] is
//! typed attributes in the order that its [`ResourceType`] was told, and no entity is built
//! of it unless a policy needs one.
//!
//! INVARIANT: the short way is taken only where the request plainly conforms. Wherever that
//! is not plain (another engine's handles, odd values, a resource that the principal's
//! entities might know), the request and its entities are built and decided as any other.

mod action;
mod principal;
mod resource;

use std::cell::{Cell, OnceCell};

use smallvec::SmallVec;

use crate::entities::Entities;
use crate::error::DecideError;
use crate::limits::Limits;
use crate::lookup::PathKey;
use crate::node::EntitySymbols;
use crate::request::Request;
use crate::symbols::Symbols;
use crate::value::{Record, extent};

pub use action::Action;
pub use principal::Principal;
pub(crate) use resource::PathTarget;
pub use resource::{Resource, ResourceType};

static NO_CONTEXT: Record = Record::new();

/// A request of prepared parts.
///
/// What the first decision finds out of its resource and context is kept for the next ones.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, Entity, PreparedRequest};
///
/// let engine = Engine::builder()
///     .schema("app.cedarschema", "
///         entity Group; entity User in [Group];
///         entity Service { tier: String, owner?: String };
///         action deploy appliesTo { principal: User, resource: Service };")
///     .policies("app.cedar", r#"
///         @id("sre-deploys")
///         permit(principal in Group::"sre", action == Action::"deploy", resource)
///         when { resource.tier == "gold" };"#)
///     .build()?;
///
/// // Once for many requests:
/// let people = Entities::from_entities([
///     Entity::new(r#"User::"alice""#.parse()?).with_parent(r#"Group::"sre""#.parse()?),
/// ])?;
/// let alice = engine.principal(&r#"User::"alice""#.parse()?, &people)?;
/// let deploy = engine.action(&r#"Action::"deploy""#.parse()?)?;
/// let services = engine.resource_type(&"Service".parse()?, &["tier", "owner"], &[])?;
///
/// // For each request:
/// let attributes = [Some("gold".into()), None];
/// let billing = services.resource("billing", &attributes);
/// let ruling = engine.ruling_prepared(&PreparedRequest::new(&alice, &deploy, billing))?;
/// assert_eq!(ruling.decision(), Decision::Allow);
/// assert_eq!(ruling.policy().map(|policy| policy.id()), Some("sre-deploys"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PreparedRequest<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) action: &'a Action,
    pub(crate) resource: Resource<'a>,
    pub(crate) context: &'a Record,
    bound: OnceCell<Option<Bound>>,
    whole: OnceCell<Box<Result<(Request, Entities), DecideError>>>,
}

/// What a request's resource is in the numbers of the engine that its handles were made for.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) resource: EntitySymbols,
    /// The literals that its attributes equal, by slot, as far as they were asked for.
    pub(crate) keys: SmallVec<[Cell<PathKey>; 8]>,
}

impl<'a> PreparedRequest<'a> {
    /// Returns a request with an empty context.
    #[must_use]
    pub fn new(principal: &'a Principal, action: &'a Action, resource: Resource<'a>) -> Self {
        let (bound, whole) = (OnceCell::new(), OnceCell::new());
        Self { principal, action, resource, context: &NO_CONTEXT, bound, whole }
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(self, context: &'a Record) -> Self {
        Self { context, ..Self::new(self.principal, self.action, self.resource) }
    }

    /// Returns the request and its entities, built at the first call.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the resource has too many values, is among the principal's entities
    /// already, or passes a limit.
    pub(crate) fn whole(&self) -> Result<(&Request, &Entities), DecideError> {
        let built = self.whole.get_or_init(|| Box::new(self.build()));
        match built.as_ref() {
            Ok((request, entities)) => Ok((request, entities)),
            Err(error) => Err(error.clone()),
        }
    }

    fn build(&self) -> Result<(Request, Entities), DecideError> {
        let resource = self.resource.to_entity()?;
        let (principal, action) = (self.principal.uid.clone(), self.action.uid.clone());
        let mut request = Request::new(principal, action, resource.uid.clone());
        request.context.clone_from(self.context);
        Ok((request, self.principal.entities.with([resource])?))
    }

    /// Returns what the request is in an engine's numbers, if it surely passes the engine's
    /// checks, and means the same without an entity for its resource.
    pub(crate) fn bound(&self, symbols: &Symbols, limits: &Limits, exact: bool) -> Option<&Bound> {
        let numbering = symbols.numbering;
        let is_of_engine = self.principal.numbering == numbering
            && self.action.numbering == numbering
            && self.resource.numbering() == numbering;
        if !is_of_engine {
            return None;
        }
        let bind = || {
            self.is_plain(symbols, limits, exact).then(|| Bound {
                resource: self.resource.interned(symbols),
                keys: SmallVec::from_elem(Cell::new(PathKey::Unknown), self.resource.len()),
            })
        };
        self.bound.get_or_init(bind).as_ref()
    }

    /// As [`bound`](Self::bound), of the engine that the handles were made for.
    fn is_plain(&self, symbols: &Symbols, limits: &Limits, exact: bool) -> bool {
        let Self { principal, action, resource, context, .. } = self;
        let context_is_plain = context.is_empty() || {
            let (longest, depth) = extent(context);
            longest <= limits.string_bytes && depth <= limits.nesting
        };
        resource.is_plain(symbols, limits, principal)
            && resource.type_number().is_some_and(|number| {
                principal.is_apart_from(number)
                    && action.is_apart_from(number)
                    && (exact || action.fits(principal, number, context))
            })
            && context_is_plain
    }
}
