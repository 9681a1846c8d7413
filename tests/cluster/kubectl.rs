//! What people see: `kubectl` in front of a cluster that is asked for its answers, and the shadow
//! policies behind it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Apiserver, Etcd};
use crate::deploy::{self, Changes};
use crate::process::eventually;
use crate::servers::Servers;
use crate::webhook::Webhook;

/// What `kubectl` did.
#[derive(Debug)]
struct KubectlOutput {
    succeeded: bool,
    out: String,
    err: String,
}

/// Somebody at a terminal.
struct Terminal<'t> {
    kubectl: &'t Path,
    webhook: &'t Webhook,
    cluster: &'t Apiserver,
}

impl Terminal<'_> {
    fn run(&self, user: &str, args: &[&str], manifest: &str) -> Result<KubectlOutput> {
        let kubeconfig = self.webhook.path(&format!("{user}.kubeconfig"));
        std::fs::write(&kubeconfig, self.cluster.kubeconfig(user))?;
        let mut command = Command::new(self.kubectl);
        command
            .env_clear()
            .env("HOME", self.webhook.path("home"))
            .env("KUBECONFIG", &kubeconfig)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("no input")?.write_all(manifest.as_bytes())?;
        let output = child.wait_with_output()?;
        Ok(KubectlOutput {
            succeeded: output.status.success(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }
}

fn config_map(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: checkout }}\n\
         data: {{ a: b }}\n"
    )
}

const POD: &str = "apiVersion: v1
kind: Pod
metadata: { name: host, namespace: payments }
spec:
  hostNetwork: true
  containers: [{ name: main, image: registry.example.com/main:1 }]
";

#[test]
fn kubectl_shows_denials_warnings_and_who_one_may_not_be() -> Result<()> {
    let test = "kubectl_shows_denials_warnings_and_who_one_may_not_be";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
    let Some(kubectl) = &servers.kubectl else {
        eprintln!("skipped: {test}: no kubectl beside the servers");
        return Ok(());
    };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?;
    webhook.write_policy(
        "tried.cedar",
        r#"@id("no-drafts")
           @mode("warn")
           @message("Drafts do not belong into the cluster.")
           forbid (principal, action, resource is k8s::admission::Resource)
           when { resource has name && resource.name like "draft-*" };"#,
    )?;
    webhook.start()?;
    let cluster = deploy::start(&servers, &etcd, &webhook, Changes::default())?;
    deploy::admit(&cluster.client("root"), &webhook, Changes::default())?;
    let terminal = Terminal { kubectl, webhook: &webhook, cluster: &cluster };
    let secrets = "secrets-are-not-read-by-accident`: No broad grant reads secrets.";

    let refused = terminal.run("ops", &["get", "secrets", "-n", "payments"], "")?;
    ensure!(!refused.succeeded && refused.err.contains(secrets), "{refused:?}");
    let fine = terminal.run("ops", &["get", "pods", "-n", "payments"], "")?;
    ensure!(fine.succeeded, "{fine:?}");
    let asked = terminal.run("ops", &["auth", "can-i", "get", "secrets", "-n", "payments"], "")?;
    ensure!(!asked.succeeded && asked.out.contains("no - forbidden by"), "{asked:?}");
    let asked = terminal.run("ops", &["auth", "can-i", "get", "pods", "-n", "payments"], "")?;
    ensure!(asked.succeeded && asked.out.trim() == "yes", "{asked:?}");

    for args in [&["apply", "-f", "-"][..], &["create", "-f", "-"]] {
        let refused = terminal.run("ops", args, POD)?;
        let words = "denied the request: forbidden by `pods-stay-off-the-host`: ";
        ensure!(!refused.succeeded && refused.err.contains(words), "{refused:?}");
    }
    let drafted = terminal.run("ops", &["apply", "-f", "-"], &config_map("draft-1"))?;
    ensure!(drafted.succeeded, "{drafted:?}");
    let warning = "Warning: `no-drafts`: Drafts do not belong into the cluster.";
    ensure!(drafted.err.contains(warning), "{drafted:?}");
    // It goes on with what else there is to do.
    let edited = terminal.run(
        "ops",
        &["label", "configmap", "draft-1", "-n", "checkout", "reviewed=yes"],
        "",
    )?;
    ensure!(edited.succeeded && edited.err.contains(warning), "{edited:?}");
    let plain = terminal.run("ops", &["apply", "-f", "-"], &config_map("final"))?;
    ensure!(plain.succeeded && !plain.err.contains("Warning"), "{plain:?}");

    // Whom one may be, and whom not.
    let other = terminal.run("ops", &["auth", "whoami", "--as", "dora", "-o", "name"], "")?;
    ensure!(other.succeeded, "{other:?}");
    // kube-apiserver itself refuses `system:masters`. `auth whoami` would hide the reason: it takes
    // any 403 for a server without that API.
    for args in [
        &["get", "pods", "--as", "dora", "--as-group", "break-glass"][..],
        &["get", "pods", "--as", "system:serviceaccount:kube-system:default"],
        &["get", "pods", "--as", "system:node:n1"],
    ] {
        let refused = terminal.run("ops", args, "")?;
        let words = "nobody-impersonates-the-powerful";
        ensure!(!refused.succeeded && refused.err.contains(words), "{args:?}: {refused:?}");
    }
    // Break-glass is never asked about.
    let token = terminal.run("bella", &["get", "secrets", "-n", "payments"], "")?;
    ensure!(!token.succeeded && !token.err.contains("forbidden by"), "{token:?}");
    Ok(())
}

#[test]
fn shadow_policies_tell_what_they_would_change() -> Result<()> {
    let test = "shadow_policies_tell_what_they_would_change";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?.with_args(&["--shadow", "shadow"]);
    std::fs::create_dir(webhook.path("shadow"))?;
    std::fs::write(
        webhook.path("shadow/all.cedar"),
        r#"@id("all") permit (principal, action, resource);
           @id("no-maps") forbid (principal, action, resource is k8s::admission::Resource)
           when { resource.resource == "configmaps" };"#,
    )?;
    webhook.start()?;
    webhook.wait_for_health("/readyz?verbose", "[+]shadow-policies ok: 2 policies compared")?;
    let cluster = deploy::start(&servers, &etcd, &webhook, Changes::default())?;
    // The probes for this are ConfigMaps.
    deploy::admit(&cluster.client("root"), &webhook, Changes::default())?;
    let refused = cluster.client("ops").get("/api/v1/namespaces/payments/secrets")?;
    ensure!(refused.code == 403, "{refused:?}");
    for line in [
        r#"stagedoor_shadow_differences_total{endpoint="authorize",enforced="denied",shadow="allowed"} "#,
        r#"stagedoor_shadow_differences_total{endpoint="admit",enforced="allowed",shadow="denied"} "#,
    ] {
        webhook.wait_for_health("/metrics", line)?;
    }
    let line = eventually("the difference in the log", || {
        let log = webhook.log()?;
        let line = log.lines().find(|line| {
            line.contains("the shadow policies would decide otherwise")
                && line.contains("ops list secrets in payments")
        });
        Ok(line.map(str::to_owned))
    })?;
    for part in ["secrets-are-not-read-by-accident", "allowed by `all`"] {
        ensure!(line.contains(part), "{line}");
    }
    Ok(())
}
