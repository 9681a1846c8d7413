//! The server with a protocol of its own: what every protocol gets without asking for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode};
use stagedoor_audit::{DecisionLog, DecisionSink, Form, LogOptions};
use stagedoor_server::{
    Answer, Endpoint, Fingerprint, InForce, LoadFailure, MemoryCost, Outcome, Protocol, Question,
    Refusal, ReloadSource, Reloadable, Reloading, Server, ServerOptions, Source, SourceStatus,
};

/// Answers `fine` to everything, and panics when it is told to.
struct Parrot {
    loads: Arc<Reloading<Loads>>,
    /// Holds up requests that say `wait`.
    gate: Arc<Mutex<()>>,
}

#[derive(Default)]
struct Loads(AtomicU32);

impl ReloadSource for Loads {
    type Value = ();
    type Error = LoadFailure;

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([])
    }

    fn load(&self, _: Option<&()>) -> Result<(), LoadFailure> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 1 {
            return Err(LoadFailure::new("`secret.cedar` is wrong", "something is wrong"));
        }
        Ok(())
    }

    fn is_same(&self, (): &(), (): &()) -> bool {
        false
    }
}

impl Source for Loads {
    fn name(&self) -> &'static str {
        "policies"
    }

    fn status(&self, in_force: &InForce<()>) -> SourceStatus {
        SourceStatus {
            summary: "1 policy".to_owned(),
            revision: Some("r1".to_owned()),
            policies: Some(1),
            lost_forbids: 0,
            since: in_force.since,
        }
    }
}

impl Protocol for Parrot {
    fn endpoints(&self) -> Vec<Endpoint> {
        vec![Endpoint {
            name: "say",
            path: "/say".to_owned(),
            body_bytes: 1 << 20,
            memory: MemoryCost { byte: 1, ..MemoryCost::default() },
            is_heavy: false,
            is_compared: true,
        }]
    }

    fn sources(&self) -> Vec<Arc<dyn Reloadable>> {
        vec![Arc::<Reloading<Loads>>::clone(&self.loads)]
    }

    fn admit(&self, _: &'static str, head: &mut Parts) -> Result<(), Refusal> {
        match head.headers.contains_key("x-stranger") {
            true => Err(Refusal::new(StatusCode::UNAUTHORIZED, "who are you?")),
            false => Ok(()),
        }
    }

