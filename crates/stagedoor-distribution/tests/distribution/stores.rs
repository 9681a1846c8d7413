//! Stores in directories and on web servers.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stagedoor_distribution::store::http::{HttpOptions, HttpStore};
use stagedoor_distribution::{
    Digest, Head, Location, PolicyStore, PollOutcome, PublishError, Replica, ReplicaOptions,
    SigningKey, StoreError, StoreOptions, Trust, newest, publish,
};

use crate::http::WebServer;
use crate::support::{SignedFixture, channel, key};

/// What each store must do, whatever it is: publish, refuse what was overtaken, tell what is new.
pub fn behaves(store: &dyn PolicyStore, key: &SigningKey) -> Result<()> {
    let trust = Trust::in_key("ci", key.verifying_key());
    let channel = channel()?;
    ensure!(newest(store, &channel, &trust)?.is_none());
    ensure!(matches!(store.head(&channel, None), Err(StoreError::Missing { .. })));

    let one = SignedFixture::new(1, 1, key)?;
    publish(store, key, &one.release, &one.bundle, None)?;
    let first = newest(store, &channel, &trust)?.context("it is published")?;
    ensure!(first.verified.release == one.release);
    ensure!(store.bundle(&channel, one.release.digest, 1 << 20)? == one.bundle);
    let Head::Found { version, .. } = store.head(&channel, None)? else {
        anyhow::bail!("unchanged, which was not asked");
    };
    ensure!(version.is_some() && store.head(&channel, version.as_ref())? == Head::Unchanged);

    let two = SignedFixture::new(2, 2, key)?;
    publish(store, key, &two.release, &two.bundle, Some(&first))?;
    ensure!(matches!(store.head(&channel, version.as_ref())?, Head::Found { .. }));
    let second = newest(store, &channel, &trust)?.context("it is published")?;
    ensure!(second.verified.release == two.release);
    // The bundle before is there still: it may have to be gone back to.
    ensure!(store.bundle(&channel, one.release.digest, 1 << 20)? == one.bundle);

    // Who has not seen the second one does not come after the first one.
    let three = SignedFixture::new(3, 3, key)?;
    let overtaken = publish(store, key, &three.release, &three.bundle, Some(&first));
    ensure!(matches!(overtaken, Err(PublishError::Store(StoreError::Changed(_)))), "{overtaken:?}");
    let again = publish(store, key, &two.release, &two.bundle, Some(&second));
    ensure!(matches!(again, Err(PublishError::Counter { .. })), "{again:?}");
    let other = publish(store, key, &three.release, &two.bundle, Some(&second));
    ensure!(matches!(other, Err(PublishError::Bundle { .. })), "{other:?}");
    ensure!(newest(store, &channel, &trust)?.context("a head")?.verified.release == two.release);

    let missing = store.bundle(&channel, Digest::of(b"not there"), 10);
    ensure!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
    // Another channel of the set is another thing.
    ensure!(newest(store, &"payments:staging".parse()?, &trust)?.is_none());
    Ok(())
}

fn directory_store(root: &std::path::Path) -> Result<Box<dyn PolicyStore>> {
    let location: Location = format!("{}/payments:production", root.display()).parse()?;
    Ok(location.open(&StoreOptions::default())?)
}

#[test]
fn a_directory_is_a_store() -> Result<()> {
    let root = tempfile::tempdir()?;
    let store = directory_store(&root.path().join("made/when/needed"))?;
    behaves(&*store, &key()?)
}

