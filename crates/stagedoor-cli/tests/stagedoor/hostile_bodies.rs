//! Bodies that are made to cost memory, many at a time, at the server as it ships.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::serve::{Serving, Setup, ask, eventually, review};

/// The memory that the manifests which ship give the server, in MiB.
const MEMORY: u64 = 512;
/// Clients at a time, and what each of them sends.
const CLIENTS: usize = 6;
const ROUNDS: usize = 1;

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

fn bodies() -> Vec<(&'static str, String)> {
    let config_map = repeated(100_000, |n| format!(r#""k{n}":"v{n}""#));
    let extra = repeated(55_000, |n| format!(r#""k{n:x}":["v"]"#));
    let mut deep = String::new();
    for _ in 0..100 {
        deep.push_str(r#"{"a":["#);
    }
    deep.push_str(&repeated(300_000, |n| format!("{n}")));
    for _ in 0..100 {
        deep.push_str("]}");
    }
    vec![
        ("/admit", admission(&format!(r#"{{"data":{{{config_map}}}}}"#))),
        (
            "/admit",
            admission(&format!(
                r#"{{"spec":{{"list":[{}]}}}}"#,
                repeated(400_000, |n| format!("{n}"))
            )),
        ),
        ("/admit", admission(&format!(r#"{{"a":[{}]}}"#, repeated(900_000, |_| "{}".to_owned())))),
        ("/admit", admission(&deep)),
        ("/admit", admission(&format!(r#"{{"data":{{"x":"{}"}}}}"#, "x".repeat(3 << 20)))),
        ("/authorize", access(&format!(r#""extra":{{{extra}}}"#))),
        (
            "/authorize",
            access(&format!(r#""groups":[{}]"#, repeated(105_000, |n| format!(r#""{n}""#)))),
        ),
        (
            "/authorize",
            access(&format!(r#""extra":{{"k":[{}]}}"#, repeated(240_000, |_| r#""""#.to_owned()))),
        ),
        (
            "/authorize",
            access(&format!(
                r#""conditionalAuthorization":[{}]"#,
                repeated(300_000, |_| "[]".to_owned())
            )),
        ),
    ]
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
    let bodies = bodies();
    let left = AtomicUsize::new(CLIENTS);
    let is_over = AtomicBool::new(false);
    let mut slowest = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let hostile: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (bodies, tls, left, is_over) = (&bodies, Arc::clone(&tls), &left, &is_over);
                scope.spawn(move || -> Result<Vec<u16>> {
                    let mut codes = Vec::new();
                    for n in 0..ROUNDS * bodies.len() {
                        let (path, body) =
                            bodies.get((n + client) % bodies.len()).context("a body")?;
                        // Who is refused before the body is read may find the connection closed.
                        if let Ok((code, _)) = ask(address, &tls, "POST", path, body) {
                            codes.push(code);
                        }
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
        // All are decided, or refused since there is too much at a time.
        ensure!(codes.keys().all(|code| [200, 503].contains(code)), "{codes:?}");
        ensure!(codes.get(&200) > Some(&bodies.len()), "{codes:?}");
        Ok(())
    })?;
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

#[test]
fn hostile_bodies_stay_within_the_memory_that_ships() -> Result<()> {
    flood(
        &format!(
            r#"{READERS} @id("no-x") forbid (principal, action, resource is k8s::admission::Resource)
        when {{ resource has object && resource.object.hasTag("/spec/x") }};"#
        ),
        &["--audit-log-objects"],
    )
}

#[test]
fn and_so_they_do_where_objects_are_kept_whole() -> Result<()> {
    flood(
        &format!(
            r#"{READERS} @id("no-kind") forbid (principal, action, resource is k8s::admission::Resource)
        when {{ resource has object && resource.object.hasTag(resource.kind) }};
        @id("extra") forbid (principal, action, resource)
        when {{ principal has extra && principal.extra.isEmpty() }};"#
        ),
        &[],
    )
}
