//! The flags from before `AuthorizationConfiguration`, which send `authorization.k8s.io/v1beta1`.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::{Apiserver, Authorization, Etcd};
use crate::servers::Servers;
use crate::webhook::{NAME, Webhook};

#[test]
fn reviews_of_v1beta1_are_answered() -> Result<()> {
    let Some(servers) = Servers::find("reviews_of_v1beta1_are_answered")? else { return Ok(()) };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?;
    webhook.start()?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "stagedoor",
        "clusters": [{ "name": "stagedoor", "cluster": {
            "server": format!("https://{}/authorize", webhook.address),
            "tls-server-name": NAME, "certificate-authority": webhook.path("ca.crt"),
        } }],
        "users": [{ "name": "kube-apiserver", "user": {
            "client-certificate": webhook.client.certificate, "client-key": webhook.client.key,
        } }],
        "contexts": [{ "name": "stagedoor", "context": {
            "cluster": "stagedoor", "user": "kube-apiserver",
        } }],
    });
    let path = webhook.path("old-kubeconfig.yaml");
    std::fs::write(&path, kubeconfig.to_string())?;
    let flags = vec![
        "--authorization-mode=Webhook,RBAC".to_owned(),
        format!("--authorization-webhook-config-file={}", path.display()),
    ];
    let cluster = Apiserver::start(&servers, &etcd, "old", &Authorization::Flags(flags), &[])?;
    cluster.furnish()?;
    let pods = "/api/v1/namespaces/payments/pods";
    let secrets = "/api/v1/namespaces/payments/secrets";
    for (user, path, code) in [
        // By a policy about a group: v1beta1 has another name for groups.
        ("vera", pods, 200),
        ("ops", pods, 200),
        ("ops", secrets, 403),
        ("nobody", pods, 403),
    ] {
        let answer = cluster.client(user).get(path)?;
        ensure!(answer.code == code, "{user} {path}: {answer:?}\n{}", webhook.log()?);
    }
    let refused = cluster.client("ops").get(secrets)?;
    ensure!(refused.message().contains("`secrets-are-not-read-by-accident`"), "{refused:?}");
    Ok(())
}
