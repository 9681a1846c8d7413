//! Policies and certificates that change, and a webhook that is away.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::{Apiserver, Etcd, binding};
use crate::credentials::Authority;
use crate::deploy::{self, Changes};
use crate::process::eventually;
use crate::servers::Servers;
use crate::webhook::Webhook;

const SECRETS: &str = "/api/v1/namespaces/payments/secrets";
const MAPS: &str = "/api/v1/namespaces/checkout/configmaps";

fn config_map() -> serde_json::Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "m-" } })
}

/// Answers are remembered for as long as the configuration says: each question is asked once.
struct Questions<'c>(&'c Apiserver, usize);

impl Questions<'_> {
    /// Returns the code of a question of `ops`, to whom RBAC grants everything, about a secret that
    /// nobody asked about yet. There is none: who may ask gets a 404.
    fn secret(&mut self) -> Result<u16> {
        self.1 += 1;
        Ok(self.0.client("ops").get(&format!("{SECRETS}/s{}", self.1))?.code)
    }

    fn becomes(&mut self, what: &str, code: u16) -> Result<()> {
        eventually(what, || Ok((self.secret()? == code).then_some(())))
    }
}

#[test]
fn what_changes_is_taken_up_and_what_is_away_is_failed_open() -> Result<()> {
    let test = "what_changes_is_taken_up_and_what_is_away_is_failed_open";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?;
    webhook.start()?;
    let cluster = deploy::start(&servers, &etcd, &webhook, Changes::default())?;
    let root = cluster.client("root");
    deploy::admit(&root, &webhook, Changes::default())?;
    let mut asked = Questions(&cluster, 0);
    ensure!(asked.secret()? == 403, "the forbid does not hold at first");

    // A new forbid is in force once it is loaded.
    let revision = webhook.revision()?;
    webhook.write_policy(
        "carol.cedar",
        r#"@id("not-carol") forbid (principal in k8s::UserName::"carol", action, resource);"#,
    )?;
    webhook.wait_for_change(&revision)?;
    let carol = cluster.client("carol").get("/api/v1/namespaces/checkout/pods")?;
    ensure!(carol.code == 403 && carol.message().contains("`not-carol`"), "{carol:?}");

    // A set that does not load leaves the one before in force, and says so.
    let revision = webhook.revision()?;
    webhook.write_policy("broken.cedar", "forbid (principal, action, resource) when {")?;
    webhook.wait_for_health("/metrics", "stagedoor_reload_failed{what=\"policies\"} 1")?;
    ensure!(webhook.revision()? == revision, "a broken set is in force");
    ensure!(asked.secret()? == 403, "the forbid does not hold beside a broken set");
    std::fs::remove_file(webhook.policies().join("broken.cedar"))?;
    webhook.wait_for_health("/metrics", "stagedoor_reload_failed{what=\"policies\"} 0")?;

    // Away: authorization is left to RBAC, and nothing is written.
    webhook.stop();
    asked.becomes("RBAC alone deciding", 404)?;
    let refused = root.post(MAPS, &config_map())?;
    ensure!(
        refused.code == 500 && refused.message().contains("failed calling webhook"),
        "{refused:?}"
    );

    // Back, with another process.
    webhook.start()?;
    asked.becomes("the forbid holding again", 403)?;
    eventually("writes being admitted again", || {
        Ok(root.post(MAPS, &config_map())?.is_success().then_some(()))
    })?;

    // Another certificate of the same authority, and clients of another authority and back.
    webhook.renew()?;
    webhook.wait_for_health(
        "/metrics",
        "stagedoor_reloads_total{result=\"success\",what=\"certificates\"} 1",
    )?;
    ensure!(asked.secret()? == 403, "the forbid does not hold with a new certificate");
    webhook.write_client_authority(&Authority::new("other clients")?)?;
    asked.becomes("kube-apiserver being put out", 404)?;
    webhook.write_client_authority(&webhook.clients)?;
    asked.becomes("kube-apiserver being let in again", 403)
}

#[test]
fn a_webhook_that_is_away_denies_where_that_is_asked_for() -> Result<()> {
    let test = "a_webhook_that_is_away_denies_where_that_is_asked_for";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
    let changes = Changes { authorization_denies: true, admission_ignores: true };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?;
    webhook.start()?;
    let cluster = deploy::start(&servers, &etcd, &webhook, changes)?;
    let root = cluster.client("root");
    root.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        &binding("break-glass", "cluster-admin", "Group", "break-glass"),
    )?;
    deploy::admit(&root, &webhook, changes)?;
    let pods = |name: &str| format!("/api/v1/namespaces/payments/pods/{name}");
    let ops = cluster.client("ops");
    ensure!(ops.get(&pods("a"))?.code == 404, "RBAC grants it while the webhook is there");

    webhook.stop();
    let away = ops.get(&pods("b"))?;
    ensure!(away.code == 500 && away.body.to_string().contains("/authorize"), "{away:?}");
    // The ways in that never ask the webhook.
    for user in ["root", "bella"] {
        let answer = cluster.client(user).get(SECRETS)?;
        ensure!(answer.code == 200, "{user}: {answer:?}");
        let written = cluster.client(user).post(MAPS, &config_map())?;
        ensure!(written.code == 201, "{user}: {written:?}");
    }
    // Health and discovery stay with RBAC.
    ensure!(ops.get("/version")?.code == 200, "discovery needs no webhook");

    webhook.start()?;
    let mut number = 0;
    eventually("the webhook being asked again", || {
        number += 1;
        Ok((ops.get(&pods(&format!("c{number}")))?.code == 404).then_some(()))
    })
}
