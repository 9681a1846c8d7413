//! Object stores: in memory, and by a server of a few lines that speaks as S3 does.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stagedoor_distribution::store::http::HttpOptions;
use stagedoor_distribution::store::objects::{ObjectService, ObjectsStore};
use stagedoor_distribution::{
    Digest, Location, PolicyStore, PollOutcome, PublishError, Replica, ReplicaOptions, StoreError,
    Trust, newest, publish,
};

use crate::stores::behaves;
use crate::support::{SignedFixture, channel, key, lock};

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// What was asked: method, path and the code of the answer.
    asked: Vec<String>,
    /// What is answered instead.
    instead: Option<String>,
    /// Who asks.
    authorizations: Vec<String>,
}

/// A bucket that ends with the test.
#[derive(Clone)]
struct Bucket {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Bucket {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let bucket = Self { address: listener.local_addr()?, state: Arc::default() };
        let serving = bucket.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away has its reasons.
                let _ = serving.serve(stream);
            }
        });
        Ok(bucket)
    }

    fn store(&self, more: &[(&str, &str)]) -> Result<ObjectsStore> {
        let endpoint = format!("http://{}", self.address);
        let mut settings = vec![
            ("aws_endpoint", endpoint.as_str()),
            ("aws_access_key_id", "test"),
            ("aws_secret_access_key", "secret"),
            ("aws_region", "eu-central-1"),
            ("aws_allow_http", "true"),
        ];
        settings.extend(more);
        let mut options = HttpOptions::default();
        options.timeout = Duration::from_secs(20);
        Ok(ObjectsStore::with_settings(
            ObjectService::S3,
            "policies",
            "teams/a",
            &settings,
            &options,
        )?)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).asked)
    }

    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if lines.by_ref().take(65_536).read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (given, value) = line.split_once(':')?;
                given.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let mut words = head.split(' ');
        let (method, path) = (words.next().context("a method")?, words.next().context("a path")?);
        let length = header("content-length").and_then(|text| text.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        lines.read_exact(&mut body)?;
        let mut state = lock(&self.state);
        state.authorizations.extend(header("authorization"));
        if let Some(answer) = &state.instead {
            stream.write_all(answer.as_bytes())?;
            return Ok(());
        }
        let etag = |bytes: &[u8]| format!("\"{}\"", Digest::of(bytes).hex());
        let there = state.objects.get(path).cloned();
        let tag = there.as_deref().map(etag);
        let (code, tag, sent) = match (method, there) {
            ("GET", None) => {
                ("404 Not Found", None, b"<Error><Code>NoSuchKey</Code></Error>".to_vec())
            }
            ("GET", Some(_)) if header("if-none-match").is_some_and(|known| Some(known) == tag) => {
                ("304 Not Modified", tag, Vec::new())
            }
            ("GET", Some(bytes)) => ("200 OK", tag, bytes),
            ("PUT", there) => {
                let is_refused = match (header("if-none-match"), header("if-match")) {
                    (Some(_), _) => there.is_some(),
                    (_, Some(known)) => Some(known) != tag,
                    _ => false,
                };
                if is_refused {
                    ("412 Precondition Failed", None, Vec::new())
                } else {
                    let tag = etag(&body);
                    state.objects.insert(path.to_owned(), body);
                    ("200 OK", Some(tag), Vec::new())
                }
            }
            _ => ("405 Method Not Allowed", None, Vec::new()),
        };
        state.asked.push(format!("{method} {path} {}", code.get(..3).unwrap_or_default()));
        let tag = tag.map(|tag| format!("etag: {tag}\r\n")).unwrap_or_default();
        write!(
            stream,
            "HTTP/1.1 {code}\r\n{tag}last-modified: Sun, 01 Mar 2026 12:00:00 GMT\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            sent.len()
        )?;
        stream.write_all(&sent)?;
        Ok(())
    }
}

