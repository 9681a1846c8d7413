//! Decisions as Backstage asks for them: 150 policies, most of which ask who owns an entity.

use std::fmt::Write as _;
use std::hint::black_box;

use anyhow::{Context as _, Result};
use cedar_policy::{Authorizer, Context, PolicySet, Schema};
use stagedoor_core::{
    Action, Decision, Engine, Entities, Entity, PreparedRequest, Principal, Request, ResourceType,
    Value, ValueRef,
};

use crate::contest::timed;
use crate::cpu;
use crate::report::Row;

const SCHEMA: &str = "
    entity Group;
    entity User in [Group] { claims: Set<String> };
    entity Item { kind: String, owners: Set<String>, lifecycle?: String };
    action read, refresh, delete appliesTo { principal: User, resource: Item };";
const ACTIONS: [&str; 3] = ["read", "refresh", "delete"];
const KINDS: [&str; 6] = ["component", "api", "resource", "system", "domain", "template"];
const TEAMS: usize = 48;
const USERS: usize = 200;
/// Those of each team, and these six.
const COMMON: &str = r#"
    permit (principal, action == Action::"read", resource) when { resource.kind == "domain" };
    permit (principal, action == Action::"read", resource) when { resource.kind == "template" };
    permit (principal in Group::"platform", action, resource);
    permit (principal in Group::"audit", action == Action::"read", resource);
    forbid (principal, action == Action::"delete", resource)
    when { resource has lifecycle && resource.lifecycle == "production" }
    unless { principal in Group::"platform" };
    forbid (principal, action == Action::"delete", resource)
    when { resource.owners.contains("group:default/guarded") };"#;

/// One request.
struct CatalogRequest {
    user: usize,
    action: usize,
    id: String,
    values: [Value; 2],
    lifecycle: Option<&'static str>,
}

impl CatalogRequest {
    /// A request whose parts follow from its number, with few in step.
    fn new(number: usize) -> Self {
        let owner = format!("group:default/team-{}", number * 7 % TEAMS);
        let guarded = number.is_multiple_of(11).then_some("group:default/guarded");
        let owners = [owner.as_str()].into_iter().chain(guarded).collect();
        let kind = KINDS.get(number / 3 % KINDS.len()).copied().unwrap_or_default();
        Self {
            // Every other user is of the team that owns the item.
            user: if number.is_multiple_of(2) { number * 7 % TEAMS } else { number * 13 % USERS },
            action: number / 2 % ACTIONS.len(),
            id: format!("{kind}:default/{number}"),
            values: [kind.into(), owners],
            lifecycle: (number % 4 == 1).then_some("production"),
        }
    }

    fn request(&self) -> Result<Request> {
        let action = ACTIONS.get(self.action).context("an action")?;
        Ok(Request::new(
            format!("User::\"{}\"", self.user).parse()?,
            format!("Action::\"{action}\"").parse()?,
            format!("Item::\"{}\"", self.id).parse()?,
        ))
    }

    fn entity(&self) -> Result<Entity> {
        let [kind, owners] = self.values.clone();
        let entity = Entity::new(self.request()?.resource)
            .with_attribute("kind", kind)
            .with_attribute("owners", owners);
        Ok(match self.lifecycle {
            Some(lifecycle) => entity.with_attribute("lifecycle", lifecycle),
            None => entity,
        })
    }
}