#[test]
fn two_that_publish_at_one_time_do_not_both_succeed() -> Result<()> {
    let (root, key) = (tempfile::tempdir()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let store = directory_store(root.path())?;
    let one = SignedFixture::new(1, 1, &key)?;
    publish(&*store, &key, &one.release, &one.bundle, None)?;
    let before = newest(&*store, &channel()?, &trust)?;
    let succeeded = std::thread::scope(|scope| -> Result<usize> {
        let publishing: Vec<_> = (2..10)
            .map(|policies| {
                let (store, key, before) = (&store, &key, &before);
                scope.spawn(move || -> Result<bool> {
                    let signed = SignedFixture::new(2, policies, key)?;
                    let done =
                        publish(&**store, key, &signed.release, &signed.bundle, before.as_ref());
                    Ok(done.is_ok())
                })
            })
            .collect();
        let mut succeeded = 0;
        for thread in publishing {
            let done = thread.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
            succeeded += usize::from(done?);
        }
        Ok(succeeded)
    })?;
    ensure!(succeeded == 1, "{succeeded} of 8 succeeded");
    Ok(())
}

#[test]
fn a_web_server_is_asked_whether_there_is_anything_new() -> Result<()> {
    let (root, state, key) = (tempfile::tempdir()?, tempfile::tempdir()?, key()?);
    let published = directory_store(root.path())?;
    let one = SignedFixture::new(1, 1, &key)?;
    publish(&*published, &key, &one.release, &one.bundle, None)?;

    let server = WebServer::start(root.path().to_owned())?;
    let mut options = HttpOptions::default();
    options.timeout = Duration::from_secs(20);
    options.token = Some("secret".to_owned());
    let base = format!("http://{}/", server.address);
    let store = HttpStore::new(&base, &options)?;
    let trust = Trust::in_key("ci", key.verifying_key());
    let replica = Replica::open(
        ReplicaOptions::new(channel()?, state.path()),
        Box::new(store),
        trust.clone(),
    )?;
    let PollOutcome::Candidate(set) = replica.poll()? else { anyhow::bail!("no candidate") };
    replica.admit(&set).map_err(anyhow::Error::msg)?;
    let head = "/payments/channels/production.sigstore.json";
    let blob = format!("/payments/bundles/{}.bundle.json", one.release.digest.hex());
    ensure!(
        server.asked()
            == [format!("{head} 200 Bearer secret"), format!("{blob} 200 Bearer secret")]
    );
    for _ in 0..2 {
        ensure!(matches!(replica.poll()?, PollOutcome::Confirmed));
        ensure!(server.asked() == [format!("{head} 304 Bearer secret")]);
    }
    let before = newest(&*published, &channel()?, &trust)?;
    let two = SignedFixture::new(2, 2, &key)?;
    publish(&*published, &key, &two.release, &two.bundle, before.as_ref())?;
    // What is not in force yet is offered again: the condition is what is in force.
    for codes in [["200", "200"].as_slice(), &["200"]] {
        ensure!(matches!(replica.poll()?, PollOutcome::Candidate(_)));
        let asked = server.asked();
        let found: Vec<&str> = asked.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        ensure!(found == codes, "{asked:?}");
    }
    Ok(())
}

#[test]
fn web_servers_that_answer_oddly_are_told_as_such() -> Result<()> {
    let (root, key) = (tempfile::tempdir()?, key()?);
    let server = WebServer::start(root.path().to_owned())?;
    let mut options = HttpOptions::default();
    options.timeout = Duration::from_secs(2);
    let store = HttpStore::new(&format!("http://{}", server.address), &options)?;
    let channel = channel()?;
    let head = || match store.head(&channel, None) {
        Ok(_) => "an answer".to_owned(),
        Err(error) => error.to_string(),
    };
    ensure!(head().contains("there is no"));
    let long = "x".repeat(2 << 20);
    let cases = [
        (
            "HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "cannot be reached",
        ),
        (
            "HTTP/1.1 403 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "does not let",
        ),
        (
            "HTTP/1.1 304 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "answers with",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort".to_owned(), "cannot be reached"),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len()), "larger than"),
        ("no HTTP at all\r\n\r\n".to_owned(), "cannot be reached"),
        (String::new(), "cannot be reached"),
    ];
    for (answer, expected) in cases {
        *crate::support::lock(&server.answer) = Some(answer.clone());
        let said = head();
        ensure!(said.contains(expected), "{:.60}: {said}", answer);
    }
    // Whoever serves files publishes nothing.
    let signed = SignedFixture::new(1, 1, &key)?;
    let refused = store.publish(&channel, &signed.publication());
    ensure!(matches!(refused, Err(StoreError::ReadOnly(_))));
    Ok(())
}
