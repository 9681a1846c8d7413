//! `stagedoor demo`: a small organisation, a dozen requests, and what the shipped policies say.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use stagedoor_backstage::{Catalog, DEMO_CATALOG, EntityRef, Permissions};
use stagedoor_core::{Decision, Engine, Entities, Explanation};
use stagedoor_kubernetes::{
    Attributes, NonResourceAttributes, ResourceAttributes, Subject, Vocabulary,
};
use stagedoor_wire::Verdict;

use crate::check::kubernetes::wish;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::narrative;
use crate::output::Output;
use crate::terminal::wrapped;

/// Decide a dozen requests of a small organisation by the policies that ship.
///
/// Nothing is read and nothing is prepared: policies, people and things are part of the
/// command, and the decisions are made while it runs.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// What is asked of Backstage: who, permission, entity.
const OF_BACKSTAGE: [(&str, &str, Option<&str>); 8] = [
    ("bob", "catalog.entity.read", Some("component:default/payments-api")),
    ("bob", "catalog.entity.read", Some("resource:default/payments-db")),
    ("alice", "catalog.entity.read", Some("resource:default/payments-db")),
    ("alice", "catalog.entity.delete", Some("component:default/payout-worker")),
    ("dana", "catalog.entity.delete", Some("component:default/payout-worker")),
    ("alice", "catalog.entity.delete", Some("component:default/payments-api")),
    ("petra", "catalog.entity.delete", Some("component:default/payments-api")),
    ("omar", "kubernetes.proxy", None),
];

/// Who is in which groups of the cluster.
const IN_CLUSTER: [(&str, &[&str]); 6] = [
    ("alice", &["team-payments", "system:authenticated"]),
    ("vera", &["viewers", "system:authenticated"]),
    ("omar", &["on-call", "system:authenticated"]),
    ("petra", &["platform-admins", "system:authenticated"]),
    ("bella", &["break-glass", "system:authenticated"]),
    (
        "system:serviceaccount:payments:ledger",
        &["system:serviceaccounts", "system:serviceaccounts:payments", "system:authenticated"],
    ),
];

/// What is asked of the cluster: who, verb, API group, resource and subresource, namespace, name.
const OF_CLUSTER: [(&str, [&str; 6]); 9] = [
    ("alice", ["patch", "apps", "deployments", "", "payments", "ledger"]),
    ("alice", ["patch", "apps", "deployments", "", "checkout", "cart"]),
    ("alice", ["create", "", "pods", "exec", "payments", "ledger-0"]),
    ("vera", ["get", "", "pods", "log", "payments", "ledger-0"]),
    ("vera", ["list", "", "secrets", "", "payments", ""]),
    ("petra", ["list", "", "secrets", "", "payments", ""]),
    ("bella", ["list", "", "secrets", "", "payments", ""]),
    ("omar", ["delete", "", "pods", "", "payments", "ledger-0"]),
    ("system:serviceaccount:payments:ledger", ["get", "", "configmaps", "", "payments", "ledger"]),
];

/// A path of the cluster that load balancers ask for, without logging in.
const PROBE: (&str, &str) = ("get", "/livez");

/// Longest line of running text, in characters.
const WIDTH: usize = 96;

/// One decided request.
#[derive(Serialize)]
struct Row {
    platform: &'static str,
    who: String,
    groups: Vec<String>,
    wants: String,
    decision: &'static str,
    reasons: Vec<String>,
    nearest: Option<String>,
    #[serde(skip)]
    allowed: Decision,
}

/// A policy that decided something.
struct DecidingPolicy {
    doc: String,
    place: String,
}

