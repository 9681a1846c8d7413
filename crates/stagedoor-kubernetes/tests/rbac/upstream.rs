//! Imported roles against Kubernetes' own authorizer, where `tests/cluster/servers/build` has built
//! it: random clusters again, with other seeds than those of the reference that is written here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stagedoor_core::Engine;
use stagedoor_kubernetes::{Attributes, Reviewer, SCHEMA, Subject};

use crate::property::import;
use crate::random::Random;
use crate::reference;

/// How many clusters there are, and requests to each.
const CLUSTERS: u64 = 250;
const REQUESTS: usize = 400;
/// The first seed: none that the other property has.
const FIRST: u64 = 1_000_000;

/// Upstream's authorizer, which answers line by line and ends with the test.
struct Oracle(Child);

impl Drop for Oracle {
    fn drop(&mut self) {
        // It ends by itself when its input does.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn place() -> Option<PathBuf> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/kubernetes");
    // Empty is not set, as for `.ci/run`.
    let given = std::env::var_os("KUBEBUILDER_ASSETS").filter(|given| !given.is_empty());
    let given = given.map(PathBuf::from);
    let places = given.into_iter().chain([PathBuf::from(built)]);
    places.map(|place| place.join("rbac-oracle")).find(|path| path.is_file())
}

#[test]
fn imported_rbac_answers_as_upstreams_authorizer_does() -> Result<()> {
    let Some(path) = place() else {
        eprintln!("skipped: upstream's authorizer is not there: run `tests/cluster/servers/build`");
        return Ok(());
    };
    let mut oracle =
        Oracle(Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut asking = oracle.0.stdin.take().context("no input")?;
    let mut answers = BufReader::new(oracle.0.stdout.take().context("no output")?);
    let (mut compared, mut allowed) = (0_u64, 0_u64);
    for seed in FIRST..FIRST + CLUSTERS {
        let mut random = Random::new(seed);
        let cluster = random.cluster();
        let requests: Vec<(Subject, Attributes)> =
            (0..REQUESTS).map(|_| random.request(&cluster)).collect();
        let objects: Value = serde_json::from_str(&cluster.to_json())?;
        let asked: Vec<Value> = requests.iter().map(written).collect();
        writeln!(asking, "{}", json!({ "objects": objects, "requests": asked }))?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let answered: Vec<bool> =
            serde_json::from_str(&line).with_context(|| format!("seed {seed}: `{line}`"))?;
        ensure!(answered.len() == requests.len(), "seed {seed}: {} answers", answered.len());

        let builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
        let reviewer = Reviewer::new(import(&cluster)?.add_to(builder).build()?)?;
        for ((user, attributes), expected) in requests.iter().zip(answered) {
            let ruling = reviewer.ruling(user, attributes);
            ensure!(
                ruling.allowed == expected && ruling.evaluation_error.is_empty(),
                "seed {seed}: upstream says {expected}\n{ruling:?}\n{user:?}\n{attributes:?}\n\
                 {cluster:#?}"
            );
            // The reference that is written here is one of upstream's kind.
            ensure!(reference::allows(&cluster, user, attributes) == expected, "seed {seed}");
            compared += 1;
            allowed += u64::from(expected);
        }
    }
    println!("{compared} requests compared, {allowed} of them allowed, 0 differences");
    ensure!(compared >= 100_000);
    ensure!(allowed * 8 > compared, "only {allowed} of {compared} are allowed");
    Ok(())
}

fn written((user, attributes): &(Subject, Attributes)) -> Value {
    match attributes {
        Attributes::NonResource(of) => json!({
            "user": user.user, "groups": user.groups, "verb": of.verb, "path": of.path,
        }),
        Attributes::Resource(of) => json!({
            "user": user.user, "groups": user.groups, "verb": of.verb, "group": of.group,
            "resource": of.resource, "subresource": of.subresource, "namespace": of.namespace,
            "name": of.name,
        }),
    }
}