fn policies() -> String {
    let mut text = COMMON.to_owned();
    for team in 0..TEAMS {
        for (number, action) in ACTIONS.iter().enumerate() {
            let kind = KINDS.get((team + number) % 4).copied().unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "permit (principal in Group::\"team-{team}\", action == Action::\"{action}\", resource)
                 when {{ resource.kind == \"{kind}\" && resource.owners.containsAny(principal.claims) }};"
            );
        }
    }
    text
}

fn users() -> Result<Vec<Entity>> {
    let user = |number: usize| -> Result<Entity> {
        let team = number % TEAMS;
        let claims = [format!("user:default/{number}"), format!("group:default/team-{team}")];
        let claims = Value::Set(claims.iter().map(|claim| claim.as_str().into()).collect());
        let user =
            Entity::new(format!("User::\"{number}\"").parse()?).with_attribute("claims", claims);
        let user = user.with_parent(format!("Group::\"team-{team}\"").parse()?);
        Ok(match number % 40 {
            7 => user.with_parent("Group::\"platform\"".parse()?),
            8 => user.with_parent("Group::\"audit\"".parse()?),
            _ => user,
        })
    };
    (0..USERS).map(user).collect()
}

/// Stagedoor's engine with its handles.
struct StagedoorEngine {
    engine: Engine,
    principals: Vec<Principal>,
    actions: Vec<Action>,
    items: ResourceType,
}

impl StagedoorEngine {
    fn new(policies: &str) -> Result<Self> {
        let engine = Engine::builder().schema("s", SCHEMA).policies("p", policies).build()?;
        let users = users()?;
        let store = Entities::from_entities(users.iter().cloned())?;
        let principals = users.iter().map(|user| engine.principal(&user.uid, &store));
        let actions = ACTIONS.iter().map(|action| -> Result<Action> {
            Ok(engine.action(&format!("Action::\"{action}\"").parse()?)?)
        });
        let items =
            engine.resource_type(&"Item".parse()?, &["kind", "owners", "lifecycle"], &[])?;
        let (principals, actions) =
            (principals.collect::<Result<_, _>>()?, actions.collect::<Result<_>>()?);
        Ok(Self { engine, principals, actions, items })
    }

    fn is_allowed(&self, asked: &CatalogRequest) -> Result<bool> {
        let [kind, owners] = &asked.values;
        let values =
            [Some(kind.into()), Some(owners.into()), asked.lifecycle.map(ValueRef::String)];
        let request = PreparedRequest::new(
            self.principals.get(asked.user).context("a user")?,
            self.actions.get(asked.action).context("an action")?,
            self.items.resource(&asked.id, &values),
        );
        Ok(self.engine.ruling_prepared(&request)?.decision() == Decision::Allow)
    }
}

/// Plain Cedar with its requests.
struct Plain {
    policies: PolicySet,
    requests: Vec<(cedar_policy::Request, cedar_policy::Entities)>,
}

impl Plain {
    fn new(policies: &str, asked: &[CatalogRequest]) -> Result<Self> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA)?;
        let users = users()?;
        let prepare = |asked: &CatalogRequest| -> Result<_> {
            let Request { principal, action, resource, .. } = asked.request()?;
            let entities = [users.get(asked.user).context("a user")?, &asked.entity()?].map(entity);
            let [user, item] = entities;
            Ok((
                cedar_policy::Request::new(
                    principal,
                    action,
                    resource,
                    Context::empty(),
                    Some(&schema),
                )?,
                cedar_policy::Entities::from_entities([user?, item?], Some(&schema))?,
            ))
        };
        let requests = asked.iter().map(prepare).collect::<Result<_>>()?;
        Ok(Self { policies: policies.parse()?, requests })
    }

    fn is_allowed(&self, number: usize) -> Result<bool> {
        let (request, entities) = self.requests.get(number).context("a request")?;
        let response = Authorizer::new().is_authorized(request, &self.policies, entities);
        Ok(response.decision() == Decision::Allow)
    }
}

fn entity(entity: &Entity) -> Result<cedar_policy::Entity> {
    let attributes = entity.attributes.iter();
    let attributes = attributes.map(|(name, value)| Ok((name.to_string(), value.to_cedar()?)));
    Ok(cedar_policy::Entity::new(
        entity.uid.clone(),
        attributes.collect::<Result<_>>()?,
        entity.parents.iter().cloned().collect(),
    )?)
}

/// Lets plain Cedar and Stagedoor decide in turn; the answers of both must be the same.
pub(crate) fn rows(requests: usize, rounds: usize) -> Result<Vec<Row>> {
    let text = policies();
    let asked: Vec<CatalogRequest> = (0..requests).map(CatalogRequest::new).collect();
    let (plain, own) = (Plain::new(&text, &asked)?, StagedoorEngine::new(&text)?);
    let (mut wrong, mut allowed) = (0, 0);
    for (number, asked) in asked.iter().enumerate() {
        let expected = plain.is_allowed(number)?;
        allowed += usize::from(expected);
        wrong += usize::from(own.is_allowed(asked)? != expected);
    }
    anyhow::ensure!(allowed * 10 > requests && allowed * 5 < requests * 4, "{allowed} are allowed");
    let mut figures = [Vec::new(), Vec::new()];
    let [plain_figures, own_figures] = &mut figures;
    for _ in 0..rounds {
        plain_figures.push(timed(requests, || {
            for number in 0..requests {
                black_box(plain.is_allowed(number)?);
            }
            Ok(())
        })?);
        own_figures.push(timed(requests, || {
            for asked in &asked {
                black_box(own.is_allowed(asked)?);
            }
            Ok(())
        })?);
    }
    let count = own.engine.policies().len();
    let names = ["backstage-plain-cedar", "backstage-stagedoor-handles"];
    let rows = names.into_iter().zip(figures).zip([0, wrong]);
    Ok(rows
        .map(|((name, figures), wrong)| Row::new(name, "rust", count, cpu::median(figures), wrong))
        .collect())
}
