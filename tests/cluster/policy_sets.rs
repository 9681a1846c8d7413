//! Releases as objects of a real cluster: their schemas, who may write them, what reviews them, and
//! what replicas say of them.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::cluster::{Apiserver, Authorization, Etcd};
use crate::process::{Process, eventually};
use crate::servers::{Servers, repository};
use crate::webhook::Webhook;

const SOURCE: &str = "kubernetes://stagedoor/cluster:production";
const SETS: &str = "/apis/stagedoor.dev/v1alpha1/namespaces/stagedoor/policysets";
const PARTS: &str = "/apis/stagedoor.dev/v1alpha1/namespaces/stagedoor/policysetparts";
const NAME: &str = "cluster--production";

/// Returns the objects of a manifest that ships.
fn shipped(name: &str) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(repository("policies/kubernetes/deploy").join(name))?;
    text.split("\n---\n").map(|document| Ok(serde_saphyr::from_str::<Value>(document)?)).collect()
}

/// A cluster with the schemas, somebody who publishes and somebody who follows.
struct Cluster {
    server: Apiserver,
    webhook: Webhook,
    root: Client,
    _etcd: Etcd,
}

impl Cluster {
    fn start(servers: &Servers) -> Result<Self> {
        let etcd = Etcd::start(servers)?;
        let webhook = Webhook::new()?;
        // What kube-apiserver shows itself to the webhook with.
        let credentials = crate::deploy::admission_credentials(&webhook)?;
        let more = [format!("--admission-control-config-file={}", credentials.display())];
        let server = Apiserver::start(servers, &etcd, "sets", &Authorization::Rbac, &more)?;
        server.furnish()?;
        let root = server.client("root");
        for schema in shipped("policysets.yaml")? {
            let name = schema["metadata"]["name"].as_str().context("a name")?;
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            root.apply(&path, &schema)?.ok()?;
            eventually("the schema being in force", || {
                let there = root.get(&path)?.ok()?;
                let conditions = there["status"]["conditions"].as_array().cloned();
                let is_established = |condition: &Value| {
                    condition["type"] == "Established" && condition["status"] == "True"
                };
                Ok(conditions.unwrap_or_default().iter().any(is_established).then_some(()))
            })?;
        }
        for object in shipped("policysets-access.yaml")? {
            let plural = match object["kind"].as_str() {
                Some("Role") => "roles",
                _ => continue,
            };
            let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/stagedoor/{plural}");
            root.create(&path, &object)?;
        }
        for (user, role) in [("alice", "stagedoor-publisher"), ("carol", "stagedoor-replica")] {
            let group = "rbac.authorization.k8s.io";
            let binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": user },
                "roleRef": { "apiGroup": group, "kind": "Role", "name": role },
                "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
            });
            root.create(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/stagedoor/rolebindings",
                &binding,
            )?;
            let path = webhook.path(&format!("{user}.kubeconfig"));
            std::fs::write(path, server.kubeconfig(user))?;
        }
        Ok(Self { server, webhook, root, _etcd: etcd })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.webhook.path(name)
    }

    fn command(&self, user: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
        command
            .current_dir(self.path(""))
            .env("KUBECONFIG", self.path(&format!("{user}.kubeconfig")))
            .env("HOSTNAME", "pod-1");
        command
    }

    fn run(&self, args: &[&str]) -> Result<Output> {
        Ok(self.command("alice").args(args).output()?)
    }

    fn succeed(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args)?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{args:?}: {told}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn fail(&self, args: &[&str], reason: &str) -> Result<()> {
        let output = self.run(args)?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && told.contains(reason), "{args:?}: {told}");
        Ok(())
    }

    fn serve(&self) -> Result<Process> {
        let mut command = self.command("carol");
        command
            .args(["serve", "kubernetes", "--source", SOURCE, "--trust", "ci.key.pub"])
            // A watch, and no poll, has it know.
            .args(["--state", "state", "--poll-interval", "86400", "--reload-interval", "1"])
            .args(["--tls-cert", "tls.crt", "--tls-key", "tls.key", "--client-ca", "clients.crt"])
            .arg(format!("--listen={}", self.webhook.address))
            .arg(format!("--health-listen={}", self.webhook.health_address()));
        let mut process = Process::start(&mut command, &self.path("stagedoor.log"))?;
        eventually("a replica that is ready", || {
            process.check()?;
            let ready = self.webhook.health("/readyz").is_ok_and(|answer| answer.code == 200);
            Ok(ready.then_some(()))
        })?;
        Ok(process)
    }

    fn set(&self) -> Result<Value> {
        self.root.get(&format!("{SETS}/{NAME}"))?.ok()
    }

    /// Waits until the replica says so of a release, and returns the message.
    fn wait_for(&self, release: u64, accepted: &str) -> Result<String> {
        eventually(&format!("release {release} being `{accepted}`"), || {
            let set = self.set()?;
            let condition = &set["status"]["conditions"][0];
            let is_it = set["spec"]["release"] == release
                && condition["status"] == accepted
                && condition["observedGeneration"] == set["metadata"]["generation"];
            Ok(is_it.then(|| condition["message"].as_str().unwrap_or_default().to_owned()))
        })
    }

    /// Has the webhook that ships review what is written.
    fn review(&self) -> Result<String> {
        let mut configuration =
            shipped("policysets-webhook.yaml")?.pop().context("a configuration")?;
        let authority =
            base64::engine::general_purpose::STANDARD.encode(self.webhook.authority.pem());
        configuration["webhooks"][0]["clientConfig"] = json!({
            "url": format!("https://{}/policysets", self.webhook.address), "caBundle": authority,
        });
        let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/stagedoor-policysets";
        self.root.apply(path, &configuration)?.ok()?;
        // kube-apiserver reads it some time later: a set that nobody has signed is refused then.
        let probe = json!({
            "apiVersion": "stagedoor.dev/v1alpha1", "kind": "PolicySet",
            "metadata": { "name": "probe--x" },
            "spec": {
                "set": "probe", "channel": "x", "release": 1, "signature": "none",
                "bundle": { "digest": format!("sha256:{}", "0".repeat(64)), "bytes": 1 },
            },
        });
        eventually("reviews", || {
            let answer = self.root.post(SETS, &probe)?;
            if answer.is_success() {
                self.root.delete(&format!("{SETS}/probe--x"))?.ok()?;
                return Ok(None);
            }
            ensure!(answer.message().contains("it is not a PolicySet"), "{}", answer.message());
            Ok(Some(()))
        })?;
        Ok(path.to_owned())
    }
}

