//! A bounded load of evaluations over loopback TLS with keep-alive, and searches in a large store.
//!
//! ```sh
//! cargo run --release -p stagedoor-authzen --example load -- ENTITIES SECONDS CONNECTIONS
//! ```
//!
//! Prints one JSON object: evaluations per second and their latency as clients see it, then the
//! latency of the first page of searches, by how their policies can be answered. Clients and server
//! share the machine.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use stagedoor_authzen::{
    AuthZen, AuthZenOptions, LoadedWorld, Mapping, PublicUrl, World, WorldLoader,
};
use stagedoor_core::{Engine, Entities, Entity};
use stagedoor_server::{Fingerprint, LoadFailure, Server, ServerOptions, TlsFiles};

const SCHEMA: &str = "
    entity Team;
    entity User in [Team] = { department: String, level: Long };
    entity Doc = { department: String, owner: User, public: Bool };
    action read, edit, share appliesTo { principal: User, resource: Doc };";

const POLICIES: &str = r#"
    @id("public") permit (principal, action == Action::"read", resource) when { resource.public };
    @id("department") permit (principal, action == Action::"read", resource)
        when { principal.department == resource.department };
    @id("owner") permit (principal, action, resource) when { resource.owner == principal };
    @id("leads") permit (principal in Team::"leads", action == Action::"edit", resource)
        when { principal.level > 3 && principal.department == resource.department };
    @id("nobody-shares-secrets") forbid (principal, action == Action::"share", resource)
        unless { resource.public };"#;

const DEPARTMENTS: usize = 50;

struct Store(usize);

impl WorldLoader for Store {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([])
    }

    fn load(&self, _: Option<&Engine>) -> Result<LoadedWorld, LoadFailure> {
        let failure = |error: String| LoadFailure::new(error, "the store does not load");
        let engine =
            Engine::builder().schema("s.cedarschema", SCHEMA).policies("p.cedar", POLICIES);
        let engine = engine.build()?;
        let entities = entities(self.0).map_err(|e| failure(e.to_string()))?;
        let entities = Entities::from_entities(entities).map_err(|e| failure(e.to_string()))?;
        let world = World::new(engine, entities, &Mapping::default());
        Ok(LoadedWorld { world: world.map_err(|e| failure(e.to_string()))?, admission: None })
    }
}

/// Half of them users, half of them documents.
fn entities(count: usize) -> Result<Vec<Entity>> {
    let uid = |kind: &str, n: usize| format!("{kind}::\"{n}\"").parse();
    let mut entities = Vec::with_capacity(count + 1);
    entities.push(Entity::new("Team::\"leads\"".parse()?));
    for n in 0..count / 2 {
        let department = format!("d{}", n % DEPARTMENTS);
        let level = i64::try_from(n % 7)?;
        let mut user = Entity::new(uid("User", n)?)
            .with_attribute("department", department.as_str())
            .with_attribute("level", level);
        if n % 11 == 0 {
            user = user.with_parent("Team::\"leads\"".parse()?);
        }
        entities.push(user);
        let owner: stagedoor_core::EntityUid = uid("User", n * 7 % (count / 2))?;
        let doc = Entity::new(uid("Doc", n)?)
            .with_attribute("department", department.as_str())
            .with_attribute("owner", owner)
            .with_attribute("public", n % 13 == 0);
        entities.push(doc);
    }
    Ok(entities)
}

/// A connection that is kept.
struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Self> {
        let connection =
            ClientConnection::new(Arc::clone(tls), ServerName::try_from("localhost")?)?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: StreamOwned::new(connection, stream), buffer: vec![0; 1 << 16] })
    }

    fn ask(&mut self, path: &str, body: &str) -> Result<Value> {
        let mut request = String::with_capacity(body.len() + 160);
        write!(
            request,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        self.stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        loop {
            let read = self.stream.read(&mut self.buffer)?;
            ensure!(read > 0, "the connection ended");
            answer.extend_from_slice(self.buffer.get(..read).unwrap_or_default());
            let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
            ensure!(text.starts_with("HTTP/1.1 200 "), "{text}");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("a length")?.parse()?;
            if let Some(body) = answer.get(head + 4..head + 4 + length) {
                return Ok(serde_json::from_slice(body)?);
            }
        }
    }
}