    #[expect(clippy::panic, reason = "what is tried here")]
    fn answer(&self, question: &Question<'_>) -> Result<Answer, Refusal> {
        assert!(question.body != "assert", "asserted");
        if question.body == "panic" {
            panic!("tried");
        }
        if question.body.starts_with("wait") {
            drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let response = Response::new(Body::from("fine"));
        let revision = Some("r1".to_owned());
        Ok(Answer {
            response,
            outcomes: vec![Outcome::Allowed],
            errors: 0,
            revision,
            reasons: Vec::new(),
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let mut response = Response::new(Body::from(refusal.message().to_owned()));
        *response.status_mut() = refusal.code();
        response
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl DecisionSink for Lines {
    fn write(&mut self, lines: &str) -> std::io::Result<()> {
        let lines = lines.lines().map(str::to_owned);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        Ok(())
    }
}

/// Asks once, on a connection of its own; returns the whole answer.
fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

async fn asked(
    address: SocketAddr,
    method: &'static str,
    path: &'static str,
    headers: &'static str,
    body: String,
) -> Result<String> {
    tokio::task::spawn_blocking(move || ask(address, method, path, headers, &body)).await?
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::await_holding_lock, reason = "it holds up the threads that decide")]
async fn a_panic_is_a_refusal_and_health_waits_for_nobody() -> Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let parrot =
        Parrot { loads: Arc::new(Reloading::new(Loads::default())), gate: Arc::clone(&gate) };
    let lines = Lines::default();
    let mut options = ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    let log = DecisionLog::new(LogOptions::default(), Form::Own, Box::new(lines.clone()));
    options.log = Some(Arc::new(log));
    options.limits.turn = Duration::from_secs(600);
    let server = Server::bind(options, Arc::new(parrot)).await?;
    let (address, handle) = (server.address().context("an address")?, server.handle());
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(server.run(async { stopped.await.unwrap_or_default() }));
    let say = |body: &str| asked(address, "POST", "/say", "", body.to_owned());

    while !asked(address, "GET", "/readyz", "", String::new()).await?.contains(" 200 ") {}
    let answer = say("hello").await?;
    assert!(answer.contains(" 200 ") && answer.contains("x-request-id: "), "{answer}");
    assert!(answer.ends_with("fine"), "{answer}");
    for body in ["panic", "assert", "panic"] {
        let answer = say(body).await?;
        assert!(answer.contains(" 500 "), "{answer}");
    }
    assert!(say("hello").await?.ends_with("fine"));
    let refused =
        asked(address, "POST", "/say", "x-stranger: 1\r\nx-request-id: q\r\n", "x".repeat(99))
            .await?;
    assert!(refused.contains(" 401 ") && refused.contains("x-request-id: q\r\n"), "{refused}");

    // More that takes its time than there are threads: health answers, and what is small too,
    // since large bodies leave it a thread.
    let held = gate.lock().map_err(|_| anyhow!("poisoned"))?;
    let large = format!("wait{}", " ".repeat(20_000));
    let waiting: Vec<_> = (0..8).map(|_| tokio::spawn(say(&large))).collect();
    let in_flight = "stagedoor_requests_in_flight 8\n";
    while !asked(address, "GET", "/metrics", "", String::new()).await?.contains(in_flight) {}
    assert!(say("hello").await?.ends_with("fine"));
    assert!(asked(address, "GET", "/livez", "", String::new()).await?.contains(" 200 "));
    drop(held);
    for answer in waiting {
        assert!(answer.await??.ends_with("fine"));
    }

    let metrics = asked(address, "GET", "/metrics", "", String::new()).await?;
    for line in [
        "stagedoor_panics_total 3\n",
        r#"stagedoor_decisions_total{endpoint="say",outcome="refused"} 4"#,
        r#"stagedoor_refusals_total{code="500"} 3"#,
        r#"stagedoor_decision_records_total{result="dropped"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    handle.reload();
    let failed = "[!]policy-reload failed";
    while !asked(address, "GET", "/readyz?verbose", "", String::new()).await?.contains(failed) {}
    let page = asked(address, "GET", "/readyz?verbose", "", String::new()).await?;
    assert!(page.contains("something is wrong") && !page.contains("secret"), "{page}");
    stop.send(()).map_err(|()| anyhow!("it has ended"))?;
    running.await??;
    let lines = lines.0.lock().map_err(|_| anyhow!("poisoned"))?.clone();
    let outcomes: Vec<bool> =
        lines.iter().map(|line| line.contains(r#""outcome":"changed""#)).collect();
    assert_eq!(outcomes, [true, false], "{lines:?}");
    Ok(())
}

/// A server of a parrot that runs until it is told to stop.
struct Running {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), stagedoor_server::ServeError>>,
}

async fn start(options: ServerOptions, gate: &Arc<Mutex<()>>) -> Result<Running> {
    let loads = Arc::new(Reloading::new(Loads::default()));
    let server = Server::bind(options, Arc::new(Parrot { loads, gate: Arc::clone(gate) })).await?;
    let address = server.address().context("an address")?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(server.run(async { stopped.await.unwrap_or_default() }));
    while !asked(address, "GET", "/readyz", "", String::new()).await?.contains(" 200 ") {}
    Ok(Running { address, stop, task })
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::await_holding_lock, reason = "it holds up the threads that decide")]
async fn what_there_is_no_memory_for_is_refused_at_once() -> Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let mut options = ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    options.limits.decision_bytes = 64 << 10;
    // Whoever waited for its turn would wait for longer than the test takes.
    options.limits.turn = Duration::from_secs(600);
    options.limits.decision = Duration::from_secs(600);
    let Running { address, stop, task } = start(options, &gate).await?;
    let say = |body: &str| asked(address, "POST", "/say", "", body.to_owned());
    let held = gate.lock().map_err(|_| anyhow!("poisoned"))?;
    let large = format!("wait{}", " ".repeat(40 << 10));
    let insisting = async move {
        loop {
            let answer = asked(address, "POST", "/say", "", large.clone()).await?;
            if !answer.contains(" 503 ") {
                return anyhow::Ok(answer);
            }
        }
    };
    let waiting = tokio::spawn(insisting);
    let refused = loop {
        let answer = say(&" ".repeat(40 << 10)).await?;
        if !answer.contains(" 200 ") {
            break answer;
        }
    };
    assert!(refused.contains(" 503 ") && refused.contains("no memory left"), "{refused}");
    assert!(say("hello").await?.ends_with("fine"), "what is small is answered");
    drop(held);
    assert!(waiting.await??.ends_with("fine"));
    assert!(say(&" ".repeat(40 << 10)).await?.ends_with("fine"), "there is memory again");
    stop.send(()).map_err(|()| anyhow!("it has ended"))?;
    Ok(task.await??)
}

/// Takes nothing, and does not come back.
struct Hanging(std::sync::mpsc::Receiver<()>);

impl DecisionSink for Hanging {
    fn write(&mut self, _: &str) -> std::io::Result<()> {
        let _ = self.0.recv();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_does_not_keep_the_server_from_ending() -> Result<()> {
    let (release, hang) = std::sync::mpsc::channel();
    let mut log_options = LogOptions::default();
    log_options.buffer = 1;
    let log = DecisionLog::new(log_options, Form::Own, Box::new(Hanging(hang)));
    let log = Arc::new(log);
    let mut options = ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    options.log = Some(Arc::clone(&log));
    options.limits.shutdown_grace = Duration::from_millis(100);
    let gate = Arc::new(Mutex::new(()));
    // The record of the policies that were loaded is in its hands.
    let Running { stop, task, .. } = start(options, &gate).await?;
    let denied = || {
        stagedoor_audit::DecisionRecord::new(
            stagedoor_audit::Platform::AuthZen,
            "say",
            stagedoor_audit::Outcome::Denied,
            serde_json::json!({}),
        )
    };
    for _ in 0..5 {
        log.record(stagedoor_audit::Outcome::Denied, false, denied)?;
    }
    stop.send(()).map_err(|()| anyhow!("it has ended"))?;
    task.await??;
    let counts = log.counts();
    assert_eq!((counts.written, counts.failed), (0, 0));
    assert!(counts.dropped >= 4, "{counts:?}");
    // Neither does what drops it.
    log.flush();
    drop(log);
    drop(release);
    Ok(())
}
