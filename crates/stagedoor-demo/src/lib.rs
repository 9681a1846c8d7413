//! A small organisation, a dozen requests, and what the policies that ship say.
//!
//! `stagedoor demo` shows it, and so does the program of this crate, which compiles in half the
//! time: of what the command can do else, it has nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use stagedoor_backstage::{Catalog, DEMO_CATALOG, EntityRef, Permissions};
use stagedoor_core::{Decision, Engine, Entities, Explanation, count_of};
use stagedoor_kubernetes::{
    Attributes, NonResourceAttributes, ResourceAttributes, Subject, Vocabulary,
};
use stagedoor_terminal::{Paint, wrapped};
use stagedoor_wire::Verdict;

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
#[derive(Debug, Serialize)]
pub struct Row {
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
#[derive(Debug)]
struct DecidingPolicy {
    doc: String,
    place: String,
}

/// What was decided.
#[derive(Debug, Default)]
pub struct Demo {
    counts: Vec<(&'static str, usize)>,
    rows: Vec<Row>,
    spoken: BTreeMap<(&'static str, String), DecidingPolicy>,
}

/// Something that is embedded does not load, which a test would have shown.
#[derive(Debug)]
pub struct DemoError(String);

impl std::fmt::Display for DemoError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the demo is broken: {}", self.0)
    }
}

impl std::error::Error for DemoError {}

impl Demo {
    /// Decides all requests.
    ///
    /// # Errors
    ///
    /// None in practice: [`DemoError`] if what is embedded does not load.
    pub fn decide() -> Result<Self, DemoError> {
        let mut demo = Self::default();
        let counts = [("Backstage", demo.backstage()?), ("Kubernetes", demo.kubernetes()?)];
        demo.counts = counts.to_vec();
        Ok(demo)
    }

    /// Returns the requests with their decisions.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

impl Demo {
    /// Decides about Backstage; returns the number of policies.
    fn backstage(&mut self) -> Result<usize, DemoError> {
        let builder =
            Engine::builder().schema("backstage.cedarschema", stagedoor_backstage::SCHEMA);
        let engine = stagedoor_backstage::STARTER_POLICIES
            .iter()
            .fold(builder, |b, (name, text)| {
                b.policies(format!("policies/backstage/{name}"), *text)
            })
            .build()
            .map_err(broken)?;
        let catalog =
            Catalog::from_files([("demo/catalog-info.yaml", DEMO_CATALOG)]).map_err(broken)?;
        let permissions = Permissions::known().map_err(broken)?;
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
    fn kubernetes(&mut self) -> Result<usize, DemoError> {
        let builder =
            Engine::builder().schema("kubernetes.cedarschema", stagedoor_kubernetes::SCHEMA);
        let engine = stagedoor_kubernetes::STARTER_POLICIES
            .iter()
            .fold(builder, |b, (name, text)| {
                b.policies(format!("policies/kubernetes/{name}"), *text)
            })
            .build()
            .map_err(broken)?;
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
            self.add("Kubernetes", &subject.user, groups, &attributes.to_string(), &explanation);
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

    /// Returns the page that people read.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut page, paint);
        page
    }

    fn write(&self, page: &mut String, paint: Paint) -> std::fmt::Result {
        let width = |text: fn(&Row) -> &str| {
            self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or_default()
        };
        let (who, wants) = (width(|row| &row.who), width(|row| &row.wants));
        for (platform, count) in &self.counts {
            let policies = count_of(*count, "policy", "policies");
            writeln!(page, "{}, decided by {policies}\n", paint.bold(platform))?;
            self.people(platform, page)?;
            let head =
                format!("  {:<who$}  {:<wants$}  {:<8}  because of", "who", "wants to", "decision");
            writeln!(page, "{}", paint.dim(head))?;
            for row in self.rows.iter().filter(|row| row.platform == *platform) {
                let decision = paint.decision(row.allowed);
                let because = match row.reasons.as_slice() {
                    [] => "nothing permits it".to_owned(),
                    reasons => reasons.join(", "),
                };
                writeln!(
                    page,
                    "  {:<who$}  {:<wants$}  {decision}     {because}",
                    row.who, row.wants
                )?;
                if let Some(near) = &row.nearest {
                    let blank = "";
                    let hint =
                        format!("  {blank:<who$}  {blank:<wants$}  {blank:<8}  nearest: {near}");
                    writeln!(page, "{}", paint.dim(hint))?;
                }
            }
            writeln!(page)?;
            for ((_, id), spoken) in self.spoken.iter().filter(|((of, _), _)| of == platform) {
                writeln!(page, "  {} {}", paint.bold(id), paint.dim(&spoken.place))?;
                for doc in wrapped(&spoken.doc, WIDTH) {
                    writeln!(page, "    {doc}")?;
                }
            }
            writeln!(page)?;
        }
        page.push_str(
            "Why may alice not delete payments-api? Ask, from the root of the repository:\n\n  \
             stagedoor explain backstage --policies policies/backstage \\\n    \
             --catalog policies/backstage/demo/catalog-info.yaml --user user:default/alice \\\n    \
             --permission catalog.entity.delete --entity component:default/payments-api\n",
        );
        Ok(())
    }

    /// Says who is in which group.
    fn people(&self, platform: &str, page: &mut String) -> std::fmt::Result {
        let mut people: Vec<String> = Vec::new();
        for row in self.rows.iter().filter(|row| row.platform == platform) {
            let person = format!("{} ({})", row.who, row.groups.join(", "));
            if !row.groups.is_empty() && !people.contains(&person) {
                people.push(person);
            }
        }
        for people in wrapped(&people.join(", "), WIDTH) {
            writeln!(page, "  {people}")?;
        }
        writeln!(page)
    }
}

fn broken(error: impl std::fmt::Display) -> DemoError {
    DemoError(error.to_string())
}
