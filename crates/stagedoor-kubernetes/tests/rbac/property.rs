//! Generated roles, bindings and requests: imported Cedar answers as RBAC does.
//!
//! Some clusters have roles that aggregate others, some have what every cluster of a version has
//! as well. A part of the requests is asked as reviews, of both versions of the API.
//! `STAGEDOOR_RBAC_REQUESTS` (a number) asks for more:
//!
//! ```sh
//! STAGEDOOR_RBAC_REQUESTS=1000000 cargo test --workspace --test rbac property -- --nocapture
//! ```

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stagedoor_core::{Engine, EngineBuilder};
use stagedoor_kubernetes::rbac::{BuiltIns, RbacImport, RbacObjects};
use stagedoor_kubernetes::{
    Attributes, KubernetesVersion, Reviewer, SCHEMA, Subject, SubjectAccessReview,
};

use crate::cluster::Cluster;
use crate::controller::{settled, with_built_in};
use crate::random::Random;
use crate::reference;

/// How many requests there are unless more are asked for, and to each cluster.
const WANTED: u64 = 105_000;
const REQUESTS: usize = 500;
/// One of so many requests is asked as reviews too.
const AS_REVIEWS: usize = 10;

/// What was compared.
#[derive(Debug, Default)]
struct Comparisons {
    requests: u64,
    allowed: u64,
    aggregating: u64,
    built_in: u64,
    impersonation: u64,
    reviews: u64,
}

#[test]
fn imported_rbac_answers_as_the_authorizer_does() -> Result<()> {
    let wanted = std::env::var("STAGEDOOR_RBAC_REQUESTS").ok().and_then(|text| text.parse().ok());
    let wanted = wanted.unwrap_or(WANTED);
    let mut compared = Comparisons::default();
    for seed in 0.. {
        if compared.requests >= wanted {
            break;
        }
        one_cluster(seed, &mut compared).with_context(|| format!("seed {seed}"))?;
    }
    println!("{compared:?}, 0 differences");
    let Comparisons { requests, allowed, aggregating, built_in, impersonation, reviews } = compared;
    // A generator whose requests hardly meet a rule would prove nothing.
    for (what, count, share) in [
        ("allowed", allowed, 8),
        ("of clusters with aggregation", aggregating, 4),
        ("of clusters with built-in roles", built_in, 16),
        ("impersonation", impersonation, 16),
        ("reviews", reviews, 16),
    ] {
        ensure!(count * share > requests, "only {count} of {requests} are {what}");
    }
    Ok(())
}

fn one_cluster(seed: u64, compared: &mut Comparisons) -> Result<()> {
    let mut random = Random::new(seed);
    let mut given =
        if seed.is_multiple_of(2) { random.aggregated_cluster() } else { random.cluster() };
    // Each version in turn.
    let version = (seed % 5 == 4).then(|| 30 + seed / 5 % 8);
    let mut objects = RbacObjects::default();
    let real = match version {
        Some(minor) => {
            given = random.with_built_in_names(given);
            settled(with_built_in(&given, minor)?)
        }
        None => settled(given.clone()),
    };
    if version.is_none() && seed % 4 == 2 {
        // What a cluster has: the controller's work is done.
        given = real.clone();
        given.roles.iter_mut().for_each(|role| role.is_stored = true);
    }
    objects.read("cluster.json", &given.to_json())?;
    if let Some(minor) = version {
        let version: KubernetesVersion = format!("1.{minor}").parse()?;
        objects.add_built_ins(version, BuiltIns::All)?;
    }
    let import = RbacImport::of(&objects.resolve()?)?;
    let builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
    // The three forms of an import, in turn.
    let builder = match seed % 3 {
        0 => import.add_to(builder),
        1 => files(&import, builder),
        _ => written_out(&import, builder),
    };
    let engine = builder.build().with_context(|| format!("{given:#?}"))?;
    ensure!(engine.warnings().is_empty(), "{:?}", engine.warnings());
    let reviewer = Reviewer::new(engine)?;
    for number in 0..REQUESTS {
        let (user, attributes) = random.request(&real);
        let expected = reference::allows(&real, &user, &attributes);
        let principal = reviewer.vocabulary().principal(&user)?;
        let status = reviewer.status(&principal, &attributes);
        ensure!(
            status.allowed == expected && status.evaluation_error.is_empty() && !status.denied,
            "RBAC says {expected}\n{status:?}\n{user:?}\n{attributes:?}\n{given:#?}\n{}",
            import.to_cedar()
        );
        compared.requests += 1;
        compared.allowed += u64::from(expected);
        compared.aggregating += u64::from(given.roles.iter().any(|r| r.aggregates.is_some()));
        compared.built_in += u64::from(version.is_some());
        compared.impersonation += u64::from(attributes.verb().starts_with("impersonate"));
        // A review without both is refused: it is about nobody.
        let is_somebody = !user.user.is_empty() || !user.groups.is_empty();
        if number % AS_REVIEWS == 0 && is_somebody {
            for version in ["v1", "v1beta1"] {
                let answer = answer(&reviewer, version, &user, &attributes)?;
                ensure!(
                    answer["status"]["allowed"] == expected
                        && answer["apiVersion"] == format!("authorization.k8s.io/{version}"),
                    "RBAC says {expected}\n{answer}\n{given:#?}"
                );
                compared.reviews += 1;
            }
        }
    }
    Ok(())
}

/// Answers a review as kube-apiserver sends it in a version of the API.
fn answer(
    reviewer: &Reviewer,
    version: &str,
    user: &Subject,
    attributes: &Attributes,
) -> Result<Value> {
    let groups = if version == "v1beta1" { "group" } else { "groups" };
    let mut spec = json!({ "user": user.user, groups: user.groups, "uid": user.uid });
    match attributes {
        Attributes::NonResource(of) => {
            spec["nonResourceAttributes"] = json!({ "verb": of.verb, "path": of.path });
        }
        Attributes::Resource(of) => {
            spec["resourceAttributes"] = json!({
                "verb": of.verb, "group": of.group, "resource": of.resource, "name": of.name,
                "subresource": of.subresource, "namespace": of.namespace,
            });
        }
    }
    let review = json!({
        "apiVersion": format!("authorization.k8s.io/{version}"), "kind": "SubjectAccessReview",
        "spec": spec,
    });
    let review = SubjectAccessReview::from_json(&review.to_string())?;
    Ok(serde_json::to_value(reviewer.answer(review))?)
}

pub fn import(cluster: &Cluster) -> Result<RbacImport> {
    let mut objects = RbacObjects::default();
    objects.read("cluster.json", &cluster.to_json())?;
    Ok(RbacImport::of(&objects.resolve()?)?)
}

fn files(import: &RbacImport, builder: EngineBuilder) -> EngineBuilder {
    import.files().into_iter().fold(builder, |builder, file| {
        if file.name.ends_with(".cedar.json") {
            builder.policies_json(file.name, file.text)
        } else if file.name.ends_with(".cedarschema") {
            builder.schema(file.name, file.text)
        } else {
            builder.policies(file.name, file.text)
        }
    })
}

fn written_out(import: &RbacImport, builder: EngineBuilder) -> EngineBuilder {
    let builder = builder.policies("rbac.cedar", import.to_cedar());
    match import.schema() {
        Some(schema) => builder.schema("rbac.cedarschema", schema),
        None => builder,
    }
}
