//! The configuration that ships, with other addresses and paths.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::{Apiserver, Authorization, Etcd};
use crate::servers::{Servers, repository};
use crate::webhook::Webhook;

/// Where kube-apiserver looks for the files in a cluster.
const DIRECTORY: &str = "/etc/kubernetes/authorization";

fn shipped(name: &str) -> Result<String> {
    let path = repository("policies/kubernetes/deploy").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Replaces what stands there once.
fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.matches(from).count() == 1, "`{from}` does not stand there once: {text}");
    Ok(text.replace(from, to))
}

/// What a cluster is tried with beside what ships.
#[derive(Clone, Copy, Default)]
pub(crate) struct Changes {
    /// The authorizer's `failurePolicy: Deny`.
    pub(crate) authorization_denies: bool,
    /// Admission's `failurePolicy: Ignore`.
    pub(crate) admission_ignores: bool,
}

/// Writes the `AuthorizationConfiguration` and what it refers to.
fn authorization(webhook: &Webhook, changes: Changes) -> Result<PathBuf> {
    let kubeconfig = shipped("webhook-kubeconfig.yaml")?;
    let kubeconfig = replaced(
        &kubeconfig,
        "https://10.96.0.44/authorize",
        &format!("https://{}/authorize", webhook.address),
    )?;
    let at = |path: &Path| path.display().to_string();
    let kubeconfig = replaced(
        &kubeconfig,
        &format!("{DIRECTORY}/stagedoor-ca.crt"),
        &at(&webhook.path("ca.crt")),
    )?;
    let kubeconfig = replaced(
        &kubeconfig,
        &format!("{DIRECTORY}/client.crt"),
        &at(&webhook.client.certificate),
    )?;
    let kubeconfig =
        replaced(&kubeconfig, &format!("{DIRECTORY}/client.key"), &at(&webhook.client.key))?;
    let kubeconfig_path = webhook.path("webhook-kubeconfig.yaml");
    std::fs::write(&kubeconfig_path, kubeconfig)?;

    let configuration = replaced(
        &shipped("authorization-configuration.yaml")?,
        &format!("{DIRECTORY}/webhook-kubeconfig.yaml"),
        &at(&kubeconfig_path),
    )?;
    let configuration = match changes.authorization_denies {
        true => replaced(&configuration, "failurePolicy: NoOpinion", "failurePolicy: Deny")?,
        false => configuration,
    };
    let path = webhook.path("authorization-configuration.yaml");
    std::fs::write(&path, configuration)?;
    Ok(path)
}

/// Writes with what kube-apiserver shows itself to the admission webhook.
pub(crate) fn admission_credentials(webhook: &Webhook) -> Result<PathBuf> {
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config",
        "users": [{
            "name": webhook.address.to_string(),
            "user": {
                "client-certificate": webhook.client.certificate,
                "client-key": webhook.client.key,
            },
        }],
    });
    std::fs::write(webhook.path("admission-kubeconfig.yaml"), kubeconfig.to_string())?;
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{
            "name": "ValidatingAdmissionWebhook",
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": webhook.path("admission-kubeconfig.yaml"),
            },
        }],
    });
    let path = webhook.path("admission-configuration.yaml");
    std::fs::write(&path, configuration.to_string())?;
    Ok(path)
}

/// Starts a kube-apiserver with the authorizers that ship.
pub(crate) fn start(
    servers: &Servers,
    etcd: &Etcd,
    webhook: &Webhook,
    changes: Changes,
) -> Result<Apiserver> {
    let configuration = authorization(webhook, changes)?;
    let credentials = admission_credentials(webhook)?;
    let apiserver = Apiserver::start(
        servers,
        etcd,
        "cluster",
        &Authorization::Configuration(&configuration),
        &[format!("--admission-control-config-file={}", credentials.display())],
    )?;
    apiserver.furnish()?;
    Ok(apiserver)
}

/// Puts the admission webhook that ships in force.
pub(crate) fn admit(root: &Client, webhook: &Webhook, changes: Changes) -> Result<()> {
    let text = shipped("validating-webhook-configuration.yaml")?;
    let mut configuration: Value = serde_saphyr::from_str(&text)?;
    let authority = base64::engine::general_purpose::STANDARD.encode(webhook.authority.pem());
    let hook = &mut configuration["webhooks"][0];
    hook["clientConfig"] = json!({
        "url": format!("https://{}/admit", webhook.address), "caBundle": authority,
    });
    if changes.admission_ignores {
        hook["failurePolicy"] = "Ignore".into();
    }
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/stagedoor";
    root.apply(path, &configuration)?.ok()?;
    // kube-apiserver reads it some time later.
    let probe = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "probe-" },
    });
    let asked = || -> Result<bool> {
        let told = webhook.health("/metrics")?.body;
        let told = told.as_str().unwrap_or_default();
        let asked = told.lines().any(|line| {
            line.starts_with("stagedoor_decisions_total")
                && line.contains("endpoint=\"admit\"")
                && !line.ends_with(" 0")
        });
        Ok(asked)
    };
    crate::process::eventually("admission being asked", || {
        root.post("/api/v1/namespaces/checkout/configmaps", &probe)?;
        Ok(asked()?.then_some(()))
    })
}
