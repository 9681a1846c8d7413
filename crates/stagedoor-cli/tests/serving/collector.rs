//! A collector of OpenTelemetry on the loopback, and what the command sends it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::serving::{Serving, eventually, shared};

/// What came to a collector, and how it answers.
#[derive(Default)]
struct CollectorState {
    /// The records, each in the body of a log.
    records: Vec<Value>,
    requests: usize,
    wrong: Vec<String>,
    /// The codes with which the next requests are answered; 200 once there are no more.
    codes: Vec<u16>,
}

#[derive(Clone)]
struct Collector {
    endpoint: String,
    received: Arc<Mutex<CollectorState>>,
}

impl Collector {
    /// Starts a collector that first gives these answers.
    fn start(codes: &[u16]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let received = CollectorState { codes: codes.to_vec(), ..CollectorState::default() };
        let collector = Self { endpoint, received: Arc::new(Mutex::new(received)) };
        let taking = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taking = taking.clone();
                std::thread::spawn(move || {
                    if let Err(error) = taking.serve(stream) {
                        taking.received().wrong.push(error.to_string());
                    }
                });
            }
        });
        Ok(collector)
    }

    fn received(&self) -> std::sync::MutexGuard<'_, CollectorState> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let head = head.to_ascii_lowercase();
            ensure!(head.starts_with("post /v1/logs http/1.1\r\n"), "{head}");
            ensure!(head.contains("content-type: application/json\r\n"), "{head}");
            ensure!(head.contains("authorization: bearer secret\r\n"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.context("a length")?.trim().parse()?];
            reader.read_exact(&mut body)?;
            let code = self.take(&serde_json::from_slice(&body)?)?;
            let answer = if code == 200 { r#"{"partialSuccess":{}}"# } else { "" };
            let length = answer.len();
            write!(stream, "HTTP/1.1 {code} x\r\ncontent-length: {length}\r\n\r\n{answer}")?;
        }
    }

    /// Takes a request as the protocol's definition has it; returns with which code it is answered.
    fn take(&self, request: &Value) -> Result<u16> {
        let mut received = self.received();
        received.requests += 1;
        let code = received.codes.pop().unwrap_or(200);
        if code != 200 {
            return Ok(code);
        }
        let service = request.pointer("/resourceLogs/0/resource/attributes/0/value/stringValue");
        ensure!(service == Some(&json!("stagedoor")), "{request}");
        let logs = request.pointer("/resourceLogs/0/scopeLogs/0/logRecords");
        for log in logs.and_then(Value::as_array).context("logs")? {
            // Integers of 64 bits are texts there.
            for time in ["timeUnixNano", "observedTimeUnixNano"] {
                let time = log[time].as_str().context("a time")?.parse::<u64>()?;
                ensure!(time > 1_700_000_000_000_000_000, "{log}");
            }
            ensure!(log["timeUnixNano"] != log["observedTimeUnixNano"], "{log}");
            ensure!(log["severityNumber"].is_u64() && log["eventName"].is_string(), "{log}");
            let body = log.pointer("/body/stringValue").and_then(Value::as_str);
            received.records.push(serde_json::from_str(body.context("a body")?)?);
        }
        Ok(code)
    }
}

fn serving(collector: &str, more: &[&str]) -> Result<Serving> {
    let world = shared("worlds/certification");
    let world = world.to_str().context("a path")?;
    let args = ["--policies", world, "--entities", world, "--audit-log", collector];
    let headers = [("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")];
    Serving::start_with(&[args.as_slice(), more].concat(), &headers)
}

fn question(user: &str, action: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": user, "properties": {"role": "tester"}},
        "action": {"name": action}, "resource": {"type": "record", "id": "record-1"},
        "context": {"ip": "192.0.2.7", "time": "2025-06-27T18:03:07Z"},
    })
}

/// Asks as each of several clients; returns which ids of requests there were.
fn ask_many(serving: &Serving, clients: usize, each: usize) -> Result<BTreeMap<String, usize>> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..clients)
            .map(|client| {
                scope.spawn(move || -> Result<()> {
                    for n in 0..each {
                        let id = format!("q-{client}-{n}");
                        let (user, action) = [("alice", "read"), ("bob", "write")][n % 2];
                        let body = question(user, action).to_string();
                        let path = "/access/v1/evaluation";
                        let answered = serving.post(path, &body, &[("x-request-id", &id)])?;
                        ensure!(answered.code == 200, "{}", answered.text);
                    }
                    Ok(())
                })
            })
            .collect();
        for client in asking {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        let ids = (0..clients).flat_map(|c| (0..each).map(move |n| (format!("q-{c}-{n}"), 1)));
        Ok(ids.collect())
    })
}

fn count(serving: &Serving, result: &str) -> Result<u64> {
    let name = format!("stagedoor_decision_records_total{{result=\"{result}\"}} ");
    let metrics = serving.get("/metrics")?.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    Ok(line.context("a counter")?.parse()?)
}

