//! The guards that ship, in front of RBAC.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::{Etcd, binding};
use crate::deploy::{self, Changes};
use crate::servers::Servers;
use crate::webhook::Webhook;

#[test]
fn forbids_hold_in_front_of_rbac() -> Result<()> {
    let Some(servers) = Servers::find("forbids_hold_in_front_of_rbac")? else { return Ok(()) };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?;
    webhook.start()?;
    let cluster = deploy::start(&servers, &etcd, &webhook, Changes::default())?;
    let root = cluster.client("root");
    root.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        &binding("break-glass", "cluster-admin", "Group", "break-glass"),
    )?;
    let secrets = "/api/v1/namespaces/payments/secrets";
    let pods = "/api/v1/namespaces/payments/pods";
    let elsewhere = "/api/v1/namespaces/checkout/pods";
    for (user, path, code) in [
        // RBAC alone grants it, and nothing forbids it.
        ("ops", pods, 200),
        ("ops", secrets, 403),
        ("ops", "/api/v1/secrets", 403),
        // Policies grant it.
        ("vera", pods, 200),
        ("vera", secrets, 403),
        ("alice", pods, 200),
        ("alice", elsewhere, 403),
        ("nobody", pods, 403),
        // Those who are never asked about.
        ("root", secrets, 200),
        ("bella", secrets, 200),
    ] {
        let answer = cluster.client(user).get(path)?;
        ensure!(answer.code == code, "{user} {path}: {answer:?}\n{}", cluster.log()?);
    }
    // The policy's own words reach whoever is refused.
    let refused = cluster.client("ops").get(secrets)?;
    let words = "forbidden by `secrets-are-not-read-by-accident`: No broad grant reads secrets.";
    ensure!(refused.message().contains(words), "{refused:?}");

    // What a role would grant beyond its writer stays so, although RBAC's `*` holds `escalate`.
    let token = cluster.client("ops").post(
        "/api/v1/namespaces/payments/serviceaccounts/default/token",
        &json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} }),
    )?;
    ensure!(token.code == 403 && token.message().contains("tokens-are-not-minted"), "{token:?}");
    let asked = |verb: &str| {
        root.may(&json!({
            "user": "ops", "groups": ["ops", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb, "group": "rbac.authorization.k8s.io", "resource": "clusterroles",
                "version": "v1", "name": "admin",
            },
        }))
    };
    for verb in ["bind", "escalate"] {
        let status = asked(verb)?;
        ensure!(status["denied"] == true, "{verb}: {status}");
    }
    ensure!(asked("update")?["allowed"] == true, "RBAC goes on granting the rest");
    Ok(())
}
