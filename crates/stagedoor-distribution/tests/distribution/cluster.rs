//! Releases as objects of a cluster, by an API server of a few lines. `tests/cluster` has a real one.

#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stagedoor_core::{Engine, LoadError};
use stagedoor_distribution::store::http::HttpOptions;
use stagedoor_distribution::store::kubernetes::{
    KubernetesStore, PolicySetRefusal, PolicySetReview,
};
use stagedoor_distribution::{
    Digest, Follower, Hint, Location, PolicyStore, PollOutcome, Release, Replica, ReplicaOptions,
    StoreError, StoreOptions, Trust, newest, publish,
};
use stagedoor_source::{PolicyOrigin as _, SetRefusal};

use crate::api_server::ApiServer;
use crate::stores::behaves;
use crate::support::{SignedFixture, channel, key, load, now};

const NAME: &str = "payments--production";

fn store(server: &ApiServer, name: &str) -> Result<KubernetesStore> {
    let mut options = HttpOptions::default();
    options.timeout = Duration::from_secs(20);
    let api = format!("http://{}", server.address);
    Ok(KubernetesStore::at(&api, "gate", &options)?.called(name))
}

fn replica(
    server: &ApiServer,
    name: &str,
    trust: &Trust,
    state: &tempfile::TempDir,
) -> Result<Replica> {
    let options = ReplicaOptions::new(channel()?, state.path().join(name));
    Ok(Replica::open(options, Box::new(store(server, name)?), trust.clone())?)
}

/// Looks, and takes up what is offered.
fn take(replica: &Replica) -> Result<()> {
    replica.poll()?;
    let set = replica.to_load().context("a set")?;
    let engine = load(&set)?;
    replica.check(&set, &engine, None).map_err(anyhow::Error::msg)?;
    replica.admit(&set).map_err(anyhow::Error::msg)
}

fn accepted(server: &ApiServer) -> Result<(String, String, Value)> {
    let object = server.object("policysets", NAME).context("an object")?;
    let condition = &object["status"]["conditions"][0];
    let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("message"), object["status"]["replicas"].clone()))
}

/// Loads policies of which the second asks for what there is not.
fn wrong() -> Result<Engine, LoadError> {
    let policies = "@id(\"right\") permit (principal, action, resource);\n\
                    @id(\"wrong\") permit (principal, action, resource) when { resource.nope };\n";
    let schema = "entity User, Doc; action read appliesTo { principal: User, resource: Doc };";
    Engine::builder().schema("app.cedarschema", schema).policies("p.cedar", policies).build()
}

#[test]
fn a_cluster_is_a_store() -> Result<()> {
    let (server, key) = (ApiServer::start()?, key()?);
    let location: Location =
        format!("kubernetes+http://{}/gate/payments:production", server.address).parse()?;
    ensure!(location.namespace() == Some("gate"));
    behaves(&*location.open(&StoreOptions::default())?, &key)?;
    ensure!(server.names("policysets") == [NAME]);

    // A bundle that no object holds is as many parts as it takes.
    let trust = Trust::in_key("ci", key.verifying_key());
    let store = store(&server, "a")?;
    let before = newest(&store, &channel()?, &trust)?;
    let large = crate::support::bundle(40_000).into_bytes();
    let release = Release::new(channel()?, 3, &large, now());
    publish(&store, &key, &release, &large, before.as_ref())?;
    let digest = release.digest;
    let part = |index: usize| format!("sha256-{}-{index}", digest.hex());
    let parts = large.len().div_ceil(900_000);
    ensure!(parts > 2 && server.object("policysetparts", &part(parts - 1)).is_some());
    ensure!(server.object("policysetparts", &part(parts)).is_none());
    ensure!(store.bundle(&channel()?, digest, large.len() as u64)? == large);
    let limited = store.bundle(&channel()?, digest, large.len() as u64 - 1);
    ensure!(matches!(limited, Err(StoreError::TooLarge { .. })), "{limited:?}");

    // A part that is another one, or is not there, is never half a set.
    let state = tempfile::tempdir()?;
    let replica = replica(&server, "a", &trust, &state)?;
    let whole = server.object("policysetparts", &part(1)).context("a part")?;
    for change in [
        |part: &mut Value| {
            part["spec"]["data"] = json!("AAAA");
            true
        },
        |part: &mut Value| {
            part["spec"]["index"] = json!(0);
            true
        },
        |part: &mut Value| {
            part["spec"]["parts"] = json!(2);
            true
        },
        |part: &mut Value| {
            part["spec"] = json!([]);
            true
        },
        |part: &mut Value| {
            part["spec"]["data"] = json!("no base64");
            true
        },
    ] {
        server.change("policysetparts", &part(1), change);
        ensure!(replica.poll().is_err() && replica.to_load().is_none(), "half a set is offered");
        server.change("policysetparts", &part(1), |there| {
            *there = whole.clone();
            true
        });
    }
    ensure!(matches!(replica.poll()?, PollOutcome::Candidate(set) if set.bytes() == large));
    // Somebody has put something else in the place of a bundle that is to be published.
    let four = SignedFixture::new(4, 4, &key)?;
    let name = format!("sha256-{}-0", four.release.digest.hex());
    let before = newest(&store, &channel()?, &trust)?;
    publish(&store, &key, &four.release, &four.bundle, before.as_ref())?;
    server.change("policysetparts", &name, |part| {
        part["spec"]["data"] = json!("AAAA");
        true
    });
    let before = newest(&store, &channel()?, &trust)?;
    let again = Release::new(channel()?, 5, &four.bundle, now());
    let refused = publish(&store, &key, &again, &four.bundle, before.as_ref());
    ensure!(refused.is_err_and(|error| error.to_string().contains("delete it")));
    Ok(())
}

