//! Who can, and what can: answers about whole policy sets, held against decisions.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{
    Engine, Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal, Request,
    RuleEvaluator,
};
use stagedoor_kubernetes::access::{
    AccessPolicies, AccessQuestion, AccessSubject, Permission, PermissionEffect,
};
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};
use stagedoor_kubernetes::{Attributes, Reviewer, SCHEMA, STARTER_POLICIES, Subject};

use crate::default_roles::ROLES;
use crate::random::Random;
use crate::reference;

fn imported(json_or_yaml: &str) -> Result<Engine> {
    let mut objects = RbacObjects::default();
    objects.read("cluster", json_or_yaml)?;
    let import = RbacImport::of(&objects.resolve()?)?;
    Ok(import.add_to(Engine::builder().schema("kubernetes.cedarschema", SCHEMA)).build()?)
}

fn starter() -> Result<Engine> {
    let builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
    let builder = STARTER_POLICIES.iter().fold(builder, |b, (name, text)| b.policies(*name, *text));
    Ok(builder.build()?)
}

#[test]
fn who_can_names_subjects_bindings_and_namespaces() -> Result<()> {
    let engine = imported(ROLES)?;
    let policies = AccessPolicies::of(&engine)?;
    let lines = |question: &AccessQuestion| -> Vec<String> {
        policies
            .who_can(question)
            .into_iter()
            .map(|a| {
                let binding = a.policy.split(' ').next().unwrap_or_default().to_owned();
                let namespace = a.namespace.unwrap_or_default();
                let condition = a.condition.unwrap_or_default();
                format!("{} | {namespace} | {binding} | {condition}", a.subject)
            })
            .collect()
    };
    assert_eq!(
        lines(&AccessQuestion::resource("escalate", "rbac.authorization.k8s.io", "clusterroles")),
        [
            "Group/system:masters |  | ClusterRoleBinding/cluster-admin | ",
            "User/system:serviceaccount:kube-system:clusterrole-aggregation-controller |  | \
             ClusterRoleBinding/system:controller:clusterrole-aggregation-controller | ",
        ]
    );
    assert_eq!(
        lines(
            &AccessQuestion::resource("update", "apps", "deployments")
                .with_subresource("scale")
                .in_namespace("payments")
        ),
        [
            "Group/payments-admins |  | RoleBinding/payments/payments-admins | ",
            "Group/payments-editors |  | RoleBinding/payments/payments-editors | ",
            "Group/system:masters |  | ClusterRoleBinding/cluster-admin | ",
            "User/system:serviceaccount:ci:deployer |  | RoleBinding/payments/payments-editors | ",
            "User/system:serviceaccount:kube-system:generic-garbage-collector |  | \
             ClusterRoleBinding/system:controller:generic-garbage-collector | ",
            "User/system:serviceaccount:kube-system:horizontal-pod-autoscaler |  | \
             ClusterRoleBinding/system:controller:horizontal-pod-autoscaler | ",
        ]
    );
    let open = lines(&AccessQuestion::resource("get", "", "configmaps"));
    ensure!(
        open.contains(
            &"Group/payments-viewers | payments | RoleBinding/payments/payments-viewers | "
                .to_owned()
        ),
        "{open:#?}"
    );
    ensure!(
        open.iter().any(|line| {
            line.starts_with("User/system:kube-scheduler | kube-system")
                && line.contains("resource.name == \"extension-apiserver-authentication\"")
        }),
        "{open:#?}"
    );
    assert_eq!(
        lines(&AccessQuestion::path("get", "/livez/ping")),
        [
            "Group/system:masters |  | ClusterRoleBinding/cluster-admin | ",
            "Group/system:monitoring |  | ClusterRoleBinding/system:monitoring | ",
        ]
    );
    Ok(())
}

