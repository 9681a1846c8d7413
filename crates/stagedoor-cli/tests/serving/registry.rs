//! Policies and rules from a registry to the Deployment that ships: the steps of the guide, with
//! Debian's `docker-registry`, where it is installed.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::replicas::rule;
use crate::serving::{PATIENCE, Serving, eventually};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a registry in a directory, and returns its address; `None` where none is installed.
fn registry(directory: &Path) -> Result<Option<(Running, String)>> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
         http: {{addr: '{address}', secret: s}}\n",
        directory.join("blobs").display()
    );
    let file = directory.join("registry.yml");
    std::fs::write(&file, config)?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
    let Ok(child) = command.stderr(Stdio::null()).spawn() else {
        eprintln!("skipped: there is no docker-registry");
        return Ok(None);
    };
    let child = Running(child);
    let begun = Instant::now();
    while TcpStream::connect(&address).is_err() {
        ensure!(begun.elapsed() < PATIENCE, "the registry does not start");
        std::thread::yield_now();
    }
    Ok(Some((child, address)))
}

fn run(directory: &Path, args: &[&str]) -> Result<String> {
    let run = Command::new(env!("CARGO_BIN_EXE_stagedoor"))
        .args(args)
        .current_dir(directory)
        .env_remove("DOCKER_CONFIG")
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(run.status.success(), "{args:?}: {}{}", text(&run.stdout), text(&run.stderr));
    Ok(text(&run.stdout))
}

/// Copies a directory, and what is below it.
fn copied(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let into = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copied(&entry.path(), &into)?,
            false => drop(std::fs::copy(entry.path(), into)?),
        }
    }
    Ok(())
}

/// Returns the arguments of the container in a Deployment.
fn arguments(deployment: &str) -> Result<Vec<String>> {
    let (_, rest) = deployment.split_once("          args:\n").context("no arguments")?;
    let lines = rest.lines().map_while(|line| line.strip_prefix("            - "));
    lines
        .map(|line| match line.starts_with('"') {
            true => Ok(serde_json::from_str(line)?),
            false => Ok(line.to_owned()),
        })
        .collect()
}

/// Asks whether Ana, who reads, may get pods.
fn allows(server: &Serving) -> Result<bool> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "ana",
            "groups": ["guarded"],
            "resourceAttributes":
                {"verb": "get", "version": "v1", "resource": "pods", "namespace": "a", "name": "b"},
        },
    });
    let answered = server.post("/authorize", &review.to_string(), &[])?;
    ensure!(answered.code == 200, "{}", answered.text);
    Ok(answered.json()?["status"]["allowed"] == true)
}

#[test]
fn the_shipped_deployment_follows_a_registry_rules_and_all() -> Result<()> {
    const NO: &str = "(i32.store8 (i32.const 604) (i32.const 0))";
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    let Some((_registry, address)) = registry(here)? else { return Ok(()) };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/kubernetes");
    for name in ["admission", "platform.cedar", "kubernetes.cedarschema"] {
        let from = shipped.join(name);
        match from.is_dir() {
            true => copied(&from, &here.join("cluster").join(name))?,
            false => {
                std::fs::create_dir_all(here.join("cluster/rules"))?;
                std::fs::copy(&from, here.join("cluster").join(name))?;
            }
        }
    }
    std::fs::write(
        here.join("cluster/guarded.cedar"),
        "@id(\"guarded\") @guard(\"hostile\")\npermit (principal in k8s::Group::\"guarded\", action in \
         k8s::Action::\"readOnly\", resource is k8s::Resource);\n",
    )?;
    let write_rule = |does: &str| {
        anyhow::Ok(std::fs::write(here.join("cluster/rules/hostile.wasm"), rule(does)?)?)
    };
    write_rule("")?;
    run(here, &["sign", "--new-key", "ci.key"])?;
    let channel = format!("oci+http://{address}/acme/cluster:production");
    let push = ["push", "cluster", &channel, "--key", "ci.key"];
    run(here, &[&push, ["--no-tests"].as_slice()].concat())?;
    // What a ConfigMap carries has no rules; what follows a channel has.
    let deploy = ["deploy", "kubernetes", "cluster", "--out", "manifests"];
    let refused = run(here, &deploy).err().context("a ConfigMap with a rule")?.to_string();
    ensure!(refused.contains("`stagedoor push`") && refused.contains("--source"), "{refused}");
    let release = ["--source", &channel, "--trust", "ci.key.pub", "--registry-secret", "pull"];
    run(here, &[&deploy, release.as_slice()].concat())?;

    let read = |name: &str| std::fs::read_to_string(here.join("manifests").join(name));
    let (deployment, trust) = (read("stagedoor.yaml")?, read("trust.yaml")?);
    ensure!(read("kustomization.yaml")?.contains("  - trust.yaml\n"));
    ensure!(!deployment.contains("/etc/stagedoor/policies"), "{deployment}");
    let port = address.rsplit(':').next().context("a port")?;
    ensure!(deployment.contains(&format!("        - port: {port}\n")), "{deployment}");
    // As the pod has it: each volume is a directory.
    let trust: Value = serde_json::from_str(&trust)?;
    let mounted = here.join("pod");
    for volume in ["etc/trust", "etc/tls", "var/lib", "var/cache"] {
        std::fs::create_dir_all(mounted.join(volume))?;
    }
    let text = trust["data"]["trust.yaml"].as_str().context("whom to trust")?;
    std::fs::write(mounted.join("etc/trust/trust.yaml"), text)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    std::fs::write(mounted.join("etc/tls/tls.crt"), certificate.pem())?;
    std::fs::write(mounted.join("etc/tls/tls.key"), key.serialize_pem())?;
    let root = mounted.display();
    let of_pod: Vec<String> = arguments(&deployment)?
        .into_iter()
        // Who may ask, and the secret of a registry that lets everybody in: neither is here.
        .filter(|argument| {
            !["--client-ca=", "--registry-config="].iter().any(|it| argument.starts_with(it))
        })
        .map(|argument| {
            argument
                .replace("/etc/stagedoor", &format!("{root}/etc"))
                .replace("/var/lib/stagedoor", &format!("{root}/var/lib"))
                .replace("/var/cache/stagedoor", &format!("{root}/var/cache"))
                .replace("0.0.0.0:8443", "127.0.0.1:0")
                .replace("0.0.0.0:8080", "127.0.0.1:0")
                .replace("--shutdown-delay=5", "--shutdown-delay=0")
        })
        .collect();
    let mut of_pod: Vec<&str> = of_pod.iter().map(String::as_str).collect();
    of_pod.extend(["--poll-interval=1", "--reload-interval=1"]);
    let server = Serving::with_tls(&of_pod)?;
    eventually("the rule of the first release says yes", || {
        Ok(server.get_at(server.health.as_deref().context("health")?, "/readyz")?.code == 200
            && allows(&server)?)
    })?;
    let kept = std::fs::read_dir(mounted.join("var/cache/rules"))?.flatten();
    let is_compiled = |path: &Path| path.extension().is_some_and(|ending| ending == "cwasm");
    ensure!(kept.filter(|entry| is_compiled(&entry.path())).count() == 1, "it is not kept");

    // The next release has the same policies, and another rule.
    write_rule(NO)?;
    run(here, &[&push, ["--no-tests"].as_slice()].concat())?;
    eventually("the rule of the second release says no", || Ok(!allows(&server)?))?;
    let (_, log) = server.end()?;
    ensure!(!log.contains("not kept"), "{log}");
    Ok(())
}