#[test]
fn a_cluster_that_does_not_answer_is_told_as_such() -> Result<()> {
    let (server, key) = (ApiServer::start()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let (state, store) = (tempfile::tempdir()?, store(&server, "a")?);
    let one = SignedFixture::new(1, 1, &key)?;
    publish(&store, &key, &one.release, &one.bundle, None)?;
    let replica = replica(&server, "a", &trust, &state)?;
    take(&replica)?;
    for (code, reason) in [(403, "Forbidden"), (401, "Unauthorized"), (500, "InternalError")] {
        server.refuse(Some((code, reason)));
        let refused = store.head(&channel()?, None).err().context("it answers")?;
        ensure!(refused.to_string().contains(reason), "{refused}");
        ensure!(replica.poll().is_err() && replica.in_force().is_some());
        ensure!(replica.tell_store().is_err());
    }
    server.refuse(None);
    ensure!(matches!(replica.poll()?, PollOutcome::Confirmed));
    // What is there is no release, or is of somebody else.
    for spec in [json!({}), json!("x"), json!({ "set": "A" }), Value::Null] {
        server.change("policysets", NAME, |object| {
            object["spec"] = spec;
            object["metadata"]["generation"] = json!(99);
            true
        });
        let odd = store.head(&channel()?, None);
        ensure!(matches!(odd, Err(StoreError::Answer { .. })), "{odd:?}");
    }
    // Who removes it changes nothing that is in force.
    server.change("policysets", NAME, |_| false);
    ensure!(matches!(store.head(&channel()?, None), Err(StoreError::Missing { .. })));
    ensure!(replica.poll().is_err() && replica.in_force().is_some());
    Ok(())
}

#[test]
fn a_watch_is_a_hint() -> Result<()> {
    let (server, key) = (ApiServer::start()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let (publisher, watcher) = (store(&server, "p")?, store(&server, "w")?);
    let one = SignedFixture::new(1, 1, &key)?;
    publish(&publisher, &key, &one.release, &one.bundle, None)?;
    let wait = |millis| anyhow::Ok(watcher.wait(&channel()?, Duration::from_millis(millis)));
    ensure!(wait(20_000)? == Hint::Given, "what came before it watched may be missed");
    ensure!(wait(50)? == Hint::TimedOut);
    let publish_next = |counter| -> Result<()> {
        let before = newest(&publisher, &channel()?, &trust)?;
        let next = SignedFixture::new(counter, counter, &key)?;
        Ok(publish(&publisher, &key, &next.release, &next.bundle, before.as_ref())?)
    };
    publish_next(2)?;
    ensure!(wait(20_000)? == Hint::Given);
    ensure!(wait(50)? == Hint::TimedOut);
    // A status is none.
    server.change("policysets", NAME, |object| {
        object["status"] = json!({ "replicas": [] });
        true
    });
    ensure!(wait(50)? == Hint::TimedOut);
    // A watch that ends begins again, after a pause, and finds what came meanwhile.
    server.cut();
    publish_next(3)?;
    ensure!(wait(30_000)? == Hint::Given);
    // A server that refuses is not asked without a pause.
    server.refuse(Some((500, "InternalError")));
    let before = server.watches();
    ensure!(wait(1500)? == Hint::TimedOut);
    ensure!(server.watches() - before < 10, "{} watches", server.watches() - before);
    Ok(())
}

#[test]
fn a_follower_needs_no_poll_to_take_up_what_is_new() -> Result<()> {
    let (server, key) = (ApiServer::start()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let (state, publisher) = (tempfile::tempdir()?, store(&server, "p")?);
    let replica = replica(&server, "a", &trust, &state)?;
    let follower = Follower::start(replica, None, Duration::from_secs(86_400))?;
    let mut before = None;
    for counter in 1..=3 {
        let next = SignedFixture::new(counter, counter, &key)?;
        publish(&publisher, &key, &next.release, &next.bundle, before.as_ref())?;
        before = newest(&publisher, &channel()?, &trust)?;
        let begun = Instant::now();
        loop {
            ensure!(begun.elapsed() < Duration::from_secs(60), "release {counter} is not taken up");
            let is_it = |set: &std::sync::Arc<stagedoor_distribution::SignedSet>| {
                set.release().counter == counter
            };
            if let Some(set) = follower.replica().to_load().filter(is_it) {
                follower.replica().admit(&set).map_err(anyhow::Error::msg)?;
                break;
            }
            std::thread::yield_now();
        }
    }
    ensure!(follower.health().is_some_and(|health| health.is_ready));
    // It tells the cluster by itself.
    let begun = Instant::now();
    while accepted(&server)?.0 != "True" {
        ensure!(begun.elapsed() < Duration::from_secs(60), "{:?}", accepted(&server)?);
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn replicas_say_how_they_are() -> Result<()> {
    let (server, key) = (ApiServer::start()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let (state, publisher) = (tempfile::tempdir()?, store(&server, "p")?);
    let one = SignedFixture::new(1, 1, &key)?;
    publish(&publisher, &key, &one.release, &one.bundle, None)?;
    let (a, b) = (replica(&server, "a", &trust, &state)?, replica(&server, "b", &trust, &state)?);
    take(&a)?;
    a.tell_store()?;
    let (status, _, replicas) = accepted(&server)?;
    let set = a.in_force().context("a set")?;
    let revision = load(&set)?.revision().to_owned();
    ensure!(status == "True" && replicas[0]["name"] == "a", "{replicas}");
    ensure!(replicas[0]["revision"] == revision.as_str() && replicas[0]["release"] == 1);
    // Saying it again is no write.
    let version = || {
        server
            .object("policysets", NAME)
            .map(|object| object["metadata"]["resourceVersion"].clone())
    };
    let before = version();
    a.poll()?;
    a.tell_store()?;
    ensure!(version() == before);

    let two = SignedFixture::new(2, 2, &key)?;
    let first = newest(&publisher, &channel()?, &trust)?;
    publish(&publisher, &key, &two.release, &two.bundle, first.as_ref())?;
    // One takes it up, the other one refuses it: it is not accepted, in whatever order they say so.
    b.poll()?;
    let set = b.to_load().context("a set")?;
    let error = wrong().err().context("policies that do not load")?;
    let (details, problems) = (error.to_string(), error.problems());
    b.refuse_with(&set, &SetRefusal { reason: "it has problems", details: &details, problems });
    b.tell_store()?;
    take(&a)?;
    a.tell_store()?;
    let (status, message, replicas) = accepted(&server)?;
    ensure!(status == "False" && message.contains("p.cedar:2:"), "{message}");
    let told = server.object("policysets", NAME).context("an object")?["status"]["problems"].take();
    ensure!(told[0]["file"] == "p.cedar" && told[0]["line"] == 2, "{told}");
    ensure!(told[0]["policy"] == "wrong" && told[0]["release"] == 2, "{told}");
    ensure!(replicas[1]["refused"] == 2 && replicas[0]["release"] == 2, "{replicas}");
    // Everybody reads of health, which has no more than it had.
    let health = serde_json::to_string(&b.status())?;
    ensure!(!health.contains("p.cedar") && health.contains("it has problems"), "{health}");
    // A release that nobody has got yet is not accepted, and says so as soon as one looks.
    let second = newest(&publisher, &channel()?, &trust)?;
    let three = SignedFixture::new(3, 3, &key)?;
    publish(&publisher, &key, &three.release, &three.bundle, second.as_ref())?;
    a.poll()?;
    a.tell_store()?;
    ensure!(accepted(&server)?.0 != "True", "a release is accepted that nobody has");
    Ok(())
}

#[test]
fn many_replicas_say_it_at_one_time() -> Result<()> {
    let (server, key) = (ApiServer::start()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let (state, publisher) = (tempfile::tempdir()?, store(&server, "p")?);
    let one = SignedFixture::new(1, 1, &key)?;
    publish(&publisher, &key, &one.release, &one.bundle, None)?;
    let replicas: Vec<Replica> = (0..12)
        .map(|number| replica(&server, &format!("r{number}"), &trust, &state))
        .collect::<Result<_>>()?;
    replicas.iter().try_for_each(take)?;
    std::thread::scope(|scope| {
        for replica in &replicas {
            // Whoever wrote at the same time is told so, and says it when it looks next.
            scope.spawn(move || while replica.tell_store().is_err() {});
        }
    });
    let (status, message, told) = accepted(&server)?;
    ensure!(status == "True" && message.contains("12 replicas"), "{message}");
    ensure!(told.as_array().is_some_and(|told| told.len() == 12));
    Ok(())
}

#[test]
fn what_is_written_is_reviewed() -> Result<()> {
    let (server, foreign, key) = (ApiServer::start()?, key()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let store = store(&server, "a")?;
    let (one, two) = (SignedFixture::new(1, 1, &key)?, SignedFixture::new(2, 2, &key)?);
    publish(&store, &key, &one.release, &one.bundle, None)?;
    let first = server.object("policysets", NAME).context("an object")?;
    let before = newest(&store, &channel()?, &trust)?;
    publish(&store, &key, &two.release, &two.bundle, before.as_ref())?;
    let second = server.object("policysets", NAME).context("an object")?;

    let at = |object: &Value, old: Option<&Value>, now| -> Result<u64, PolicySetRefusal> {
        let review = PolicySetReview::new(object, old)?;
        Ok(store.review(&review, &trust, now, 1 << 20)?.release().counter)
    };
    let review = |object: &Value, old: Option<&Value>| at(object, old, now());
    ensure!(review(&first, None)? == 1 && review(&second, Some(&first))? == 2);
    ensure!(review(&second, Some(&second))? == 2, "a label cannot be changed");
    let older = review(&first, Some(&second));
    ensure!(matches!(older, Err(PolicySetRefusal::Older { old: 2, new: 1 })), "{older:?}");
    // An old one that nobody trusted has signed holds up nothing.
    let mut forged = second.clone();
    let other = SignedFixture::new(99, 1, &foreign)?;
    let signature = |signed: &SignedFixture| json!(String::from_utf8_lossy(&signed.envelope));
    forged["spec"]["signature"] = signature(&other);
    forged["spec"]["release"] = json!(99);
    forged["spec"]["bundle"] = json!({ "digest": one.release.digest, "bytes": one.bundle.len() });
    ensure!(review(&second, Some(&forged))? == 2);
    ensure!(matches!(review(&forged, None), Err(PolicySetRefusal::Verify(_))));
    // What people read is what is signed.
    for (field, value) in [
        ("release", json!(3)),
        ("channel", json!("staging")),
        ("set", json!("others")),
        ("bundle", json!({ "digest": Digest::of(b"x"), "bytes": 1 })),
        ("signature", json!("")),
    ] {
        let mut object = second.clone();
        object["spec"][field] = value;
        let refused = review(&object, Some(&first));
        ensure!(matches!(refused, Err(PolicySetRefusal::Form(_))), "{field}: {refused:?}");
    }
    // Signed for another channel, and called like it.
    let mut staging = second.clone();
    staging["spec"]["channel"] = json!("staging");
    staging["metadata"]["name"] = json!("payments--staging");
    ensure!(matches!(review(&staging, None), Err(PolicySetRefusal::Verify(_))));
    let mut elsewhere = second.clone();
    elsewhere["metadata"]["namespace"] = json!("other");
    ensure!(matches!(review(&elsewhere, None), Err(PolicySetRefusal::Namespace(_))));
    // Expired ones are not taken up; those that are there may get a label.
    let mut release = Release::new(channel()?, 3, &one.bundle, now());
    release.expires = Some(now().after(Duration::from_secs(10)));
    let late = SignedFixture::of(release, 1, &key)?;
    let mut expiring = second.clone();
    expiring["spec"]["signature"] = signature(&late);
    expiring["spec"]["release"] = json!(3);
    expiring["spec"]["bundle"] = json!({ "digest": one.release.digest, "bytes": one.bundle.len() });
    let afterwards = now().after(Duration::from_secs(20));
    ensure!(review(&expiring, Some(&second))? == 3);
    ensure!(at(&expiring, Some(&second), afterwards).is_err());
    ensure!(at(&expiring, Some(&expiring), afterwards)? == 3);
    // Its bundle is not there.
    server.change("policysetparts", &format!("sha256-{}-0", two.release.digest.hex()), |_| false);
    ensure!(matches!(review(&second, Some(&first)), Err(PolicySetRefusal::Bundle(_))));
    Ok(())
}

#[test]
fn namespaces_are_told_apart() {
    for text in [
        "kubernetes:///p:x",
        "kubernetes://A/p:x",
        "kubernetes://a.b/p:x",
        "kubernetes://a/b/p:x",
        "kubernetes://a",
        "kubernetes://u:p@a/p:x",
        "kubernetes+http://h/p:x",
        "kubernetes+http://h:1/a/b/p:x",
    ] {
        let opened =
            text.parse::<Location>().map(|location| location.open(&StoreOptions::default()));
        assert!(!matches!(opened, Ok(Ok(_))), "{text}");
    }
    for text in ["kubernetes://gate/p:x", "kubernetes+http://127.0.0.1:8001/gate/p:x"] {
        let shown = text.parse::<Location>().map(|location| location.to_string());
        assert_eq!(shown.as_deref(), Ok(text));
    }
}