#[test]
fn a_collector_gets_each_record_once_under_load_with_reloads() -> Result<()> {
    // It is overloaded at first, as it may be: then the same is sent again.
    let collector = Collector::start(&[429, 503, 502])?;
    let serving = serving(&collector.endpoint, &[])?;
    let expected = std::thread::scope(|scope| -> Result<_> {
        let asking = scope.spawn(|| ask_many(&serving, 4, 100));
        while !asking.is_finished() {
            serving.signal("-HUP")?;
            serving.get("/livez")?;
        }
        asking.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
    })?;
    eventually("all records are sent", || {
        Ok(collector.received().records.len() as u64 == count(&serving, "written")?
            && collector.received().records.len() > expected.len())
    })?;
    assert_eq!((count(&serving, "dropped")?, count(&serving, "failed")?), (0, 0));
    serving.end()?;
    let received = collector.received();
    assert_eq!(received.wrong, Vec::<String>::new());
    let mut found = BTreeMap::new();
    for record in &received.records {
        if record["endpoint"] == "evaluation" {
            let id = record["requestId"].as_str().context("an id")?;
            *found.entry(id.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(found, expected);
    assert!(received.requests < received.records.len(), "they go in batches");
    Ok(())
}

#[test]
fn what_is_sent_is_sampled_dropped_and_masked_and_in_the_form_that_was_asked_for() -> Result<()> {
    let collector = Collector::start(&[])?;
    let serving = serving(
        &collector.endpoint,
        &[
            "--audit-log-format",
            "ecs",
            "--audit-log-decisions",
            "all",
            "--audit-log-sample",
            "allowed=0.1",
            "--audit-log-drop",
            "/request/subject/id=carol*",
            "--audit-log-mask",
            "/request/context/ip",
            "--audit-log-mask",
            "/request/subject/properties/*",
        ],
    )?;
    for n in 0..50 {
        serving.decision(&question("alice", "read"))?;
        serving.decision(&question("bob", "write"))?;
        assert!(!serving.decision(&question(&format!("carol-{n}"), "write"))?);
    }
    eventually("what is left out is counted", || Ok(count(&serving, "excluded")? == 50))?;
    serving.end()?;
    let received = collector.received();
    assert_eq!(received.wrong, Vec::<String>::new());
    let decided: Vec<&Value> =
        received.records.iter().filter(|r| r["stagedoor"]["endpoint"] == "evaluation").collect();
    let of = |outcome: &str| {
        decided.iter().filter(|record| record["stagedoor"]["outcome"] == outcome).count()
    };
    assert_eq!((of("allowed"), of("denied")), (5, 50));
    for record in decided {
        assert_eq!(record["event"]["category"], json!(["api"]), "{record}");
        let request = &record["stagedoor"]["request"];
        assert_eq!(request["context"]["ip"], "(masked)");
        assert_eq!(request["context"]["time"], "2025-06-27T18:03:07Z");
        assert_eq!(request["subject"]["properties"], json!({"role": "(masked)"}));
        let expected = json!(["/request/context/ip", "/request/subject/properties/role"]);
        assert_eq!(record["stagedoor"]["masked"], expected);
        let sample = &record["stagedoor"]["sample"];
        let is_allowed = record["stagedoor"]["outcome"] == "allowed";
        assert_eq!(*sample, if is_allowed { json!(0.1) } else { json!(null) });
    }
    Ok(())
}

#[test]
fn a_collector_that_hangs_holds_up_nobody_and_what_is_lost_is_counted() -> Result<()> {
    // Connections come to it, and nobody takes them.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let serving = serving(&endpoint, &["--audit-log-buffer", "10"])?;
    ask_many(&serving, 2, 200)?;
    // The rest is in the hands of the writer, or waits.
    assert!(count(&serving, "dropped")? >= 400 - 256 - 10);
    assert_eq!(count(&serving, "written")?, 0);
    Ok(())
}

#[test]
fn what_must_be_recorded_is_refused_while_the_collector_is_away() -> Result<()> {
    let away = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let serving_without = serving(&format!("http://{away}"), &["--audit-log-required"])?;
    let mut asked = question("alice", "read");
    assert!(!serving_without.decision(&asked)?);
    asked["options"] = json!({"explain": true});
    let answer = serving_without.ask("/access/v1/evaluation", &asked)?;
    assert_eq!(answer["decision"], false);
    assert!(answer["context"].to_string().contains("audit::not-recorded"), "{answer}");
    drop(serving_without);

    let collector = Collector::start(&[])?;
    let serving_with = serving(&collector.endpoint, &["--audit-log-required"])?;
    assert!(serving_with.decision(&question("alice", "read"))?);
    let received = collector.received();
    let is_it = |r: &Value| r["endpoint"] == "evaluation" && r["outcome"] == "allowed";
    assert_eq!(received.records.iter().filter(|r| is_it(r)).count(), 1, "before it is told");
    Ok(())
}

#[test]
fn headers_for_a_collector_that_are_none_keep_the_server_from_starting() -> Result<()> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_stagedoor"))
        .args(["serve", "authzen", "--policies", "p", "--audit-log", "http://127.0.0.1:1"])
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=%zzsecret")
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("OTEL_EXPORTER_OTLP_HEADERS") && !text.contains("secret"), "{text}");
    Ok(())
}
