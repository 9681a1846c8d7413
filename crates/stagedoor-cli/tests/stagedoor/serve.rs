//! The real server process: certificates, questions, reloads, and its end by a signal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::run::{command, stagedoor};

const PATIENCE: Duration = Duration::from_secs(60);
const READERS: &str = r#"@id("readers-read")
permit(principal in k8s::Group::"readers", action in k8s::Action::"readOnly", resource is k8s::Resource);"#;
const NOBODY: &str = r#"@id("nobody") forbid(principal, action, resource);"#;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    fn sign(&self, name: &str) -> Result<(rcgen::Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &self.0)?;
        Ok((certificate, key))
    }
}

/// A server process, which ends with the test.
pub struct Serving {
    child: Child,
    pub address: SocketAddr,
    log: std::thread::JoinHandle<String>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    /// Starts the webhooks; `from` says where their policies come from.
    pub fn start(directory: &Path, from: &[&str]) -> Result<Self> {
        Self::start_platform(directory, "kubernetes", from)
    }

    /// Starts a server of a platform.
    pub fn start_platform(directory: &Path, platform: &str, from: &[&str]) -> Result<Self> {
        Self::of(command(directory), platform, from)
    }

    /// Starts a server by a command, which is run where the certificates are.
    pub fn of(mut command: Command, platform: &str, from: &[&str]) -> Result<Self> {
        let mut child = command
            .args(["serve", platform, "--tls-cert", "tls.crt"])
            .args(from)
            .args(["--tls-key", "tls.key", "--client-ca", "ca.crt", "--listen", "127.0.0.1:0"])
            .args(["--reload-interval", "1", "--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut log = String::new();
        while !log.contains("\"address\"") {
            ensure!(lines.read_line(&mut log)? > 0, "the server ended: {log}");
        }
        let line: Value = serde_json::from_str(log.lines().last().unwrap_or_default())?;
        let address = line.get("address").and_then(Value::as_str).context("an address")?.parse()?;
        let log = std::thread::spawn(move || {
            // What cannot be read is missed by what looks for it.
            let _ = lines.read_to_string(&mut log);
            log
        });
        Ok(Self { child, address, log })
    }

    /// Returns the most memory that the process has had so far, in MiB, where the system tells it.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
    }

    /// Tells the server to end, and returns its exit code and log.
    pub fn end(mut self, signal: &str) -> Result<(Option<i32>, String)> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args([signal, &pid]).status()?.success());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(begun.elapsed() < PATIENCE, "the server does not end");
            std::thread::yield_now();
        };
        let log = std::mem::replace(&mut self.log, std::thread::spawn(String::new));
        let log = log.join().map_err(|_| anyhow::anyhow!("the log was not read"))?;
        Ok((status.code(), log))
    }
}

/// A directory with certificates and policies, and those who may ask and may not.
pub struct Setup {
    pub directory: tempfile::TempDir,
    pub tls: Arc<ClientConfig>,
    pub stranger: Arc<ClientConfig>,
}

impl Setup {
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path();
        let (server, clients) = (Authority::new()?, Authority::new()?);
        let (certificate, key) = server.sign("localhost")?;
        std::fs::write(path.join("tls.crt"), certificate.pem())?;
        std::fs::write(path.join("tls.key"), key.serialize_pem())?;
        std::fs::write(path.join("ca.crt"), clients.0.pem())?;
        std::fs::create_dir(path.join("policies"))?;
        std::fs::write(path.join("policies/p.cedar"), READERS)?;

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(server.0.der().to_vec()))?;
        let builder = || -> Result<_> {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider);
            Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots.clone()))
        };
        let (certificate, key) = clients.sign("client")?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let tls = Arc::new(builder()?.with_client_auth_cert(chain, key)?);
        let stranger = Arc::new(builder()?.with_no_client_auth());
        Ok(Self { directory, tls, stranger })
    }
}

/// Returns a question that only readers are allowed.
pub fn review() -> String {
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "alice", "groups": ["readers"], "resourceAttributes": {
            "verb": "get", "resource": "pods", "namespace": "payments"}},
    })
    .to_string()
}

/// Asks once, on a connection of its own; returns code and body.
pub fn ask(
    address: SocketAddr,
    tls: &Arc<ClientConfig>,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String)> {
    let connection = ClientConnection::new(Arc::clone(tls), ServerName::try_from("localhost")?)?;
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let code = head.split(' ').nth(1).context("no code")?.parse()?;
    Ok((code, body.to_owned()))
}