/// What happened so far.
#[derive(Default)]
struct Demo {
    rows: Vec<Row>,
    spoken: BTreeMap<(&'static str, String), DecidingPolicy>,
}

pub(crate) fn run(output: &mut Output) -> Result<Ending, Failure> {
    let mut demo = Demo::default();
    let counts = [("Backstage", demo.backstage()?), ("Kubernetes", demo.kubernetes()?)];
    if output.is_json() {
        for row in &demo.rows {
            output.json(row)?;
        }
        return Ok(Ending::Done);
    }
    demo.print(&counts, output)?;
    Ok(Ending::Done)
}

impl Demo {
    /// Decides about Backstage; returns the number of policies.
    fn backstage(&mut self) -> Result<usize, Failure> {
        let builder =
            Engine::builder().schema("backstage.cedarschema", stagedoor_backstage::SCHEMA);
        let engine = stagedoor_backstage::STARTER_POLICIES
            .iter()
            .fold(builder, |b, (name, text)| {
                b.policies(format!("policies/backstage/{name}"), *text)
            })
            .build()?;
        let catalog = Catalog::from_files([("demo/catalog-info.yaml", DEMO_CATALOG)])?;
        let permissions = Permissions::known()?;
        let known = Entities::from_entities(catalog.entities()).map_err(broken)?;
        for (name, permission, entity) in OF_BACKSTAGE {
            let user = EntityRef::new("user", "default", name).map_err(broken)?;
            let user = catalog.user(&user).ok_or_else(|| broken("no such user"))?;
            let resource = entity
                .map(|entity| entity.parse::<EntityRef>().map_err(broken))
                .transpose()?
                .map(|entity| catalog.resource(&entity).map_err(broken))
                .transpose()?;
            let groups = user.ownership_entity_refs().iter().filter(|of| of.kind() == "group");
            let groups = groups.map(|group| group.name().to_owned()).collect();
            let permission = permissions.get(permission).map_err(broken)?;
            let asked = permission.request(&user.into(), resource).map_err(broken)?;
            let entities = known.with(asked.entities).map_err(broken)?;
            let explanation = engine.explain(&asked.request, &entities).map_err(broken)?;
            // As Backstage itself shows references.
            let entity = entity.map(|e| e.replace("default/", "")).unwrap_or_default();
            let wants = format!("{} {entity}", permission.name());
            self.add("Backstage", name, groups, wants.trim(), &explanation);
        }
        Ok(engine.policies().len())
    }

    /// Decides about the cluster; returns the number of policies.
    fn kubernetes(&mut self) -> Result<usize, Failure> {
        let builder =
            Engine::builder().schema("kubernetes.cedarschema", stagedoor_kubernetes::SCHEMA);
        let engine = stagedoor_kubernetes::STARTER_POLICIES
            .iter()
            .fold(builder, |b, (name, text)| {
                b.policies(format!("policies/kubernetes/{name}"), *text)
            })
            .build()?;
        let schema = engine.schema().ok_or_else(|| broken("no schema"))?;
        let vocabulary = Vocabulary::of(schema).map_err(broken)?;
        let mut asked: Vec<(Subject, Attributes)> = Vec::new();
        for (user, [verb, group, resource, subresource, namespace, name]) in OF_CLUSTER {
            let groups = IN_CLUSTER.iter().find(|(member, _)| *member == user);
            let groups = groups.map(|(_, groups)| *groups).unwrap_or_default();
            let subject = groups.iter().fold(Subject::new(user), |s, group| s.with_group(*group));
            let attributes = ResourceAttributes::new(verb, group, resource)
                .with_subresource(subresource)
                .with_namespace(namespace)
                .with_name(name);
            asked.push((subject, attributes.into()));
        }
        let anybody = Subject::new("system:anonymous").with_group("system:unauthenticated");
        asked.push((anybody, NonResourceAttributes::new(PROBE.0, PROBE.1).into()));
        for (subject, attributes) in asked {
            let principal = vocabulary.principal(&subject).map_err(broken)?;
            let (request, entities) =
                vocabulary.request(&principal, &attributes).map_err(broken)?;
            let explanation = engine.explain(&request, &entities).map_err(broken)?;
            let own = subject.groups.iter().filter(|group| !group.starts_with("system:"));
            let groups = own.cloned().collect();
            self.add("Kubernetes", &subject.user, groups, &wish(&attributes), &explanation);
        }
        Ok(engine.policies().len())
    }

