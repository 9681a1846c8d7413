//! Impersonation, by every verb that kube-apiserver asks.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::client::Client;
use crate::cluster::Etcd;
use crate::deploy::{self, Changes};
use crate::servers::Servers;
use crate::webhook::Webhook;

/// Whom somebody wants to be, as headers.
type Wish = &'static [(&'static str, &'static str)];

const USER: Wish = &[("impersonate-user", "dora")];
const IN_GROUPS: Wish = &[
    ("impersonate-user", "dora"),
    ("impersonate-group", "a"),
    ("impersonate-group", "b"),
    ("impersonate-group", "c"),
    ("impersonate-group", "d"),
];
const WITH_UID: Wish = &[("impersonate-user", "dora"), ("impersonate-uid", "uid-dora")];
const WITH_EXTRA: Wish =
    &[("impersonate-user", "dora"), ("impersonate-extra-example.com%2fscope", "read")];
const ACCOUNT: Wish = &[("impersonate-user", "system:serviceaccount:checkout:bot")];

/// What no guard forbids to `ops`.
const HARMLESS: [Wish; 5] = [USER, IN_GROUPS, WITH_UID, WITH_EXTRA, ACCOUNT];

/// What the guards forbid.
const POWERFUL: [Wish; 6] = [
    &[("impersonate-user", "dora"), ("impersonate-group", "system:masters")],
    &[("impersonate-user", "dora"), ("impersonate-group", "platform-admins")],
    &[
        ("impersonate-user", "dora"),
        ("impersonate-group", "a"),
        ("impersonate-group", "b"),
        ("impersonate-group", "c"),
        ("impersonate-group", "platform-admins"),
    ],
    &[("impersonate-user", "system:kube-controller-manager")],
    &[("impersonate-user", "system:serviceaccount:kube-system:default")],
    &[("impersonate-user", "system:node:n1")],
];

/// Returns who kube-apiserver takes somebody for, or what it says against it.
fn acting(client: &Client, wish: Wish) -> Result<(u16, String)> {
    let acting = wish.iter().fold(client.clone(), |c, (name, value)| c.with_header(name, value));
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let answer = acting.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)?;
    let name = answer.body["status"]["userInfo"]["username"].as_str();
    let told = name.map_or_else(|| answer.message().to_owned(), str::to_owned);
    Ok((answer.code, told))
}

#[test]
fn a_forbid_on_impersonation_holds_for_all_of_it() -> Result<()> {
    let test = "a_forbid_on_impersonation_holds_for_all_of_it";
    let Some(servers) = Servers::find(test)? else { return Ok(()) };
    let etcd = Etcd::start(&servers)?;
    let mut webhook = Webhook::shipped()?;
    webhook.start()?;
    let cluster = deploy::start(&servers, &etcd, &webhook, Changes::default())?;
    let ops = cluster.client("ops");
    for wish in HARMLESS {
        let (code, told) = acting(&ops, wish)?;
        let name = wish.first().map(|(_, name)| *name).unwrap_or_default();
        ensure!((code, told.as_str()) == (201, name), "{wish:?}: {code} {told}");
    }
    for wish in POWERFUL {
        let (code, told) = acting(&ops, wish)?;
        ensure!(code == 403, "{wish:?}: {code} {told}");
    }
    // RBAC alone lets nobody else do so.
    ensure!(acting(&cluster.client("vera"), USER)?.0 == 403, "vera may not act as dora");

    let revision = webhook.revision()?;
    webhook.write_policy(
        "impersonation.cedar",
        r#"@id("ops-are-themselves")
           @doc("Whoever runs the cluster does so in their own name.")
           forbid (principal in k8s::Group::"ops", action == k8s::Action::"impersonate", resource);"#,
    )?;
    webhook.wait_for_change(&revision)?;
    // kube-apiserver remembers for ten seconds who may be whom: others are asked for.
    const OTHERS: [Wish; 5] = [
        &[("impersonate-user", "carol")],
        &[
            ("impersonate-user", "carol"),
            ("impersonate-group", "e"),
            ("impersonate-group", "f"),
            ("impersonate-group", "g"),
            ("impersonate-group", "h"),
        ],
        &[("impersonate-user", "carol"), ("impersonate-uid", "uid-carol")],
        &[("impersonate-user", "carol"), ("impersonate-extra-example.com%2fscope", "write")],
        &[("impersonate-user", "system:serviceaccount:checkout:other")],
    ];
    for wish in OTHERS {
        let (code, told) = acting(&ops, wish)?;
        ensure!(code == 403 && told.contains("cannot impersonate"), "{wish:?}: {code} {told}");
    }
    every_verb_is_denied(&cluster.client("root"))
}

/// Asks by each verb of the family, the old one too.
fn every_verb_is_denied(root: &Client) -> Result<()> {
    let group = "authentication.k8s.io";
    let of = |verb: &str, group: &str, resource: &str, more: serde_json::Value| {
        let mut attributes = json!({
            "verb": verb, "group": group, "resource": resource, "version": "v1", "name": "carol",
        });
        if let (Some(attributes), Some(more)) = (attributes.as_object_mut(), more.as_object()) {
            attributes.extend(more.clone());
        }
        attributes
    };
    // Nobody was asked about before: answers are remembered.
    let account = || json!({ "namespace": "checkout", "name": "unknown" });
    for attributes in [
        of("impersonate", "", "users", json!({})),
        of("impersonate", "", "groups", json!({})),
        of("impersonate", "", "serviceaccounts", account()),
        of("impersonate", group, "uids", json!({})),
        of("impersonate", group, "userextras", json!({ "subresource": "scope" })),
        of("impersonate:user-info", group, "users", json!({})),
        of("impersonate:user-info", group, "groups", json!({})),
        of("impersonate:user-info", group, "groups", json!({ "name": "*" })),
        of("impersonate:user-info", group, "uids", json!({})),
        of("impersonate:serviceaccount", group, "serviceaccounts", account()),
        of("impersonate:arbitrary-node", group, "nodes", json!({})),
        of("impersonate:associated-node", group, "nodes", json!({ "name": "*" })),
        of("impersonate-on:user-info:list", "", "pods", json!({ "namespace": "payments" })),
        of("impersonate-on:serviceaccount:get", "apps", "deployments", json!({})),
    ] {
        let spec = json!({
            "user": "ops", "uid": "uid-ops", "groups": ["ops", "system:authenticated"],
            "resourceAttributes": attributes,
        });
        let status = root.may(&spec)?;
        ensure!(status["denied"] == true, "{attributes}: {status}");
    }
    Ok(())
}
