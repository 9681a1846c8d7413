//! Clients that mean harm, the same ones for every protocol that is served: each row of `faces` is a
//! server, and every test is put to all of them.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;

use crate::hostile_bodies::MEMORY;
use crate::serve::{OpenConnection, Serving, Setup, ask, eventually, review};

const PATIENCE: Duration = Duration::from_secs(60);

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A server, and a question that it says yes to.
struct Face {
    platform: &'static str,
    args: Vec<String>,
    path: &'static str,
    question: String,
    yes: &'static str,
    /// A member that the question has already.
    twice: &'static str,
    /// The code of a body in another format.
    other_format: u16,
    /// The largest body, in bytes.
    most: usize,
}

fn faces() -> [Face; 2] {
    let world = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../stagedoor-authzen/tests/worlds/certification")
        .display()
        .to_string();
    let evaluation = json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
    });
    [
        Face {
            platform: "kubernetes",
            args: ["--policies", "policies"].map(str::to_owned).to_vec(),
            path: "/authorize",
            question: review(),
            yes: r#""allowed":true"#,
            twice: r#""spec":{}"#,
            other_format: 415,
            most: 1 << 20,
        },
        Face {
            platform: "authzen",
            args: vec!["--policies".to_owned(), world.clone(), "--entities".to_owned(), world],
            path: "/access/v1/evaluation",
            question: evaluation.to_string(),
            yes: r#"{"decision":true}"#,
            twice: r#""subject":{}"#,
            other_format: 400,
            most: 1 << 20,
        },
    ]
}

struct Running {
    face: Face,
    setup: Setup,
    serving: Serving,
    address: SocketAddr,
}

impl Running {
    fn start(face: Face, more: &[&str]) -> Result<Self> {
        let setup = Setup::new()?;
        let args: Vec<&str> = face.args.iter().map(String::as_str).chain(more.to_vec()).collect();
        let serving = Serving::start_platform(setup.directory.path(), face.platform, &args)?;
        let address = serving.address;
        let running = Self { face, setup, serving, address };
        eventually("it is ready", || Ok(running.ask("GET", "/readyz", "")?.0 == 200))?;
        Ok(running)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        ask(self.address, &self.setup.tls, method, path, body)
    }

    /// Makes sure that somebody who comes anew is answered.
    fn is_good(&self) -> Result<()> {
        let (code, answer) = self.ask("POST", self.face.path, &self.face.question)?;
        ensure!(code == 200 && answer.contains(self.face.yes), "{code}: {answer}");
        Ok(())
    }

    fn connect(&self, protocol: Option<&str>) -> Result<Tls> {
        connect(self.address, &self.setup.tls, protocol)
    }

    /// Ends the server, which is in good health.
    fn end(self) -> Result<()> {
        self.is_good()?;
        if let Some(peak) = self.serving.peak_memory() {
            ensure!(peak < MEMORY, "{}: {peak} MiB", self.face.platform);
        }
        let (code, log) = self.serving.end("-TERM")?;
        ensure!(code == Some(0) && !log.contains("panicked"), "{code:?}: {log}");
        Ok(())
    }
}

