//! Handles: what is the same for many requests crosses to Rust once.

use std::cell::RefCell;
use std::rc::Rc;

use napi::bindgen_prelude::{
    Array, Env, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object, Unknown,
};
use napi_derive::napi;
use smallvec::SmallVec;
use stagedoor_core::{
    Decision as CoreDecision, EntityTypeName, EntityUid, PreparedRequest, ValueRef,
};

use crate::decision::decided;
use crate::engine::Engine;
use crate::entities::prepared;
use crate::failure::{Failure, Result};
use crate::loading::Policies;
use crate::text::{text, with_text};
use crate::uid::{ID_BYTES, named_type, uid};

/// The longest text of one resource.
const RESOURCE_BYTES: usize = 1 << 20;

/// A principal with its entities, for many requests. Made by `engine.principal`.
///
/// It stays valid when policies are reloaded.
#[napi]
#[derive(Debug)]
pub struct Principal(pub(crate) Rc<RefCell<stagedoor_core::Principal>>);

/// An action, for many requests. Made by `engine.action`.
///
/// It stays valid when policies are reloaded.
#[napi]
#[derive(Debug)]
pub struct Action(pub(crate) Rc<RefCell<stagedoor_core::Action>>);

/// A type of resources and the attributes that each is given. Made by `engine.resourceType`.
///
/// It stays valid when policies are reloaded.
#[napi]
#[derive(Debug)]
pub struct ResourceType(pub(crate) Rc<NamedType>);

/// A type of resources, and what its handle is made of.
#[derive(Debug)]
pub(crate) struct NamedType {
    name: EntityTypeName,
    attributes: Vec<String>,
    handle: RefCell<stagedoor_core::ResourceType>,
}

#[napi]
impl Engine {
    /// Returns a handle for a principal, whose groups are among `entities`.
    #[napi(catch_unwind)]
    pub fn principal(
        &self,
        env: Env,
        #[napi(ts_arg_type = "string | EntityUidInput")] principal: Unknown<'_>,
        #[napi(ts_arg_type = "Entities | undefined | null")] entities: Option<Unknown<'_>>,
    ) -> napi::Result<Principal> {
        let handle = || -> Result<Principal> {
            let entities = match entities {
                Some(entities) => prepared(entities, "entities")?,
                None => stagedoor_core::Entities::empty(),
            };
            let uid = uid(principal, "principal")?;
            let policies = self.policies()?;
            let handle = policies.current().engine.principal(&uid, &entities)?;
            Ok(Principal(Rc::new(RefCell::new(handle))))
        };
        handle().map_err(|failure| failure.thrown(&env))
    }

    /// Returns a handle for an action.
    #[napi(catch_unwind)]
    pub fn action(
        &self,
        env: Env,
        #[napi(ts_arg_type = "string | EntityUidInput")] action: Unknown<'_>,
    ) -> napi::Result<Action> {
        let handle = || -> Result<Action> {
            let uid: EntityUid = uid(action, "action")?;
            let policies = self.policies()?;
            let handle = policies.current().engine.action(&uid).map_err(Failure::from)?;
            Ok(Action(Rc::new(RefCell::new(handle))))
        };
        handle().map_err(|failure| failure.thrown(&env))
    }

    /// Returns a handle for a type of resources, each of which is given these attributes, all
    /// of them strings, in this order.
    #[napi(catch_unwind)]
    pub fn resource_type(
        &self,
        env: Env,
        #[napi(ts_arg_type = "string")] name: Unknown<'_>,
        #[napi(ts_arg_type = "Array<string>")] attributes: Unknown<'_>,
    ) -> napi::Result<ResourceType> {
        let handle = || -> Result<ResourceType> {
            let name = with_text(name, "name", ID_BYTES, |name| {
                named_type(name).ok_or_else(|| {
                    Failure::new("request::uid", format!("`{name}` is not an entity type"))
                })
            })?;
            let attributes = strings(attributes, "attributes")?;
            let policies = self.policies()?;
            let handle = resource_type(&policies.current().engine, &name, &attributes)?;
            let handle = RefCell::new(handle);
            Ok(ResourceType(Rc::new(NamedType { name, attributes, handle })))
        };
        handle().map_err(|failure| failure.thrown(&env))
    }

    /// Returns whether a request of handles is allowed. `decider` is faster still.
    ///
    /// `resource` is an object: `{ id: 'web-1', group: 'apps' }`. Or it is packed already, which is
    /// faster where it is asked about often: the resource's id and, in the order of its type, each
    /// attribute as `=` and its value, or nothing if the resource does not have it, joined by `'\0'`:
    /// `'web-1\0=apps\0=deployments\0'`. A part too many or too few is an error, so that no
    /// value passes for another.
    #[napi(catch_unwind)]
    pub fn is_allowed_prepared(
        &self,
        env: Env,
        principal: &Principal,
        action: &Action,
        resource_type: &ResourceType,
        #[napi(ts_arg_type = "string | ResourceInput")] resource: Unknown<'_>,
    ) -> napi::Result<bool> {
        let asked = HandleRequest::of(principal, action, resource_type);
        self.asked(&asked, |engine| asked.is_allowed(engine, resource))
            .map_err(|failure| failure.thrown(&env))
    }

