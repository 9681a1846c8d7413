//! What leads from one grant to everything: each way by itself, and beside it what is no way.

use anyhow::{Result, ensure};
use stagedoor_kubernetes::rbac::{Chain, ChainTarget, RbacObjects};

use crate::cluster::{Binding, Cluster, Role, Rule, Subject};

const RBAC: &str = "rbac.authorization.k8s.io";
const CONSTRAINED: &str = "authentication.k8s.io";
const HOOKS: &str = "admissionregistration.k8s.io";
const SIGNING: &str = "certificates.k8s.io";

/// Verbs, group, resources and names, each a list with commas.
type Grant = [&'static str; 4];

/// What devs are granted, in the cluster or a namespace, a target, and the first step to it.
type Row = (&'static [Grant], Option<&'static str>, ChainTarget, Option<&'static str>);

const IN_CI: Option<&str> = Some("ci");
const ADMIN: ChainTarget = ChainTarget::ClusterAdmin;
const DEPLOYER: &str = "ServiceAccount/ci/deployer";

const ROWS: [Row; 52] = [
    (
        &[["*", "*", "*", ""]],
        None,
        ADMIN,
        Some("holds every verb on every resource -> cluster-admin"),
    ),
    (&[["get", "", "pods", ""]], None, ADMIN, None),
    (&[["create", "", "pods", ""]], IN_CI, ADMIN, Some("creates pods in ci -> DEPLOYER")),
    (&[["create", "", "pods", ""]], None, ADMIN, Some("creates pods -> DEPLOYER")),
    (&[["create", "", "pods", ""]], Some("app"), ADMIN, None),
    (&[["create", "", "pods", "one"]], IN_CI, ADMIN, None),
    (
        &[["create", "apps", "deployments", ""]],
        IN_CI,
        ADMIN,
        Some("creates workloads in ci -> DEPLOYER"),
    ),
    (&[["create", "apps", "deployments", "one"]], IN_CI, ADMIN, None),
    (
        &[["patch", "apps", "deployments", "one"]],
        IN_CI,
        ADMIN,
        Some("changes workloads in ci -> DEPLOYER"),
    ),
    (&[["get", "apps", "deployments", ""]], IN_CI, ADMIN, None),
    (
        &[["create", "", "pods/exec", ""]],
        IN_CI,
        ADMIN,
        Some("runs commands in pods in ci -> DEPLOYER"),
    ),
    (&[["create", "", "pods/exec", ""]], Some("app"), ADMIN, None),
    (
        &[["create", "", "secrets", ""], ["get", "", "secrets", ""]],
        IN_CI,
        ADMIN,
        Some("creates token secrets and reads them in ci -> DEPLOYER"),
    ),
    (&[["create", "", "secrets", ""]], IN_CI, ADMIN, None),
    (&[["create", "", "secrets", "one"], ["get", "", "secrets", ""]], IN_CI, ADMIN, None),
    (
        &[["create", "", "serviceaccounts/token", ""]],
        IN_CI,
        ADMIN,
        Some("mints tokens in ci -> DEPLOYER"),
    ),
    (
        &[["create", "", "serviceaccounts/token", "deployer"]],
        IN_CI,
        ADMIN,
        Some("mints tokens in ci -> DEPLOYER"),
    ),
    (
        &[["create", "", "serviceaccounts/token", "deployer"]],
        None,
        ADMIN,
        Some("mints tokens -> DEPLOYER"),
    ),
    (&[["create", "", "serviceaccounts/token", "runner"]], None, ADMIN, None),
    (&[["create", "", "serviceaccounts/token", "deployer"]], Some("app"), ADMIN, None),
    (&[["impersonate", "", "serviceaccounts", ""]], IN_CI, ADMIN, Some("impersonates -> DEPLOYER")),
    (
        &[["impersonate", "", "serviceaccounts", "deployer"]],
        None,
        ADMIN,
        Some("impersonates -> DEPLOYER"),
    ),
    (&[["impersonate", "", "serviceaccounts", "runner"]], None, ADMIN, None),
    (&[["impersonate", "", "users", ""]], None, ADMIN, Some("impersonates -> *")),
    (&[["impersonate", "", "users", "root"]], None, ADMIN, Some("impersonates -> User/root")),
    (&[["impersonate", "", "users", "ana"]], None, ADMIN, None),
    (&[["impersonate", "", "users", ""]], IN_CI, ADMIN, None),
    (
        &[["impersonate", "", "groups", "admins"], ["impersonate", "", "users", "ana"]],
        None,
        ADMIN,
        Some("impersonates -> Group/admins"),
    ),
    (&[["impersonate", "", "groups", "admins"]], None, ADMIN, None),
    (
        &[["impersonate", "", "groups", "system:masters"], ["impersonate", "", "users", "ana"]],
        None,
        ADMIN,
        Some("impersonates system:masters -> cluster-admin"),
    ),
    (
        &[["impersonate", "", "groups", "others"], ["impersonate", "", "users", "ana"]],
        None,
        ADMIN,
        None,
    ),
    (
        &[
            ["impersonate:user-info", CONSTRAINED, "users", ""],
            ["impersonate-on:user-info:list", "", "pods", ""],
        ],
        None,
        ADMIN,
        Some("impersonates (user-info) for some requests -> *"),
    ),
    (
        &[
            ["impersonate:user-info", CONSTRAINED, "users", "root"],
            ["impersonate-on:user-info:list", "", "pods", ""],
        ],
        None,
        ADMIN,
        Some("impersonates (user-info) for some requests -> User/root"),
    ),
    (
        &[
            ["impersonate:user-info", CONSTRAINED, "users", "ana"],
            ["impersonate-on:user-info:list", "", "pods", ""],
        ],
        None,
        ADMIN,
        None,
    ),
    (&[["impersonate:user-info", CONSTRAINED, "users", ""]], None, ADMIN, None),
    (
        &[
            ["impersonate:user-info", CONSTRAINED, "users", ""],
            ["impersonate-on:serviceaccount:list", "", "pods", ""],
        ],
        None,
        ADMIN,
        None,
    ),
    (
        &[
            ["impersonate:user-info", CONSTRAINED, "users", ""],
            ["impersonate-on:user-info:list", "", "pods", ""],
        ],
        IN_CI,
        ADMIN,
        None,
    ),
    (
        &[
            ["impersonate:serviceaccount", CONSTRAINED, "serviceaccounts", "deployer"],
            ["impersonate-on:serviceaccount:get", "", "pods", ""],
        ],
        IN_CI,
        ADMIN,
        Some("impersonates (serviceaccount) for some requests -> DEPLOYER"),
    ),
    (
        &[["bind", RBAC, "clusterroles", ""], ["create", RBAC, "clusterrolebindings", ""]],
        None,
        ADMIN,
        Some("binds cluster-admin -> cluster-admin"),
    ),
    (
        &[
            ["bind", RBAC, "clusterroles", "cluster-admin"],
            ["create", RBAC, "clusterrolebindings", ""],
        ],
        None,
        ADMIN,
        Some("binds cluster-admin -> cluster-admin"),
    ),
    (
        &[["bind", RBAC, "clusterroles", "view"], ["create", RBAC, "clusterrolebindings", ""]],
        None,
        ADMIN,
        None,
    ),
    (&[["bind", RBAC, "clusterroles", ""]], None, ADMIN, None),
    (
        &[["escalate", RBAC, "clusterroles", ""], ["update", RBAC, "clusterroles", ""]],
        None,
        ADMIN,
        Some("writes more into a ClusterRole that it is bound to -> cluster-admin"),
    ),
    (
        &[["patch", HOOKS, "mutatingwebhookconfigurations", ""]],
        None,
        ADMIN,
        Some("changes what administrators send -> cluster-admin"),
    ),
    (&[["patch", HOOKS, "mutatingwebhookconfigurations", ""]], IN_CI, ADMIN, None),
    (
        &[
            ["create", SIGNING, "certificatesigningrequests", ""],
            ["update", SIGNING, "certificatesigningrequests/approval", ""],
            ["approve", SIGNING, "signers", ""],
        ],
        None,
        ADMIN,
        Some("approves its own certificates -> *"),
    ),
    (
        &[["get", "", "nodes/proxy", ""]],
        None,
        ChainTarget::Nodes,
        Some("reaches the kubelets -> nodes"),
    ),
    (
        &[["create", "", "pods", ""]],
        Some("kube-system"),
        ChainTarget::Nodes,
        Some("runs pods of kube-system, on any node -> nodes"),
    ),
    (&[["create", "", "pods", ""]], Some("app"), ChainTarget::Nodes, None),
    (&[["list", "", "secrets", ""]], None, ChainTarget::Secrets, Some("reads them -> secrets")),
    (&[["list", "", "secrets", ""]], IN_CI, ChainTarget::Secrets, None),
    (&[["get", "", "secrets", "one"]], None, ChainTarget::Secrets, None),
];

fn rule([verbs, group, resources, names]: &Grant) -> Rule {
    let list = |text: &str| {
        text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    Rule {
        verbs: list(verbs),
        api_groups: vec![(*group).to_owned()],
        resources: list(resources),
        resource_names: list(names),
        ..Rule::default()
    }
}

/// Binds rules to somebody, under a name that is both the role's and the binding's.
fn bind(
    cluster: &mut Cluster,
    name: &str,
    rules: Vec<Rule>,
    namespace: Option<&str>,
    [kind, subject, of]: [&'static str; 3],
) {
    cluster.roles.push(Role { name: name.to_owned(), rules, ..Role::default() });
    cluster.bindings.push(Binding {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        subjects: vec![Subject { kind, name: subject.to_owned(), namespace: of.to_owned() }],
        role_kind: "ClusterRole",
        role_name: name.to_owned(),
    });
}

/// Returns the chain of devs to a target, beside people and service accounts of whom some hold everything.
fn chain(grants: &[Grant], namespace: Option<&str>, target: ChainTarget) -> Result<Option<Chain>> {
    let mut cluster = Cluster::default();
    let everything = || vec![rule(&["*", "*", "*", ""])];
    bind(&mut cluster, "root", everything(), None, ["User", "root", ""]);
    bind(&mut cluster, "admins", everything(), None, ["Group", "admins", ""]);
    bind(&mut cluster, "deployer", everything(), None, ["ServiceAccount", "deployer", "ci"]);
    let few = || vec![rule(&["get", "", "pods", ""])];
    bind(&mut cluster, "runner", few(), None, ["ServiceAccount", "runner", "app"]);
    bind(&mut cluster, "ana", few(), None, ["User", "ana", ""]);
    bind(&mut cluster, "others", few(), None, ["Group", "others", ""]);
    bind(&mut cluster, "devs", grants.iter().map(rule).collect(), namespace, ["Group", "devs", ""]);
    let mut objects = RbacObjects::default();
    objects.read("cluster.json", &cluster.to_json())?;
    let chains = Chain::all_of(&objects.resolve()?);
    Ok(chains.into_iter().find(|chain| chain.subject == "Group/devs" && chain.target == target))
}

#[test]
fn each_way_leads_on_and_what_is_beside_it_does_not() -> Result<()> {
    let mut wrong = Vec::new();
    for (grants, namespace, target, expected) in ROWS {
        let chain = chain(grants, namespace, target)?;
        let step = chain.as_ref().and_then(|chain| chain.steps.first());
        let given = step.map(|step| format!("{} -> {}", step.does, step.to));
        let expected = expected.map(|step| step.replace("DEPLOYER", DEPLOYER));
        let is_right = match (&given, &expected) {
            (Some(given), Some(expected)) => match expected.strip_suffix('*') {
                Some(start) => given.starts_with(start),
                None => given == expected,
            },
            (None, None) => true,
            _ => false,
        };
        if !is_right {
            wrong.push(format!(
                "{grants:?} in {namespace:?} to {target}: {given:?}, not {expected:?}"
            ));
        }
        if let Some(step) = step {
            ensure!(step.from == "Group/devs" && step.role.contains("devs"), "{step:?}");
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
