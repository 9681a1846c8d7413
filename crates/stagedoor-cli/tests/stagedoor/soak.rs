//! The server as it ships, for minutes, under bodies that are made to cost memory.
//!
//! ```sh
//! cargo build --workspace --release --bin stagedoor
//! STAGEDOOR=target/release/stagedoor SOAK_SECONDS=600 SOAK_WORKERS=2,16 \
//!     cargo test -p stagedoor-cli --test stagedoor -- --ignored --nocapture soak
//! ```
//!
//! `what_large_bodies_cost`, called alike, sends each of these bodies alone.
//!
//! Prints one JSON object for each number of threads and each set of policies: what was answered,
//! how long `/livez` and small decisions took as clients see it, and the most memory that the server
//! had. Clients and server share the machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::ClientConfig;
use serde_json::json;

use crate::hostile_bodies::{MEMORY, bodies, policies};
use crate::serve::{OpenConnection, Serving, Setup, ask, eventually, review};

/// Clients that send hostile bodies, one after the other.
const CLIENTS: usize = 8;
/// What must hold at the 99th percentile.
const LIVEZ: Duration = Duration::from_millis(50);
const DECISION: Duration = Duration::from_millis(20);
/// Between two questions of one who measures.
const PAUSE: Duration = Duration::from_millis(5);

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[test]
#[ignore = "takes minutes: see the command above"]
fn soak() -> Result<()> {
    let time = Duration::from_secs(setting("SOAK_SECONDS", "600").parse()?);
    let program = PathBuf::from(setting("STAGEDOOR", env!("CARGO_BIN_EXE_stagedoor")));
    let program = std::fs::canonicalize(program)?;
    let mut failures = Vec::new();
    for workers in setting("SOAK_WORKERS", "2,16").split(',') {
        for (name, text, more) in policies() {
            let args = [more, &["--decision-threads", workers]].concat();
            if let Err(error) = under(&program, workers, (name, &text, &args), time) {
                failures.push(format!("{workers} threads, {name}: {error}"));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn under(
    program: &std::path::Path,
    workers: &str,
    (name, policies, more): (&str, &str, &[&str]),
    time: Duration,
) -> Result<()> {
    let Setup { directory, tls, .. } = Setup::new()?;
    let path = directory.path();
    std::fs::write(path.join("policies/p.cedar"), policies)?;
    let log = path.join("records.log");
    let log = log.to_str().context("a path")?;
    let args = [&["--policies", "policies", "--audit-log", log], more].concat();
    let mut command = std::process::Command::new(program);
    command.current_dir(path).env("TOKIO_WORKER_THREADS", workers);
    let serving = Serving::of(command, "kubernetes", &args)?;
    let address = serving.address;
    eventually("it is ready", || Ok(ask(address, &tls, "GET", "/readyz", "")?.0 == 200))?;
    let before = serving.peak_memory();
    let is_over = AtomicBool::new(false);
    let begun = Instant::now();
    let bodies = bodies();
    let (codes, livez, decisions) = std::thread::scope(|scope| -> Result<_> {
        let hostile: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (bodies, tls, is_over) = (&bodies, &tls, &is_over);
                scope.spawn(move || {
                    let mut codes = BTreeMap::<u16, usize>::new();
                    for n in client.. {
                        if is_over.load(Ordering::Acquire) {
                            break;
                        }
                        let Some(hostile) = bodies.get(n % bodies.len()) else { break };
                        let asked = ask(address, tls, "POST", hostile.path, &hostile.body);
                        // Who is refused before the body is read may find the connection closed.
                        let code = asked.map_or(0, |(code, _)| code);
                        *codes.entry(code).or_default() += 1;
                    }
                    codes
                })
            })
            .collect();
        let measured = |method: &'static str, path: &'static str, body: String, expected| {
            let (tls, is_over) = (&tls, &is_over);
            scope.spawn(move || measure(address, tls, (method, path, &body, expected), is_over))
        };
        let livez = measured("GET", "/livez", String::new(), "");
        let decision = measured("POST", "/authorize", review(), r#""allowed":true"#);
        while begun.elapsed() < time && !livez.is_finished() && !decision.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
        }
        is_over.store(true, Ordering::Release);
        let panicked = |_| anyhow!("a client panicked");
        let mut codes = BTreeMap::<u16, usize>::new();
        for client in hostile {
            for (code, count) in client.join().map_err(panicked)? {
                *codes.entry(code).or_default() += count;
            }
        }
        let (livez, decision) = (livez.join(), decision.join());
        Ok((codes, livez.map_err(panicked)??, decision.map_err(panicked)??))
    })?;
    let peak = serving.peak_memory();
    println!(
        "{}",
        json!({
            "policies": name, "workers": workers, "seconds": begun.elapsed().as_secs(),
            "hostileAnswers": codes.iter().map(|(c, n)| (c.to_string(), *n)).collect::<BTreeMap<_, _>>(),
            "livez": livez.report(), "smallDecisions": decisions.report(),
            "memoryMibBefore": before, "memoryMibPeak": peak,
        })
    );
    let (code, log) = serving.end("-TERM")?;
    ensure!(code == Some(0) && !log.contains("panicked"), "{code:?}: {log}");
    ensure!(codes.keys().all(|code| [0, 200, 408, 503].contains(code)), "{codes:?}");
    ensure!(codes.contains_key(&200), "no hostile body was decided: {codes:?}");
    ensure!(peak.is_some_and(|peak| peak < MEMORY), "{peak:?} MiB");
    ensure!(livez.at(99) < LIVEZ, "/livez: {:?}", livez.at(99));
    ensure!(decisions.at(99) < DECISION, "small decisions: {:?}", decisions.at(99));
    Ok(())
}

/// Each of the bodies alone, to a server of its own: what it takes, and by how much the memory of the
/// process rises.
#[test]
#[ignore = "measures: see the command above"]
fn what_large_bodies_cost() -> Result<()> {
    let program = PathBuf::from(setting("STAGEDOOR", env!("CARGO_BIN_EXE_stagedoor")));
    let program = std::fs::canonicalize(program)?;
    for (name, policies, more) in policies() {
        for hostile in bodies() {
            let Setup { directory, tls, .. } = Setup::new()?;
            let path = directory.path();
            std::fs::write(path.join("policies/p.cedar"), &policies)?;
            let args = [&["--policies", "policies"], more].concat();
            let mut command = std::process::Command::new(&program);
            command.current_dir(path);
            let serving = Serving::of(command, "kubernetes", &args)?;
            let address = serving.address;
            eventually("it is ready", || Ok(ask(address, &tls, "GET", "/readyz", "")?.0 == 200))?;
            let mut connection = OpenConnection::connect(address, &tls)?;
            connection.ask("POST", "/authorize", &review())?;
            let before = serving.peak_memory().context("the memory of a process")?;
            let begun = Instant::now();
            let (code, answer) = connection.ask("POST", hostile.path, &hostile.body)?;
            let took = u64::try_from(begun.elapsed().as_millis())?;
            let peak = serving.peak_memory().context("the memory of a process")?;
            println!(
                "{}",
                json!({
                    "policies": name, "body": hostile.name, "bytes": hostile.body.len(),
                    "code": code, "milliseconds": took, "memoryMib": peak - before,
                })
            );
            ensure!(code == 200, "{code}: {answer}");
            serving.end("-TERM")?;
        }
    }
    Ok(())
}

struct Times(Vec<Duration>);

impl Times {
    fn at(&self, percentile: usize) -> Duration {
        let at = self.0.len() * percentile / 100;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().unwrap_or(Duration::MAX)
    }

    fn report(&self) -> serde_json::Value {
        let micros =
            |percentile| u64::try_from(self.at(percentile).as_micros()).unwrap_or(u64::MAX);
        json!({
            "asked": self.0.len(), "p50Micros": micros(50), "p99Micros": micros(99),
            "slowestMicros": micros(100),
        })
    }
}

/// Asks again and again on a connection that is kept; every answer must be 200 and have a text.
fn measure(
    address: std::net::SocketAddr,
    tls: &Arc<ClientConfig>,
    (method, path, body, expected): (&str, &str, &str, &str),
    is_over: &AtomicBool,
) -> Result<Times> {
    let mut connection = OpenConnection::connect(address, tls)?;
    let mut times = Vec::new();
    while !is_over.load(Ordering::Acquire) {
        let begun = Instant::now();
        let (code, answer) = connection.ask(method, path, body)?;
        times.push(begun.elapsed());
        ensure!(code == 200 && answer.contains(expected), "{path}: {code}: {answer}");
        std::thread::sleep(PAUSE);
    }
    times.sort_unstable();
    Ok(Times(times))
}
