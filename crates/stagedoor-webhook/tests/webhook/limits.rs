//! Slow, greedy and numerous clients, and the end of the server.

use std::time::{Duration, Instant};

use crate::support::{Client, Files, Running, eventually, review, tls};
use anyhow::Result;
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEAD: &str = "POST /authorize HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n";

/// Returns what a stream answers until its end, which comes within a minute.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Result<String> {
    let mut answer = Vec::new();
    // Also a reset is an end.
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn slow_clients_run_out_of_time() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.config();
    config.limits.handshake = Duration::from_secs(2);
    config.limits.head = Duration::from_secs(1);
    config.limits.body = Duration::from_secs(1);
    let running = Running::start(&files, config).await?;
    let client = files.client(None)?;

    let mut no_handshake = TcpStream::connect(running.address).await?;
    assert_eq!(rest(&mut no_handshake).await?, "");

    let mut no_request = tls(running.address, client.clone()).await?;
    assert_eq!(rest(&mut no_request).await?, "");

    let mut http2 = client.clone();
    http2.alpn_protocols = vec![b"h2".to_vec()];
    let mut no_preface = tls(running.address, http2).await?;
    assert!(!rest(&mut no_preface).await?.contains("200"));

    let mut slow_head = tls(running.address, client.clone()).await?;
    slow_head.write_all(b"POST /authorize HTTP/1.1\r\nx-a: ").await?;
    let answer = rest(&mut slow_head).await?;
    assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");

    let mut slow_body = tls(running.address, client.clone()).await?;
    slow_body.write_all(HEAD.as_bytes()).await?;
    slow_body.write_all(b"{").await?;
    let answer = rest(&mut slow_body).await?;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#""reason":"Timeout""#), "{answer}");

    let mut good = Client::connect(running.address, client).await?;
    assert_eq!(good.review(review("list", "pods")).await?["allowed"], json!(true));
    running.stop().await
}

#[tokio::test]
async fn more_requests_than_places_are_refused_at_once() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.config();
    config.limits.requests = 1;
    config.limits.body = Duration::from_secs(600);
    let running = Running::start(&files, config).await?;
    let client = files.client(None)?;
    let mut good = Client::connect(running.address, client.clone()).await?;

    let mut slow = tls(running.address, client).await?;
    slow.write_all(HEAD.as_bytes()).await?;
    let in_flight = "stagedoor_requests_in_flight 1\n";
    eventually("the slow request has come", async || {
        Ok(good.get("/metrics").await?.1.contains(in_flight))
    })
    .await?;
    let begun = Instant::now();
    let (code, answer) = good.post("/authorize", review("list", "pods")).await?;
    // Either the slow one still had time, or it has given way already.
    if code != StatusCode::OK {
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        assert!(answer.contains(r#""kind":"Status""#), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
    eventually("the slow request gives way", async || {
        Ok(good.post("/authorize", review("list", "pods")).await?.0 == StatusCode::OK)
    })
    .await?;
    let answer = rest(&mut slow).await?;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    running.stop().await
}

#[tokio::test]
async fn large_bodies_share_a_budget() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.config();
    config.limits.body_bytes_in_flight = 64 << 10;
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let padded = |spaces: usize| review("list", "pods") + &" ".repeat(spaces);
    assert_eq!(client.post("/authorize", padded(60 << 10)).await?.0, StatusCode::OK);
    let (code, answer) = client.post("/authorize", padded(100 << 10)).await?;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    assert_eq!(client.post("/authorize", padded(60 << 10)).await?.0, StatusCode::OK);
    running.stop().await
}

#[tokio::test]
async fn idle_connections_give_way_to_good_clients() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.mutual();
    config.limits.connections = 32;
    config.limits.handshake = Duration::from_secs(60);
    let running = Running::start(&files, config).await?;
    let client = files.client(Some(&files.client_authority))?;
    let mut proven = Client::connect(running.address, client.clone()).await?;
    proven.review(review("list", "pods")).await?;

    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(running.address).await?);
    }
    for _ in 0..20 {
        let mut newcomer = Client::connect(running.address, client.clone()).await?;
        assert_eq!(newcomer.review(review("list", "pods")).await?["allowed"], json!(true));
    }
    assert_eq!(proven.review(review("list", "pods")).await?["allowed"], json!(true));
    let (_, metrics) = proven.get("/metrics").await?;
    assert!(!metrics.contains("stagedoor_connections_evicted_total 0\n"), "{metrics}");
    running.stop().await
}

#[tokio::test]
async fn what_is_in_flight_is_answered_before_the_end() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.config();
    config.limits.shutdown_delay = Duration::from_secs(2);
    let mut running = Running::start(&files, config).await?;
    let client = files.client(None)?;
    let body = review("list", "pods");
    let mut slow = tls(running.address, client.clone()).await?;
    let head = HEAD.replace("500", &body.len().to_string());
    slow.write_all(head.as_bytes()).await?;
    let mut other = Client::connect(running.address, client.clone()).await?;
    eventually("the slow request has come", async || {
        Ok(other.get("/metrics").await?.1.contains("stagedoor_requests_in_flight 1\n"))
    })
    .await?;

    running.ask_to_stop();
    eventually("it is no longer ready", async || {
        Ok(other.get("/readyz").await?.0 == StatusCode::SERVICE_UNAVAILABLE)
    })
    .await?;
    assert_eq!(other.review(review("list", "pods")).await?["allowed"], json!(true));
    // Past the delay the listener is closed.
    eventually("no new connections", async || {
        Ok(TcpStream::connect(running.address).await.is_err())
    })
    .await?;
    slow.write_all(body.as_bytes()).await?;
    let answer = rest(&mut slow).await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""allowed":true"#), "{answer}");
    running.ended().await
}
