//! etcd and kube-apiserver on the loopback.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use base64::Engine as _;
use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::credentials::{Authority, tokens};
use crate::process::{Process, eventually, free_address};
use crate::servers::Servers;

/// The stored objects of clusters.
pub(crate) struct Etcd {
    address: SocketAddr,
    directory: TempDir,
    _process: Process,
}

impl Etcd {
    pub(crate) fn start(servers: &Servers) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (address, peers) = (free_address()?, free_address()?);
        let mut command = Command::new(&servers.etcd);
        command
            .arg(format!("--data-dir={}", directory.path().join("etcd").display()))
            .arg(format!("--listen-client-urls=http://{address}"))
            .arg(format!("--advertise-client-urls=http://{address}"))
            .arg(format!("--listen-peer-urls=http://{peers}"))
            .arg(format!("--initial-advertise-peer-urls=http://{peers}"))
            .arg(format!("--initial-cluster=default=http://{peers}"))
            .arg("--unsafe-no-fsync");
        let mut process = Process::start(&mut command, &directory.path().join("etcd.log"))?;
        // kube-apiserver gives up after 20 s, and does not say why etcd is away.
        eventually("etcd", || {
            process.check()?;
            Ok(TcpStream::connect(address).ok())
        })?;
        Ok(Self { address, directory, _process: process })
    }

    /// Returns a directory for the files of whoever uses it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// How a kube-apiserver authorizes.
pub(crate) enum Authorization<'p> {
    /// By RBAC alone.
    Rbac,
    /// As an `AuthorizationConfiguration` says.
    Configuration(&'p Path),
    /// By these flags.
    Flags(Vec<String>),
}

/// A kube-apiserver.
pub(crate) struct Apiserver {
    client: Client,
    address: SocketAddr,
    /// The authority of its certificate, in PEM.
    authority: String,
    process: Process,
}

impl Apiserver {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(
        servers: &Servers,
        etcd: &Etcd,
        name: &str,
        authorization: &Authorization<'_>,
        more: &[String],
    ) -> Result<Self> {
        let address = free_address()?;
        let authority = Authority::new("kube-apiserver")?;
        let path = |file: &str| etcd.path(&format!("{name}-{file}"));
        let tls = authority.write(&path("serving"), &["127.0.0.1", "localhost"])?;
        let accounts = authority.write(&path("accounts"), &["accounts"])?;
        std::fs::write(path("tokens.csv"), tokens())?;
        std::fs::write(path("client-ca.crt"), authority.pem())?;
        let mut command = Command::new(&servers.kube_apiserver);
        command
            .arg(format!("--etcd-servers=http://{}", etcd.address))
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--secure-port={}", address.port()))
            .arg(format!("--tls-cert-file={}", tls.certificate.display()))
            .arg(format!("--tls-private-key-file={}", tls.key.display()))
            .arg(format!("--client-ca-file={}", path("client-ca.crt").display()))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--service-account-key-file={}", accounts.certificate.display()))
            .arg(format!("--service-account-signing-key-file={}", accounts.key.display()))
            .arg("--service-cluster-ip-range=10.0.0.0/24")
            .arg(format!("--token-auth-file={}", path("tokens.csv").display()))
            // No controller makes the accounts that pods need.
            .arg("--disable-admission-plugins=ServiceAccount")
            .arg("--allow-privileged=true")
            .arg("--profiling=false")
            .args(more);
        match authorization {
            Authorization::Rbac => command.arg("--authorization-mode=RBAC"),
            Authorization::Configuration(file) => {
                command.arg(format!("--authorization-config={}", file.display()))
            }
            Authorization::Flags(flags) => command.args(flags),
        };
        let mut process = Process::start(&mut command, &path("kube-apiserver.log"))?;
        let client = Client::new(format!("https://{address}"), &authority.pem())?;
        let root = client.of("root");
        eventually("kube-apiserver", || {
            process.check()?;
            let ready = root.get("/readyz").is_ok_and(|answer| answer.code == 200);
            Ok(ready.then_some(()))
        })?;
        Ok(Self { client, address, authority: authority.pem(), process })
    }

    /// Returns the client of a user.
    pub(crate) fn client(&self, user: &str) -> Client {
        self.client.of(user)
    }

    /// Returns the configuration of `kubectl` for a user.
    pub(crate) fn kubeconfig(&self, user: &str) -> String {
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.authority);
        let server = format!("https://{}", self.address);
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{
                "name": "tests",
                "cluster": { "server": server, "certificate-authority-data": authority },
            }],
            "users": [{ "name": user, "user": { "token": user } }],
            "contexts": [{ "name": "tests", "context": { "cluster": "tests", "user": user } }],
        })
        .to_string()
    }

    /// Returns the end of the server's log.
    pub(crate) fn log(&self) -> Result<String> {
        self.process.end_of_log()
    }

    /// Creates namespaces, and binds group `ops` to `cluster-admin`.
    pub(crate) fn furnish(&self) -> Result<()> {
        let root = self.client("root");
        for name in ["payments", "checkout", "stagedoor"] {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
            });
            root.create("/api/v1/namespaces", &namespace)?;
        }
        root.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            &binding("ops", "cluster-admin", "Group", "ops"),
        )
    }
}

/// Returns a ClusterRoleBinding.
pub(crate) fn binding(name: &str, role: &str, kind: &str, subject: &str) -> serde_json::Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": group, "kind": kind, "name": subject }],
    })
}