fn evaluation(n: usize, count: usize) -> String {
    let action = if n.is_multiple_of(3) { "edit" } else { "read" };
    json!({
        "subject": {"type": "User", "id": (n * 17 % (count / 2)).to_string()},
        "action": {"name": action},
        "resource": {"type": "Doc", "id": (n * 31 % (count / 2)).to_string()},
    })
    .to_string()
}

fn percentile(times: &mut [Duration], part: usize) -> Value {
    times.sort_unstable();
    let at = times.get((times.len() * part / 1000).min(times.len().saturating_sub(1)));
    json!(at.map(|time| time.as_micros() as u64))
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (count, seconds, connections) = (number(100_000)?, number(10)?, number(8)?);

    let directory = tempfile::tempdir()?;
    let (key, path) = (KeyPair::generate()?, directory.path());
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    std::fs::write(path.join("tls.crt"), certificate.pem())?;
    std::fs::write(path.join("tls.key"), key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.der().to_vec()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());

    let mut options = ServerOptions::new(SocketAddr::from(([127, 0, 0, 1], 0)));
    options.tls = Some(TlsFiles::new(path.join("tls.crt"), path.join("tls.key")));
    options.await_first_load = true;
    let public = PublicUrl::parse("https://localhost")?;
    let protocol = AuthZen::new(AuthZenOptions::new(Box::new(Store(count)), public));
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(Server::bind(options, Arc::new(protocol)))?;
    let address = server.address().context("an address")?;
    let running = runtime.spawn(server.run(std::future::pending()));

    let time = Duration::from_secs(seconds.try_into()?);
    let mut first = Client::connect(address, &tls)?;
    first.ask("/access/v1/evaluation", &evaluation(0, count))?;
    let begun = Instant::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|client| {
                let tls = Arc::clone(&tls);
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut connection = Client::connect(address, &tls)?;
                    let mut times = Vec::new();
                    let mut n = client;
                    while begun.elapsed() < time {
                        let body = evaluation(n, count);
                        let asked = Instant::now();
                        let answer = connection.ask("/access/v1/evaluation", &body)?;
                        times.push(asked.elapsed());
                        ensure!(answer.get("decision").is_some_and(Value::is_boolean), "{answer}");
                        n += connections;
                    }
                    Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for client in clients {
            match client.join() {
                Ok(own) => times.extend(own?),
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(times)
    })?;
    let elapsed = begun.elapsed();

    let mut searches = serde_json::Map::new();
    for (name, path, body) in [
        (
            "subjectsWhoRead",
            "/access/v1/search/subject",
            json!({"subject": {"type": "User"}, "action": {"name": "read"},
                   "resource": {"type": "Doc", "id": "5"}, "page": {"limit": 100}}),
        ),
        (
            "subjectsWhoEdit",
            "/access/v1/search/subject",
            json!({"subject": {"type": "User"}, "action": {"name": "edit"},
                   "resource": {"type": "Doc", "id": "5"}, "page": {"limit": 100}}),
        ),
        (
            "resourcesToRead",
            "/access/v1/search/resource",
            json!({"subject": {"type": "User", "id": "9"}, "action": {"name": "read"},
                   "resource": {"type": "Doc"}, "page": {"limit": 100}}),
        ),
        (
            "nothingToShare",
            "/access/v1/search/resource",
            json!({"subject": {"type": "User", "id": "9"}, "action": {"name": "share"},
                   "resource": {"type": "Doc"}, "page": {"limit": 100}}),
        ),
    ] {
        let mut own = Vec::new();
        let mut results = 0;
        for _ in 0..20 {
            let asked = Instant::now();
            let answer = first.ask(path, &body.to_string())?;
            own.push(asked.elapsed());
            results = answer.get("results").and_then(Value::as_array).map_or(0, Vec::len);
        }
        let (median, slowest) = (percentile(&mut own, 500), percentile(&mut own, 1000));
        let told = json!({"results": results, "medianMicros": median, "slowestMicros": slowest});
        searches.insert(name.to_owned(), told);
    }
    running.abort();
    let told = json!({
        "entities": count,
        "evaluationsPerSecond": (times.len() as f64 / elapsed.as_secs_f64()).round(),
        "p50Micros": percentile(&mut times, 500),
        "p99Micros": percentile(&mut times, 990),
        "p999Micros": percentile(&mut times, 999),
        "searches": searches,
    });
    println!("{told:#}");
    Ok(())
}
