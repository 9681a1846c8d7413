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
mod context;
mod known;
mod path_keys;
mod principal;
mod resource;
mod stored;

use std::cell::{Cell, OnceCell};

use crate::entities::Entities;
use crate::error::{DecideError, RequestError};
use crate::limits::Limits;
use crate::lookup::PathKey;
use crate::node::EntitySymbols;
use crate::path_set::PathSet;
use crate::request::Request;
use crate::symbols::Symbols;
use crate::value::{Record, extent};

pub use action::Action;
pub use context::{ContextType, ContextValues};
use path_keys::PathKeys;
pub use principal::Principal;
pub(crate) use resource::PathTarget;
pub use resource::{Resource, ResourceType};
pub use stored::StoredResource;

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
    pub(crate) resource: PreparedResource<'a>,
    pub(crate) context: PreparedContext<'a>,
    bound: OnceCell<Option<Bound>>,
    whole: OnceCell<Box<Result<(Request, Entities), DecideError>>>,
}

/// A resource, as it is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PreparedResource<'a> {
    Slots(Resource<'a>),
    Stored(&'a StoredResource),
}

/// A context, as it is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PreparedContext<'a> {
    Record(&'a Record),
    Slots(ContextValues<'a>),
}

impl PreparedResource<'_> {
    /// Returns how many slots the resource has.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Slots(resource) => resource.len(),
            Self::Stored(_) => 0,
        }
    }
}

impl PreparedContext<'_> {
    /// Returns how many slots the context has.
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Record(_) => 0,
            Self::Slots(context) => context.len(),
        }
    }
}

/// What a request is in the numbers of the engine that its handles were made for.
#[derive(Debug)]
pub(crate) struct Bound {
    /// None of a stored resource, whose handle has them.
    pub(crate) resource: Option<EntitySymbols>,
    /// The literals that the resource's attributes equal, by slot, and behind them those of the
    /// context, as far as they were asked for.
    keys: PathKeys<Cell<PathKey>, FEW_SLOTS>,
}

/// Most requests have no more slots.
const FEW_SLOTS: usize = 8;

impl Bound {
    fn new(resource: Option<EntitySymbols>, slots: usize) -> Self {
        let others = match slots.checked_sub(FEW_SLOTS) {
            Some(more @ 1..) => vec![Cell::new(PathKey::Unknown); more].into_boxed_slice(),
            // Nothing is allocated, nor asked for.
            Some(0) | None => Box::default(),
        };
        let keys = PathKeys::new([const { Cell::new(PathKey::Unknown) }; FEW_SLOTS], others);
        Self { resource, keys }
    }

    /// Returns where the literal of an attribute of the resource is kept.
    #[inline]
    pub(crate) fn of_resource(&self, slot: usize) -> Option<&Cell<PathKey>> {
        self.keys.get(slot)
    }

    /// Returns where the literal of a field of the context is kept; so many slots has the resource.
    #[inline]
    pub(crate) fn of_context(&self, resource: usize, slot: usize) -> Option<&Cell<PathKey>> {
        self.keys.get(resource + slot)
    }
}

impl<'a> PreparedRequest<'a> {
    /// Returns a request with an empty context.
    #[must_use]
    #[inline]
    pub fn new(principal: &'a Principal, action: &'a Action, resource: Resource<'a>) -> Self {
        Self::of(principal, action, PreparedResource::Slots(resource))
    }

    /// Returns a request about a resource that is in a store, with an empty context.
    ///
    /// It is decided about the entities of the principal: both are meant to be found in the same. Of
    /// a resource that was found elsewhere nothing but the id counts, and it takes longer.
    #[must_use]
    #[inline]
    pub fn stored(
        principal: &'a Principal,
        action: &'a Action,
        resource: &'a StoredResource,
    ) -> Self {
        Self::of(principal, action, PreparedResource::Stored(resource))
    }

    #[inline]
    fn of(principal: &'a Principal, action: &'a Action, resource: PreparedResource<'a>) -> Self {
        let (bound, whole) = (OnceCell::new(), OnceCell::new());
        let context = PreparedContext::Record(&NO_CONTEXT);
        Self { principal, action, resource, context, bound, whole }
    }

    /// Sets the context.
    #[must_use]
    #[inline]
    pub fn with_context(self, context: &'a Record) -> Self {
        let context = PreparedContext::Record(context);
        Self { context, ..Self::of(self.principal, self.action, self.resource) }
    }

