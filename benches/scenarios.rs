//! The scenarios that SAPL publishes figures of, and shapes on which decision diagrams break:
//! made from their descriptions, the same in every run.
//!
//! Each has one store with everybody and, unless its resources come with the request, everything.

mod applications;
mod hospital;
mod shapes;

use anyhow::{Context as _, Result};
use stagedoor_core::{Engine, Entities, Entity, EntityUid, Request, Value, uid};

use crate::random::Random;

pub use hospital::Staff;

/// One request, in words.
#[derive(Debug, Clone)]
pub struct Words {
    /// Type and id of who asks.
    pub principal: (&'static str, String),
    /// The action's id.
    pub action: &'static str,
    /// Type and id of what it is about.
    pub resource: (&'static str, String),
    /// What comes with the request of the resource, in the order of
    /// [`Scenario::resource_attributes`].
    pub attributes: Vec<Value>,
    /// The values of [`Scenario::context_fields`].
    pub context: Vec<Value>,
}

/// Policies, entities and requests.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The schema, in Cedar's syntax.
    pub schema: String,
    /// The policies, in Cedar's syntax.
    pub policies: String,
    /// Everything that is in the store.
    pub entities: Vec<Entity>,
    /// The attributes that come with the request of its resource; resources are in the store where
    /// there are none.
    pub resource_attributes: &'static [&'static str],
    /// The fields of the context.
    pub context_fields: &'static [&'static str],
    /// The requests.
    pub requests: Vec<Words>,
}

/// So many requests a scenario has.
const REQUESTS: usize = 500;

impl Scenario {
    /// Returns all scenarios; those with a size in the sizes of SAPL's own figures.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![applications::rbac()];
        for n in [1, 10, 100, 300] {
            all.push(hospital::scenario(n, Staff::Store));
            all.push(hospital::scenario(n, Staff::Context));
        }
        all.extend([5, 10, 50].map(applications::gdrive));
        all.extend([5, 10, 50, 100].map(applications::github));
        all.extend([5, 10, 50].map(applications::tinytodo));
        for n in [14, 1_000, 10_000, 100_000] {
            all.push(shapes::either(n));
        }
        all.extend([1_000, 10_000].map(shapes::compared));
        all.extend([1_000, 10_000].map(shapes::shared));
        all
    }

    /// Loads the policies.
    ///
    /// # Errors
    ///
    /// If the scenario is not one that the engine takes, which would be a mistake in it.
    pub fn engine(&self) -> Result<Engine> {
        let builder = Engine::builder().unshadowed().schema("schema.cedarschema", &*self.schema);
        builder.policies("policies.cedar", &*self.policies).build().context(self.name.clone())
    }

    /// Returns the store.
    ///
    /// # Errors
    ///
    /// As [`engine`](Self::engine).
    pub fn store(&self) -> Result<Entities> {
        Ok(Entities::from_entities(self.entities.iter().cloned())?)
    }

    /// Returns a request as a whole, and its resource, if that comes with it.
    ///
    /// # Errors
    ///
    /// As [`engine`](Self::engine).
    pub fn request(&self, words: &Words) -> Result<(Request, Option<Entity>)> {
        let resource = uid(words.resource.0, &words.resource.1)?;
        let mut request = Request::new(
            uid(words.principal.0, &words.principal.1)?,
            uid("Action", words.action)?,
            resource.clone(),
        );
        let fields = self.context_fields.iter().zip(&words.context);
        request.context.extend(fields.map(|(name, value)| ((*name).into(), value.clone())));
        if self.resource_attributes.is_empty() {
            return Ok((request, None));
        }
        let mut entity = Entity::new(resource);
        let values = self.resource_attributes.iter().zip(&words.attributes);
        entity.attributes.extend(values.map(|(name, value)| ((*name).into(), value.clone())));
        Ok((request, Some(entity)))
    }
}

fn id(type_name: &str, number: usize) -> Result<EntityUid> {
    Ok(uid(type_name, number.to_string())?)
}

/// Adds members to entities: each to each with this probability, in hundredths.
fn edges(random: &mut Random, from: usize, to: usize, hundredths: usize) -> Vec<Vec<usize>> {
    let mut drawn = |_| (0..to).filter(|_| random.below(100) < hundredths).collect();
    (0..from).map(&mut drawn).collect()
}
