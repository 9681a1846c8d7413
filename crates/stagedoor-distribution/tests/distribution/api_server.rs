//! An API server of a few lines: objects with versions, watches, statuses as a subresource.

#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::support::lock;

/// What the paths of a namespace begin with.
const PREFIX: &str = "/apis/stagedoor.dev/v1alpha1/namespaces/gate/";

#[derive(Default)]
struct Objects {
    /// By plural and name.
    all: BTreeMap<(String, String), Value>,
    version: u64,
    /// What happened: the version, the plural, the kind of event, the object.
    events: Vec<(u64, String, &'static str, Value)>,
    /// What is answered to everybody instead.
    refusal: Option<(u16, &'static str)>,
    /// How often a watch was begun.
    watches: usize,
    /// Watches that were begun before end.
    epoch: u64,
}

/// A server that ends with the test.
#[derive(Clone)]
pub struct ApiServer {
    pub address: SocketAddr,
    objects: Arc<(Mutex<Objects>, Condvar)>,
}

struct HttpRequest {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    body: Value,
}

impl ApiServer {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self { address: listener.local_addr()?, objects: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // A client that goes away has its reasons.
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Ok(server)
    }

    /// Answers everybody with a code from now on, or nobody any more.
    pub fn refuse(&self, refusal: Option<(u16, &'static str)>) {
        lock(&self.objects.0).refusal = refusal;
        self.cut();
    }

    /// Ends all watches.
    pub fn cut(&self) {
        lock(&self.objects.0).epoch += 1;
        self.objects.1.notify_all();
    }

    pub fn watches(&self) -> usize {
        lock(&self.objects.0).watches
    }

    pub fn object(&self, plural: &str, name: &str) -> Option<Value> {
        lock(&self.objects.0).all.get(&(plural.to_owned(), name.to_owned())).cloned()
    }

    pub fn names(&self, plural: &str) -> Vec<String> {
        let objects = lock(&self.objects.0);
        objects.all.keys().filter(|(of, _)| of == plural).map(|(_, name)| name.clone()).collect()
    }

    /// Changes an object behind everybody's back, or removes it.
    pub fn change(&self, plural: &str, name: &str, change: impl FnOnce(&mut Value) -> bool) {
        let mut objects = lock(&self.objects.0);
        let key = (plural.to_owned(), name.to_owned());
        let Some(mut object) = objects.all.remove(&key) else { return };
        if change(&mut object) {
            objects.put(&key, "MODIFIED", object);
        } else {
            objects.version += 1;
            let version = objects.version;
            objects.events.push((version, key.0, "DELETED", object));
        }
        self.objects.1.notify_all();
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        let asked = read(&stream)?;
        if asked.query.get("watch").is_some_and(|watch| watch == "true") {
            return self.watch(stream, &asked);
        }
        let (code, body) = self.answer(&asked);
        respond(stream, code, &body)
    }

    fn answer(&self, asked: &HttpRequest) -> (u16, Value) {
        let mut objects = lock(&self.objects.0);
        if let Some((code, reason)) = objects.refusal {
            return status(code, reason);
        }
        let Some(rest) = asked.path.strip_prefix(PREFIX) else { return status(404, "NotFound") };
        let mut parts = rest.split('/');
        let plural = parts.next().unwrap_or_default().to_owned();
        let (name, is_status) = (parts.next().map(str::to_owned), parts.next() == Some("status"));
        let answer = match (asked.method.as_str(), name) {
            ("GET", None) => (200, objects.list(&plural, asked.query.get("fieldSelector"))),
            ("GET", Some(name)) => match objects.all.get(&(plural, name)) {
                Some(object) => (200, object.clone()),
                None => status(404, "NotFound"),
            },
            ("POST", None) => objects.create(plural, asked.body.clone()),
            ("PUT", Some(name)) => objects.replace((plural, name), asked.body.clone(), is_status),
            _ => status(405, "MethodNotAllowed"),
        };
        self.objects.1.notify_all();
        answer
    }

    fn watch(&self, mut stream: TcpStream, asked: &HttpRequest) -> Result<()> {
        let plural = asked.path.strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let number = |name: &str| asked.query.get(name).and_then(|text| text.parse::<u64>().ok());
        let mut seen = number("resourceVersion").unwrap_or_default();
        let until = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(60));
        let selector = asked.query.get("fieldSelector").cloned();
        let epoch = {
            let mut objects = lock(&self.objects.0);
            objects.watches += 1;
            if let Some((code, reason)) = objects.refusal {
                let (code, body) = status(code, reason);
                drop(objects);
                return respond(stream, code, &body);
            }
            objects.epoch
        };
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n",
        )?;
        loop {
            let (new, is_over) = {
                let mut objects = lock(&self.objects.0);
                loop {
                    let new: Vec<(u64, &'static str, Value)> = objects
                        .events
                        .iter()
                        .filter(|(version, of, _, object)| {
                            *version > seen
                                && *of == plural
                                && is_selected(object, selector.as_ref())
                        })
                        .map(|(version, _, kind, object)| (*version, *kind, object.clone()))
                        .collect();
                    let left = until.saturating_duration_since(Instant::now());
                    let is_over = left.is_zero() || objects.epoch != epoch;
                    if !new.is_empty() || is_over {
                        break (new, is_over);
                    }
                    let waited = self.objects.1.wait_timeout(objects, left);
                    objects = waited.map_err(|_| anyhow::anyhow!("it panicked"))?.0;
                }
            };
            for (version, kind, object) in new {
                seen = seen.max(version);
                writeln!(stream, "{}", json!({ "type": kind, "object": object }))?;
            }
            if is_over {
                return Ok(());
            }
        }
    }
}

impl Objects {
    fn put(&mut self, key: &(String, String), kind: &'static str, mut object: Value) -> Value {
        self.version += 1;
        if let Some(metadata) = object.get_mut("metadata") {
            metadata["resourceVersion"] = json!(self.version.to_string());
        }
        self.all.insert(key.clone(), object.clone());
        self.events.push((self.version, key.0.clone(), kind, object.clone()));
        object
    }

    fn list(&self, plural: &str, selector: Option<&String>) -> Value {
        let items: Vec<&Value> = self
            .all
            .iter()
            .filter(|((of, _), object)| of == plural && is_selected(object, selector))
            .map(|(_, object)| object)
            .collect();
        json!({
            "apiVersion": "stagedoor.dev/v1alpha1", "kind": "List",
            "metadata": { "resourceVersion": self.version.to_string() }, "items": items,
        })
    }

    fn create(&mut self, plural: String, mut object: Value) -> (u16, Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = (plural, name);
        if self.all.contains_key(&key) {
            return status(409, "AlreadyExists");
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["namespace"] = json!("gate");
        (201, self.put(&key, "ADDED", object))
    }

    fn replace(&mut self, key: (String, String), given: Value, is_status: bool) -> (u16, Value) {
        let Some(mut object) = self.all.get(&key).cloned() else { return status(404, "NotFound") };
        if given["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return status(409, "Conflict");
        }
        if is_status {
            object["status"] = given["status"].clone();
        } else if object["spec"] != given["spec"] {
            object["spec"] = given["spec"].clone();
            let generation = object["metadata"]["generation"].as_u64().unwrap_or_default();
            object["metadata"]["generation"] = json!(generation + 1);
        }
        (200, self.put(&key, "MODIFIED", object))
    }
}

fn is_selected(object: &Value, selector: Option<&String>) -> bool {
    let name = selector.and_then(|selector| selector.strip_prefix("metadata.name="));
    name.is_none_or(|name| object["metadata"]["name"] == name)
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let message = format!("the test says {reason}");
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    (code, status)
}

fn read(stream: &TcpStream) -> Result<HttpRequest> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.by_ref().take(65_536).read_line(&mut head)? == 0 {
            anyhow::bail!("it ends early");
        }
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next().context("a method")?, words.next().context("a path")?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.replace("%3D", "="))).collect();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or_default()];
    lines.read_exact(&mut body)?;
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
    Ok(HttpRequest { method: method.to_owned(), path: path.to_owned(), query, body })
}

fn respond(mut stream: TcpStream, code: u16, body: &Value) -> Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}
