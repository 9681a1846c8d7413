//! One generated trial: a policy set, entities and requests, for the engine and for Cedar.

use std::collections::HashMap;
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use cedar_policy::{PolicyId, PolicySet, Schema, SlotId, ValidationMode, Validator};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use stagedoor_core::{Engine, EngineBuilder, Entity, Request, TemplateLink};

use crate::bytes::Choices;
use crate::conformance::Answer;
use crate::{loose, typed, world};

/// The bytes that a trial is made of.
#[derive(Debug, Clone)]
pub struct Seeds {
    /// Shapes that policies share.
    pub shapes: Vec<Vec<u8>>,
    /// For each policy which shape it has (0 for one of its own), and its bytes.
    pub policies: Vec<(u8, Vec<u8>)>,
    /// Links: template, principal, resource.
    pub links: Vec<[u8; 3]>,
    /// Entities.
    pub entities: Vec<u8>,
    /// Requests.
    pub requests: Vec<Vec<u8>>,
}

/// Returns a strategy for seeds of `policies` policies.
pub fn seeds(policies: std::ops::Range<usize>) -> impl Strategy<Value = Seeds> {
    let shapes = vec(vec(any::<u8>(), 0..24), 1..4);
    let policies = vec((0_u8..8, vec(any::<u8>(), 0..32)), policies);
    let links = vec(any::<[u8; 3]>(), 0..24);
    let entities = vec(any::<u8>(), 0..1_400);
    let requests = vec(vec(any::<u8>(), 0..24), 1..16);
    (shapes, policies, links, entities, requests).prop_map(
        |(shapes, policies, links, entities, requests)| Seeds {
            shapes,
            policies,
            links,
            entities,
            requests,
        },
    )
}

impl Seeds {
    /// Returns seeds cut from one run of bytes, for fuzzers.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut parts = bytes.chunks(24).map(<[u8]>::to_vec);
        let shapes = parts.by_ref().take(2).collect();
        let entities = parts.by_ref().take(10).flatten().collect();
        let requests = parts.by_ref().take(4).collect();
        let links = parts.next().unwrap_or_default();
        let links = links.chunks_exact(3).filter_map(|c| c.try_into().ok()).collect();
        let policies = parts.map(|p| (p.first().copied().unwrap_or_default() % 8, p)).collect();
        Self { shapes, policies, links, entities, requests }
    }
}

impl Seeds {
    /// Returns policies of [`typed::SCHEMA`]'s words, many of which do not validate; one a line.
    #[must_use]
    pub fn careless_policies(&self) -> Vec<String> {
        let policy = |(shape, bytes): &(u8, Vec<u8>)| {
            typed::policy(&mut self.shape(*shape, bytes), &mut Choices::new(bytes), true)
        };
        self.policies.iter().map(policy).collect()
    }

    /// Returns the shared shape of this number, or else the policy's own bytes.
    fn shape<'s>(&'s self, number: u8, own: &'s [u8]) -> Choices<'s> {
        let shared = usize::from(number).checked_sub(1);
        let shared = shared.and_then(|n| self.shapes.get(n % self.shapes.len().max(1)));
        Choices::new(shared.map_or(own, Vec::as_slice))
    }
}

/// A policy set, entities and requests.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Policies and templates, as text, in order.
    pub policies: Vec<String>,
    /// Links of the templates.
    pub links: Vec<TemplateLink>,
    /// Entities.
    pub entities: Vec<Entity>,
    /// Requests.
    pub requests: Vec<Request>,
}

impl Trial {
    /// Returns a trial that need not be well typed.
    ///
    /// # Errors
    ///
    /// If a name is not one of Cedar's, which is a fault of the generator.
    pub fn loose(seeds: &Seeds) -> Result<Self> {
        let mut policies = Vec::new();
        let mut templates = Vec::new();
        for (number, (shape, bytes)) in seeds.policies.iter().enumerate() {
            let mut shape = seeds.shape(*shape, bytes);
            let mut fill = Choices::new(bytes);
            let text = loose::policy(&mut shape, &mut fill, !seeds.links.is_empty());
            let slots = [text.contains("?principal"), text.contains("?resource")];
            if slots.contains(&true) {
                templates.push((format!("policy{number}"), slots));
            }
            policies.push(text);
        }
        let mut links = Vec::new();
        for (number, bytes) in seeds.links.iter().enumerate() {
            let mut choices = Choices::new(bytes);
            let Some((template, [principal, resource])) =
                templates.get(choices.below(templates.len()))
            else {
                break;
            };
            let names: Vec<_> = world::PRINCIPALS.iter().chain(&world::GROUPS).copied().collect();
            let filled = world::uid(choices.pick(&names))?;
            let above: Vec<_> = world::RESOURCES.iter().chain(&world::FOLDERS).copied().collect();
            links.push(TemplateLink {
                template: template.clone(),
                id: format!("link{number}"),
                principal: principal.then_some(filled),
                resource: resource.then_some(world::uid(choices.pick(&above))?),
            });
        }
        Ok(Self {
            policies,
            links,
            entities: world::entities(&mut Choices::new(&seeds.entities))?,
            requests: seeds
                .requests
                .iter()
                .map(|bytes| world::request(&mut Choices::new(bytes)))
                .collect::<Result<_>>()?,
        })
    }