/// A connection that is kept.
pub struct OpenConnection(StreamOwned<ClientConnection, TcpStream>);

impl OpenConnection {
    pub fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Self> {
        let connection =
            ClientConnection::new(Arc::clone(tls), ServerName::try_from("localhost")?)?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(StreamOwned::new(connection, stream)))
    }

    /// Asks, and returns code and body of the answer.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes())?;
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 1 << 14]);
        loop {
            let read = self.0.read(&mut buffer)?;
            ensure!(read > 0, "the connection ended");
            answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.context("a length")?.parse()? {
                let code = head.split(' ').nth(1).context("no code")?.parse()?;
                return Ok((code, body.to_owned()));
            }
        }
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

#[test]
fn the_server_answers_reloads_and_ends_by_a_signal() -> Result<()> {
    let Setup { directory, tls, stranger } = Setup::new()?;
    let path = directory.path();
    let policies = path.join("policies/p.cedar");
    let serving = Serving::start(path, &["--policies", "policies"])?;
    let address = serving.address;
    let get = |path: &str| ask(address, &tls, "GET", path, "");
    eventually("it is ready", || Ok(get("/readyz")?.0 == 200))?;
    let review = review();
    let status = || -> Result<Value> {
        let (code, body) = ask(address, &tls, "POST", "/authorize", &review)?;
        ensure!(code == 200, "{code}: {body}");
        let answer: Value = serde_json::from_str(&body)?;
        Ok(answer.get("status").context("a status")?.clone())
    };
    assert_eq!(status()?, json!({"allowed": true, "reason": "allowed by `readers-read`"}));
    assert!(ask(address, &stranger, "POST", "/authorize", &review).is_err(), "no certificate");
    assert_eq!(ask(address, &tls, "POST", "/conditions", "{}")?.0, 404);

    std::fs::write(&policies, NOBODY)?;
    eventually("the change is taken up", || Ok(status()?.get("denied") == Some(&json!(true))))?;
    std::fs::write(&policies, "permit(principal, action, resource) when { principal.colour };")?;
    eventually("the broken edit shows", || {
        Ok(get("/readyz?verbose")?.1.contains("[!]policy-reload failed"))
    })?;
    assert_eq!(get("/readyz")?.0, 200);
    assert_eq!(
        status()?,
        json!({"allowed": false, "denied": true, "reason": "forbidden by `nobody`"})
    );

    let (code, log) = serving.end("-TERM")?;
    assert_eq!(code, Some(0), "{log}");
    assert!(TcpStream::connect(address).is_err(), "it still listens");
    let messages: Vec<String> = log
        .lines()
        .map(|line| {
            Ok(serde_json::from_str::<Value>(line)?
                .get("message")
                .context("a message")?
                .to_string())
        })
        .collect::<Result<_>>()?;
    assert!(messages.iter().any(|m| m.contains("shutting down")), "{log}");
    assert!(log.contains("p.cedar"), "the log says where the broken edit is: {log}");
    Ok(())
}

#[test]
fn the_webhook_follows_a_channel() -> Result<()> {
    let Setup { directory, tls, .. } = Setup::new()?;
    let path = directory.path();
    let run = |args: &[&str]| -> Result<()> {
        let run = stagedoor(path, args, b"")?;
        ensure!(run.exit == 0, "{}", run.stderr);
        Ok(())
    };
    run(&["sign", "--new-key", "ci.key"])?;
    let push = ["push", "policies", "./store/cluster:production", "--key", "ci.key"];
    run(&push)?;
    let from = ["--source", "./store/cluster:production", "--trust", "ci.key.pub"];
    let how = ["--state", "state", "--poll-interval", "1", "--refuse-change", "widened"];
    let serving = Serving::start(path, &[from.as_slice(), &how].concat())?;
    let address = serving.address;
    let get = |path: &str| ask(address, &tls, "GET", path, "");
    eventually("it is ready", || Ok(get("/readyz")?.0 == 200))?;
    let status = || -> Result<Value> {
        let (code, body) = ask(address, &tls, "POST", "/authorize", &review())?;
        ensure!(code == 200, "{code}: {body}");
        Ok(serde_json::from_str::<Value>(&body)?.get("status").context("a status")?.clone())
    };
    let allowed = json!({"allowed": true, "reason": "allowed by `readers-read`"});
    ensure!(status()? == allowed);
    // What no policy could make of it is not published, and what is not published changes nothing.
    std::fs::write(path.join("policies/p.cedar"), format!("{READERS}{NOBODY}"))?;
    ensure!(status()? == allowed);
    run(&push)?;
    eventually("it is forbidden", || Ok(status()?.get("denied") == Some(&json!(true))))?;
    // The way back widens, and was approved of by nobody.
    std::fs::write(path.join("policies/p.cedar"), READERS)?;
    run(&push)?;
    eventually("the gate is told", || Ok(get("/readyz?verbose")?.1.contains("a gate refuses")))?;
    ensure!(status()?.get("denied") == Some(&json!(true)));
    run(&[push.as_slice(), &["--approve", "widened"]].concat())?;
    eventually("it is approved", || Ok(status()? == allowed))?;
    let (code, page) = get("/status")?;
    ensure!(code == 200);
    let page: Value = serde_json::from_str(&page)?;
    let counter = page.pointer("/sources/0/origin/inForce/counter");
    ensure!(counter == Some(&json!(4)), "{page}");
    let (code, log) = serving.end("-TERM")?;
    ensure!(code == Some(0) && log.contains("nobody has approved of it"), "{log}");
    Ok(())
}

