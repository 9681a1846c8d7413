//! What one replica promises.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::Engine;
use stagedoor_distribution::{
    ConditionalError, Gate, PollOutcome, RealDisk, Release, Replica, ReplicaOptions, Rollback,
    SignedSet, SigningKey, Trust,
};

use crate::support::{Fault, Link, SignedFixture, TestClock, channel, key, load, now};

struct Setup {
    directory: tempfile::TempDir,
    link: Link,
    clock: TestClock,
    key: SigningKey,
}

impl Setup {
    fn new() -> Result<Self> {
        let (directory, key) = (tempfile::tempdir()?, key()?);
        Ok(Self { directory, link: Link::default(), clock: TestClock::new(), key })
    }

    fn options(&self) -> Result<ReplicaOptions> {
        Ok(ReplicaOptions::new(channel()?, self.directory.path()))
    }

    fn open(&self, options: ReplicaOptions) -> Result<Replica> {
        let trust = Trust::in_key("ci", self.key.verifying_key());
        let store = Box::new(self.link.clone());
        let clock = Arc::new(self.clock.clone());
        Ok(Replica::open_on(options, store, trust, Arc::new(RealDisk), clock)?)
    }

    fn replica(&self) -> Result<Replica> {
        self.open(self.options()?)
    }

    fn put(&self, counter: u64, policies: u64) -> Result<SignedFixture> {
        let signed = SignedFixture::new(counter, policies, &self.key)?;
        self.link.put(&signed);
        Ok(signed)
    }
}

/// Looks, loads and admits, as a server does; returns the number in force.
fn step(replica: &Replica) -> Result<u64, String> {
    let polled = replica.poll();
    if let Some(set) = replica.to_load() {
        let engine = load(&set).map_err(|error| error.to_string())?;
        replica
            .check(&set, &engine, None)
            .and_then(|()| replica.admit(&set))
            .inspect_err(|reason| replica.refuse(&set, reason))?;
    }
    polled.map_err(|error| error.to_string())?;
    let now = replica.in_force().ok_or("nothing is in force")?;
    Ok(now.release().counter)
}

fn in_force(replica: &Replica) -> Option<u64> {
    replica.in_force().map(|set| set.release().counter)
}

#[test]
fn a_newer_release_is_taken_up_and_an_older_one_is_not() -> Result<()> {
    let setup = Setup::new()?;
    let replica = setup.replica()?;
    ensure!(step(&replica).is_err_and(|error| error.contains("no head")));
    let first = setup.put(3, 1)?;
    ensure!(step(&replica) == Ok(3));
    ensure!(step(&replica) == Ok(3) && setup.link.fetched.load(Ordering::SeqCst) == 1);
    setup.put(7, 2)?;
    ensure!(step(&replica) == Ok(7));

    setup.link.put(&first);
    let error = step(&replica).err().context("it went back")?;
    ensure!(error.contains("release 3 is offered, and release 7 was in force"), "{error}");
    ensure!(in_force(&replica) == Some(7));
    let health = replica.status().health();
    ensure!(
        health.is_ready
            && health.lines.iter().any(|line| line.text.contains("release 3 is offered"))
    );

    // Also after a restart, and although the older set is on disk.
    drop(replica);
    let replica = setup.replica()?;
    ensure!(step(&replica).is_err_and(|error| error.contains("release 3 is offered")));
    ensure!(in_force(&replica) == Some(7));

    // Going back is a new release that says so.
    let mut back = Release::new(channel()?, 8, &first.bundle, now());
    back.rollback = Some(Rollback { from: 7, reason: "too wide".to_owned() });
    setup.link.put(&SignedFixture::of(back, 1, &setup.key)?);
    ensure!(step(&replica) == Ok(8));
    let status = replica.status();
    let release = status.in_force.context("a release")?;
    ensure!(release.digest == first.release.digest && release.rollback.is_some());
    Ok(())
}

#[test]
fn one_number_has_one_content() -> Result<()> {
    let setup = Setup::new()?;
    let replica = setup.replica()?;
    setup.put(1, 1)?;
    ensure!(step(&replica) == Ok(1));
    setup.put(1, 2)?;
    for _ in 0..2 {
        let error = step(&replica).err().context("both were taken")?;
        ensure!(error.contains("release 1 was signed twice"), "{error}");
        ensure!(in_force(&replica) == Some(1));
    }
    drop(replica);
    ensure!(step(&setup.replica()?).is_err_and(|error| error.contains("signed twice")));
    Ok(())
}

