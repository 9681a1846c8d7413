//! A server process, which ends with the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stagedoor");
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the path of a file of the crate that has vectors and worlds.
pub fn shared(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../stagedoor-authzen/tests").join(path)
}

pub struct Serving {
    child: Child,
    pub base: String,
    /// Where health is told without TLS, if it was asked for.
    pub health: Option<String>,
    agent: ureq::Agent,
    log: Option<std::thread::JoinHandle<String>>,
    records: Option<std::thread::JoinHandle<String>>,
}

/// Code, head and body of an answer.
pub struct HttpAnswer {
    pub code: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl HttpAnswer {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("{}: {}", self.code, self.text))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    /// Starts a server on the loopback with these arguments.
    pub fn start(args: &[&str]) -> Result<Self> {
        Self::start_with(args, &[])
    }

    /// Starts one with more in its environment.
    pub fn start_with(args: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let authzen = ["serve", "authzen", "--listen", "127.0.0.1:0", "--log-format", "json"];
        let reload = ["--reload-interval", "1"];
        let args = [authzen.as_slice(), &reload, args].concat();
        Self::run(Command::new(PROGRAM).args(args), environment, "http")
    }

    /// Starts a server with these arguments alone, which listens with TLS and logs JSON. Whoever it is
    /// is not looked at.
    pub fn with_tls(args: &[&str]) -> Result<Self> {
        Self::run(Command::new(PROGRAM).args(args), &[], "https")
    }

    /// Starts a server by a line for a shell, in which `"$@"` is the server.
    pub fn by_shell(line: &str, args: &[&str]) -> Result<Self> {
        let authzen = ["serve", "authzen", "--listen", "127.0.0.1:0", "--log-format", "json"];
        let shell = ["-c", line, "sh", PROGRAM];
        Self::run(Command::new("sh").args(shell).args(authzen).args(args), &[], "http")
    }

    fn run(command: &mut Command, environment: &[(&str, &str)], scheme: &str) -> Result<Self> {
        let mut child = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut log = String::new();
        while !log.contains("\"address\"") {
            ensure!(lines.read_line(&mut log)? > 0, "the server ended: {log}");
        }
        let line: Value = serde_json::from_str(log.lines().last().unwrap_or_default())?;
        let address = line["address"].as_str().context("an address")?;
        let base = format!("{scheme}://{address}");
        let health = line["health"].as_str().map(|address| format!("http://{address}"));
        let log = std::thread::spawn(move || {
            // What cannot be read is missed by what looks for it.
            let _ = lines.read_to_string(&mut log);
            log
        });
        let mut records = child.stdout.take().context("no standard output")?;
        let records = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = records.read_to_string(&mut text);
            text
        });
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .tls_config(ureq::tls::TlsConfig::builder().disable_verification(true).build())
            .build();
        let agent = config.into();
        Ok(Self { child, base, health, agent, log: Some(log), records: Some(records) })
    }

    pub fn post(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Result<HttpAnswer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body)?;
        let headers = response.headers().clone();
        let text = response.body_mut().read_to_string()?;
        Ok(HttpAnswer { code: response.status().as_u16(), headers, text })
    }

    pub fn get(&self, path: &str) -> Result<HttpAnswer> {
        self.get_at(&self.base, path)
    }

    pub fn get_at(&self, base: &str, path: &str) -> Result<HttpAnswer> {
        let mut response = self.agent.get(format!("{base}{path}")).call()?;
        let headers = response.headers().clone();
        let text = response.body_mut().read_to_string()?;
        Ok(HttpAnswer { code: response.status().as_u16(), headers, text })
    }

    /// Asks, and returns the answer, which is one.
    pub fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let answered = self.post(path, &body.to_string(), &[])?;
        ensure!(answered.code == 200, "{path} {body}: {}: {}", answered.code, answered.text);
        answered.json()
    }

    pub fn decision(&self, body: &Value) -> Result<bool> {
        let answer = self.ask("/access/v1/evaluation", body)?;
        answer["decision"].as_bool().with_context(|| format!("{answer}"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args([signal, &pid]).status()?.success());
        Ok(())
    }

    /// Tells the server to end; returns its records and its log.
    pub fn end(mut self) -> Result<(Vec<Value>, String)> {
        self.signal("-TERM")?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(begun.elapsed() < PATIENCE, "the server does not end");
            std::thread::yield_now();
        };
        let text = |thread: Option<std::thread::JoinHandle<String>>| {
            thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
        };
        let (records, log) = (text(self.records.take()), text(self.log.take()));
        ensure!(status.code() == Some(0), "{status}: {log}");
        let records = records.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok((records, log))
    }
}

pub fn eventually(what: &str, mut check: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if check()? {
            return Ok(());
        }
    }
    bail!("never: {what}")
}
