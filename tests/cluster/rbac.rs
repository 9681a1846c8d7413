//! Imported roles against RBAC itself: two servers on the same objects, request by request.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::cluster::{Apiserver, Authorization, Etcd};
use crate::credentials::USERS;
use crate::installations::{apply, objects, versions};
use crate::servers::Servers;
use crate::webhook::{NAME, Webhook};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const KINDS: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];
/// So many questions are asked of both servers, in even steps over all that there are.
const QUESTIONS: usize = 4_000;
const NAMESPACES: [&str; 4] = ["", "payments", "kube-system", "default"];
const PATHS: [&str; 6] = ["/healthz", "/livez/ping", "/metrics", "/api/v1", "/version", "/logs/x"];

#[test]
fn imported_roles_answer_as_rbac_does() -> Result<()> {
    let test = "imported_roles_answer_as_rbac_does";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
    let etcd = Etcd::start(&servers)?;
    let rbac = Apiserver::start(&servers, &etcd, "rbac", &Authorization::Rbac, &[])?;
    rbac.furnish()?;
    let root = rbac.client("root");
    apply(&root, &bindings_of_users())?;
    if let Some(manifests) = servers.manifests() {
        for name in ["csi", "addons"] {
            apply(&root, &objects(&manifests.join(name))?)?;
        }
    }
    let aggregated = aggregate(&root)?;
    ensure!(aggregated["view"] > 5 && aggregated["admin"] > aggregated["edit"], "{aggregated:?}");

    let dump = dump(&root)?;
    let mut webhook = Webhook::new()?;
    std::fs::write(webhook.path("dump.json"), dump.to_string())?;
    webhook.command(&[
        "import",
        "kubernetes-rbac",
        "dump.json",
        "--built-in",
        "all",
        "--out",
        "policies",
    ])?;
    webhook.start()?;
    let configuration = alone(&webhook)?;
    let stagedoor = Apiserver::start(
        &servers,
        &etcd,
        "stagedoor",
        &Authorization::Configuration(&configuration),
        &[],
    )?;

    let subjects = subjects(&dump);
    let attributes = attributes(&root)?;
    let all = subjects.len() * attributes.len();
    ensure!(all > QUESTIONS, "only {all} questions");
    // Prime to both counts in all likelihood, so that each meets each.
    let step = (all / QUESTIONS) | 1;
    let (mut asked, mut allowed) = (0_usize, 0_usize);
    for number in (0..all).step_by(step) {
        let subject = &subjects[number % subjects.len()];
        let mut spec = attributes[(number / subjects.len()) % attributes.len()].clone();
        if let (Some(spec), Some(subject)) = (spec.as_object_mut(), subject.as_object()) {
            spec.extend(subject.clone());
        }
        let expected = root.may(&spec)?;
        let got = stagedoor.client("root").may(&spec)?;
        ensure!(
            expected["allowed"] == got["allowed"] && got["denied"] != true,
            "{spec}\nRBAC: {expected}\nStagedoor: {got}"
        );
        asked += 1;
        allowed += usize::from(expected["allowed"] == true);
    }
    println!("{asked} of {all} questions, {allowed} of them allowed, 0 differences");
    ensure!(allowed * 20 > asked, "only {allowed} of {asked} are allowed");
    with_tokens(&rbac, &stagedoor)
}

/// Asks for every list with the token of every user, of both servers.
fn with_tokens(rbac: &Apiserver, stagedoor: &Apiserver) -> Result<()> {
    let mut lists = Vec::new();
    for (_, base) in versions(&rbac.client("root"))? {
        let found = rbac.client("root").get(&base)?.body;
        for resource in found["resources"].as_array().into_iter().flatten() {
            let name = resource["name"].as_str().unwrap_or_default();
            let can_list = resource["verbs"].as_array().is_some_and(|v| v.contains(&"list".into()));
            if can_list && !name.contains('/') {
                lists.push(match resource["namespaced"] == true {
                    true => format!("{base}/namespaces/payments/{name}"),
                    false => format!("{base}/{name}"),
                });
            }
        }
    }
    let mut compared = 0;
    for user in USERS.iter().filter(|user| user.name != "root") {
        let (one, other) = (rbac.client(user.name), stagedoor.client(user.name));
        for list in &lists {
            let (expected, got) = (one.get(list)?.code, other.get(list)?.code);
            // What is authorized may still fail, for a cache that is being filled.
            let is_alike = (expected == 403) == (got == 403);
            ensure!(is_alike, "{} {list}: {expected} by RBAC, {got}", user.name);
            compared += 1;
        }
    }
    println!("{compared} requests with tokens, 0 differences");
    Ok(())
}

/// Returns bindings of the users that have tokens.
fn bindings_of_users() -> Vec<Value> {
    let bind = |kind: &str, name: &str, role: &str, subject: Value| {
        let mut binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": { "name": name },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
            },
            "subjects": [subject],
        });
        if kind == "RoleBinding" {
            binding["metadata"]["namespace"] = "payments".into();
        }
        binding
    };
    let group = |name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name });
    let user = |name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name });
    vec![
        bind("ClusterRoleBinding", "viewers", "view", group("viewers")),
        bind("RoleBinding", "owners", "admin", group("team-payments")),
        bind("RoleBinding", "developers", "edit", group("developers")),
        bind("ClusterRoleBinding", "petra", "cluster-admin", user("petra")),
    ]
}