    fn add(
        &mut self,
        platform: &'static str,
        who: &str,
        groups: Vec<String>,
        wants: &str,
        explained: &Explanation,
    ) {
        let outcome = explained.outcome();
        let mut reasons = Vec::new();
        for policy in outcome.reasons() {
            reasons.push(policy.id().to_owned());
            let place = match policy.line() {
                Some(line) => format!("{}:{line}", policy.file()),
                None => policy.file().to_owned(),
            };
            let doc = policy.annotation("doc").unwrap_or_default().to_owned();
            self.spoken.insert((platform, policy.id().to_owned()), DecidingPolicy { doc, place });
        }
        let who = who.strip_prefix("system:serviceaccount:").map_or_else(
            || who.trim_start_matches("system:").to_owned(),
            |account| account.replace(':', "/"),
        );
        let nearest = explained.nearest().first().map(|near| near.policy().to_owned());
        self.rows.push(Row {
            platform,
            who,
            groups,
            nearest: nearest.filter(|_| reasons.is_empty()),
            wants: wants.to_owned(),
            decision: Verdict::from(outcome.decision()).as_str(),
            reasons,
            allowed: outcome.decision(),
        });
    }

    fn print(&self, counts: &[(&'static str, usize)], output: &mut Output) -> Result<(), Failure> {
        let paint = output.paint();
        let width = |text: fn(&Row) -> &str| {
            self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or_default()
        };
        let (who, wants) = (width(|row| &row.who), width(|row| &row.wants));
        for (platform, count) in counts {
            let heading = paint.bold(platform);
            output.line(format_args!("{heading}, decided by {count} policies\n"))?;
            self.print_people(platform, output)?;
            let head =
                format!("  {:<who$}  {:<wants$}  {:<8}  because of", "who", "wants to", "decision");
            output.line(paint.dim(head))?;
            for row in self.rows.iter().filter(|row| row.platform == *platform) {
                let decision = narrative::decision(row.allowed, paint);
                let because = match row.reasons.as_slice() {
                    [] => "nothing permits it".to_owned(),
                    reasons => reasons.join(", "),
                };
                output.line(format_args!(
                    "  {:<who$}  {:<wants$}  {decision}     {because}",
                    row.who, row.wants
                ))?;
                if let Some(near) = &row.nearest {
                    let blank = "";
                    let hint =
                        format!("  {blank:<who$}  {blank:<wants$}  {blank:<8}  nearest: {near}");
                    output.line(paint.dim(hint))?;
                }
            }
            output.line("")?;
            for ((_, id), spoken) in self.spoken.iter().filter(|((of, _), _)| of == platform) {
                output.line(format_args!("  {} {}", paint.bold(id), paint.dim(&spoken.place)))?;
                for doc in wrapped(&spoken.doc, WIDTH) {
                    output.line(format_args!("    {doc}"))?;
                }
            }
            output.line("")?;
        }
        output.line(
            "Why may alice not delete payments-api? Ask, from the root of the repository:\n",
        )?;
        output.line(
            "  stagedoor explain backstage --policies policies/backstage \\\n    \
             --catalog policies/backstage/demo/catalog-info.yaml --user user:default/alice \\\n    \
             --permission catalog.entity.delete --entity component:default/payments-api",
        )
    }
}

impl Demo {
    /// Says who is in which group.
    fn print_people(&self, platform: &str, output: &mut Output) -> Result<(), Failure> {
        let mut people: Vec<String> = Vec::new();
        for row in self.rows.iter().filter(|row| row.platform == platform) {
            let person = format!("{} ({})", row.who, row.groups.join(", "));
            if !row.groups.is_empty() && !people.contains(&person) {
                people.push(person);
            }
        }
        for people in wrapped(&people.join(", "), WIDTH) {
            output.line(format_args!("  {people}"))?;
        }
        output.line("")
    }
}

/// What is embedded always loads: a test runs the demo.
fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::input(format!("the demo is broken: {error}"))
}
