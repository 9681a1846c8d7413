//! What grants are asked by: the authorizer allows each of these requests.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use stagedoor_kubernetes::KubernetesVersion;
use stagedoor_kubernetes::rbac::{BuiltIns, RbacObjects};
use stagedoor_kubernetes::{Attributes, Subject};

use crate::cluster::{Binding, Cluster, Role, Rule, Subject as Bound};
use crate::controller::{settled, with_built_in};
use crate::random::Random;
use crate::reference;

const CLUSTERS: u64 = 80;

fn requests(cluster: &Cluster) -> Result<Vec<(Subject, Attributes)>> {
    let mut objects = RbacObjects::default();
    objects.read("cluster.json", &cluster.to_json())?;
    let resolved = objects.resolve()?;
    Ok(resolved.grants().flat_map(|grant| grant.requests()).collect())
}

#[test]
fn the_authorizer_allows_whatever_a_grant_is_asked_by() -> Result<()> {
    let mut asked = 0;
    for seed in 0..CLUSTERS {
        let mut random = Random::new(seed);
        let cluster = random.cluster();
        for (subject, attributes) in requests(&cluster).with_context(|| format!("seed {seed}"))? {
            // `pods/*` and its kind cover nothing but themselves, and a rule of no verb nothing.
            ensure!(
                reference::allows(&cluster, &subject, &attributes),
                "seed {seed}: {subject:?} {attributes:?}\n{cluster:#?}"
            );
            asked += 1;
        }
    }
    ensure!(asked > 10_000, "only {asked} requests");
    Ok(())
}

#[test]
fn built_in_grants_are_asked_too() -> Result<()> {
    let mut objects = RbacObjects::default();
    objects.add_built_ins(KubernetesVersion::NEWEST, BuiltIns::All)?;
    let resolved = objects.resolve()?;
    let real = settled(with_built_in(&Cluster::default(), 37)?);
    let mut seen = BTreeSet::new();
    for grant in resolved.grants() {
        for (subject, attributes) in grant.requests() {
            ensure!(reference::allows(&real, &subject, &attributes), "{subject:?} {attributes:?}");
            seen.insert(format!("{subject:?} {attributes:?}"));
        }
    }
    ensure!(seen.len() > 2_000, "only {}", seen.len());
    Ok(())
}

#[test]
fn a_star_stands_for_what_there_is() -> Result<()> {
    let rule = |verbs: &str, groups: &str, resources: &str| Rule {
        verbs: vec![verbs.to_owned()],
        api_groups: vec![groups.to_owned()],
        resources: vec![resources.to_owned()],
        ..Rule::default()
    };
    let all = |rule: Rule| -> Result<BTreeSet<String>> {
        let cluster = Cluster {
            roles: vec![Role { name: "r".to_owned(), rules: vec![rule], ..Role::default() }],
            bindings: vec![Binding {
                name: "b".to_owned(),
                subjects: vec![Bound { kind: "Group", name: "g".to_owned(), ..Bound::default() }],
                role_kind: "ClusterRole",
                role_name: "r".to_owned(),
                ..Binding::default()
            }],
        };
        let word = |(_, attributes): (Subject, Attributes)| match attributes {
            Attributes::Resource(of) => {
                format!("{} {} {}/{}", of.verb, of.group, of.resource, of.subresource)
            }
            Attributes::NonResource(of) => format!("{} {}", of.verb, of.path),
        };
        Ok(requests(&cluster)?.into_iter().map(word).collect())
    };
    let everything = all(rule("*", "*", "*"))?;
    for expected in
        ["list  secrets/", "create  serviceaccounts/token", "patch apps deployments/scale"]
    {
        ensure!(everything.contains(expected), "{expected}: {everything:?}");
    }
    let scales = all(rule("get", "apps", "*/scale"))?;
    ensure!(scales.contains("get apps deployments/scale") && scales.len() == 3, "{scales:?}");
    // Nobody knows what others serve.
    let others = all(rule("get", "example.com", "*"))?;
    ensure!(others.iter().eq(["get example.com */"]), "{others:?}");
    Ok(())
}

/// A forbid may be about any of them.
#[test]
fn every_name_of_a_rule_is_asked_for() -> Result<()> {
    let rule = Rule {
        verbs: vec!["get".to_owned(), "list".to_owned()],
        api_groups: vec![String::new()],
        resources: vec!["secrets".to_owned()],
        resource_names: ["a", "b", "c"].map(str::to_owned).to_vec(),
        ..Rule::default()
    };
    let cluster = Cluster {
        roles: vec![Role { name: "r".to_owned(), rules: vec![rule], ..Role::default() }],
        bindings: vec![Binding {
            name: "b".to_owned(),
            subjects: vec![Bound { kind: "Group", name: "g".to_owned(), ..Bound::default() }],
            role_kind: "ClusterRole",
            role_name: "r".to_owned(),
            ..Binding::default()
        }],
    };
    let word = |(_, attributes): (Subject, Attributes)| match attributes {
        Attributes::Resource(of) => format!("{} {}", of.verb, of.name),
        Attributes::NonResource(of) => of.path,
    };
    let asked: Vec<String> = requests(&cluster)?.into_iter().map(word).collect();
    ensure!(asked == ["get a", "get b", "get c", "list a", "list b", "list c"], "{asked:?}");
    Ok(())
}
