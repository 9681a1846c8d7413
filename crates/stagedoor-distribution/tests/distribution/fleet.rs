//! Fifty replicas with all faults at once, then healed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use stagedoor_core::{Decision, Engine, Entities, Request};
use stagedoor_distribution::{Digest, Disk, Release, Replica, ReplicaOptions, SigningKey, Trust};

use crate::disk::FailingDisk;
use crate::support::{Fault, Link, SignedFixture, TestClock, channel, key, load, now};

const REPLICAS: usize = 50;
const ROUNDS: usize = 40;
/// Looks that a replica may need when all is well again: what was refused waits for its time, and
/// is then tried again.
const BOUND: usize = 2;
/// How often a replica looks, in seconds.
const INTERVAL: u64 = 30;

struct Node {
    directory: tempfile::TempDir,
    link: Link,
    replica: Option<Replica>,
    /// The highest number that was ever in force here.
    highest: u64,
    engine: Option<Engine>,
    /// Whether the engine was not asked yet.
    is_new: bool,
}

/// What is known of all that happened.
struct Fleet {
    key: SigningKey,
    clock: TestClock,
    nodes: Vec<Node>,
    /// What somebody trusted has signed, and with how many policies.
    signed: BTreeMap<Digest, (u64, u64)>,
    /// What each revision has answered: how many of the users it lets in.
    answers: BTreeMap<String, Vec<bool>>,
    taken: usize,
    refused: usize,
    restarts: usize,
}

impl Fleet {
    fn open(&self, node: &Node, disk: Arc<dyn Disk>) -> Result<Replica> {
        let options = ReplicaOptions::new(channel()?, node.directory.path());
        let trust = Trust::in_key("ci", self.key.verifying_key());
        let clock = Arc::new(self.clock.clone());
        Ok(Replica::open_on(options, Box::new(node.link.clone()), trust, disk, clock)?)
    }

    /// One look of one replica, as a server has it, and what must hold then.
    fn look(&mut self, number: usize) -> Result<()> {
        let node = self.nodes.get_mut(number).context("a node")?;
        let replica = node.replica.as_ref().context("a replica")?;
        if replica.poll().is_err() {
            self.refused += 1;
        }
        let Some(set) = replica.to_load() else { return Ok(()) };
        if !replica.in_force().is_some_and(|now| Arc::ptr_eq(&now, &set)) {
            let engine = load(&set)?;
            match replica.admit(&set) {
                Ok(()) => {
                    self.taken += 1;
                    node.engine = Some(engine);
                    node.is_new = true;
                }
                Err(reason) => replica.refuse(&set, &reason),
            }
        }
        let Some(set) = replica.in_force() else { return Ok(()) };
        let known = self.signed.get(&set.statement());
        let (counter, policies) = known.context("a set is in force that nobody has signed")?;
        ensure!(*counter >= node.highest, "{number} went back from {} to {counter}", node.highest);
        node.highest = *counter;
        let engine = node.engine.as_ref().context("an engine")?;
        ensure!(engine.policies().len() as u64 == *policies, "half a set is in force");
        if !std::mem::take(&mut node.is_new) {
            // The same engine has answered before.
            return Ok(());
        }
        let answers = (0..12).map(|user| lets_in(engine, user)).collect::<Result<Vec<bool>>>()?;
        let expected: Vec<bool> = (0..12).map(|user| user < *policies).collect();
        ensure!(answers == expected, "{number} answers {answers:?}");
        let before = self.answers.entry(engine.revision().to_owned()).or_insert(answers.clone());
        ensure!(*before == answers, "one revision has two answers");
        Ok(())
    }
}

fn lets_in(engine: &Engine, user: u64) -> Result<bool> {
    let uid = |text: String| text.parse().context("an id");
    let request = Request::new(
        uid(format!("User::\"u{user}\""))?,
        uid("Action::\"read\"".to_owned())?,
        uid("Doc::\"d\"".to_owned())?,
    );
    Ok(engine.decide(&request, &Entities::default())?.decision() == Decision::Allow)
}

#[test]
fn fifty_replicas_keep_their_promises_and_come_to_one_revision() -> Result<()> {
    for seed in [1, 2] {
        run(seed)?;
    }
    Ok(())
}

