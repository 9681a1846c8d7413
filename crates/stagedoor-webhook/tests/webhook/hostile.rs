//! Bodies and clients that mean harm: the server stays up, answers good clients, and lets
//! nobody in.

use anyhow::Result;
use bytes::Bytes;
use fastrand::Rng;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Authority, Client, Files, Running, review, tls};

/// Bodies that are tried at each webhook.
const BODIES: usize = 4_000;

/// Pieces that parsers and policies may take amiss.
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"-0",
    b"\xff\xfe",
    b"\"system:masters\"",
    b"\"groups\":[\"readers\"],",
    b"\"spec\":{},",
    b"99999999999999999999",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"*",
];

/// Changes a body in a few places.
fn mutate(body: &str, numbers: &mut Rng) -> Vec<u8> {
    let mut bytes = body.as_bytes().to_vec();
    for _ in 0..=numbers.usize(..4) {
        let at = numbers.usize(..bytes.len() + 1);
        match numbers.usize(..5) {
            0 => bytes.truncate(at),
            1 => {
                let end = (at + numbers.usize(..40)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(numbers.usize(..256)).unwrap_or_default();
                }
            }
            3 => {
                let piece = PIECES.get(numbers.usize(..PIECES.len())).copied().unwrap_or_default();
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                let from = numbers.usize(..bytes.len() + 1).min(at);
                let copy = bytes.get(from..at).unwrap_or_default().to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

/// A review that nothing permits, however little of it is changed.
fn refused_review() -> String {
    review("list", "secrets")
}

fn refused_admission() -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "payments", "name": "ledger",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {"username": "alice", "groups": ["readers"]},
            "object": {"spec": {"hostNetwork": true, "containers": [{"image": "x"}]}},
        },
    })
    .to_string()
}

/// Conditions of which none allows.
fn refused_conditions() -> String {
    json!({
        "apiVersion": "authorization.k8s.io/v1alpha1",
        "kind": "AuthorizationConditionsReview",
        "request": {
            "conditionSets": [{"authorizerName": "stagedoor", "failureMode": "Deny", "conditions": [
                {"id": "a", "effect": "Deny", "type": "stagedoor-cedar", "condition":
                    "(resource has object) && resource.object.hasTag(\"/spec/hostNetwork\")"},
                {"id": "b", "effect": "NoOpinion", "type": "stagedoor-cedar", "condition": "false"},
            ]}],
            "operation": "CREATE",
            "object": {"spec": {"hostNetwork": true, "containers": [{"image": "x"}]}},
        },
    })
    .to_string()
}

#[tokio::test]
async fn mutated_bodies_are_refused_or_decided_and_never_allowed() -> Result<()> {
    let files = Files::new()?;
    // Nothing is permitted, so whatever is allowed is a hole.
    files.write_policies(
        r#"forbid(principal, action, resource) when { resource is k8s::Resource };"#,
    )?;
    let mut config = files.config();
    config.experimental_conditional = true;
    let running = Running::start(&files, config).await?;
    let tls = files.client(None)?;
    let mut numbers = Rng::with_seed(20_251_122);
    let mut codes = std::collections::BTreeMap::<u16, usize>::new();
    let bodies = [
        ("/authorize", refused_review()),
        ("/admit", refused_admission()),
        ("/conditions", refused_conditions()),
    ];
    for (path, body) in bodies {
        let mut client = Client::connect_http2(running.address, tls.clone()).await?;
        for _ in 0..BODIES {
            let mutated = mutate(&body, &mut numbers);
            let (code, answer) = client.post(path, Bytes::from(mutated.clone())).await?;
            *codes.entry(code.as_u16()).or_default() += 1;
            let shown = String::from_utf8_lossy(&mutated);
            let answer: Value = serde_json::from_str(&answer)?;
            let allowed = [answer.pointer("/status/allowed"), answer.pointer("/response/allowed")];
            assert!(!allowed.contains(&Some(&json!(true))), "{shown}: {answer}");
            match code {
                StatusCode::OK => assert!(allowed.contains(&Some(&json!(false))), "{shown}"),
                _ => {
                    assert_eq!(code, StatusCode::BAD_REQUEST, "{shown}: {answer}");
                    assert_eq!(answer["kind"], "Status", "{shown}");
                }
            }
        }
    }
    // Both kinds of answer occurred, or the mutations would show nothing.
    assert!(codes.get(&200) > Some(&100) && codes.get(&400) > Some(&1000), "{codes:?}");
    running.stop().await
}

