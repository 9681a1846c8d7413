//! Stagedoor over the workload.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use stagedoor_core::{
    Action, DecideError, Decision, Engine, EngineBuilder, Entities, Entity, Outcome,
    PreparedRequest, Principal, Request, ResourceType, TemplateLink, ValueRef,
};

use crate::{Answer, Form, Grant, SCHEMA, User, Workload, WorkloadRequest};

/// Returns the builder of an engine with the workload's policies.
///
/// # Errors
///
/// If a name of the workload is not one of Cedar's.
pub fn builder(workload: &Workload, form: Form) -> Result<EngineBuilder> {
    let mut builder = Engine::builder()
        .schema("cluster.cedarschema", SCHEMA)
        .policies("grants.cedar", workload.policies(form))
        .unshadowed();
    if form == Form::Links {
        let names = Names::new()?;
        for (number, grant) in workload.grants().iter().enumerate() {
            builder = builder.link(TemplateLink {
                template: grant.template(),
                id: Grant::id(number),
                principal: Some(uid(&names.group, &grant.group())),
                resource: grant.namespace().map(|name| uid(&names.namespace, &name)),
            });
        }
    }
    Ok(builder)
}

/// The entity types of the workload, parsed once.
#[derive(Debug, Clone)]
pub struct Names {
    group: EntityTypeName,
    user: EntityTypeName,
    namespace: EntityTypeName,
    resource: EntityTypeName,
    action: EntityTypeName,
}

impl Names {
    /// Returns the names.
    ///
    /// # Errors
    ///
    /// If Cedar refuses one, which would be a mistake in this file.
    pub fn new() -> Result<Self> {
        let name = |text: &str| text.parse::<EntityTypeName>().context("entity type");
        Ok(Self {
            group: name("kube::Group")?,
            user: name("kube::User")?,
            namespace: name("kube::Namespace")?,
            resource: name("kube::Resource")?,
            action: name("kube::Action")?,
        })
    }

    /// Returns the user's entity, with the user's groups.
    #[must_use]
    pub fn principal(&self, user: &User) -> Entity {
        let mut entity =
            Entity::new(uid(&self.user, user.name())).with_attribute("name", user.name());
        if user.is_suspended() {
            entity = entity.with_attribute("suspended", true);
        }
        entity.parents = user.groups().map(|group| uid(&self.group, &group)).collect();
        entity
    }

    /// Returns the entity of what is asked for.
    #[must_use]
    pub fn resource(&self, asked: &WorkloadRequest) -> Entity {
        let (api_group, resource) = asked.kind();
        let mut entity = Entity::new(uid(&self.resource, asked.object_id()))
            .with_attribute("apiGroup", api_group)
            .with_attribute("resource", resource)
            .with_attribute("name", asked.name());
        if let Some(namespace) = asked.namespace() {
            let parent = uid(&self.namespace, namespace);
            entity = entity.with_attribute("namespace", namespace).with_parent(parent);
        }
        entity
    }

    /// Returns the request, and the users with the resource laid over them.
    ///
    /// # Errors
    ///
    /// As [`Entities::with`].
    pub fn request(
        &self,
        workload: &Workload,
        users: &Entities,
        asked: &WorkloadRequest,
    ) -> Result<(Request, Entities)> {
        let user = workload.users().get(asked.user).context("a user of the workload")?;
        let resource = self.resource(asked);
        let request = Request::new(
            uid(&self.user, user.name()),
            uid(&self.action, asked.verb),
            resource.uid.clone(),
        );
        Ok((request, users.with([resource])?))
    }
}

fn uid(type_: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_.clone(), EntityId::new(id))
}

/// Returns the set of all users.
///
/// # Errors
///
/// As [`Entities::from_entities`].
pub fn users(workload: &Workload, names: &Names) -> Result<Entities> {
    Ok(Entities::from_entities(workload.users().iter().map(|user| names.principal(user)))?)
}

/// Returns all requests, each with the users and its resource laid over them.
///
/// # Errors
///
/// As [`Entities::with`].
pub fn prepared(
    workload: &Workload,
    names: &Names,
    users: &Entities,
) -> Result<Vec<(Request, Entities)>> {
    workload.requests().iter().map(|asked| names.request(workload, users, asked)).collect()
}