fn connect(address: SocketAddr, tls: &Arc<ClientConfig>, protocol: Option<&str>) -> Result<Tls> {
    let mut config = ClientConfig::clone(tls);
    config.alpn_protocols = protocol.map(|name| name.as_bytes().to_vec()).into_iter().collect();
    let name = ServerName::try_from("localhost")?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Returns what comes until the end, whatever that is.
fn rest(stream: &mut impl std::io::Read) -> String {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    String::from_utf8_lossy(&answer).into_owned()
}

const JSON: &str = "content-type: application/json\r\n";

#[test]
fn requests_that_are_none_are_answered_plainly() -> Result<()> {
    for face in faces() {
        let running = Running::start(face, &[])?;
        let Face { path, question, twice, other_format, most, .. } = &running.face;
        let body = |body: &str| format!("{JSON}content-length: {}\r\n\r\n{body}", body.len());
        let twice = question.replacen('{', &format!("{{{twice},"), 1);
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let padded = |bytes: usize| {
            format!("{question}{}", " ".repeat(bytes.saturating_sub(question.len())))
        };
        let format = |name: &str| {
            let length = question.len();
            format!("content-type: {name}\r\ncontent-length: {length}\r\n\r\n{question}")
        };
        // What is asked, and with which code it is answered.
        let rows: Vec<(&str, String, String, u16)> = vec![
            ("GET", (*path).to_owned(), "\r\n".to_owned(), 405),
            ("HEAD", (*path).to_owned(), "\r\n".to_owned(), 405),
            ("PUT", (*path).to_owned(), body(question), 405),
            ("DELETE", (*path).to_owned(), "\r\n".to_owned(), 405),
            ("OPTIONS", (*path).to_owned(), "\r\n".to_owned(), 405),
            ("BREW", (*path).to_owned(), "\r\n".to_owned(), 405),
            ("POST", "/livez".to_owned(), body(""), 405),
            ("POST", "/".to_owned(), body(question), 404),
            ("POST", format!("{path}/"), body(question), 404),
            ("POST", format!("/{path}"), body(question), 404),
            ("POST", path.to_ascii_uppercase(), body(question), 404),
            ("POST", format!("{path}/../{}", "x".repeat(1_000)), body(question), 404),
            ("GET", "/metrics/../../etc/passwd".to_owned(), "\r\n".to_owned(), 404),
            ("POST", (*path).to_owned(), format("text/plain"), *other_format),
            (
                "POST",
                (*path).to_owned(),
                format("application/x-www-form-urlencoded"),
                *other_format,
            ),
            ("POST", (*path).to_owned(), format("application/json; charset=utf-8"), 200),
            ("POST", (*path).to_owned(), body(question), 200),
            ("POST", (*path).to_owned(), body(""), 400),
            ("POST", (*path).to_owned(), body("{"), 400),
            ("POST", (*path).to_owned(), body("[]"), 400),
            ("POST", (*path).to_owned(), body("\u{feff}{}"), 400),
            ("POST", (*path).to_owned(), body(&twice), 400),
            ("POST", (*path).to_owned(), body(&deep), 400),
            ("POST", (*path).to_owned(), body(&padded(*most)), 200),
            ("POST", (*path).to_owned(), body(&padded(most + 1)), 413),
            ("POST", (*path).to_owned(), body(&padded(most * 7)), 413),
            ("POST", (*path).to_owned(), format!("{JSON}content-length: 99999999999\r\n\r\n"), 413),
            ("POST", (*path).to_owned(), format!("x: {}\r\n\r\n", "y".repeat(64 << 10)), 431),
        ];
        for (method, path, rest_of_it, expected) in rows {
            let mut stream = running.connect(None)?;
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{rest_of_it}");
            // Whoever is refused early may not get rid of all of it.
            let _ = stream.write_all(request.as_bytes());
            let answer = rest(&mut stream);
            let start: String = format!("{method} {path} {rest_of_it}").chars().take(160).collect();
            // Nobody reads a head that is far too large to its end, and whoever still writes it when
            // the connection ends may not see the answer.
            let is_cut = expected == 431 && answer.is_empty();
            ensure!(
                is_cut || answer.starts_with(&format!("HTTP/1.1 {expected} ")),
                "{} {start}: {expected} was expected: {answer}",
                running.face.platform
            );
        }
        running.end()?;
    }
    Ok(())
}

#[test]
fn slow_clients_run_out_of_time() -> Result<()> {
    for face in faces() {
        let running = Running::start(face, &[])?;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n",
            running.face.path
        );
        let begun = Instant::now();
        let mut says_nothing = TcpStream::connect(running.address)?;
        says_nothing.set_read_timeout(Some(PATIENCE))?;
        let mut no_request = running.connect(None)?;
        let mut no_preface = running.connect(Some("h2"))?;
        let mut half_a_head = running.connect(None)?;
        half_a_head.write_all(head.as_bytes().get(..20).unwrap_or_default())?;
        let mut half_a_body = running.connect(None)?;
        half_a_body.write_all(format!("{head}{{").as_bytes())?;
        std::thread::scope(|scope| -> Result<()> {
            // One byte after the other, for as long as it is let.
            let dripping = scope.spawn(|| -> Result<String> {
                let mut stream = running.connect(None)?;
                stream.write_all(head.as_bytes())?;
                for _ in 0..60 {
                    if stream.write_all(b" ").is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(250));
                    if begun.elapsed() > Duration::from_secs(12) {
                        break;
                    }
                }
                Ok(rest(&mut stream))
            });
            assert_eq!(rest(&mut says_nothing), "");
            assert_eq!(rest(&mut no_request), "");
            assert!(!rest(&mut no_preface).contains("200"));
            let answer = rest(&mut half_a_head);
            assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
            let answer = rest(&mut half_a_body);
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            let answer = dripping.join().map_err(|_| anyhow!("panicked"))??;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
            Ok(())
        })?;
        running.end()?;
    }
    Ok(())
}

/// Returns a frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length.get(1..).unwrap_or_default().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Returns the head of a POST, as HPACK writes it without a dictionary.
fn head(path: &str) -> Vec<u8> {
    // `:method POST` and `:scheme https` stand in its table, and the names `:path` and `:authority`.
    let mut head = vec![0x83, 0x87];
    let parts: [(&[u8], &str); 3] =
        [(&[0x04], path), (&[0x01], "localhost"), (b"\0\x0ccontent-type", "application/json")];
    for (name, value) in parts {
        head.extend(name);
        head.push(u8::try_from(value.len()).unwrap_or_default());
        head.extend(value.bytes());
    }
    head
}

/// Makes what comes next of a path's flood, by a number that goes up from 0.
type Flood = fn(&str, u32) -> Vec<u8>;