    /// Decides a request of handles, with all determining policies. `resource` is as for
    /// `isAllowedPrepared`.
    #[napi(ts_return_type = "Decision", catch_unwind)]
    pub fn decide_prepared<'env>(
        &self,
        env: &'env Env,
        principal: &Principal,
        action: &Action,
        resource_type: &ResourceType,
        #[napi(ts_arg_type = "string | ResourceInput")] resource: Unknown<'_>,
    ) -> napi::Result<Object<'env>> {
        let asked = HandleRequest::of(principal, action, resource_type);
        let decide = |engine: &stagedoor_core::Engine| {
            asked.about(resource, |request| decided(env, &engine.decide_prepared(request)?))
        };
        self.asked(&asked, decide).map_err(|failure| failure.thrown(env))
    }

    /// Returns for each resource whether the request is allowed, as `isAllowedPrepared` does.
    /// Throws if one of them is not what it should be.
    #[napi(catch_unwind)]
    pub fn are_allowed_prepared(
        &self,
        env: Env,
        principal: &Principal,
        action: &Action,
        resource_type: &ResourceType,
        #[napi(ts_arg_type = "Array<string | ResourceInput>")] resources: Unknown<'_>,
    ) -> napi::Result<Vec<bool>> {
        let asked = HandleRequest::of(principal, action, resource_type);
        let decide = |engine: &stagedoor_core::Engine| {
            if !resources.is_array()? {
                return Err(Failure::mistyped("resources", "an array of strings"));
            }
            let resources = Array::from_unknown(resources)?;
            (0..resources.len())
                .map(|index| asked.is_allowed(engine, resources.get_element(index)?))
                .collect()
        };
        self.asked(&asked, decide).map_err(|failure| failure.thrown(&env))
    }
}

impl Engine {
    /// Asks the engine in force, for which the handles are made anew where it is another one.
    fn asked<R>(
        &self,
        asked: &HandleRequest<'_>,
        ask: impl FnOnce(&stagedoor_core::Engine) -> Result<R>,
    ) -> Result<R> {
        asked.ask(self.policies()?.as_ref(), ask)
    }
}

/// The handles of one request.
pub(crate) struct HandleRequest<'a> {
    pub(crate) principal: &'a RefCell<stagedoor_core::Principal>,
    pub(crate) action: &'a RefCell<stagedoor_core::Action>,
    pub(crate) resource_type: &'a NamedType,
}

impl<'a> HandleRequest<'a> {
    fn of(
        Principal(principal): &'a Principal,
        Action(action): &'a Action,
        ResourceType(resource_type): &'a ResourceType,
    ) -> Self {
        Self { principal, action, resource_type }
    }

    /// Asks the engine in force, for which the handles are made anew where it is another one.
    pub(crate) fn ask<R>(
        &self,
        policies: &Policies,
        ask: impl FnOnce(&stagedoor_core::Engine) -> Result<R>,
    ) -> Result<R> {
        let current = policies.current();
        self.renew(&current.engine)?;
        ask(&current.engine)
    }

    fn renew(&self, engine: &stagedoor_core::Engine) -> Result<()> {
        let Self { principal, action, resource_type: type_ } = self;
        if !principal.borrow().is_of(engine) {
            let new = engine.principal(principal.borrow().uid(), principal.borrow().entities())?;
            principal.replace(new);
        }
        if !action.borrow().is_of(engine) {
            let new = engine.action(action.borrow().uid()).map_err(Failure::from)?;
            action.replace(new);
        }
        let NamedType { name, attributes, handle } = type_;
        if !handle.borrow().is_of(engine) {
            handle.replace(resource_type(engine, name, attributes)?);
        }
        Ok(())
    }

    pub(crate) fn is_allowed(
        &self,
        engine: &stagedoor_core::Engine,
        resource: Unknown<'_>,
    ) -> Result<bool> {
        self.about(resource, |request| {
            Ok(engine.ruling_prepared(request)?.decision() == CoreDecision::Allow)
        })
    }

    fn about<R>(
        &self,
        resource: Unknown<'_>,
        ask: impl FnOnce(&PreparedRequest<'_>) -> Result<R>,
    ) -> Result<R> {
        let principal = self.principal.borrow();
        let action = self.action.borrow();
        let type_ = self.resource_type.handle.borrow();
        let names = &self.resource_type.attributes;
        with_text(resource, "resource", RESOURCE_BYTES, |text| {
            let mut parts = text.split('\0');
            let id = parts.next().unwrap_or_default();
            let mut values: SmallVec<[Option<ValueRef<'_>>; 8]> = SmallVec::new();
            for part in parts {
                values.push(match part.strip_prefix('=') {
                    Some(value) => Some(ValueRef::String(value)),
                    None if part.is_empty() => None,
                    None => return Err(unmarked(names.get(values.len()))),
                });
            }
            if values.len() != names.len() {
                return Err(miscounted(values.len(), names.len()));
            }
            ask(&PreparedRequest::new(&principal, &action, type_.resource(id, &values)))
        })
    }
}

fn resource_type(
    engine: &stagedoor_core::Engine,
    name: &EntityTypeName,
    attributes: &[String],
) -> Result<stagedoor_core::ResourceType> {
    let attributes: Vec<&str> = attributes.iter().map(String::as_str).collect();
    engine.resource_type(name, &attributes, &[]).map_err(Failure::from)
}

fn unmarked(name: Option<&String>) -> Failure {
    let name = name.map_or("an attribute", String::as_str);
    Failure::new("argument::resource", format!("the value of `{name}` does not begin with `=`"))
        .with_help("write `=` and the value, or nothing if the resource does not have it")
}

fn miscounted(given: usize, names: usize) -> Failure {
    let message = format!("`resource` has {given} attributes, but its type was made for {names}");
    Failure::new("argument::resource", message)
        .with_help("join the id and all attributes by '\\0', which no value may contain")
}

fn strings(value: Unknown<'_>, what: &str) -> Result<Vec<String>> {
    if !value.is_array()? {
        return Err(Failure::mistyped(what, "an array of strings"));
    }
    let array = Array::from_unknown(value)?;
    (0..array.len())
        .map(|index| text(array.get_element(index)?, &format!("{what}[{index}]"), ID_BYTES))
        .collect()
}
