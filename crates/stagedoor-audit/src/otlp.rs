//! Records as logs of OpenTelemetry, over HTTP in JSON.
//!
//! See <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::micros;
use crate::sink::DecisionSink;

/// How often a batch is sent, and how long is waited before the second time.
const ATTEMPTS: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(100);
/// The codes at which the protocol has a batch sent again.
const RETRIED: [u16; 4] = [429, 502, 503, 504];

/// Sends records to a collector, each as the body of one log.
pub struct Otlp {
    endpoint: String,
    headers: Vec<(String, String)>,
    agent: ureq::Agent,
}

/// A header that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a header such as `authorization=Bearer%20x`")]
pub struct HeaderError(String);

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
        Self { endpoint, headers: Vec::new(), agent: config.into() }
    }

    /// Sends headers along, as OpenTelemetry's `OTEL_EXPORTER_OTLP_HEADERS` has them:
    /// `authorization=Bearer%20x,tenant=a`.
    ///
    /// # Errors
    ///
    /// [`HeaderError`], which names the header and has nothing of its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_audit::Otlp;
    ///
    /// assert!(Otlp::new("http://collector:4318").with_headers("tenant=a, x-key=b%2Cc").is_ok());
    /// assert!(Otlp::new("http://collector:4318").with_headers("tenant").is_err());
    /// ```
    pub fn with_headers(mut self, headers: &str) -> Result<Self, HeaderError> {
        for header in headers.split(',').map(str::trim).filter(|header| !header.is_empty()) {
            let (name, value) = header.split_once('=').unwrap_or((header, ""));
            let error = || HeaderError(name.trim().to_owned());
            let name = ureq::http::HeaderName::from_bytes(name.trim().as_bytes());
            let name = name.map_err(|_| error())?;
            let value = decoded(value.trim()).filter(|value| !value.is_empty());
            let value = value.ok_or_else(error)?;
            ureq::http::HeaderValue::from_str(&value).map_err(|_| error())?;
            self.headers.push((name.as_str().to_owned(), value));
        }
        Ok(self)
    }

    /// Sends a body; returns whether it may be sent again.
    fn send(&self, body: &str) -> Result<(), (bool, io::Error)> {
        let mut request = self.agent.post(&self.endpoint).content_type("application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let sent = request.send(body);
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

impl std::fmt::Debug for Otlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may hold secrets.
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let mut told = f.debug_struct("Otlp");
        told.field("endpoint", &self.endpoint).field("headers", &headers).finish_non_exhaustive()
    }
}

/// Returns a text whose bytes may be written as `%20`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        let digit = |digit: Option<&u8>| char::from(*digit?).to_digit(16);
        let byte = match byte {
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            byte => *byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// When a record was made, in each of its forms.
#[derive(Deserialize)]
struct Time {
    time: Option<Value>,
    #[serde(rename = "@timestamp")]
    timestamp: Option<String>,
}

impl Time {
    /// Returns the nanoseconds since 1970, if a record tells them.
    fn of(record: &str) -> Option<u64> {
        let Self { time, timestamp } = serde_json::from_str(record).ok()?;
        let told = match (time, timestamp) {
            (Some(Value::Number(milliseconds)), _) => milliseconds.as_u64()?.checked_mul(1_000)?,
            (Some(Value::String(time)), _) | (None, Some(time)) => micros(&time),
            _ => return None,
        };
        told.checked_mul(1_000).filter(|nanos| *nanos > 0)
    }
}

impl DecisionSink for Otlp {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        let body = body(lines, SystemTime::now()).to_string();
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

fn body(lines: &str, now: SystemTime) -> Value {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
    let logs: Vec<Value> = lines
        .lines()
        .map(|record| {
            json!({
                "timeUnixNano": Time::of(record).map_or_else(|| now.clone(), |t| t.to_string()),
                "observedTimeUnixNano": now,
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

    use super::{DecisionSink as _, Otlp, Time};

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
        let sink = Otlp::new(&endpoint).with_headers("authorization=Bearer%20x%2Cy,tenant= a");
        let mut sink = sink.map_err(std::io::Error::other)?;
        assert!(!format!("{sink:?}").contains("Bearer"));
        sink.write("{\"a\":1}\n")?;
        assert!(sink.write("b\n").is_err());
        assert!(sink.write("c\n").is_err());
        let requests = serving.join().map_err(|_| std::io::Error::other("panicked"))??;
        assert_eq!(requests.len(), 4);
        assert!(requests.iter().all(|request| request.starts_with("POST /v1/logs ")));
        assert!(requests.iter().all(|r| r.contains("authorization: Bearer x,y\r\n")));
        assert!(requests.iter().all(|r| r.contains("tenant: a\r\n")));
        assert!(requests.iter().take(2).all(|r| r.contains(r#""stringValue":"{\"a\":1}""#)));
        Ok(())
    }
    #[test]
    fn what_is_sent_has_the_time_of_the_decision() {
        let records = [
            r#"{"version":1,"time":"2025-11-29T07:06:40.123456Z"}"#,
            r#"{"time":1764400000123,"class_uid":6003}"#,
            r#"{"@timestamp":"2025-11-29T07:06:40.123456Z"}"#,
            r#"{"time":null}"#,
            "",
        ];
        let times = records.map(Time::of);
        let (micros, millis) = (1_764_400_000_123_456_000, 1_764_400_000_123_000_000);
        assert_eq!(times, [Some(micros), Some(millis), Some(micros), None, None]);
    }

    #[test]
    fn headers_that_are_none_are_refused_without_their_value() {
        for (wrong, name) in [
            ("tenant", "tenant"),
            ("a b=secret", "a b"),
            ("x=secret%zz", "x"),
            ("x=%0asecret", "x"),
        ] {
            let error = Otlp::new("http://a").with_headers(wrong).err().map(|e| e.to_string());
            let expected = format!("`{name}` is not a header such as `authorization=Bearer%20x`");
            assert_eq!(error, Some(expected), "{wrong}");
        }
    }
}
