//! A server on a free port with certificates made on the spot, and clients of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::Value;
use stagedoor_webhook::{PolicySource, ServeError, Server, ServerConfig, TlsFiles};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Returns a certificate and its key.
    pub fn sign(&self, name: &str) -> Result<(rcgen::Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &self.0)?;
        Ok((certificate, key))
    }
}

/// The policies of most tests.
pub const POLICIES: &str = r#"
@id("readers-read")
permit(principal in k8s::Group::"readers", action in k8s::Action::"readOnly", resource is k8s::Resource);

@id("no-secrets")
forbid(principal, action, resource is k8s::Resource) when { resource.resource == "secrets" };
"#;

/// A directory with policies and certificates.
pub struct Files {
    pub directory: tempfile::TempDir,
    pub server_authority: Authority,
    pub client_authority: Authority,
}

impl Files {
    pub fn new() -> Result<Self> {
        let files = Self {
            directory: tempfile::tempdir()?,
            server_authority: Authority::new()?,
            client_authority: Authority::new()?,
        };
        std::fs::create_dir(files.policies())?;
        files.write_policies(POLICIES)?;
        files.write_certificate("localhost")?;
        std::fs::write(files.path("ca.crt"), files.client_authority.pem())?;
        Ok(files)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn policies(&self) -> PathBuf {
        self.path("policies")
    }

    pub fn write_policies(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.policies().join("test.cedar"), text)?)
    }

    pub fn write_certificate(&self, name: &str) -> Result<()> {
        let (certificate, key) = self.server_authority.sign(name)?;
        std::fs::write(self.path("tls.crt"), certificate.pem())?;
        Ok(std::fs::write(self.path("tls.key"), key.serialize_pem())?)
    }

    /// Returns a configuration for tests: a free port, and quick looks for changes.
    pub fn config(&self) -> ServerConfig {
        let tls = TlsFiles::new(self.path("tls.crt"), self.path("tls.key"));
        let mut config = ServerConfig::new(PolicySource::new([self.policies()]), tls);
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.reload_interval = Duration::from_millis(20);
        config.limits.shutdown_grace = Duration::from_secs(3);
        config
    }

    /// Returns a configuration that asks clients for certificates.
    pub fn mutual(&self) -> ServerConfig {
        let mut config = self.config();
        config.tls = config.tls.with_client_ca(self.path("ca.crt"));
        config
    }

    /// Returns TLS settings of a client with a certificate of `signer`, if any.
    pub fn client(&self, signer: Option<&Authority>) -> Result<rustls::ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server_authority.0.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(match signer {
            None => builder.with_no_client_auth(),
            Some(signer) => {
                let (certificate, key) = signer.sign("client")?;
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(vec![certificate.der().clone()], key)?
            }
        })
    }
}

/// A running server.
pub struct Running {
    pub address: SocketAddr,
    pub health: Option<SocketAddr>,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Starts a server and waits until it is ready.
    pub async fn start(files: &Files, config: ServerConfig) -> Result<Self> {
        let running = Self::start_unready(config).await?;
        let mutual = files.client(Some(&files.client_authority))?;
        for _ in 0..12_000 {
            if let Ok(mut client) = Client::connect(running.address, mutual.clone()).await
                && client.get("/readyz").await?.0 == StatusCode::OK
            {
                return Ok(running);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the server is not ready")
    }

    /// Starts a server.
    pub async fn start_unready(config: ServerConfig) -> Result<Self> {
        let server = Server::bind(config).await?;
        let address = server.address().context("an address")?;
        let health = server.health_address();
        let (shutdown, asked) = oneshot::channel();
        let task = tokio::spawn(server.run(async { asked.await.unwrap_or_default() }));
        Ok(Self { address, health, shutdown: Some(shutdown), task })
    }

    /// Asks the server to shut down.
    pub fn ask_to_stop(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            // It may have ended by itself.
            let _ = shutdown.send(());
        }
    }

    /// Waits for the server's end.
    pub async fn ended(self) -> Result<(), anyhow::Error> {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.task).await;
        Ok(ended.context("the server does not end")???)
    }

    pub async fn stop(mut self) -> Result<()> {
        self.ask_to_stop();
        self.ended().await
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A client with one connection.
pub struct Client {
    sender: Sender,
}

/// Returns an established connection.
pub async fn tls(
    address: SocketAddr,
    config: rustls::ClientConfig,
) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

impl Client {
    /// Connects with HTTP/1.
    pub async fn connect(address: SocketAddr, config: rustls::ClientConfig) -> Result<Self> {
        let stream = TokioIo::new(tls(address, config).await?);
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self { sender: Sender::Http1(sender) })
    }

    /// Connects with HTTP/2.
    pub async fn connect_http2(
        address: SocketAddr,
        mut config: rustls::ClientConfig,
    ) -> Result<Self> {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TokioIo::new(tls(address, config).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        Ok(Self { sender: Sender::Http2(sender) })
    }

    /// Sends a request and returns code and body of the answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, String)> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let code = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((code, String::from_utf8(body.into())?))
    }

    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, String)> {
        self.send(self.request(Method::GET, path, Bytes::new())?).await
    }

    pub async fn post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, String)> {
        self.send(self.request(Method::POST, path, body.into())?).await
    }

    /// Sends a review and returns the status of the answer.
    pub async fn review(&mut self, body: impl Into<Bytes>) -> Result<Value> {
        let (code, body) = self.post("/authorize", body).await?;
        anyhow::ensure!(code == StatusCode::OK, "{code}: {body}");
        let review: Value = serde_json::from_str(&body)?;
        anyhow::ensure!(review["apiVersion"] == "authorization.k8s.io/v1", "{body}");
        anyhow::ensure!(review["kind"] == "SubjectAccessReview", "{body}");
        Ok(review["status"].clone())
    }

    pub fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let (uri, host) = match self.sender {
            Sender::Http1(_) => (path.to_owned(), Some("localhost")),
            Sender::Http2(_) => (format!("https://localhost{path}"), None),
        };
        let request =
            Request::builder().method(method).uri(uri).header("content-type", "application/json");
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        Ok(request.body(Full::new(body))?)
    }
}

/// Returns a review of somebody in group `readers`.
pub fn review(verb: &str, resource: &str) -> String {
    serde_json::json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "alice",
            "groups": ["readers", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb, "resource": resource, "namespace": "payments", "version": "v1",
            },
        },
    })
    .to_string()
}

/// Waits until `check` holds.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..6_000 {
        if check().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("never: {what}")
}

pub fn remove(path: &Path) -> Result<()> {
    Ok(std::fs::remove_file(path)?)
}