fn refused(answer: &Answer, reason: &str) -> Result<()> {
    ensure!(
        answer.code == 422 && answer.message().contains(reason),
        "{}: {}",
        answer.code,
        answer.body
    );
    Ok(())
}

#[test]
fn a_cluster_carries_its_own_policies() -> Result<()> {
    let Some(servers) = Servers::find("a_cluster_carries_its_own_policies")? else { return Ok(()) };
    let cluster = Cluster::start(&servers)?;
    let policies = repository("policies/kubernetes");
    for name in ["ci.key", "foreign.key"] {
        cluster.succeed(&["sign", "--new-key", name])?;
    }
    // What is deployed may read what it follows, which is applied with it.
    let directory = policies.display().to_string();
    let follows = SOURCE.replace("stagedoor/", "policies/");
    cluster.succeed(&[
        "deploy",
        "kubernetes",
        &directory,
        "--source",
        &follows,
        "--trust",
        "ci.key.pub",
        "--out",
        "manifests",
    ])?;
    let written = |name: &str| std::fs::read_to_string(cluster.path("manifests").join(name));
    let (deployment, kustomization) = (written("stagedoor.yaml")?, written("kustomization.yaml")?);
    ensure!(deployment.contains("automountServiceAccountToken: true"), "{deployment}");
    ensure!(deployment.contains("- port: 6443") && deployment.contains(&follows), "{deployment}");
    for name in ["policysets.yaml", "policysets-access.yaml"] {
        ensure!(kustomization.contains(&format!("  - {name}\n")), "{kustomization}");
    }
    ensure!(
        written("policysets.yaml")?
            == std::fs::read_to_string(policies.join("deploy/policysets.yaml"))?
    );
    let access = written("policysets-access.yaml")?;
    ensure!(access.matches("  namespace: policies\n").count() == 3, "{access}");
    ensure!(access.contains("    name: stagedoor\n    namespace: stagedoor\n"), "{access}");
    ensure!(written("policysets-webhook.yaml")?.contains("metadata.name: policies\n"));

    let write = |text: &str| -> Result<()> {
        std::fs::create_dir_all(cluster.path("set"))?;
        std::fs::write(cluster.path("set/a.cedar"), text)?;
        let schema = std::fs::read_to_string(policies.join("kubernetes.cedarschema"))?;
        Ok(std::fs::write(cluster.path("set/kubernetes.cedarschema"), schema)?)
    };
    let permit = |id: &str| {
        format!(
            "@id(\"{id}\") permit (principal in k8s::Group::\"ops\", action, resource is k8s::Resource);\n"
        )
    };
    let push = ["push", "set", SOURCE, "--key", "ci.key"];
    write(&permit("one"))?;
    cluster.succeed(&push)?;
    let process = cluster.serve()?;
    cluster.wait_for(1, "True")?;
    let replica = &cluster.set()?["status"]["replicas"][0];
    ensure!(replica["name"] == "pod-1" && replica["release"] == 1, "{replica}");
    ensure!(replica["revision"] == cluster.webhook.revision()?.as_str(), "{replica}");

    // Without a poll, the watch has it take up what is new: here a set of several parts.
    let many: String = (0..6_000).map(|number| permit(&format!("p{number}"))).collect();
    write(&many)?;
    cluster.succeed(&push)?;
    cluster.wait_for(2, "True")?;
    let bytes = cluster.set()?["spec"]["bundle"]["bytes"].as_u64().context("bytes")?;
    let parts = cluster.root.get(PARTS)?.ok()?["items"].as_array().map(Vec::len);
    ensure!(bytes > 500_000 && parts >= Some(2), "{bytes} bytes, {parts:?} parts");

    // The schemas keep what everybody may rely on.
    let set = cluster.set()?;
    let path = format!("{SETS}/{NAME}");
    let mut older = set.clone();
    older["spec"]["release"] = json!(1);
    refused(&cluster.root.put(&path, &older)?, "a release is changed by one with a higher number")?;
    let mut other = set.clone();
    other["spec"]["signature"] = json!("another");
    refused(&cluster.root.put(&path, &other)?, "a release is changed by one with a higher number")?;
    let mut named = set.clone();
    named["metadata"] = json!({ "name": "other--production" });
    refused(&cluster.root.post(SETS, &named)?, "the name must be SET--CHANNEL")?;
    let part = &cluster.root.get(PARTS)?.ok()?["items"][0];
    let part_path = format!("{PARTS}/{}", part["metadata"]["name"].as_str().context("a name")?);
    let mut changed = part.clone();
    changed["spec"]["data"] = json!("AAAA");
    refused(&cluster.root.put(&part_path, &changed)?, "a part is never changed")?;
    changed["metadata"] = json!({ "name": format!("sha256-{}-0", "1".repeat(64)) });
    refused(&cluster.root.post(PARTS, &changed)?, "the name must be sha256-HEX-INDEX")?;
    // Whoever publishes writes no status, and whoever follows writes nothing else.
    let (alice, carol) = (cluster.server.client("alice"), cluster.server.client("carol"));
    ensure!(alice.put(&format!("{path}/status"), &set)?.code == 403);
    ensure!(carol.put(&path, &set)?.code == 403 && carol.post(PARTS, part)?.code == 403);

    // What is not signed by somebody trusted, is not newer or does not load is not even written.
    let configuration = cluster.review()?;
    let foreign = ["push", "set", SOURCE, "--key", "foreign.key", "--trust", "ci.key.pub"];
    write(&permit("three"))?;
    cluster.fail(&foreign, "nobody trusted has signed it")?;
    let broken = json!({ "files": {
        "a.cedar": permit("four") + "permit (principal, action, resource is k8s::Resource) when { resource.nope };",
    }});
    std::fs::write(cluster.path("broken.json"), broken.to_string())?;
    let push_broken = ["push", "broken.json", SOURCE, "--key", "ci.key", "--no-diff", "--no-load"];
    cluster.fail(&push_broken, "a.cedar:2")?;
    cluster.succeed(&push)?;
    cluster.wait_for(3, "True")?;

    // Back, which is a release of its own.
    let digest = set["spec"]["bundle"]["digest"].as_str().context("a digest")?.to_owned();
    cluster.succeed(&[
        "promote",
        SOURCE,
        "--pin",
        &digest,
        "--reason",
        "locks out",
        "--key",
        "ci.key",
        "--trust",
        "ci.key.pub",
    ])?;
    cluster.wait_for(4, "True")?;

    // Without reviews, replicas refuse it, and say so.
    cluster.root.delete(&configuration)?.ok()?;
    eventually("no reviews", || {
        let pushed = cluster.run(&foreign)?;
        let told = String::from_utf8_lossy(&pushed.stderr).into_owned();
        Ok((!told.contains("denied the request")).then_some(()))
    })?;
    let told = cluster.wait_for(5, "False")?;
    ensure!(told.contains("pod-1") && told.contains("nobody trusted"), "{told}");
    let replica = &cluster.set()?["status"]["replicas"][0];
    ensure!(replica["release"] == 4, "{replica}");

    // One that does not load says where.
    let trusted = ["--trust", "both.yaml"];
    let keys = ["ci.key.pub", "foreign.key.pub"].map(|name| {
        let key = std::fs::read_to_string(cluster.path(name))?;
        anyhow::Ok(json!({ "name": name, "publicKey": key }))
    });
    let keys = keys.into_iter().collect::<Result<Vec<_>>>()?;
    std::fs::write(cluster.path("both.yaml"), json!({ "keys": keys }).to_string())?;
    cluster.succeed(&[push_broken.as_slice(), &trusted].concat())?;
    let told = cluster.wait_for(6, "False")?;
    ensure!(told.contains("a.cedar:2:"), "{told}");
    let problem = &cluster.set()?["status"]["problems"][0];
    ensure!(problem["file"] == "a.cedar" && problem["line"] == 2, "{problem}");
    ensure!(problem["release"] == 6 && problem["code"] == "policy::validate", "{problem}");
    drop(process);
    Ok(())
}