#[test]
fn clients_of_authzen_are_known_by_their_certificates() -> Result<()> {
    let Setup { directory, tls, stranger } = Setup::new()?;
    let world = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../stagedoor-authzen/tests/worlds/certification");
    let world = world.to_str().context("a path")?;
    let from = ["--policies", world, "--entities", world, "--audit-log", "records.log"];
    let serving = Serving::start_platform(directory.path(), "authzen", &from)?;
    let question = json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
    })
    .to_string();
    let path = "/access/v1/evaluation";
    let (code, body) = ask(serving.address, &tls, "POST", path, &question)?;
    assert_eq!((code, body.as_str()), (200, r#"{"decision":true}"#));
    assert!(ask(serving.address, &stranger, "POST", path, &question).is_err(), "no certificate");
    let (code, metadata) =
        ask(serving.address, &tls, "GET", "/.well-known/authzen-configuration", "")?;
    let base = format!(r#""policy_decision_point":"https://{}""#, serving.address);
    assert!(code == 200 && metadata.contains(&base), "{metadata}");
    serving.end("-TERM")?;
    let records = std::fs::read_to_string(directory.path().join("records.log"))?;
    let decided = records.lines().find(|line| line.contains(r#""endpoint":"evaluation""#));
    let decided: Value = serde_json::from_str(decided.context("a record")?)?;
    let certificate = decided.pointer("/caller/certificate").and_then(Value::as_str);
    assert!(certificate.is_some_and(|c| c.starts_with("sha256:") && c.len() == 71), "{decided}");
    Ok(())
}

#[test]
fn a_server_that_cannot_serve_says_why() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let (certificate, key) = Authority::new()?.sign("localhost")?;
    std::fs::write(path.join("tls.crt"), certificate.pem())?;
    std::fs::write(path.join("tls.key"), key.serialize_pem())?;
    std::fs::write(path.join("wrong.cedar"), "permit(principal, action, resource) when { 1 };")?;
    std::fs::write(path.join("right.cedar"), READERS)?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = taken.local_addr()?.to_string();
    let cases: [(&[&str], &str); 5] = [
        (&["wrong.cedar", "--tls-cert", "tls.crt", "--tls-key", "tls.key"], "wrong.cedar:1"),
        (&["none", "--tls-cert", "tls.crt", "--tls-key", "tls.key"], "none"),
        (&["right.cedar", "--tls-cert", "none.crt", "--tls-key", "tls.key"], "none.crt"),
        (&["right.cedar", "--tls-cert", "tls.crt", "--tls-key", "tls.crt"], "tls.crt"),
        (
            &["right.cedar", "--tls-cert", "tls.crt", "--tls-key", "tls.key", "--listen", &taken],
            "cannot listen at",
        ),
    ];
    for (args, expected) in cases {
        let args = ["serve", "kubernetes", "--policies"].iter().chain(args);
        // The first address that is given counts, so that each case has one.
        let listen =
            if expected.contains("listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let run = stagedoor(path, args.chain(listen), b"")?;
        assert_eq!(run.exit, 1, "{expected}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{expected}: {}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
    Ok(())
}
