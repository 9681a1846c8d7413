//! Generated roles, bindings and requests: imported Cedar answers as RBAC does.

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Engine, EngineBuilder};
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};
use stagedoor_kubernetes::{Reviewer, SCHEMA};

use crate::cluster::Cluster;
use crate::random::Random;
use crate::reference;

/// How many clusters there are, and requests to each.
const CLUSTERS: u64 = 210;
const REQUESTS: usize = 500;

#[test]
fn imported_rbac_answers_as_the_authorizer_does() -> Result<()> {
    let (mut compared, mut allowed) = (0_u64, 0_u64);
    for seed in 0..CLUSTERS {
        let mut random = Random::new(seed);
        let cluster = random.cluster();
        let import = import(&cluster).with_context(|| format!("seed {seed}"))?;
        let builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
        // The three forms of an import, in turn.
        let builder = match seed % 3 {
            0 => import.add_to(builder),
            1 => files(&import, builder),
            _ => written_out(&import, builder),
        };
        let engine = builder.build().with_context(|| format!("seed {seed}: {cluster:#?}"))?;
        ensure!(engine.warnings().is_empty(), "seed {seed}: {:?}", engine.warnings());
        let reviewer = Reviewer::new(engine)?;
        for _ in 0..REQUESTS {
            let (user, attributes) = random.request(&cluster);
            let expected = reference::allows(&cluster, &user, &attributes);
            let principal = reviewer.vocabulary().principal(&user)?;
            let status = reviewer.status(&principal, &attributes);
            ensure!(
                status.allowed == expected && status.evaluation_error.is_empty() && !status.denied,
                "seed {seed}: RBAC says {expected}\n{status:?}\n{user:?}\n{attributes:?}\n\
                 {cluster:#?}\n{}",
                import.to_cedar()
            );
            compared += 1;
            allowed += u64::from(expected);
        }
    }
    println!("{compared} requests compared, {allowed} of them allowed, 0 differences");
    ensure!(compared >= 100_000);
    // A generator whose requests hardly meet a rule would prove nothing.
    ensure!(allowed * 8 > compared, "only {allowed} of {compared} are allowed");
    Ok(())
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
