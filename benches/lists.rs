//! Times lists beside Cedar's own: which of many entities somebody may do something to, and who may
//! do it to one. Both answer in the same run, and the answers must be equal.
//!
//! ```sh
//! cargo run --release -p stagedoor-benches --bin lists
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cedar_policy::{
    Context, EntityUid, PolicySet, PrincipalQueryRequest, ResourceQueryRequest, Schema,
};
use clap::Parser;
use stagedoor_core::{Engine, Entities, Entity, Page, Party, Query, Value, uid};

const SCHEMA: &str = "
    entity Group;
    entity User in [Group] { level: Long };
    entity Folder;
    entity Doc in [Folder] { kind: String, level: Long, labels: Set<String>, owner: User };
    action read, write appliesTo { principal: User, resource: Doc };";

/// Times lists of resources and of principals, for several numbers of policies.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many policies; several numbers with commas.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    policies: Vec<usize>,
    /// How many documents, and half as many users.
    #[arg(long, default_value_t = 2_000)]
    entities: usize,
    /// How many questions of each kind.
    #[arg(long, default_value_t = 5)]
    questions: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!(
        "{:<12}{:<12}{:>14}{:>14}{:>10}",
        "policies", "list of", "stagedoor", "cedar", "times"
    );
    for policies in arguments.policies {
        let both = Both::new(policies, arguments.entities)?;
        for of_principals in [false, true] {
            let (mut own, mut cedar) = (Vec::new(), Vec::new());
            for question in 0..arguments.questions.max(1) {
                let (a, b) = both.ask(question, of_principals)?;
                own.push(a);
                cedar.push(b);
            }
            let (own, cedar) = (median(own), median(cedar));
            let times = cedar.as_secs_f64() / own.as_secs_f64().max(1e-9);
            let of = if of_principals { "principals" } else { "resources" };
            println!(
                "{policies:<12}{of:<12}{:>11.3} ms{:>11.1} ms{times:>10.0}",
                own.as_secs_f64() * 1e3,
                cedar.as_secs_f64() * 1e3
            );
        }
    }
    Ok(())
}

struct Both {
    engine: Engine,
    entities: Entities,
    schema: Schema,
    policies: PolicySet,
    cedar_entities: cedar_policy::Entities,
}

impl Both {
    fn new(policies: usize, entities: usize) -> Result<Self> {
        let text = policy_text(policies)?;
        let schema = Schema::from_cedarschema_str(SCHEMA)?.0;
        let engine = Engine::builder().schema("lists.cedarschema", SCHEMA);
        let engine = engine.policies("lists.cedar", text.as_str()).build()?;
        let stored = stored(entities)?;
        let mut json = Vec::new();
        for entity in &stored {
            let parents: Vec<_> = entity.parents.iter().map(uid_json).collect();
            let attrs: serde_json::Map<String, serde_json::Value> = entity
                .attributes
                .iter()
                .map(|(name, value)| Ok((name.to_string(), serde_json::to_value(value)?)))
                .collect::<Result<_>>()?;
            json.push(serde_json::json!({
                "uid": uid_json(&entity.uid), "attrs": attrs, "parents": parents,
            }));
        }
        let cedar_entities =
            cedar_policy::Entities::from_json_value(serde_json::Value::Array(json), Some(&schema))?;
        Ok(Self {
            engine,
            entities: Entities::from_entities(stored)?,
            policies: text.parse()?,
            schema,
            cedar_entities,
        })
    }

    /// Asks both the same; returns how long each took.
    fn ask(&self, question: usize, of_principals: bool) -> Result<(Duration, Duration)> {
        let (user, doc) =
            (uid("User", format!("u{question}"))?, uid("Doc", format!("d{question}"))?);
        let action = uid("Action", if question.is_multiple_of(2) { "read" } else { "write" })?;
        let query = match of_principals {
            true => Query::new(Party::Any("User".parse()?), doc.clone()),
            false => Query::new(user.clone(), Party::Any("Doc".parse()?)),
        };
        let query = query.with_action(action.clone());
        // What is kept with the store is made by the first question of a kind.
        self.engine.list(&query, &self.entities, &Page::all())?;
        let started = Instant::now();
        let listed = self.engine.list(&query, &self.entities, &Page::all())?;
        let own = started.elapsed();
        let context = Context::empty();
        let started = Instant::now();
        let expected: BTreeSet<EntityUid> = if of_principals {
            let type_ = "User".parse()?;
            let asked = PrincipalQueryRequest::new(type_, action, doc, context, &self.schema)?;
            self.policies.query_principal(&asked, &self.cedar_entities, &self.schema)?.collect()
        } else {
            let type_ = "Doc".parse()?;
            let asked = ResourceQueryRequest::new(user, action, type_, context, &self.schema)?;
            self.policies.query_resource(&asked, &self.cedar_entities, &self.schema)?.collect()
        };
        let cedar = started.elapsed();
        let found: BTreeSet<EntityUid> =
            listed.entries.into_iter().map(|entry| entry.uid).collect();
        ensure!(found == expected, "the answers differ: {query:?}");
        Ok((own, cedar))
    }
}

fn policy_text(policies: usize) -> Result<String> {
    let groups = (policies / 20).clamp(5, 500);
    let mut text = String::new();
    for n in 0..policies {
        let effect = if n % 25 == 24 { "forbid" } else { "permit" };
        let (group, kind, level) = (n % groups, n % 23, n % 7);
        let action = if n % 3 == 0 { "action" } else { "action == Action::\"read\"" };
        let more = match n % 4 {
            0 => format!("resource.level < {level}"),
            1 => format!("resource.labels.contains(\"l{}\")", n % 11),
            2 => "resource.owner == principal".to_owned(),
            _ => format!("principal.level >= {level} || resource.kind like \"k1*\""),
        };
        writeln!(
            text,
            "{effect}(principal in Group::\"g{group}\", {action}, resource is Doc)\n\
             when {{ resource.kind == \"k{kind}\" && ({more}) }};"
        )?;
    }
    Ok(text)
}

fn stored(entities: usize) -> Result<Vec<Entity>> {
    let mut all = Vec::new();
    let users = (entities / 2).max(1);
    for n in 0..users {
        let mut user = Entity::new(uid("User", format!("u{n}"))?)
            .with_attribute("level", i64::try_from(n % 7)?);
        for group in 0..8 {
            user = user.with_parent(uid("Group", format!("g{}", (n * 13 + group * 29) % 500))?);
        }
        all.push(user);
    }
    for n in 0..entities {
        let labels: Value = [format!("l{}", n % 11), format!("l{}", n % 5)].into_iter().collect();
        all.push(
            Entity::new(uid("Doc", format!("d{n}"))?)
                .with_attribute("kind", format!("k{}", n % 23))
                .with_attribute("level", i64::try_from(n % 9)?)
                .with_attribute("labels", labels)
                .with_attribute("owner", uid("User", format!("u{}", n % users))?)
                .with_parent(uid("Folder", format!("f{}", n % 40))?),
        );
    }
    Ok(all)
}

fn uid_json(uid: &EntityUid) -> serde_json::Value {
    serde_json::json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