#[test]
fn the_last_good_set_serves_without_the_source() -> Result<()> {
    let setup = Setup::new()?;
    setup.put(1, 1)?;
    ensure!(step(&setup.replica()?) == Ok(1));
    setup.link.set(Fault::Cut);
    let replica = setup.replica()?;
    ensure!(step(&replica).is_err_and(|error| error.contains("the link is cut")));
    ensure!(in_force(&replica) == Some(1));

    // A damaged one does not serve, and is fetched again as soon as the source is back.
    drop(replica);
    let bundles = setup.directory.path().join("bundles");
    for entry in std::fs::read_dir(&bundles)? {
        let path = entry?.path();
        let mut bytes = std::fs::read(&path)?;
        let last = bytes.len() - 20;
        bytes.get_mut(last..).into_iter().flatten().for_each(|byte| *byte ^= 1);
        std::fs::write(path, bytes)?;
    }
    let replica = setup.replica()?;
    ensure!(replica.to_load().is_none(), "a damaged set is loaded");
    let health = replica.status().health();
    ensure!(!health.is_ready);
    ensure!(health.lines.iter().any(|line| line.text.contains("does not serve")), "{health:?}");
    setup.link.set(Fault::None);
    ensure!(step(&replica) == Ok(1));

    // A damaged signature neither, and its number is not forgotten.
    drop(replica);
    for entry in std::fs::read_dir(setup.directory.path().join("releases"))? {
        std::fs::write(entry?.path(), "{}")?;
    }
    setup.put(0, 3)?;
    let replica = setup.replica()?;
    ensure!(replica.to_load().is_none());
    ensure!(step(&replica).is_err_and(|error| error.contains("release 0 is offered")));
    setup.put(1, 1)?;
    ensure!(step(&replica) == Ok(1));
    Ok(())
}

#[test]
fn a_pin_goes_back_and_stays() -> Result<()> {
    let setup = Setup::new()?;
    let first = setup.put(1, 1)?;
    let replica = setup.replica()?;
    ensure!(step(&replica) == Ok(1));
    setup.put(2, 2)?;
    ensure!(step(&replica) == Ok(2));
    drop(replica);

    let mut options = setup.options()?;
    options.pin = Some(first.release.digest);
    let replica = setup.open(options.clone())?;
    ensure!(step(&replica) == Ok(1), "the pinned set is on disk");
    setup.put(3, 3)?;
    ensure!(step(&replica) == Ok(1));
    drop(replica);
    ensure!(step(&setup.open(options)?) == Ok(1), "and stays there");
    // Without the pin, what was in force last before is the newest one again.
    let replica = setup.replica()?;
    ensure!(step(&replica) == Ok(3));

    let mut options = setup.options()?;
    options.pin = Some(stagedoor_distribution::Digest::of(b"no such set"));
    drop(replica);
    let replica = setup.open(options)?;
    ensure!(step(&replica).is_err_and(|error| error.contains("is pinned")));
    ensure!(in_force(&replica).is_none());
    Ok(())
}

#[derive(Debug)]
struct Refuses(u64);

impl Gate for Refuses {
    fn check(&self, set: &SignedSet, _: &Engine, _: Option<&Engine>) -> Result<(), String> {
        match set.release().counter == self.0 {
            true => Err("it is refused".to_owned()),
            false => Ok(()),
        }
    }
}

#[test]
fn what_a_gate_refuses_is_tried_again_later_and_the_next_one_at_once() -> Result<()> {
    let setup = Setup::new()?;
    let replica = setup.replica()?.with_gate(Arc::new(Refuses(2)));
    setup.put(1, 1)?;
    ensure!(step(&replica) == Ok(1));
    setup.put(2, 2)?;
    ensure!(step(&replica) == Err("it is refused".to_owned()));
    let fetched = setup.link.fetched.load(Ordering::SeqCst);
    for _ in 0..3 {
        ensure!(step(&replica).is_err_and(|error| error.contains("release 2 was refused")));
    }
    setup.clock.pass(60);
    ensure!(step(&replica) == Err("it is refused".to_owned()));
    ensure!(setup.link.fetched.load(Ordering::SeqCst) == fetched, "it was fetched once");
    ensure!(replica.status().highest == Some(1), "what was refused is nothing to come after");
    ensure!(in_force(&replica) == Some(1));
    setup.put(3, 3)?;
    ensure!(step(&replica) == Ok(3));
    Ok(())
}

