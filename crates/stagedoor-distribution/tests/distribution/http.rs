//! A web server of a few lines, which serves a directory with ETags.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use stagedoor_distribution::Digest;

use crate::support::lock;

/// A server that ends with the test. What it was asked is told.
pub struct WebServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    /// What it answers instead of files.
    pub answer: Arc<Mutex<Option<String>>>,
}

impl WebServer {
    pub fn start(root: PathBuf) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new(None));
        let (told, instead) = (Arc::clone(&asked), Arc::clone(&answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away has its reasons.
                let _ = serve(stream, &root, &told, &instead);
            }
        });
        Ok(Self { address, asked, answer })
    }

    /// Returns what was asked since the last time: the path, and the code of the answer.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.asked))
    }
}

fn serve(
    stream: TcpStream,
    root: &std::path::Path,
    told: &Mutex<Vec<String>>,
    instead: &Mutex<Option<String>>,
) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.by_ref().take(8192).read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).context("a path")?.to_owned();
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let mut stream = stream;
    if let Some(answer) = &*lock(instead) {
        stream.write_all(answer.as_bytes())?;
        return Ok(());
    }
    let file = std::fs::read(root.join(path.trim_start_matches('/')));
    let (code, etag, body) = match file {
        Err(_) => ("404 Not Found", String::new(), Vec::new()),
        Ok(body) => {
            let etag = format!("\"{}\"", Digest::of(&body).hex());
            match header("if-none-match") == Some(etag.clone()) {
                true => ("304 Not Modified", etag, Vec::new()),
                false => ("200 OK", etag, body),
            }
        }
    };
    let token = header("authorization").map(|value| format!(" {value}")).unwrap_or_default();
    lock(told).push(format!("{path} {}{token}", code.get(..3).unwrap_or_default()));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {code}\r\netag: {etag}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)?;
    Ok(())
}