/// Decides a request from its attributes: builds the request and the resource's entity.
///
/// # Errors
///
/// As [`Entities::with`] and [`Engine::decide`].
pub fn decide_attributes(
    engine: &Engine,
    workload: &Workload,
    names: &Names,
    users: &Entities,
    asked: &WorkloadRequest,
) -> Result<Outcome> {
    let (request, entities) = names.request(workload, users, asked)?;
    Ok(engine.decide(&request, &entities)?)
}

/// Handles of everybody and everything that requests name, made once.
#[derive(Debug)]
pub struct Handles {
    principals: Vec<Principal>,
    actions: Vec<(&'static str, Action)>,
    resources: ResourceType,
    namespace: EntityTypeName,
}

impl Handles {
    /// Returns the handles for the workload's users, verbs and objects.
    ///
    /// # Errors
    ///
    /// As [`Engine::principal`], [`Engine::action`] and [`Engine::resource_type`].
    pub fn new(
        engine: &Engine,
        workload: &Workload,
        names: &Names,
        users: &Entities,
    ) -> Result<Self> {
        let principal = |user: &User| engine.principal(&uid(&names.user, user.name()), users);
        let verbs = workload.requests().iter().map(|asked| asked.verb);
        let verbs: HashSet<&'static str> = verbs.collect();
        let action = |verb| Ok((verb, engine.action(&uid(&names.action, verb))?));
        let attributes = ["apiGroup", "resource", "namespace", "name"];
        Ok(Self {
            principals: workload.users().iter().map(principal).collect::<Result<_, _>>()?,
            actions: verbs.into_iter().map(action).collect::<Result<_>>()?,
            resources: engine.resource_type(&names.resource, &attributes, &[])?,
            namespace: names.namespace.clone(),
        })
    }

    /// Asks for a decision, given the words of the request: nothing else is prepared.
    ///
    /// # Errors
    ///
    /// What `ask` says.
    pub fn asked<R>(
        &self,
        asked: &WorkloadRequest,
        ask: impl FnOnce(&PreparedRequest<'_>) -> Result<R, DecideError>,
    ) -> Result<R> {
        Ok(ask(&self.request(asked, &self.object(asked))?)?)
    }

    /// Returns what a request is about, as values in the order of the handle.
    #[must_use]
    pub fn object<'w>(&'w self, asked: &'w WorkloadRequest) -> Object<'w> {
        let (api_group, resource) = asked.kind();
        let values = [
            Some(api_group.into()),
            Some(resource.into()),
            asked.namespace().map(Into::into),
            Some(asked.name().into()),
        ];
        Object { values, namespace: asked.namespace().map(|name| (&self.namespace, name)) }
    }

    /// Returns the request about an object, of handles.
    ///
    /// # Errors
    ///
    /// If the request is not one of the workload's.
    pub fn request<'w>(
        &'w self,
        asked: &'w WorkloadRequest,
        object: &'w Object<'w>,
    ) -> Result<PreparedRequest<'w>> {
        let principal = self.principals.get(asked.user).context("a user of the workload")?;
        let action = self.actions.iter().find(|(verb, _)| *verb == asked.verb);
        let (_, action) = action.context("a verb of the workload")?;
        let resource = self.resources.resource(asked.object_id(), &object.values);
        let resource = resource.with_parents(object.namespace.as_slice());
        Ok(PreparedRequest::new(principal, action, resource))
    }
}

/// What a request is about, as values in the order of a handle.
#[derive(Debug)]
pub struct Object<'w> {
    values: [Option<ValueRef<'w>>; 4],
    namespace: Option<(&'w EntityTypeName, &'w str)>,
}

/// Returns an outcome in the form that all engines share.
#[must_use]
pub fn answer(outcome: &Outcome) -> Answer {
    let reasons = outcome.reasons().map(|policy| policy.id().to_owned());
    Answer::new(outcome.decision() == Decision::Allow, reasons)
}