/// Fills the aggregated roles, as the controller does that is not here; returns the numbers of
/// their rules.
fn aggregate(root: &Client) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    // An aggregate of aggregates takes more than one round.
    for _ in 0..3 {
        let roles = root.get(&format!("{RBAC}/clusterroles"))?.ok()?;
        let roles = roles["items"].as_array().cloned().unwrap_or_default();
        for role in &roles {
            let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
                continue;
            };
            let mut rules: Vec<Value> = Vec::new();
            for selector in selectors {
                for other in &roles {
                    let labels = selector["matchLabels"].as_object();
                    let is_chosen = labels.is_some_and(|labels| {
                        labels.iter().all(|(key, value)| &other["metadata"]["labels"][key] == value)
                    });
                    if is_chosen && other["metadata"]["name"] != role["metadata"]["name"] {
                        for rule in other["rules"].as_array().into_iter().flatten() {
                            if !rules.contains(rule) {
                                rules.push(rule.clone());
                            }
                        }
                    }
                }
            }
            let name = role["metadata"]["name"].as_str().unwrap_or_default();
            counts.insert(name.to_owned(), rules.len());
            let mut filled = role.clone();
            filled["rules"] = rules.into();
            root.put(&format!("{RBAC}/clusterroles/{name}"), &filled)?.ok()?;
        }
    }
    Ok(counts)
}

/// Returns all roles and bindings, as `kubectl get -o json` does.
fn dump(root: &Client) -> Result<Value> {
    let mut items = Vec::new();
    for kind in KINDS {
        let list = root.get(&format!("{RBAC}/{kind}"))?.ok()?;
        let item_kind = list["kind"].as_str().unwrap_or_default().trim_end_matches("List");
        for item in list["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            item["apiVersion"] = list["apiVersion"].clone();
            item["kind"] = item_kind.into();
            items.push(item);
        }
    }
    Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
}

/// Writes a configuration in which the webhook alone decides, and each request is asked.
fn alone(webhook: &Webhook) -> Result<std::path::PathBuf> {
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
    std::fs::write(webhook.path("alone-kubeconfig.yaml"), kubeconfig.to_string())?;
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
        "authorizers": [{ "type": "Webhook", "name": "stagedoor", "webhook": {
            "timeout": "30s", "subjectAccessReviewVersion": "v1",
            "matchConditionSubjectAccessReviewVersion": "v1", "failurePolicy": "Deny",
            "authorizedTTL": "1s", "unauthorizedTTL": "1s",
            "cacheAuthorizedRequests": false, "cacheUnauthorizedRequests": false,
            "connectionInfo": {
                "type": "KubeConfigFile", "kubeConfigFile": webhook.path("alone-kubeconfig.yaml"),
            },
        } }],
    });
    let path = webhook.path("alone.yaml");
    std::fs::write(&path, configuration.to_string())?;
    Ok(path)
}

/// Returns everybody whom a binding names, and somebody whom none does.
fn subjects(dump: &Value) -> Vec<Value> {
    let mut subjects = BTreeSet::new();
    let everybody = "system:authenticated";
    for binding in dump["items"].as_array().into_iter().flatten() {
        let own = binding["metadata"]["namespace"].as_str().unwrap_or_default();
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let name = subject["name"].as_str().unwrap_or_default();
            let namespace = subject["namespace"].as_str().unwrap_or(own);
            let spec = match subject["kind"].as_str().unwrap_or_default() {
                "User" => json!({ "user": name, "groups": [everybody] }),
                "Group" => json!({ "user": "somebody", "groups": [name, everybody] }),
                _ => json!({
                    "user": format!("system:serviceaccount:{namespace}:{name}"),
                    "groups": [
                        everybody, "system:serviceaccounts",
                        format!("system:serviceaccounts:{namespace}"),
                    ],
                }),
            };
            subjects.insert(spec.to_string());
        }
    }
    // Whom a separate authorizer lets through, before both.
    subjects.retain(|subject| !subject.contains("system:masters"));
    subjects.insert(json!({ "user": "nobody" }).to_string());
    subjects.iter().filter_map(|subject| serde_json::from_str(subject).ok()).collect()
}

/// Returns what can be asked for: every resource and verb that the server tells of, and paths.
fn attributes(root: &Client) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for (version, base) in versions(root)? {
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let list = root.get(&base)?.body;
        for resource in list["resources"].as_array().into_iter().flatten() {
            let name = resource["name"].as_str().unwrap_or_default();
            let (name, subresource) = name.split_once('/').unwrap_or((name, ""));
            let verbs = resource["verbs"].as_array().cloned().unwrap_or_default();
            let verbs = verbs.iter().filter_map(Value::as_str).chain(["use", "bind"]);
            for (number, verb) in verbs.enumerate() {
                let namespace = match resource["namespaced"] == true {
                    true => NAMESPACES[number % NAMESPACES.len()],
                    false => "",
                };
                let named = !matches!(verb, "list" | "create" | "watch" | "deletecollection");
                all.push(json!({ "resourceAttributes": {
                    "verb": verb, "group": group, "version": version, "resource": name,
                    "subresource": subresource, "namespace": namespace,
                    "name": if named { "it" } else { "" },
                } }));
            }
        }
    }
    for path in PATHS {
        for verb in ["get", "post"] {
            all.push(json!({ "nonResourceAttributes": { "verb": verb, "path": path } }));
        }
    }
    Ok(all)
}