fn run(seed: u64) -> Result<()> {
    let (mut random, first) = (Rng::with_seed(seed), Link::default());
    let node = |_| {
        let directory = tempfile::tempdir()?;
        let link = first.beside();
        anyhow::Ok(Node { directory, link, replica: None, highest: 0, engine: None, is_new: false })
    };
    let mut fleet = Fleet {
        key: key()?,
        clock: TestClock::new(),
        nodes: (0..REPLICAS).map(node).collect::<Result<_>>()?,
        signed: BTreeMap::new(),
        answers: BTreeMap::new(),
        taken: 0,
        refused: 0,
        restarts: 0,
    };
    let foreign = key()?;
    let mut published: Vec<SignedFixture> = Vec::new();
    let publish = |fleet: &mut Fleet, counter: u64, random: &mut Rng| -> Result<SignedFixture> {
        let policies = 1 + random.u64(..12);
        let signed = SignedFixture::new(counter, policies, &fleet.key)?;
        let statement = Digest::of(signed.release.to_json().as_bytes());
        fleet.signed.insert(statement, (counter, policies));
        Ok(signed)
    };
    let mut counter = 0;
    for _ in 0..ROUNDS {
        if counter == 0 || random.u64(..6) == 0 {
            counter += 1;
            let signed = publish(&mut fleet, counter, &mut random)?;
            first.put(&signed);
            published.push(signed);
        }
        for number in 0..REPLICAS {
            let fault = match random.u64(..14) {
                0 => Fault::Cut,
                1 => Fault::CutWithin,
                2 => Fault::TamperedBundle,
                3 => Fault::Truncated,
                4 => Fault::TamperedSignature,
                5 => Fault::Frozen,
                // An older one.
                6 => {
                    let older = random.u64(..published.len() as u64);
                    let older = published.get(older as usize).context("a release")?;
                    Fault::Offers(Box::new(older.clone()))
                }
                // A foreign key, with a high number.
                7 => Fault::Offers(Box::new(SignedFixture::new(counter + 100, 3, &foreign)?)),
                // One that has expired.
                8 => {
                    let bundle = crate::support::bundle(5);
                    let mut late =
                        Release::new(channel()?, counter + 100, bundle.as_bytes(), now());
                    late.expires = Some(now());
                    Fault::Offers(Box::new(SignedFixture::of(late, 5, &fleet.key)?))
                }
                // Another content of the newest number, signed by somebody who is trusted.
                9 => Fault::Offers(Box::new(publish(&mut fleet, counter, &mut random)?)),
                _ => Fault::None,
            };
            fleet.nodes.get(number).context("a node")?.link.set(fault);
            let is_down = fleet.nodes.get(number).is_none_or(|node| node.replica.is_none());
            if is_down || random.u64(..10) == 0 {
                // It ends, at some step of what it writes or between, and starts again.
                let disk: Arc<dyn Disk> = match random.u64(..3) {
                    0 => Arc::new(FailingDisk::new(
                        random.u64(..7) as usize,
                        true,
                        random.u64(..5) as usize,
                    )),
                    1 => Arc::new(FailingDisk::new(
                        1 + random.u64(..7) as usize,
                        false,
                        random.u64(..5) as usize,
                    )),
                    _ => Arc::new(FailingDisk::good()),
                };
                let node = fleet.nodes.get_mut(number).context("a node")?;
                node.replica = None;
                let replica = fleet.open(fleet.nodes.get(number).context("a node")?, disk)?;
                let node = fleet.nodes.get_mut(number).context("a node")?;
                (node.replica, node.engine) = (Some(replica), None);
                fleet.restarts += 1;
            }
            fleet.look(number)?;
        }
        fleet.clock.pass(INTERVAL);
    }

    // Healed: one more release, and all have it within the bound.
    counter += 1;
    let last = publish(&mut fleet, counter, &mut random)?;
    first.put(&last);
    for number in 0..REPLICAS {
        let node = fleet.nodes.get_mut(number).context("a node")?;
        node.link.set(Fault::None);
        // A disk that failed is replaced.
        node.replica = None;
        let replica = fleet
            .open(fleet.nodes.get(number).context("a node")?, Arc::new(FailingDisk::good()))?;
        let node = fleet.nodes.get_mut(number).context("a node")?;
        (node.replica, node.engine) = (Some(replica), None);
    }
    let mut looks = 0;
    loop {
        looks += 1;
        for number in 0..REPLICAS {
            fleet.look(number)?;
        }
        fleet.clock.pass(INTERVAL);
        let engines = fleet.nodes.iter().filter_map(|node| node.engine.as_ref());
        let revisions: BTreeSet<&str> = engines.map(Engine::revision).collect();
        let newest = fleet.nodes.iter().filter(|node| node.highest == counter).count();
        if newest == REPLICAS && revisions.len() == 1 {
            break;
        }
        ensure!(
            looks < BOUND,
            "{newest} of {REPLICAS} have the newest release after {looks} looks"
        );
    }
    // The faults were there, and did not keep everything out.
    ensure!(fleet.refused > ROUNDS * 5 && fleet.restarts > ROUNDS, "{}", fleet.refused);
    ensure!(fleet.taken > REPLICAS * 5, "{}", fleet.taken);
    eprintln!(
        "seed {seed}: {counter} releases, {} taken up, {} looks refused, {} restarts, {} revisions; \
         on one revision after {looks} looks",
        fleet.taken,
        fleet.refused,
        fleet.restarts,
        fleet.answers.len()
    );
    Ok(())
}
