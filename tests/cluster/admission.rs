//! The admission webhook that ships: what is refused, and in whose words.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::cluster::Etcd;
use crate::deploy::{self, Changes};
use crate::servers::Servers;
use crate::webhook::Webhook;

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "main", "image": "registry.example.com/main:1" }] },
    });
    if let (Some(own), Some(more)) = (pod["spec"].as_object_mut(), spec.as_object()) {
        own.extend(more.clone());
    }
    pod
}

fn config_map(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data,
    })
}

fn deployment(labels: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "ledger", "labels": labels },
        "spec": {
            "selector": { "matchLabels": { "app": "ledger" } },
            "template": {
                "metadata": { "labels": { "app": "ledger" } },
                "spec": pod("x", &json!({}))["spec"],
            },
        },
    })
}

#[test]
fn admission_denies_and_warns_in_the_policies_words() -> Result<()> {
    let test = "admission_denies_and_warns_in_the_policies_words";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
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
    let root = cluster.client("root");
    deploy::admit(&root, &webhook, Changes::default())?;

    // Pods: also for `system:masters`, whom authorization is never asked about.
    let pods = "/api/v1/namespaces/payments/pods";
    root.post(pods, &pod("plain", &json!({})))?.ok()?;
    for (name, spec, policy) in [
        ("host", json!({ "hostNetwork": true }), "pods-stay-off-the-host"),
        (
            "volume",
            json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/" } }] }),
            "pods-stay-off-the-host",
        ),
        (
            "privileged",
            json!({ "containers": [{
                "name": "main", "image": "a", "securityContext": { "privileged": true },
            }] }),
            "containers-are-not-privileged",
        ),
    ] {
        let answer = root.post(pods, &pod(name, &spec))?;
        let expected = format!(
            "admission webhook \"admission.stagedoor.svc\" denied the request: forbidden by \
             `{policy}`: "
        );
        ensure!(answer.code == 403 && answer.message().contains(&expected), "{answer:?}");
    }
    // The cluster's own namespace is left out by the configuration.
    let own = root.post(
        "/api/v1/namespaces/kube-system/pods",
        &pod("host", &json!({ "hostNetwork": true })),
    )?;
    ensure!(own.code == 201, "{own:?}");

    // A policy that is tried warns, and lets through; a dry run is asked about, too.
    let maps = "/api/v1/namespaces/checkout/configmaps";
    let warned = root.post(maps, &config_map("draft-1", json!({})))?;
    ensure!(warned.code == 201, "{warned:?}");
    let words = "`no-drafts`: Drafts do not belong into the cluster.";
    ensure!(warned.warnings.iter().any(|warning| warning.contains(words)), "{warned:?}");
    let plain = root.post(maps, &config_map("final", json!({})))?;
    ensure!(plain.code == 201 && plain.warnings.is_empty(), "{plain:?}");
    let dry = root.post(&format!("{pods}?dryRun=All"), &pod("dry", &json!({ "hostPID": true })))?;
    ensure!(dry.code == 403, "{dry:?}");

    // Who may write is one question, what they write another.
    let alice = cluster.client("alice");
    let deployments = "/apis/apps/v1/namespaces/payments/deployments";
    let unlabelled = alice.post(deployments, &deployment(json!({})))?;
    ensure!(unlabelled.code == 403, "{unlabelled:?}");
    ensure!(unlabelled.message().contains("`teams-label-what-they-run`"), "{unlabelled:?}");
    let labelled = deployment(json!({ "team": "payments" }));
    alice.post(deployments, &labelled)?.ok()?;
    let taken_away = alice.put(&format!("{deployments}/ledger"), &deployment(json!({})))?;
    ensure!(taken_away.code == 403, "{taken_away:?}");
    let scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": { "name": "ledger", "namespace": "payments" }, "spec": { "replicas": 3 },
    });
    let scaled = alice.put(&format!("{deployments}/ledger/scale"), &scale)?;
    ensure!(scaled.code == 200, "{scaled:?}");
    alice.delete(&format!("{deployments}/ledger"))?.ok()?;
    let elsewhere = alice.post("/apis/apps/v1/namespaces/checkout/deployments", &labelled)?;
    ensure!(elsewhere.code == 403, "{elsewhere:?}");
    large_objects(&root, maps)
}

/// The largest that are stored at all, and many values: in the time that is configured, also by
/// binaries that are not optimized.
fn large_objects(root: &crate::client::Client, maps: &str) -> Result<()> {
    let one = json!({ "text": "x".repeat((1 << 20) - 100) });
    let many: serde_json::Map<String, Value> =
        (0..10_000).map(|number| (format!("k{number}"), "".into())).collect();
    for (name, data) in [("one-value", one), ("many-values", Value::Object(many))] {
        let answer = root.post(maps, &config_map(name, data))?;
        ensure!(answer.code == 201, "{name}: {} {}", answer.code, answer.message());
        root.delete(&format!("{maps}/{name}"))?.ok()?;
    }
    Ok(())
}
