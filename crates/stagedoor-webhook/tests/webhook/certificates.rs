//! Mutual TLS, and certificates that change while connections go on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::support::{Authority, Client, Files, Running, eventually, remove, review, tls};
use anyhow::Result;
use serde_json::json;
use stagedoor_core::RuleEvaluator;
use stagedoor_webhook::{PolicySource, RuleSource};
use tokio::io::AsyncReadExt as _;

/// Whether a client with these settings gets an answer to a review.
async fn gets_in(running: &Running, config: rustls::ClientConfig) -> bool {
    // With TLS 1.3 the client is through before the server has seen its certificate.
    match Client::connect(running.address, config).await {
        Ok(mut client) => client.review(review("list", "pods")).await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_of_the_client_authority() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.mutual()).await?;
    let stranger = Authority::new()?;
    assert!(gets_in(&running, files.client(Some(&files.client_authority))?).await);
    assert!(!gets_in(&running, files.client(None)?).await);
    assert!(!gets_in(&running, files.client(Some(&stranger))?).await);
    // The authority of the server's own certificate is not one of clients.
    assert!(!gets_in(&running, files.client(Some(&files.server_authority))?).await);

    let mut plain = tokio::net::TcpStream::connect(running.address).await?;
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET /metrics HTTP/1.1\r\n\r\n").await?;
    let mut answer = Vec::new();
    // Also a reset is an end without an answer.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1"));
    running.stop().await
}

/// Returns the certificate that a new connection is shown.
async fn shown(running: &Running, files: &Files) -> Result<Vec<u8>> {
    let config = files.client(Some(&files.client_authority))?;
    let stream = tls(running.address, config).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().map(|certificate| certificate.to_vec()).unwrap_or_default())
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_drops_none() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.mutual()).await?;
    let config = files.client(Some(&files.client_authority))?;
    let mut old = [
        Client::connect(running.address, config.clone()).await?,
        Client::connect_http2(running.address, config).await?,
    ];
    let before = shown(&running, &files).await?;
    files.write_certificate("localhost")?;
    eventually("the new certificate", async || {
        for client in &mut old {
            client.review(review("list", "pods")).await?;
        }
        Ok(shown(&running, &files).await? != before)
    })
    .await?;
    for client in &mut old {
        client.review(review("list", "pods")).await?;
    }
    running.stop().await
}

/// Rules whose second load takes until it is let go, as one that waits for a compiler does.
#[derive(Debug, Clone, Default)]
struct Stuck(Arc<StuckState>);

#[derive(Debug, Default)]
struct StuckState {
    loads: AtomicU64,
    gate: Mutex<()>,
}

impl RuleSource for Stuck {
    fn load(&self) -> Result<Option<Arc<dyn RuleEvaluator>>, String> {
        if self.0.loads.fetch_add(1, Ordering::SeqCst) > 0 {
            drop(self.0.gate.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(None)
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::await_holding_lock, reason = "it holds up the thread that loads policies")]
async fn certificates_do_not_wait_for_policies_whose_rules_are_compiled() -> Result<()> {
    let (files, rules) = (Files::new()?, Stuck::default());
    let mut config = files.mutual();
    config.policies = PolicySource::new([files.policies()]).with_rules(Arc::new(rules.clone()));
    let running = Running::start(&files, config).await?;
    let held = rules.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
    files.write_policies("permit(principal, action, resource);")?;
    eventually("policies are being loaded", async || Ok(rules.0.loads.load(Ordering::SeqCst) > 1))
        .await?;
    let before = shown(&running, &files).await?;
    files.write_certificate("localhost")?;
    eventually("the new certificate", async || Ok(shown(&running, &files).await? != before))
        .await?;
    assert_eq!(rules.0.loads.load(Ordering::SeqCst), 2, "policies were loading all the time");
    drop(held);
    running.stop().await
}

#[tokio::test]
async fn a_broken_certificate_leaves_the_old_one_in_force() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.mutual()).await?;
    let config = files.client(Some(&files.client_authority))?;
    let before = shown(&running, &files).await?;
    let good = std::fs::read(files.path("tls.crt"))?;

    // One that belongs to another key.
    let (other, _) = files.server_authority.sign("localhost")?;
    std::fs::write(files.path("tls.crt"), other.pem())?;
    let failed = r#"stagedoor_reload_failed{what="certificates"} 1"#;
    eventually("a failed reload", async || {
        let mut client = Client::connect(running.address, config.clone()).await?;
        Ok(client.get("/metrics").await?.1.contains(failed))
    })
    .await?;
    let mut client = Client::connect(running.address, config.clone()).await?;
    let (code, page) = client.get("/readyz?verbose").await?;
    assert_eq!(code, 200);
    assert!(page.contains("[!]certificate-reload failed"), "{page}");
    assert_eq!(shown(&running, &files).await?, before);

    std::fs::write(files.path("tls.crt"), good)?;
    eventually("certificates are settled", async || {
        Ok(client.get("/readyz?verbose").await?.1.contains("[+]certificate-reload ok"))
    })
    .await?;
    assert_eq!(shown(&running, &files).await?, before);
    running.stop().await
}

#[tokio::test]
async fn clients_of_an_authority_that_is_removed_do_not_stay() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.mutual()).await?;
    let old = files.client(Some(&files.client_authority))?;
    let new_authority = Authority::new()?;
    let new = files.client(Some(&new_authority))?;
    let mut http1 = Client::connect(running.address, old.clone()).await?;
    let mut http2 = Client::connect_http2(running.address, old.clone()).await?;
    assert_eq!(http1.review(review("list", "pods")).await?["allowed"], json!(true));
    assert_eq!(http2.review(review("list", "pods")).await?["allowed"], json!(true));

    std::fs::write(files.path("ca.crt"), new_authority.pem())?;
    eventually("the new authority", async || Ok(gets_in(&running, new.clone()).await)).await?;
    assert!(!gets_in(&running, old).await);
    eventually("the old connections end", async || {
        let http1 = http1.review(review("list", "pods")).await;
        let http2 = http2.review(review("list", "pods")).await;
        Ok(http1.is_err() && http2.is_err())
    })
    .await?;
    running.stop().await
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() -> Result<()> {
    let files = Files::new()?;
    let message = |config| async {
        match stagedoor_webhook::Server::bind(config).await {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    std::fs::write(files.path("ca.crt"), "")?;
    let text = message(files.mutual()).await;
    assert!(text.ends_with("ca.crt`: there is no certificate in it"), "{text}");
    std::fs::write(files.path("tls.key"), "no key")?;
    let text = message(files.config()).await;
    assert!(text.contains("tls.key`: no private key in PEM"), "{text}");
    remove(&files.path("tls.crt"))?;
    let text = message(files.config()).await;
    assert!(text.contains("tls.crt`: "), "{text}");
    Ok(())
}

#[tokio::test]
async fn health_answers_without_tls_where_asked_to() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.mutual();
    config.health_listen = Some(([127, 0, 0, 1], 0).into());
    let running = Running::start(&files, config).await?;
    let health = running.health.ok_or_else(|| anyhow::anyhow!("no health address"))?;
    for (request, expected) in [
        ("GET /livez", "HTTP/1.1 200"),
        ("GET /readyz", "HTTP/1.1 200"),
        ("GET /metrics", "HTTP/1.1 200"),
        ("POST /authorize", "HTTP/1.1 404"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(health).await?;
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(60), read).await??;
        assert!(answer.starts_with(expected), "{request}: {answer}");
    }
    running.stop().await
}
