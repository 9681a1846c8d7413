//! Two installations from Kubernetes' own source, applied by somebody whom RBAC lets do so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::Etcd;
use crate::deploy::{self, Changes};
use crate::process::eventually;
use crate::servers::Servers;
use crate::webhook::Webhook;

/// Where the objects of each kind are.
pub(crate) struct Paths(BTreeMap<(String, String), (String, bool)>);

impl Paths {
    /// Reads the server's discovery.
    pub(crate) fn of(client: &Client) -> Result<Self> {
        let mut paths = BTreeMap::new();
        for (version, base) in versions(client)? {
            // What another server answers for is not there, where nothing runs.
            let list = client.get(&base)?.body;
            for resource in list["resources"].as_array().into_iter().flatten() {
                let name = resource["name"].as_str().unwrap_or_default();
                let kind = resource["kind"].as_str().unwrap_or_default();
                if !name.contains('/') {
                    let place = (format!("{base}\u{0}{name}"), resource["namespaced"] == true);
                    paths.insert((version.clone(), kind.to_owned()), place);
                }
            }
        }
        Ok(Self(paths))
    }

    /// Returns the path of an object.
    pub(crate) fn path(&self, object: &Value) -> Option<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = (text(&object["apiVersion"]), text(&object["kind"]));
        let (place, namespaced) = self.0.get(&kind)?;
        let (base, resource) = place.split_once('\u{0}')?;
        let name = text(&object["metadata"]["name"]);
        Some(match (namespaced, object["metadata"]["namespace"].as_str().unwrap_or("default")) {
            (true, namespace) => format!("{base}/namespaces/{namespace}/{resource}/{name}"),
            (false, _) => format!("{base}/{resource}/{name}"),
        })
    }
}

/// Returns the group versions that are served, with their paths.
pub(crate) fn versions(client: &Client) -> Result<Vec<(String, String)>> {
    let mut versions = vec![("v1".to_owned(), "/api/v1".to_owned())];
    let groups = client.get("/apis")?.ok()?;
    for group in groups["groups"].as_array().into_iter().flatten() {
        for version in group["versions"].as_array().into_iter().flatten() {
            let version = version["groupVersion"].as_str().context("a version")?;
            versions.push((version.to_owned(), format!("/apis/{version}")));
        }
    }
    Ok(versions)
}

/// Reads the objects of an installation: what others stand on first, roles before bindings.
pub(crate) fn objects(directory: &Path) -> Result<Vec<Value>> {
    let mut objects: Vec<Value> = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| file.display().to_string())?;
        for document in documents.into_iter().filter(Value::is_object) {
            match document["items"].as_array() {
                Some(items) => objects.extend(items.iter().cloned()),
                None => objects.push(document),
            }
        }
    }
    for object in objects.iter_mut().filter(|object| object["kind"] == "ClusterRoleBinding") {
        for subject in object["subjects"].as_array_mut().into_iter().flatten() {
            // Whoever installs it says where.
            if subject["kind"] == "ServiceAccount" && subject["namespace"].is_null() {
                subject["namespace"] = "default".into();
            }
        }
    }
    let order = |object: &Value| match object["kind"].as_str().unwrap_or_default() {
        "CustomResourceDefinition" => 0,
        "Namespace" => 1,
        "ServiceAccount" | "Role" | "ClusterRole" => 2,
        "RoleBinding" | "ClusterRoleBinding" => 3,
        _ => 4,
    };
    objects.sort_by_key(order);
    Ok(objects)
}

/// Applies objects; returns how many.
pub(crate) fn apply(client: &Client, objects: &[Value]) -> Result<usize> {
    let mut paths = Paths::of(client)?;
    let mut applied = 0;
    let namespaces: BTreeSet<&str> =
        objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    for name in namespaces {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
        });
        client.create("/api/v1/namespaces", &namespace)?;
    }
    for object in objects {
        // Of a kind that was defined just now, until it is served.
        let path = eventually(&format!("the kind of {object}"), || {
            if paths.path(object).is_none() {
                paths = Paths::of(client)?;
            }
            Ok(paths.path(object))
        })?;
        eventually(&path, || {
            let answer = client.apply(&path, object)?;
            // Not to be read yet, though it is told of already.
            if answer.code == 404 {
                return Ok(None);
            }
            answer.ok().map(Some)
        })?;
        applied += 1;
    }
    Ok(applied)
}

#[test]
fn real_installations_are_applied_through_the_guards() -> Result<()> {
    let test = "real_installations_are_applied_through_the_guards";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
    let Some(manifests) = servers.manifests() else {
        eprintln!(
            "skipped: {test}: no manifests beside the servers: `tests/cluster/servers/build`"
        );
        return Ok(());
    };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?;
    webhook.start()?;
    let cluster = deploy::start(&servers, &etcd, &webhook, Changes::default())?;
    deploy::admit(&cluster.client("root"), &webhook, Changes::default())?;
    let ops = cluster.client("ops");
    for (name, least) in [("csi", 60), ("addons", 60)] {
        let objects = objects(&manifests.join(name))?;
        let applied = apply(&ops, &objects).with_context(|| name.to_owned())?;
        ensure!(applied >= least, "{name}: only {applied} objects");
        println!("{name}: {applied} objects applied");
        for object in objects.iter().filter(|object| object["kind"] == "StatefulSet") {
            pods_of(&ops, object)?;
        }
    }
    Ok(())
}

/// Makes the pod of a StatefulSet, as its controller would: it mounts what is its node's.
fn pods_of(client: &Client, workload: &Value) -> Result<()> {
    let template = &workload["spec"]["template"];
    let name = workload["metadata"]["name"].as_str().unwrap_or_default();
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("{name}-0") },
        "spec": template["spec"],
    });
    pod["metadata"]["labels"] = template["metadata"]["labels"].clone();
    let claims = workload["spec"]["volumeClaimTemplates"].as_array();
    let claimed = claims.into_iter().flatten().map(|claim| {
        json!({ "name": claim["metadata"]["name"], "persistentVolumeClaim": { "claimName": "x" } })
    });
    let mut volumes: Vec<Value> = claimed.collect();
    for own in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        // A claim counts before a volume of its name.
        if volumes.iter().all(|volume| volume["name"] != own["name"]) {
            volumes.push(own.clone());
        }
    }
    pod["spec"]["volumes"] = volumes.into();
    let mounts_host = template["spec"]["volumes"]
        .as_array()
        .is_some_and(|volumes| volumes.iter().any(|volume| !volume["hostPath"].is_null()));
    let answer = client.post("/api/v1/namespaces/default/pods", &pod)?;
    match mounts_host {
        true => ensure!(
            answer.code == 403 && answer.message().contains("`pods-stay-off-the-host`"),
            "{name}: {answer:?}"
        ),
        false => ensure!(answer.is_success(), "{name}: {answer:?}"),
    }
    Ok(())
}