/// Returns the floods: each by its name, as what comes after the preface.
fn floods() -> Vec<(&'static str, Flood)> {
    vec![
        ("streams that are reset at once", |path, n| {
            let id = 2 * n + 1;
            let mut frames = frame(HEADERS, END_HEADERS, id, &head(path));
            frames.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
            frames
        }),
        ("streams whose bodies never end", |path, n| {
            let id = 2 * n + 1;
            let mut frames = frame(HEADERS, END_HEADERS, id, &head(path));
            frames.extend(frame(DATA, 0, id, b"{"));
            frames
        }),
        ("questions whose answers nobody reads", |path, n| {
            let id = 2 * n + 1;
            let mut frames = frame(HEADERS, END_HEADERS, id, &head(path));
            frames.extend(frame(DATA, END_STREAM, id, b"{}"));
            frames
        }),
        ("pings", |_, n| frame(PING, 0, 0, &u64::from(n).to_be_bytes())),
        ("settings", |_, n| {
            let mut payload = vec![0, 4];
            payload.extend((n % 60_000).to_be_bytes());
            frame(SETTINGS, 0, 0, &payload)
        }),
        ("a head that never ends", |path, n| match n {
            0 => frame(HEADERS, 0, 1, &head(path)),
            // Each a header of its own.
            _ => frame(CONTINUATION, 0, 1, &[&[0, 1, b'a', 100][..], &[b'x'; 100]].concat()),
        }),
        ("data without content", |path, n| match n {
            0 => frame(HEADERS, END_HEADERS, 1, &head(path)),
            _ => frame(DATA, 0, 1, &[]),
        }),
        ("frames of no kind", |_, n| frame(0x77, 0xff, n & 0x7fff_ffff, &[0xff; 512])),
    ]
}

/// Frames of each flood.
const FRAMES: u32 = 20_000;

#[test]
fn floods_of_http2_end_or_are_borne_and_others_are_answered() -> Result<()> {
    for face in faces() {
        let running = Running::start(face, &[])?;
        let mut old = OpenConnection::connect(running.address, &running.setup.tls)?;
        let Face { path, question, yes, .. } = &running.face;
        for (name, make) in floods() {
            let begun = Instant::now();
            let mut stream = running.connect(Some("h2"))?;
            stream.write_all(PREFACE)?;
            stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
            let mut sent = 0;
            // It ends early where the server has had enough. Nothing that it says is read: who is not
            // read from takes nothing more, and is put out sooner or later.
            stream.sock.set_write_timeout(Some(Duration::from_secs(2)))?;
            for n in 0..FRAMES {
                if stream.write_all(&make(path, n)).is_err() {
                    break;
                }
                sent = n;
                if n % 4_000 == 0 {
                    running.is_good().with_context(|| format!("{name}, after {n} frames"))?;
                    let (code, answer) = old.ask("POST", path, question)?;
                    ensure!(code == 200 && answer.contains(yes), "{name}: {code}: {answer}");
                }
            }
            ensure!(begun.elapsed() < PATIENCE, "{name}: {:?}", begun.elapsed());
            running.is_good().with_context(|| format!("after {name}"))?;
            eprintln!("{}: {name}: {sent} frames in {:?}", running.face.platform, begun.elapsed());
        }
        running.end()?;
    }
    Ok(())
}

/// Connections that are held open, and places that the server has.
const HELD: usize = 10_000;
const PLACES: &str = "2000";

/// For how long a connection without request surely stays, on a machine that is slow.
const IDLE: Duration = Duration::from_secs(5);

/// Returns how many files this process may open, where the system tells it.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[test]
fn ten_thousand_connections_keep_nobody_out() -> Result<()> {
    let room = open_files().unwrap_or(1024);
    if room < HELD + 200 {
        eprintln!("SKIPPED: {HELD} connections need more than the {room} files of this process");
        return Ok(());
    }
    for face in faces() {
        let running = Running::start(face, &["--max-connections", PLACES])?;
        let Face { path, question, yes, .. } = &running.face;
        let mut old = OpenConnection::connect(running.address, &running.setup.tls)?;
        old.ask("POST", path, question)?;
        let mut answered = Instant::now();
        let mut held = Vec::with_capacity(HELD);
        for n in 0..HELD {
            let mut stream = TcpStream::connect(running.address)?;
            if n % 2 == 0 {
                // Also a reset is an end of that one only.
                let _ = stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]);
            }
            held.push(stream);
            if n % 1_000 == 999 {
                running.is_good()?;
            }
            if n % 100 == 99 {
                if answered.elapsed() > IDLE {
                    old = OpenConnection::connect(running.address, &running.setup.tls)?;
                }
                // Whoever has been answered before goes last.
                let (code, answer) = old.ask("POST", path, question)?;
                ensure!(code == 200 && answer.contains(yes), "{code}: {answer}");
                answered = Instant::now();
            }
        }
        drop(held);
        running.end()?;
    }
    Ok(())
}

/// Somebody without a certificate, or with that of another authority, is not answered.
#[test]
fn strangers_are_not_answered() -> Result<()> {
    for face in faces() {
        let running = Running::start(face, &[])?;
        for tls in [&running.setup.stranger, &Setup::new()?.tls] {
            let asked =
                ask(running.address, tls, "POST", running.face.path, &running.face.question);
            ensure!(asked.is_err(), "{asked:?}");
        }
        running.end()?;
    }
    Ok(())
}
