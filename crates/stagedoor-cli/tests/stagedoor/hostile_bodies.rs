//! Bodies that are made to cost memory, many at a time, at the server as it ships.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::ClientConfig;

use crate::serve::{Serving, Setup, ask, eventually, review};

/// The memory that the manifests which ship give the server, in MiB.
pub const MEMORY: u64 = 512;
/// Clients at a time, each of which sends every body.
const CLIENTS: usize = 6;
/// How often a client sends one body at most.
const TRIES: usize = 3;

/// A change that is made of objects; what is written looks like `"name":value`.
fn admission(object: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
        "operation":"UPDATE","namespace":"n","name":"x","userInfo":{{"username":"ann"}},
        "kind":{{"group":"","version":"v1","kind":"ConfigMap"}},
        "resource":{{"group":"","version":"v1","resource":"configmaps"}},
        "object":{object},"oldObject":{object}}}}}"#
    )
}

fn access(spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{{"user":"ann",
        "resourceAttributes":{{"verb":"create","resource":"pods"}},{spec}}}}}"#
    )
}

fn repeated(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(",")
}

/// A body that is made to cost memory.
pub struct Hostile {
    pub name: &'static str,
    pub path: &'static str,
    pub body: String,
}

pub fn bodies() -> Vec<Hostile> {
    let admit = |name, object: &str| Hostile { name, path: "/admit", body: admission(object) };
    let authorize = |name, spec: &str| Hostile { name, path: "/authorize", body: access(spec) };
    let data = repeated(100_000, |n| format!(r#""k{n}":"v{n}""#));
    let numbers = repeated(400_000, |n| format!("{n}"));
    let records = repeated(900_000, |_| "{}".to_owned());
    let mut deep = r#"{"a":["#.repeat(100);
    deep.push_str(&repeated(300_000, |n| format!("{n}")));
    deep.push_str(&"]}".repeat(100));
    let text = "x".repeat(3 << 20);
    let extra = repeated(55_000, |n| format!(r#""k{n:x}":["v"]"#));
    let groups = repeated(105_000, |n| format!(r#""{n}""#));
    let values = repeated(240_000, |_| r#""""#.to_owned());
    let lists = repeated(300_000, |_| "[]".to_owned());
    let keys = repeated(60_000, |n| format!(r#""{n:x}":1"#));
    let nested = repeated(30_000, |n| format!(r#""{n:x}":{{"a":1}}"#));
    let listed = repeated(100_000, |_| r#"{"a":1}"#.to_owned());
    let nameless = repeated(100_000, |n| format!(r#""{n:x}":[]"#));
    vec![
        admit("a ConfigMap of 100,000 keys", &format!(r#"{{"data":{{{data}}}}}"#)),
        admit("400,000 numbers", &format!(r#"{{"spec":{{"list":[{numbers}]}}}}"#)),
        admit("900,000 empty records", &format!(r#"{{"a":[{records}]}}"#)),
        admit("300,000 numbers, nested 200 deep", &deep),
        admit("60,000 short keys", &format!(r#"{{"x":{{{keys}}}}}"#)),
        admit("30,000 records of one key", &format!("{{{nested}}}")),
        admit("a list of 100,000 records of one key", &format!(r#"{{"x":[{listed}]}}"#)),
        admit("8,000 paths of 4,000 bytes", &long_paths(4_000, 8_000)),
        admit("one text of 3 MiB", &format!(r#"{{"data":{{"x":"{text}"}}}}"#)),
        authorize("55,000 keys of extra", &format!(r#""extra":{{{extra}}}"#)),
        authorize("105,000 groups", &format!(r#""groups":[{groups}]"#)),
        authorize("240,000 values of one key of extra", &format!(r#""extra":{{"k":[{values}]}}"#)),
        authorize("100,000 keys of extra without values", &format!(r#""extra":{{{nameless}}}"#)),
        authorize("300,000 empty lists", &format!(r#""conditionalAuthorization":[{lists}]"#)),
    ]
}

/// Returns an object of many keys below a long one.
fn long_paths(length: usize, keys: usize) -> String {
    let leaves = repeated(keys, |n| format!(r#""{n:x}":1"#));
    format!(r#"{{"{}":{{{leaves}}}}}"#, "k".repeat(length))
}

/// A body within its limit of which more would have to be kept than there is memory for.
fn oversized() -> Hostile {
    let keys = repeated(380_000, |n| format!(r#""{n:x}":1"#));
    let body = admission(&format!(r#"{{"x":{{{keys}}}}}"#));
    Hostile { name: "380,000 short keys", path: "/admit", body }
}

/// Sends a body until it is decided, a few times at most; returns all codes.
fn insist(
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
    Hostile { path, body, .. }: &Hostile,
) -> Vec<u16> {
    let mut codes = Vec::new();
    for _ in 0..TRIES {
        // Who is refused before the body is read may find the connection closed.
        codes.extend(ask(address, tls, "POST", path, body).ok().map(|(code, _)| code));
        if matches!(codes.last(), Some(200 | 413)) {
            break;
        }
        // As `retry-after` asks for, only sooner.
        std::thread::sleep(Duration::from_millis(100));
    }
    codes
}

/// Sends bodies that cost memory, and asks small questions meanwhile.
fn flood(policies: &str, more: &[&str]) -> Result<()> {
    let Setup { directory, tls, .. } = Setup::new()?;
    let path = directory.path();
    std::fs::write(path.join("policies/p.cedar"), policies)?;
    let serving = Serving::start(path, &[&["--policies", "policies"], more].concat())?;
    let address = serving.address;
    eventually("it is ready", || Ok(ask(address, &tls, "GET", "/readyz", "")?.0 == 200))?;
    let before = serving.peak_memory();
    let mut bodies = bodies();
    bodies.push(oversized());
    let left = AtomicUsize::new(CLIENTS);
    let is_over = AtomicBool::new(false);
    let mut slowest = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let hostile: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (bodies, tls, left, is_over) = (&bodies, Arc::clone(&tls), &left, &is_over);
                scope.spawn(move || -> Result<Vec<u16>> {
                    let mut codes = Vec::new();
                    for n in 0..bodies.len() {
                        let hostile = bodies.get((n + client) % bodies.len()).context("a body")?;
                        codes.extend(insist(address, &tls, hostile));
                    }
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        is_over.store(true, Ordering::Release);
                    }
                    Ok(codes)
                })
            })
            .collect();
        while !is_over.load(Ordering::Acquire) && hostile.iter().any(|h| !h.is_finished()) {
            let begun = Instant::now();
            ensure!(ask(address, &tls, "GET", "/livez", "")?.0 == 200);
            slowest.push(begun.elapsed());
            let (code, answer) = ask(address, &tls, "POST", "/authorize", &review())?;
            ensure!(code == 200 && answer.contains(r#""allowed":true"#), "{code}: {answer}");
        }
        let mut codes = std::collections::BTreeMap::<u16, usize>::new();
        for hostile in hostile {
            for code in hostile.join().map_err(|_| anyhow!("a client panicked"))?? {
                *codes.entry(code).or_default() += 1;
            }
        }
        slowest.sort_unstable();
        let p99 = slowest.get(slowest.len() * 99 / 100).copied().unwrap_or(Duration::ZERO);
        let mut told = String::new();
        write!(told, "answers {codes:?}; /livez, with its handshake, p99 {p99:?}")?;
        eprintln!("{told}; memory before {before:?} MiB, at most {:?} MiB", serving.peak_memory());
        // All are decided, or refused since there is too much at a time, or too much of one alone;
        // or a client is too slow, on a machine that does other things.
        ensure!(codes.keys().all(|code| [200, 408, 413, 503].contains(code)), "{codes:?}");
        // How many are decided depends on how fast the machine is.
        ensure!(codes.contains_key(&200), "{codes:?}");
        Ok(())
    })?;
    // With nothing else in flight every one of them is, but for the one that is too large.
    let Hostile { path, body, .. } = bodies.pop().context("a body")?;
    for Hostile { name, path, body } in &bodies {
        eventually(name, || Ok(ask(address, &tls, "POST", path, body)?.0 == 200))?;
    }
    let (code, answer) = ask(address, &tls, "POST", path, &body)?;
    ensure!(code == 413 && answer.contains("MiB of memory"), "{code}: {answer}");
    match serving.peak_memory() {
        Some(peak) => ensure!(peak < MEMORY, "{peak} MiB"),
        None => eprintln!("SKIPPED: the system does not tell the memory of a process"),
    }
    let (code, log) = serving.end("-TERM")?;
    ensure!(code == Some(0) && !log.contains("panicked"), "{code:?}: {log}");
    Ok(())
}

const READERS: &str = r#"@id("readers-read")
permit(principal in k8s::Group::"readers", action in k8s::Action::"readOnly", resource is k8s::Resource);"#;

/// The sets of policies under which bodies cost most, each with its name and what else the server
/// is told.
pub fn policies() -> [(&'static str, String, &'static [&'static str]); 2] {
    let fields = format!(
        r#"{READERS} @id("no-x") forbid (principal, action, resource is k8s::admission::Resource)
        when {{ resource has object && resource.object.hasTag("/spec/x") }};"#
    );
    let whole = format!(
        r#"{READERS} @id("no-kind") forbid (principal, action, resource is k8s::admission::Resource)
        when {{ resource has object && resource.object.hasTag(resource.kind) }};
        @id("extra") forbid (principal, action, resource)
        when {{ principal has extra && principal.extra.isEmpty() }};"#
    );
    [
        ("fields of objects, recorded whole", fields, &["--audit-log-objects"]),
        ("objects whole", whole, &[]),
    ]
}

#[test]
fn hostile_bodies_stay_within_the_memory_that_ships() -> Result<()> {
    let [(_, policies, more), _] = policies();
    flood(&policies, more)
}

#[test]
fn and_so_they_do_where_objects_are_kept_whole() -> Result<()> {
    let [_, (_, policies, more)] = policies();
    flood(&policies, more)
}
