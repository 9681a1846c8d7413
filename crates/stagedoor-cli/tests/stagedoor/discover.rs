//! `backstage discover` against a server on this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Result, ensure};

use crate::run::{Run, stagedoor};

const PLAYLIST: &str = r#"{"permissions":[
    {"type":"resource","name":"playlist.list.read","attributes":{"action":"read"},"resourceType":"playlist-list"},
    {"type":"basic","name":"playlist.list.create","attributes":{"action":"create"}},
    {"type":"resource","name":"catalog.entity.read","attributes":{"action":"read"},"resourceType":"catalog-entity"}],
  "rules":[
    {"name":"IS_OWNER","resourceType":"playlist-list","description":"x",
     "paramsSchema":{"type":"object","properties":{"owners":{"type":"array","items":{"type":"string"}}}}},
    {"name":"HAS_COLOR","resourceType":"playlist-list","paramsSchema":{"type":"object",
     "properties":{"name":{"type":"string"},"value":{"type":"string"}}}},
    {"name":"IS_PUBLIC","resourceType":"playlist-list","paramsSchema":{"type":"object","properties":{}}},
    {"name":"HAS_LENGTH","resourceType":"playlist-list","paramsSchema":{"type":"object",
     "properties":{"length":{"type":"number"}}}},
    {"name":"HAS_LABEL","resourceType":"catalog-entity","paramsSchema":{}}]}"#;

/// Answers one request after the other, until there were as many as `answers`.
fn serve(
    answers: Vec<(&'static str, &'static str, String)>,
) -> Result<(String, JoinHandle<Vec<String>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    let server = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for (path, status, body) in answers {
            let Ok((stream, _)) = listener.accept() else { break };
            seen.push(answer(stream, path, status, &body).unwrap_or_else(|e| e.to_string()));
        }
        seen
    });
    Ok((address, server))
}

fn answer(mut stream: TcpStream, path: &str, status: &str, body: &str) -> Result<String> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "the request ends early");
    }
    let is_asked = head.starts_with(&format!("GET {path} "));
    let (status, body) = if is_asked { (status, body) } else { ("500 Other", "") };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(head)
}

fn discover(address: &str, directory: &Path, more: &[&str]) -> Result<Run> {
    let args = ["backstage", "discover", "--url", address].into_iter().chain(more.iter().copied());
    stagedoor(directory, args, b"the-token\n")
}

const METADATA: &str = "/api/playlist/.well-known/backstage/permissions/metadata";
const NONE: &str = "/api/none/.well-known/backstage/permissions/metadata";

#[test]
fn what_is_not_known_is_written_and_loads() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (address, server) =
        serve(vec![(METADATA, "200 OK", PLAYLIST.into()), (NONE, "404 Not Found", String::new())])?;
    let more = ["--plugin", "playlist", "none", "--token-file", "-"];
    let run = discover(&format!("{address}/"), directory.path(), &more)?;
    ensure!(run.exit == 0, "{}{}", run.stdout, run.stderr);
    let heads = server.join().map_err(|_| anyhow::anyhow!("the server failed"))?;
    ensure!(heads.iter().all(|head| head.contains("Bearer the-token")), "{heads:?}");
    for text in [
        "playlist.list.read",
        "IS_OWNER",
        r#""tag":"color:*","key":"name","value":"value""#,
        "IS_PUBLIC",
    ] {
        ensure!(run.stdout.contains(text), "{text} is not in\n{}", run.stdout);
    }
    for text in ["catalog.entity.read", "HAS_LABEL", "HAS_LENGTH"] {
        ensure!(!run.stdout.contains(text), "{text} is in\n{}", run.stdout);
    }
    ensure!(run.stderr.contains("rule `HAS_LENGTH`"), "{}", run.stderr);
    ensure!(run.stderr.contains("without permissions, or not installed: `none`"), "{}", run.stderr);
    ensure!(run.stderr.contains("2 permissions and 3 rules"), "{}", run.stderr);

    // The file serves policies about the plugin's resources.
    std::fs::write(directory.path().join("playlist.permissions.yaml"), &run.stdout)?;
    let policy = r#"permit (principal is Backstage::User,
        action == Backstage::Action::"playlist.list.read", resource)
        when { resource.hasTag("owner") && resource.getTag("owner").containsAny(principal.claims) };"#;
    std::fs::write(directory.path().join("p.cedar"), policy)?;
    let args = "check backstage --policies . --user user:default/a --group user:default/a \
                --permission playlist.list.read --format json";
    let run = stagedoor(directory.path(), args.split_whitespace(), b"")?;
    let expected = r#"{"result":"CONDITIONAL","pluginId":"playlist","resourceType":"playlist-list","conditions":{"rule":"IS_OWNER","resourceType":"playlist-list","params":{"owners":["user:default/a"]}}}"#;
    ensure!(run.stdout.trim() == expected, "{}{}", run.stdout, run.stderr);
    Ok(())
}

#[test]
fn answers_that_are_no_metadata_are_failures() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (status, body, said) in [
        ("200 OK", "<html>", "no permission metadata"),
        ("401 Unauthorized", "", "--token-file"),
        ("302 Found", "", "answered 302"),
        ("500 Oops", "", "answered 500"),
        ("404 Not Found", "", "tells of permissions"),
        ("200 OK", r#"{"permissions":[{"name":"a b","attributes":{}}]}"#, "is not a name"),
    ] {
        let (address, server) = serve(vec![(METADATA, status, body.to_owned())])?;
        let run = discover(&address, directory.path(), &["--plugin", "playlist"])?;
        server.join().map_err(|_| anyhow::anyhow!("the server failed"))?;
        ensure!(run.exit == 1 && run.stderr.contains(said), "{said}: {}{}", run.stdout, run.stderr);
        ensure!(run.stdout.is_empty(), "{}", run.stdout);
    }
    for (url, said) in [
        ("localhost:7007", "is not the address"),
        ("http://user:secret@host", "is not the address"),
        ("http://127.0.0.1:1", "cannot be read"),
    ] {
        let run = discover(url, directory.path(), &["--plugin", "playlist"])?;
        ensure!(run.exit == 1 && run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    Ok(())
}