    /// Sets the context, by values in the slots of a [`ContextType`]. No record is built of them
    /// unless a policy needs one.
    #[must_use]
    #[inline]
    pub fn with_context_values(self, context: ContextValues<'a>) -> Self {
        let context = PreparedContext::Slots(context);
        Self { context, ..Self::of(self.principal, self.action, self.resource) }
    }

    /// Returns the request and its entities, built at the first call.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the resource or the context has too many values, the resource is among the
    /// principal's entities already, or it passes a limit.
    pub(crate) fn whole(&self) -> Result<(&Request, &Entities), DecideError> {
        let built = self.whole.get_or_init(|| Box::new(self.build()));
        match built.as_ref() {
            Ok((request, entities)) => Ok((request, entities)),
            Err(error) => Err(error.clone()),
        }
    }

    fn build(&self) -> Result<(Request, Entities), DecideError> {
        let entities = &self.principal.entities;
        let (resource, entities) = match &self.resource {
            PreparedResource::Slots(resource) => {
                let resource = resource.to_entity()?;
                (resource.uid.clone(), entities.with([resource])?)
            }
            PreparedResource::Stored(resource) => (resource.uid.clone(), entities.clone()),
        };
        let mut request =
            Request::new(self.principal.uid.clone(), self.action.uid.clone(), resource);
        request.context = match &self.context {
            PreparedContext::Record(record) => Record::clone(record),
            PreparedContext::Slots(context) => {
                context.to_record().map_err(RequestError::Context)?
            }
        };
        Ok((request, entities))
    }

    /// Returns paths at which there is something, of a request that is [bound](Self::bound).
    #[inline]
    pub(crate) fn there(&self) -> PathSet {
        let resource = match &self.resource {
            PreparedResource::Slots(resource) => resource.there(),
            PreparedResource::Stored(resource) => resource.facts().there,
        };
        self.principal.facts().there.with(resource).with(self.action.there)
    }

    /// Returns what the request is in an engine's numbers, if it surely passes the engine's
    /// checks, and means the same without an entity for its resource.
    pub(crate) fn bound(&self, symbols: &Symbols, limits: &Limits, exact: bool) -> Option<&Bound> {
        let numbering = symbols.numbering;
        let resource = match &self.resource {
            PreparedResource::Slots(resource) => resource.numbering(),
            PreparedResource::Stored(resource) => resource.numbering,
        };
        let context = match &self.context {
            PreparedContext::Record(_) => numbering,
            PreparedContext::Slots(context) => context.numbering(),
        };
        let is_of_engine = self.principal.numbering == numbering
            && self.action.numbering == numbering
            && resource == numbering
            && context == numbering;
        if !is_of_engine {
            return None;
        }
        self.bound.get_or_init(|| self.bind(symbols, limits, exact)).as_ref()
    }

    /// As [`bound`](Self::bound), of the engine that the handles were made for.
    fn bind(&self, symbols: &Symbols, limits: &Limits, exact: bool) -> Option<Bound> {
        let Self { principal, action, .. } = self;
        let (type_, resource) = match &self.resource {
            PreparedResource::Slots(resource) => {
                let type_ = resource.type_number()?;
                if !principal.is_apart_from(type_) || !action.is_apart_from(type_) {
                    return None;
                }
                (type_, Some(resource.plain_symbols(symbols, limits, principal)?))
            }
            // Both conform, and so did the store when they were found in it.
            PreparedResource::Stored(resource) => {
                if !resource.entities.is_same(&principal.entities) {
                    return None;
                }
                (resource.facts().interned.type_?, None)
            }
        };
        if !(exact || action.applies_to(principal, type_)) || !self.has_plain_context(limits, exact)
        {
            return None;
        }
        let slots = self.resource.len() + self.context.len();
        Some(Bound::new(resource, slots))
    }

    fn has_plain_context(&self, limits: &Limits, exact: bool) -> bool {
        match &self.context {
            PreparedContext::Record(context) => {
                let is_short = context.is_empty() || {
                    let (longest, depth) = extent(context);
                    longest <= limits.string_bytes && depth <= limits.nesting
                };
                is_short && (exact || self.action.fits(context))
            }
            PreparedContext::Slots(context) => context.is_plain(&self.action.uid, limits),
        }
    }
}