#[tokio::test]
async fn good_clients_are_answered_while_others_misbehave() -> Result<()> {
    let files = Files::new()?;
    let mut config = files.mutual();
    config.limits.connections = 64;
    config.limits.requests = 8;
    let running = Running::start(&files, config).await?;
    let good_tls = files.client(Some(&files.client_authority))?;
    let stranger = files.client(Some(&Authority::new()?))?;
    let mut held: Vec<Box<dyn std::any::Any + Send>> = Vec::new();
    for n in 0..200 {
        match n % 4 {
            // Says nothing.
            0 => held.push(Box::new(TcpStream::connect(running.address).await?)),
            // Says something that is not TLS.
            1 => {
                let mut stream = TcpStream::connect(running.address).await?;
                let _ = stream.write_all(&[0x16, 0x03, 0x01, 0xff, 0xff, 0x01, 0x00]).await;
                held.push(Box::new(stream));
            }
            // Has the wrong certificate.
            2 => {
                let mut got_in = false;
                if let Ok(mut client) = Client::connect(running.address, stranger.clone()).await {
                    got_in = client.post("/authorize", review("list", "pods")).await.is_ok();
                }
                assert!(!got_in, "a stranger was answered");
            }
            // Is trusted, but never sends its body.
            _ => {
                if let Ok(mut stream) = tls(running.address, good_tls.clone()).await {
                    let head = "POST /authorize HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n";
                    let _ = stream.write_all(head.as_bytes()).await;
                    held.push(Box::new(stream));
                }
            }
        }
        if n % 10 == 0 {
            let mut good = Client::connect(running.address, good_tls.clone()).await?;
            let mut answered = false;
            for _ in 0..600 {
                let (code, body) = good.post("/authorize", review("list", "pods")).await?;
                match code {
                    StatusCode::OK => {
                        assert!(body.contains(r#""allowed":true"#), "{body}");
                        answered = true;
                        break;
                    }
                    // All places are taken by bodies that still have time.
                    code => assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{body}"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            assert!(answered, "a good client was kept out");
        }
    }
    running.stop().await
}

/// Connections that are held open.
const HELD: usize = 10_000;
/// Connections that the server takes at a time.
const PLACES: usize = 2_000;

/// Returns how many files this process may open, where the system tells it.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[tokio::test]
async fn ten_thousand_connections_keep_nobody_out() -> Result<()> {
    let room = open_files().unwrap_or(1024);
    if room < HELD + PLACES + 200 {
        eprintln!("SKIPPED: {HELD} connections need more than the {room} files of this process");
        return Ok(());
    }
    let files = Files::new()?;
    let mut config = files.mutual();
    config.limits.connections = PLACES;
    // Nobody is put out for the time alone.
    config.limits.handshake = std::time::Duration::from_secs(600);
    let running = Running::start(&files, config).await?;
    let good_tls = files.client(Some(&files.client_authority))?;
    let stranger = files.client(Some(&Authority::new()?))?;
    let mut old = Client::connect(running.address, good_tls.clone()).await?;
    old.review(review("list", "pods")).await?;
    let mut held = Vec::with_capacity(HELD);
    for n in 0..HELD {
        let mut stream = TcpStream::connect(running.address).await?;
        if n % 2 == 0 {
            // Also a reset is an end of that one only.
            let _ = stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
        }
        held.push(stream);
        if n % 500 == 499 {
            let mut newcomer = Client::connect(running.address, good_tls.clone()).await?;
            assert_eq!(newcomer.review(review("list", "pods")).await?["allowed"], json!(true));
            // Whoever has been answered before goes last.
            assert_eq!(old.review(review("list", "pods")).await?["allowed"], json!(true));
            if let Ok(mut client) = Client::connect(running.address, stranger.clone()).await {
                assert!(client.post("/authorize", review("list", "pods")).await.is_err());
            }
        }
    }
    let (_, metrics) = old.get("/metrics").await?;
    let evicted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("stagedoor_connections_evicted_total "))
        .and_then(|count| count.parse::<usize>().ok());
    assert!(evicted >= Some(HELD - PLACES), "{evicted:?} were evicted");
    drop(held);
    running.stop().await
}