#[test]
fn what_depends_on_the_object_is_neither_yes_nor_no() -> Result<()> {
    let engine = starter()?;
    let policies = AccessPolicies::of(&engine)?;
    let secrets =
        AccessQuestion::resource("get", "", "secrets").in_namespace("payments").named("x");
    let found = policies.who_can(&secrets);
    // Forbidden but to those whom the guard leaves alone.
    let viewers = found.iter().find(|a| a.policy == "viewers-read").context("viewers")?;
    let except = viewers.except.first().context("an exception")?;
    assert_eq!(except.policy, "secrets-are-not-read-by-accident");
    ensure!(except.condition.contains("secret-readers"), "{except:?}");
    let glass = found.iter().find(|a| a.policy == "break-glass-reads-secrets").context("glass")?;
    ensure!(glass.except.is_empty() && glass.condition.is_none(), "{glass:?}");

    let config =
        AccessQuestion::resource("get", "", "configmaps").in_namespace("payments").named("x");
    let found = policies.who_can(&config);
    let own = found
        .iter()
        .find(|a| a.policy == "workloads-read-their-namespace-config")
        .context("workloads")?;
    assert_eq!(own.subject, AccessSubject::Every("k8s::ServiceAccount".to_owned()));
    ensure!(own.condition.as_deref().is_some_and(|c| c.contains("principal.namespace")), "{own:?}");
    // For somebody who is known, nothing is left open.
    let ledger = Subject::new("system:serviceaccount:payments:ledger");
    let cart = Subject::new("system:serviceaccount:checkout:cart");
    let found = policies.who_of_can(&config, &[ledger, cart]);
    assert_eq!(found.len(), 1, "{found:?}");
    ensure!(found.iter().all(|a| a.condition.is_none() && a.except.is_empty()), "{found:?}");
    Ok(())
}

#[test]
fn what_can_speaks_as_roles_do() -> Result<()> {
    let engine = imported(ROLES)?;
    let policies = AccessPolicies::of(&engine)?;
    let found = policies.what_can(&Subject::new("system:kube-scheduler"));
    let lease = found
        .iter()
        .find(|p| p.resource_names == ["kube-scheduler"] && p.namespaces.is_empty())
        .context("its lease")?;
    assert_eq!(lease.verbs, ["get", "update"]);
    assert_eq!(
        (&*lease.api_groups, &*lease.resources),
        (&["coordination.k8s.io".to_owned()][..], &["leases".to_owned()][..])
    );
    ensure!(
        found.iter().all(|p| p.effect == PermissionEffect::Permit && p.condition.is_none()),
        "{found:#?}"
    );
    ensure!(found.iter().any(|p| p.namespaces == ["kube-system"]));
    let binding = found.iter().find(|p| p.resources == ["pods/binding"]).context("binding")?;
    assert_eq!(binding.verbs, ["create"]);

    let editors = policies.what_can_members_of("payments-editors");
    ensure!(editors.iter().all(|p| p.namespaces == ["payments"]), "{editors:#?}");
    ensure!(
        editors.iter().any(|p| p.resources == ["serviceaccounts"] && p.verbs == ["impersonate"])
    );
    let masters = policies.what_can_members_of("system:masters");
    let all = masters.first().context("everything")?;
    assert_eq!((&*all.verbs, &*all.resources), (&["*".to_owned()][..], &["*".to_owned()][..]));
    ensure!(all.non_resource_urls.is_empty());
    ensure!(masters.iter().any(|p| p.non_resource_urls == ["*"]));

    let engine = starter()?;
    let policies = AccessPolicies::of(&engine)?;
    let found = policies.what_can(&Subject::new("vera").with_group("viewers"));
    let read = found.iter().find(|p| p.policy == "viewers-read").context("viewers-read")?;
    assert_eq!(read.verbs, ["get", "list", "watch"]);
    ensure!(found.iter().any(|p| p.effect == PermissionEffect::Forbid));
    ensure!(!found.iter().any(|p| p.policy == "payments-owns-its-namespace"), "{found:#?}");
    Ok(())
}

/// In a role, `pods/log` is also the name of a resource, which none has.
#[test]
fn subresources_are_told_once() -> Result<()> {
    let engine = imported(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: logs }
rules:
  - { apiGroups: [""], resources: [pods, pods/log], verbs: [get] }
  - { apiGroups: [""], resources: ["*/scale"], verbs: [update] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: logs }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: logs }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: ana }]
"#,
    )?;
    let found = AccessPolicies::of(&engine)?.what_can(&Subject::new("ana"));
    let told: Vec<String> = found.iter().map(|permission| permission.resources.join(",")).collect();
    assert_eq!(told, ["pods", "pods/log", "*/scale"]);
    Ok(())
}

/// Takes any rule, and none says anything.
#[derive(Debug)]
struct AnyRule;

impl RuleEvaluator for AnyRule {
    fn guard(&self, _: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        Ok(Arc::new(AnyRule))
    }
}

impl Guard for AnyRule {
    fn inputs(&self) -> GuardInputs {
        GuardInputs::default()
    }

    fn digest(&self) -> &str {
        "any"
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        Err(GuardFailure { code: "any::silent", message: "it says nothing".to_owned() })
    }
}

