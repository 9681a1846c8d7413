//! Pairs of clusters: what the analysis says of their import is what the authorizer says of both.
//!
//! `STAGEDOOR_RBAC_PAIRS` (a number) asks for more pairs:
//!
//! ```sh
//! STAGEDOOR_RBAC_PAIRS=10000 cargo test --workspace --test rbac pairs -- --nocapture
//! ```

use anyhow::{Context as _, Result, ensure};
use stagedoor_analysis::{Direction, Finding, Library, compare};
use stagedoor_core::{Decision, Engine};
use stagedoor_kubernetes::SCHEMA;
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};

use crate::cluster::Cluster;
use crate::random::Random;
use crate::reference;

/// How many pairs there are unless more are asked for, and requests to each.
const PAIRS: u64 = 60;
const REQUESTS: usize = 400;

#[test]
fn what_differs_between_pairs_is_what_the_authorizer_decides_differently() -> Result<()> {
    let wanted = std::env::var("STAGEDOOR_RBAC_PAIRS").ok().and_then(|text| text.parse().ok());
    let wanted = wanted.unwrap_or(PAIRS);
    let (mut pairs, mut equal, mut differing, mut undecided, mut met) = (0, 0, 0, 0, 0);
    for seed in 0..wanted {
        let mut random = Random::new(seed);
        let old = random.cluster();
        let new = random.changed(&old);
        let Some((before, after)) = engines(&old, &new).with_context(|| format!("seed {seed}"))?
        else {
            continue;
        };
        let libraries = (Library::of(&before), Library::of(&after));
        let (Some(from), Some(to)) = libraries else { anyhow::bail!("no schema") };
        let found = compare(&from, &to)?;
        let told = |direction| found.all.iter().any(|one| one.direction == direction);
        let is_open = found.all.iter().any(|one| matches!(one.finding, Finding::Undecided(_)));
        for difference in &found.all {
            let Finding::Proved { witness, .. } = &difference.finding else { continue };
            let decide = |engine: &Engine| {
                engine.decide(&witness.request, &witness.entities).map(|o| o.decision())
            };
            let expected = match difference.direction {
                Direction::Widened => (Decision::Deny, Decision::Allow),
                Direction::Narrowed => (Decision::Allow, Decision::Deny),
            };
            ensure!((decide(&before)?, decide(&after)?) == expected, "seed {seed}: no witness");
        }
        for _ in 0..REQUESTS {
            let (user, attributes) = random.request(&old);
            let was = reference::allows(&old, &user, &attributes);
            let is = reference::allows(&new, &user, &attributes);
            let direction = match (was, is) {
                (false, true) => Direction::Widened,
                (true, false) => Direction::Narrowed,
                _ => continue,
            };
            met += 1;
            ensure!(
                told(direction),
                "seed {seed}: {direction:?} was missed\n{user:?}\n{attributes:?}\n{old:#?}\n{new:#?}"
            );
        }
        pairs += 1;
        match (is_open, found.all.is_empty()) {
            (true, _) => undecided += 1,
            (false, true) => equal += 1,
            (false, false) => differing += 1,
        }
    }
    println!(
        "{pairs} pairs: {equal} equal, {differing} with differences, {undecided} undecided; {met} \
         requests that the authorizer decides differently, 0 missed"
    );
    ensure!(pairs * 2 > wanted && differing * 4 > pairs && met > 0, "the pairs show too little");
    Ok(())
}

/// Imports both; nothing where only one of them needs verbs of its own in the schema.
fn engines(old: &Cluster, new: &Cluster) -> Result<Option<(Engine, Engine)>> {
    let import = |cluster: &Cluster| -> Result<RbacImport> {
        let mut objects = RbacObjects::default();
        objects.read("cluster.json", &cluster.to_json())?;
        Ok(RbacImport::of(&objects.resolve()?)?)
    };
    let (old, new) = (import(old)?, import(new)?);
    if old.schema() != new.schema() {
        return Ok(None);
    }
    let engine = |import: &RbacImport| {
        let builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
        import.add_to(builder).build()
    };
    Ok(Some((engine(&old)?, engine(&new)?)))
}