#[test]
fn a_bucket_is_a_store() -> Result<()> {
    let (bucket, key, state) = (Bucket::start()?, key()?, tempfile::tempdir()?);
    let store = bucket.store(&[])?;
    behaves(&store, &key)?;
    let credential = "AWS4-HMAC-SHA256 Credential=test/";
    ensure!(lock(&bucket.state).authorizations.iter().all(|sent| sent.starts_with(credential)));

    let trust = Trust::in_key("ci", key.verifying_key());
    let options = ReplicaOptions::new(channel()?, state.path());
    let replica = Replica::open(options, Box::new(bucket.store(&[])?), trust.clone())?;
    let PollOutcome::Candidate(set) = replica.poll()? else { anyhow::bail!("no candidate") };
    replica.admit(&set).map_err(anyhow::Error::msg)?;
    bucket.asked();
    let head = "/policies/teams/a/payments/channels/production.sigstore.json";
    ensure!(matches!(replica.poll()?, PollOutcome::Confirmed));
    ensure!(bucket.asked() == [format!("GET {head} 304")]);

    // Whoever may write the bucket changes a byte.
    let before = newest(&store, &channel()?, &trust)?;
    let three = SignedFixture::new(3, 3, &key)?;
    publish(&store, &key, &three.release, &three.bundle, before.as_ref())?;
    let name =
        format!("/policies/teams/a/payments/bundles/{}.bundle.json", three.release.digest.hex());
    if let Some(byte) = lock(&bucket.state).objects.get_mut(&name).and_then(|o| o.last_mut()) {
        *byte = b' ';
    }
    ensure!(replica.poll().is_err(), "a tampered bundle is offered");
    ensure!(replica.in_force().is_some_and(|set| set.release().counter == 2));
    Ok(())
}

#[test]
fn who_writes_first_wins() -> Result<()> {
    let (bucket, key) = (Bucket::start()?, key()?);
    let trust = Trust::in_key("ci", key.verifying_key());
    let store = bucket.store(&[])?;
    let one = SignedFixture::new(1, 1, &key)?;
    publish(&store, &key, &one.release, &one.bundle, None)?;
    let before = newest(&store, &channel()?, &trust)?;
    let succeeded = std::thread::scope(|scope| -> Result<usize> {
        let publishing: Vec<_> = (2..8)
            .map(|policies| {
                let (bucket, key, before) = (&bucket, &key, &before);
                scope.spawn(move || -> Result<bool> {
                    let signed = SignedFixture::new(2, policies, key)?;
                    let store = bucket.store(&[])?;
                    match publish(&store, key, &signed.release, &signed.bundle, before.as_ref()) {
                        Ok(()) => Ok(true),
                        Err(PublishError::Store(StoreError::Changed(_))) => Ok(false),
                        Err(error) => Err(error.into()),
                    }
                })
            })
            .collect();
        let mut succeeded = 0;
        for thread in publishing {
            succeeded += usize::from(thread.join().map_err(|_| anyhow::anyhow!("it panicked"))??);
        }
        Ok(succeeded)
    })?;
    ensure!(succeeded == 1, "{succeeded} of 6 succeeded");
    Ok(())
}

#[test]
fn buckets_that_answer_oddly_are_told_as_such() -> Result<()> {
    let bucket = Bucket::start()?;
    let store = bucket.store(&[])?;
    let channel = channel()?;
    let long = "x".repeat(2 << 20);
    let answer = |code: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {code}\r\nlast-modified: Sun, 01 Mar 2026 12:00:00 GMT\r\netag: \"a\"\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    for (answer, expected) in [
        (answer("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"), "does not let"),
        (answer("404 Not Found", ""), "there is no"),
        (answer("304 Not Modified", ""), "answers with"),
        (answer("500 No", ""), "cannot be reached"),
        (answer("200 OK", &long), "larger than"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort".to_owned(), "cannot be reached"),
        ("no HTTP at all\r\n\r\n".to_owned(), "cannot be reached"),
    ] {
        lock(&bucket.state).instead = Some(answer.clone());
        let said = match store.head(&channel, None) {
            Ok(_) => "an answer".to_owned(),
            Err(error) => error.to_string(),
        };
        ensure!(said.contains(expected), "{answer:.60}: {said}");
        ensure!(!said.contains("secret"), "{said}");
    }
    // Without TLS only where that is said.
    lock(&bucket.state).instead = None;
    let plain = bucket.store(&[("aws_allow_http", "false")])?.head(&channel, None);
    ensure!(plain.is_err_and(|error| error.to_string().contains("without TLS")));
    ensure!(bucket.store(&[("no_such", "x")]).is_err());
    Ok(())
}

#[test]
fn buckets_are_told_apart() -> Result<()> {
    for (text, port) in
        [("s3://b/p:x", 443), ("s3://b/a/c/p:x", 443), ("gs://b/p:x", 443), ("az://b/p:x", 443)]
    {
        let location: Location = text.parse()?;
        ensure!(location.to_string() == text && location.port() == Some(port), "{location}");
    }
    for text in ["s3:///p:x", "s3://p:x", "s3://u:p@b/p:x", "gs://b/p"] {
        ensure!(text.parse::<Location>().is_err(), "{text}");
    }
    Ok(())
}