#[test]
fn guards_stand_beside_the_answers() -> Result<()> {
    let engine = Engine::builder()
        .schema("kubernetes.cedarschema", SCHEMA)
        .policies(
            "guarded.cedar",
            r#"@id("devs") @guard("in-hours")
            permit (principal in k8s::Group::"devs", action == k8s::Action::"delete", resource is k8s::Resource);
            @id("freeze") @guard("frozen")
            forbid (principal, action == k8s::Action::"delete", resource is k8s::Resource);"#,
        )
        .rules(Arc::new(AnyRule))
        .build()?;
    let policies = AccessPolicies::of(&engine)?;
    let found = policies.who_can(&AccessQuestion::resource("delete", "", "pods"));
    let access = found.first().context("a guarded forbid does not stop everybody")?;
    assert_eq!((access.policy.as_str(), &*access.guards), ("devs", &["in-hours".to_owned()][..]));
    let except = access.except.first().context("the forbid is told")?;
    assert_eq!(
        (except.policy.as_str(), except.condition.as_str(), &*except.guards),
        ("freeze", "true", &["frozen".to_owned()][..])
    );
    let found = policies.what_can_members_of("devs");
    let guards: Vec<&str> =
        found.iter().flat_map(|permission| &permission.guards).map(String::as_str).collect();
    assert_eq!(guards, ["in-hours", "frozen"]);
    Ok(())
}

/// Every decision of generated clusters is one that `who-can` tells too, and no other.
#[test]
fn who_can_agrees_with_decisions() -> Result<()> {
    let (mut compared, mut allowed) = (0, 0);
    for seed in 10_000..10_040 {
        let mut random = Random::new(seed);
        let cluster = random.cluster();
        let engine = imported(&cluster.to_json())?;
        let policies = AccessPolicies::of(&engine)?;
        let reviewer = Reviewer::new(engine.clone())?;
        for _ in 0..50 {
            let (mut user, attributes) = random.request(&cluster);
            // Groups that Kubernetes puts every service account in.
            if let Some(account) = user.user.strip_prefix("system:serviceaccount:") {
                let namespace = account.split(':').next().unwrap_or_default();
                let own = format!("system:serviceaccounts:{namespace}");
                user.groups.extend([
                    "system:authenticated".into(),
                    "system:serviceaccounts".into(),
                    own,
                ]);
            }
            let question = question(&attributes);
            let found = policies.who_of_can(&question, std::slice::from_ref(&user));
            let expected = reference::allows(&cluster, &user, &attributes);
            ensure!(
                found.is_empty() != expected
                    && found.iter().all(|a| a.condition.is_none() && a.except.is_empty()),
                "seed {seed}: RBAC says {expected}\n{user:?}\n{attributes:?}\n{found:#?}"
            );
            // The policies named are those that decide.
            let principal = reviewer.vocabulary().principal(&user)?;
            let (request, entities) = reviewer.vocabulary().request(&principal, &attributes)?;
            let outcome = engine.decide(&request, &entities)?;
            let mut reasons: Vec<&str> = outcome.reasons().map(|p| p.id()).collect();
            let mut named: Vec<&str> = found.iter().map(|a| a.policy.as_str()).collect();
            reasons.sort_unstable();
            named.sort_unstable();
            assert_eq!(named, reasons, "seed {seed} {user:?} {attributes:?}");
            compared += 1;
            allowed += usize::from(expected);
        }
    }
    println!("{compared} questions compared, {allowed} answered with somebody");
    ensure!(allowed > 100);
    Ok(())
}

/// Asks exactly what a request asks.
fn question(attributes: &Attributes) -> AccessQuestion {
    match attributes {
        Attributes::NonResource(of) => AccessQuestion::path(&of.verb, &of.path),
        Attributes::Resource(of) => {
            let question = AccessQuestion::resource(&of.verb, &of.group, &of.resource);
            let question = if of.subresource.is_empty() {
                question
            } else {
                question.with_subresource(&of.subresource)
            };
            question.in_namespace(&of.namespace).named(&of.name)
        }
    }
}

#[test]
fn permissions_serialize_with_the_wire_names() -> Result<()> {
    let engine = imported(ROLES)?;
    let policies = AccessPolicies::of(&engine)?;
    let found: Vec<Permission> = policies.what_can_members_of("system:monitoring");
    let json = serde_json::to_value(&found)?;
    ensure!(json[0]["nonResourceURLs"].as_array().is_some_and(|urls| !urls.is_empty()), "{json}");
    Ok(())
}