    /// Returns a trial that conforms to [`typed::SCHEMA`], without the policies that do not
    /// validate. Every other policy has an `@id`.
    ///
    /// # Errors
    ///
    /// If a name is not one of Cedar's, which is a fault of the generator.
    pub fn typed(seeds: &Seeds, validator: &Validator) -> Result<Self> {
        let mut policies = Vec::new();
        for (shape, bytes) in &seeds.policies {
            let mut text =
                typed::policy(&mut seeds.shape(*shape, bytes), &mut Choices::new(bytes), false);
            let set = PolicySet::from_str(&text).with_context(|| text.clone())?;
            if !validator.validate(&set, ValidationMode::Strict).validation_passed() {
                continue;
            }
            if policies.len() % 2 == 1 {
                text = format!("@id(\"named {}\")\n{text}", policies.len());
            }
            policies.push(text);
        }
        Ok(Self {
            policies,
            links: Vec::new(),
            entities: typed::entities(&mut Choices::new(&seeds.entities))?,
            requests: seeds
                .requests
                .iter()
                .map(|bytes| typed::request(&mut Choices::new(bytes)))
                .collect::<Result<_>>()?,
        })
    }

    /// Returns one request with policies and entities, for a person to read.
    #[must_use]
    pub fn describe(&self, request: &Request) -> String {
        let Request { principal, action, resource, context, .. } = request;
        let context: Vec<String> =
            context.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        let mut json = Vec::new();
        let written = self.cedar_entities(None).and_then(|e| Ok(e.write_to_json(&mut json)?));
        let entities = match written {
            Ok(()) => String::from_utf8_lossy(&json).replace('\n', "").replace("  ", ""),
            _ => format!("{:?}", self.entities),
        };
        let policies: Vec<String> = self
            .policies
            .iter()
            .enumerate()
            .map(|(n, text)| format!("policy{n}: {text}"))
            .collect();
        format!(
            "{principal} {action} {resource} {{ {} }}\n{}\n{:?}\n{entities}",
            context.join(", "),
            policies.join("\n"),
            self.links
        )
    }

    /// Returns all policies as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.policies.join("\n")
    }

    /// Returns a builder that has loaded policies and links. Nothing corrects what is compared.
    #[must_use]
    pub fn builder(&self) -> EngineBuilder {
        let builder = Engine::builder().policies("trial.cedar", self.text()).unshadowed();
        self.links.iter().cloned().fold(builder, EngineBuilder::link)
    }

    /// Returns the policies and links as Cedar's policy set, under positional ids.
    ///
    /// # Errors
    ///
    /// If they are not what Cedar takes.
    pub fn policy_set(&self) -> Result<PolicySet> {
        let mut set = PolicySet::from_str(&self.text()).with_context(|| self.text())?;
        for link in &self.links {
            let principal = link.principal.clone().map(|uid| (SlotId::principal(), uid));
            let resource = link.resource.clone().map(|uid| (SlotId::resource(), uid));
            let slots: HashMap<_, _> = principal.into_iter().chain(resource).collect();
            set.link(PolicyId::new(&link.template), PolicyId::new(&link.id), slots)?;
        }
        Ok(set)
    }

    /// Returns the entities as Cedar's, with the schema's actions if there is one.
    ///
    /// # Errors
    ///
    /// If they are not what Cedar takes.
    pub fn cedar_entities(&self, schema: Option<&Schema>) -> Result<cedar_policy::Entities> {
        let entities = self.entities.iter().map(cedar_entity).collect::<Result<Vec<_>>>()?;
        Ok(cedar_policy::Entities::from_entities(entities, schema)?)
    }

    /// Returns Cedar's answer to each request.
    ///
    /// # Errors
    ///
    /// If policies, entities or requests are not what Cedar takes.
    pub fn expected(&self, schema: Option<&Schema>) -> Result<Vec<Answer>> {
        let policies = self.policy_set()?;
        let entities = self.cedar_entities(schema)?;
        let answer =
            |request| Ok(Answer::of_cedar(&cedar_request(request, schema)?, &policies, &entities));
        self.requests.iter().map(answer).collect()
    }
}

/// Returns an entity as Cedar's own.
///
/// # Errors
///
/// If it is not what Cedar takes.
pub fn cedar_entity(entity: &Entity) -> Result<cedar_policy::Entity> {
    let pairs = |record: &stagedoor_core::Record| -> Result<HashMap<_, _>> {
        record.iter().map(|(name, value)| Ok((name.to_string(), value.to_cedar()?))).collect()
    };
    Ok(cedar_policy::Entity::new_with_tags(
        entity.uid.clone(),
        pairs(&entity.attributes)?,
        entity.parents.iter().cloned(),
        pairs(&entity.tags)?,
    )?)
}

/// Returns a request as Cedar's own, validated where there is a schema.
///
/// # Errors
///
/// If it is not what Cedar takes.
pub fn cedar_request(request: &Request, schema: Option<&Schema>) -> Result<cedar_policy::Request> {
    let context = request.context.iter();
    let context = context
        .map(|(name, value)| Ok((name.to_string(), value.to_cedar()?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(cedar_policy::Request::new(
        request.principal.clone(),
        request.action.clone(),
        request.resource.clone(),
        cedar_policy::Context::from_pairs(context)?,
        schema,
    )?)
}