#[test]
fn an_old_set_goes_on_deciding_and_that_is_told() -> Result<()> {
    let setup = Setup::new()?;
    let mut signed = SignedFixture::new(1, 1, &setup.key)?.release;
    signed.expires = Some(now().after(Duration::from_secs(1000)));
    setup.link.put(&SignedFixture::of(signed, 1, &setup.key)?);
    let replica = setup.replica()?;
    ensure!(step(&replica) == Ok(1));
    setup.clock.pass(999);
    ensure!(step(&replica) == Ok(1));
    setup.link.set(Fault::Cut);
    setup.clock.pass(501);
    ensure!(step(&replica).is_err());
    let status = replica.status();
    ensure!(status.stale_seconds == 501 && status.is_ready(), "{status:?}");
    let told = |status: &stagedoor_distribution::ReplicaStatus, what: &str| {
        status.health().lines.iter().any(|line| line.text.contains(what))
    };
    ensure!(told(&status, "has expired at") && told(&status, "the link is cut"));
    drop(replica);

    let mut options = setup.options()?;
    options.max_staleness = Some(Duration::from_secs(500));
    let replica = setup.open(options)?;
    ensure!(step(&replica).is_err() && in_force(&replica) == Some(1), "it goes on deciding");
    ensure!(!replica.status().is_ready(), "it has expired");
    setup.link.set(Fault::None);
    setup.put(2, 2)?;
    ensure!(step(&replica) == Ok(2) && replica.status().is_ready());
    setup.link.set(Fault::Cut);
    setup.clock.pass(500);
    ensure!(step(&replica).is_err() && replica.status().is_ready());
    setup.clock.pass(1);
    ensure!(!replica.status().is_ready() && told(&replica.status(), "not confirmed"));
    Ok(())
}

#[test]
fn a_frozen_source_is_seen_by_the_end_of_its_release() -> Result<()> {
    let setup = Setup::new()?;
    let mut signed = SignedFixture::new(1, 1, &setup.key)?.release;
    signed.expires = Some(now().after(Duration::from_secs(100)));
    setup.link.put(&SignedFixture::of(signed, 1, &setup.key)?);
    let mut options = setup.options()?;
    options.max_staleness = Some(Duration::from_secs(60));
    let replica = setup.open(options)?;
    ensure!(step(&replica) == Ok(1));
    setup.link.set(Fault::Frozen);
    setup.put(2, 2)?;
    for _ in 0..10 {
        setup.clock.pass(10);
        ensure!(step(&replica) == Ok(1));
    }
    ensure!(!replica.status().is_ready());
    Ok(())
}

#[test]
fn whom_is_not_trusted_any_more_takes_its_sets_along() -> Result<()> {
    let setup = Setup::new()?;
    setup.put(1, 1)?;
    let replica = setup.replica()?;
    ensure!(step(&replica) == Ok(1) && replica.status().is_ready());
    replica.trust(Trust::in_key("new", key()?.verifying_key()));
    let status = replica.status();
    ensure!(!status.is_ready() && in_force(&replica) == Some(1));
    ensure!(status.in_force.is_some_and(|now| now.distrusted.is_some()));
    ensure!(step(&replica).is_ok(), "the store says that nothing has changed");
    Ok(())
}

#[test]
fn what_is_offered_no_more_is_not_loaded() -> Result<()> {
    let setup = Setup::new()?;
    let first = setup.put(1, 1)?;
    let replica = setup.replica()?;
    ensure!(step(&replica) == Ok(1));
    setup.put(2, 2)?;
    let PollOutcome::Candidate(second) = replica.poll()? else { anyhow::bail!("no candidate") };
    setup.put(3, 3)?;
    replica.poll()?;
    ensure!(replica.admit(&second).is_err(), "a newer one has come meanwhile");
    ensure!(in_force(&replica) == Some(1));
    setup.link.put(&first);
    replica.poll()?;
    ensure!(replica.to_load().is_some_and(|set| set.release().counter == 1));
    Ok(())
}

#[test]
fn a_directory_has_one_replica() -> Result<()> {
    let setup = Setup::new()?;
    let open = || {
        let trust = Trust::in_key("ci", setup.key.verifying_key());
        let options = ReplicaOptions::new("a:b".parse()?, setup.directory.path());
        anyhow::Ok(Replica::open(options, Box::new(setup.link.clone()), trust))
    };
    let first = open()??;
    ensure!(matches!(open()?, Err(ConditionalError::InUse(_))));
    drop(first);
    ensure!(open()?.is_ok());
    Ok(())
}
