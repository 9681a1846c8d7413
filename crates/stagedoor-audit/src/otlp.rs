//! Records as logs of OpenTelemetry, over HTTP in JSON.
//!
//! See <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::sink::DecisionSink;

/// How often a batch is sent, and how long is waited before the second time.
const ATTEMPTS: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(100);
/// The codes at which the protocol has a batch sent again.
const RETRIED: [u16; 4] = [429, 502, 503, 504];

/// Sends records to a collector, each as the body of one log.
#[derive(Debug)]
pub struct Otlp {
    endpoint: String,
    agent: ureq::Agent,
}

impl Otlp {
    /// Returns a sink that posts to a collector: to `/v1/logs` below `endpoint`, unless it names
    /// that path itself.
    #[must_use]
    pub fn new(endpoint: &str) -> Self {
        let endpoint = endpoint.trim_end_matches('/');
        let endpoint = match endpoint.ends_with("/v1/logs") {
            true => endpoint.to_owned(),
            false => format!("{endpoint}/v1/logs"),
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build();
        Self { endpoint, agent: config.into() }
    }

    /// Sends a body; returns whether it may be sent again.
    fn send(&self, body: &str) -> Result<(), (bool, io::Error)> {
        let sent = self.agent.post(&self.endpoint).content_type("application/json").send(body);
        let mut response = sent.map_err(|e| (true, io::Error::other(e.to_string())))?;
        let code = response.status().as_u16();
        if !response.status().is_success() {
            let error = format!("the collector answered {code}");
            return Err((RETRIED.contains(&code), io::Error::other(error)));
        }
        let answer = response.body_mut().read_to_string().unwrap_or_default();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let rejected = answer.pointer("/partialSuccess/rejectedLogRecords");
        let rejected = rejected.map(|n| n.as_str().map_or_else(|| n.to_string(), str::to_owned));
        match rejected.as_deref() {
            None | Some("" | "0" | "null") => Ok(()),
            // INVARIANT: what a collector took in part is never sent again.
            Some(n) => {
                Err((false, io::Error::other(format!("the collector rejected {n} records"))))
            }
        }
    }
}

impl DecisionSink for Otlp {
    fn write(&mut self, records: &[String]) -> io::Result<()> {
        let body = body(records, SystemTime::now()).to_string();
        let mut attempt = 1;
        loop {
            match self.send(&body) {
                Ok(()) => return Ok(()),
                Err((true, _)) if attempt < ATTEMPTS => {
                    std::thread::sleep(BACKOFF * 2_u32.pow(attempt - 1));
                    attempt += 1;
                }
                Err((_, error)) => return Err(error),
            }
        }
    }
}

fn body(records: &[String], now: SystemTime) -> Value {
    let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
    let logs: Vec<Value> = records
        .iter()
        .map(|record| {
            json!({
                "timeUnixNano": nanos,
                "observedTimeUnixNano": nanos,
                "severityNumber": 9,
                "severityText": "INFO",
                "eventName": "stagedoor.decision",
                "body": {"stringValue": record},
            })
        })
        .collect();
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({
        "resourceLogs": [{
            "resource": {"attributes": [
                attribute("service.name", "stagedoor"),
                attribute("service.version", env!("CARGO_PKG_VERSION")),
            ]},
            "scopeLogs": [{"scope": {"name": "stagedoor.decisions"}, "logRecords": logs}],
        }],
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::{DecisionSink as _, Otlp};

    /// Answers requests with these codes and bodies, and returns what was sent.
    fn collector(
        answers: &'static [(u16, &'static str)],
    ) -> std::io::Result<(String, std::thread::JoinHandle<std::io::Result<Vec<String>>>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let serving = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for (code, body) in answers {
                let (mut stream, _) = listener.accept()?;
                let mut request = String::new();
                let mut buffer = [0; 4096];
                loop {
                    let read = stream.read(&mut buffer)?;
                    request += &String::from_utf8_lossy(buffer.get(..read).unwrap_or_default());
                    if read == 0 || request.ends_with("]}") {
                        break;
                    }
                }
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {code} x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                )?;
                requests.push(request);
            }
            Ok(requests)
        });
        Ok((endpoint, serving))
    }

    #[test]
    fn batches_are_sent_again_only_where_the_protocol_says_so() -> std::io::Result<()> {
        let (endpoint, serving) = collector(&[
            (503, ""),
            (200, "{}"),
            (400, ""),
            (200, r#"{"partialSuccess":{"rejectedLogRecords":"1"}}"#),
        ])?;
        let mut sink = Otlp::new(&endpoint);
        sink.write(&[r#"{"a":1}"#.to_owned()])?;
        assert!(sink.write(&["b".to_owned()]).is_err());
        assert!(sink.write(&["c".to_owned()]).is_err());
        let requests = serving.join().map_err(|_| std::io::Error::other("panicked"))??;
        assert_eq!(requests.len(), 4);
        assert!(requests.iter().all(|request| request.starts_with("POST /v1/logs ")));
        assert!(requests.iter().take(2).all(|r| r.contains(r#""stringValue":"{\"a\":1}""#)));
        Ok(())
    }
}
