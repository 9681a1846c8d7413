//! Requests through the engine: verbs, identities, selectors, impersonation and statuses.

use anyhow::{Context as _, Result};
use stagedoor_core::Engine;
use stagedoor_kubernetes::{
    Attributes, FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes,
    PrincipalIds, ResourceAttributes, Reviewer, SCHEMA, SelectorRequirement, Subject,
    SubjectAccessReview, SubjectAccessReviewStatus, Vocabulary,
};

/// Policies as people wrote them for `cedar-access-control-for-k8s`: by attributes, without ids.
const NEIGHBOUR: &str = r#"
permit (principal in k8s::Group::"viewers",
        action in [k8s::Action::"get", k8s::Action::"list", k8s::Action::"watch"],
        resource is k8s::Resource)
unless { resource.resource == "secrets" && resource.apiGroup == "" };

permit (principal in k8s::Group::"readers", action in k8s::Action::"readOnly", resource is k8s::Resource);

forbid (principal, action, resource is k8s::Resource)
when { principal.name == "mallory" && resource.resource == "nodes" };

permit (principal is k8s::User, action == k8s::Action::"list", resource)
when { resource.resource == "quotas" };

permit (principal is k8s::User, action in [k8s::Action::"list", k8s::Action::"watch"],
        resource is k8s::Resource)
when {
  resource.apiGroup == "" && resource.resource == "configmaps" &&
  resource has labelSelector &&
  resource.labelSelector.containsAny([
    {"key": "owner", "operator": "=", "values": [principal.name]},
    {"key": "owner", "operator": "in", "values": [principal.name]}])
};

permit (principal is k8s::User, action == k8s::Action::"watch", resource is k8s::Resource)
when {
  resource has fieldSelector &&
  resource.fieldSelector.contains({"field": "metadata.name", "operator": "=", "value": "mine"})
};

permit (principal is k8s::ServiceAccount, action, resource is k8s::Resource)
when {
  principal.name == "service-manager" && resource.resource == "services" &&
  resource has namespace && resource.namespace == principal.namespace
};

permit (principal is k8s::ServiceAccount, action == k8s::Action::"impersonate", resource is k8s::Node)
when {
  principal.namespace == "default" && principal has extra &&
  principal.extra.contains({
    "key": "authentication.kubernetes.io/node-name", "values": [resource.name]})
};

permit (principal in k8s::Group::"actors", action == k8s::Action::"impersonate",
        resource == k8s::Group::"heroes");
permit (principal in k8s::Group::"actors", action == k8s::Action::"impersonate",
        resource == k8s::PrincipalUID::"26A8");
permit (principal in k8s::Group::"actors", action == k8s::Action::"impersonate",
        resource is k8s::Extra)
when { resource.key == "order" && resource has value && resource.value == "jedi" };
permit (principal in k8s::Group::"actors", action == k8s::Action::"impersonate",
        resource is k8s::ServiceAccount)
when { resource.namespace == "default" && resource.name == "robot" };
permit (principal in k8s::Group::"actors", action == k8s::Action::"impersonate",
        resource is k8s::User)
when { resource.name == "luke" };

permit (principal, action == k8s::Action::"get", resource is k8s::NonResourceURL)
when { resource.path like "/healthz/*" };
permit (principal in k8s::Group::"versions", action == k8s::Action::"get",
        resource == k8s::NonResourceURL::"/version");
permit (principal == k8s::User::"uid-of-nora", action == k8s::Action::"sign", resource is k8s::Resource);
permit (principal in k8s::Group::"signers",
        action in [k8s::Action::"approve", k8s::Action::"attest", k8s::Action::"bind",
                   k8s::Action::"escalate", k8s::Action::"use"],
        resource is k8s::Resource);
"#;

fn reviewer(policies: &str, more_schema: &str) -> Result<Reviewer> {
    let mut builder =
        Engine::builder().schema("kubernetes.cedarschema", SCHEMA).policies("test.cedar", policies);
    if !more_schema.is_empty() {
        builder = builder.schema("verbs.cedarschema", more_schema);
    }
    Ok(Reviewer::new(builder.build()?)?)
}

fn ask(
    reviewer: &Reviewer,
    subject: &Subject,
    attributes: impl Into<Attributes>,
) -> Result<SubjectAccessReviewStatus> {
    let review = SubjectAccessReview::new(subject.clone(), attributes);
    let status = reviewer.answer(review).status.context("a status")?;
    assert_eq!(status.evaluation_error, "");
    Ok(status)
}

fn resource(verb: &str, group: &str, resource: &str) -> ResourceAttributes {
    ResourceAttributes::new(verb, group, resource)
}

fn labels(operator: &str, values: &[&str]) -> ResourceAttributes {
    let mut selector = LabelSelectorAttributes::default();
    selector.requirements.push(SelectorRequirement::new("owner", operator, values.to_vec()));
    let mut attributes = resource("list", "", "configmaps");
    attributes.label_selector = Some(selector);
    attributes
}

fn raw_labels(text: &str) -> ResourceAttributes {
    let mut selector = LabelSelectorAttributes::default();
    selector.raw_selector = text.to_owned();
    let mut attributes = resource("list", "", "configmaps");
    attributes.label_selector = Some(selector);
    attributes
}

fn fields(operator: &str, values: &[&str]) -> ResourceAttributes {
    let mut selector = FieldSelectorAttributes::default();
    selector.requirements.push(SelectorRequirement::new(
        "metadata.name",
        operator,
        values.to_vec(),
    ));
    let mut attributes = resource("watch", "", "pods");
    attributes.field_selector = Some(selector);
    attributes
}

#[test]
fn policies_of_the_neighbour_decide_here() -> Result<()> {
    let reviewer = reviewer(NEIGHBOUR, "")?;
    let alice = Subject::new("alice").with_uid("0815").with_group("viewers");
    let rita = Subject::new("rita").with_group("readers");
    let mallory = Subject::new("mallory").with_group("viewers");
    let carl = Subject::new("carl").with_group("actors");
    let sid = Subject::new("sid").with_group("signers");
    let robot = Subject::new("system:serviceaccount:shop:service-manager");
    let pod = Subject::new("system:serviceaccount:default:default")
        .with_extra("authentication.kubernetes.io/node-name", ["worker-1"]);
    let nora = Subject::new("nora").with_uid("uid-of-nora");
    let vic = Subject::new("vic").with_group("versions");
    let auth = "authentication.k8s.io";
    let path = NonResourceAttributes::new;

    let cases: Vec<(&Subject, Attributes, bool)> = vec![
        (&alice, resource("get", "", "pods").into(), true),
        (&alice, resource("get", "", "secrets").into(), false),
        (&alice, resource("get", "apps", "secrets").into(), true),
        (&alice, resource("delete", "", "pods").into(), false),
        (&alice, resource("list", "", "quotas").into(), true),
        (&rita, resource("watch", "", "secrets").into(), true),
        (&rita, resource("create", "", "secrets").into(), false),
        (&rita, resource("readOnly", "", "secrets").into(), false),
        (&mallory, resource("list", "", "nodes").into(), false),
        (&mallory, resource("list", "", "pods").into(), true),
        (&nora, resource("sign", "certificates.k8s.io", "signers").into(), true),
        (&rita, resource("sign", "certificates.k8s.io", "signers").into(), false),
        (&sid, resource("approve", "certificates.k8s.io", "signers").into(), true),
        (&sid, resource("use", "policy", "podsecuritypolicies").into(), true),
        (&sid, resource("approved", "certificates.k8s.io", "signers").into(), false),
        // Selectors.
        (&carl, labels("In", &["carl"]).into(), true),
        (&carl, labels("In", &["carl", "alice"]).into(), false),
        (&carl, labels("NotIn", &["carl"]).into(), false),
        (&carl, labels("in", &["carl"]).into(), false),
        (&carl, raw_labels("owner=carl").into(), true),
        (&carl, raw_labels("owner in (carl),app").into(), true),
        (&carl, raw_labels("owner=carl,").into(), false),
        (&carl, resource("list", "", "configmaps").into(), false),
        (&carl, fields("In", &["mine"]).into(), true),
        (&carl, fields("NotIn", &["mine"]).into(), false),
        (&carl, fields("In", &["mine", "yours"]).into(), false),
        // Service accounts.
        (&robot, resource("frobnicate", "", "services").with_namespace("shop").into(), true),
        (&robot, resource("update", "", "services").with_namespace("shop").into(), true),
        (&robot, resource("update", "", "services").with_namespace("bank").into(), false),
        (&robot, resource("update", "", "services").into(), false),
        // Impersonation.
        (&pod, resource("impersonate", "", "users").with_name("system:node:worker-1").into(), true),
        (
            &pod,
            resource("impersonate", "", "users").with_name("system:node:worker-2").into(),
            false,
        ),
        (&carl, resource("impersonate", "", "groups").with_name("heroes").into(), true),
        (&carl, resource("impersonate", "", "groups").with_name("actors").into(), false),
        (&carl, resource("impersonate", "", "users").with_name("luke").into(), true),
        (&carl, resource("impersonate", "", "users").with_name("carl").into(), false),
        (&carl, resource("impersonate", "apps", "users").with_name("luke").into(), false),
        (&carl, resource("impersonate", "", "users/x").with_name("luke").into(), false),
        (&carl, resource("impersonate", auth, "uids").with_name("26A8").into(), true),
        (&carl, resource("impersonate", "", "uids").with_name("26A8").into(), false),
        (
            &carl,
            resource("impersonate", auth, "userextras")
                .with_subresource("order")
                .with_name("jedi")
                .into(),
            true,
        ),
        (
            &carl,
            resource("impersonate", auth, "userextras").with_subresource("order").into(),
            false,
        ),
        (
            &carl,
            resource("impersonate", "", "serviceaccounts")
                .with_namespace("default")
                .with_name("robot")
                .into(),
            true,
        ),
        (
            &carl,
            resource("impersonate", "", "users")
                .with_name("system:serviceaccount:default:robot")
                .into(),
            false,
        ),
        (&carl, resource("impersonate", "", "pods").with_name("luke").into(), false),
        // Paths.
        (&carl, path("get", "/healthz/live").into(), true),
        (&carl, path("get", "/healthz").into(), false),
        (&carl, path("GET", "/healthz/live").into(), false),
        (&carl, path("list", "/healthz/live").into(), false),
        (&carl, path("post", "/healthz/live").into(), false),
        (&vic, path("get", "/version").into(), true),
        (&vic, path("get", "/version/").into(), false),
    ];
    for (subject, attributes, allowed) in cases {
        let status = ask(&reviewer, subject, attributes.clone())?;
        assert_eq!(status.allowed, allowed, "{} {attributes:?}", subject.user);
    }
    Ok(())
}

#[test]
fn any_verb_is_decided() -> Result<()> {
    let policies = r#"
        @id("admins") permit (principal in k8s::Group::"admins", action, resource);
        @id("widgets") permit (principal in k8s::Group::"widgets", action == k8s::Action::"unlistedVerb",
                               resource is k8s::Resource) when { context.verb == "spin" };
        @id("no-loss") forbid (principal, action == k8s::Action::"unlistedVerb", resource)
        when { context.verb == "lose" };"#;
    let reviewer = reviewer(policies, "")?;
    let admin = Subject::new("ada").with_group("admins");
    let user = Subject::new("wim").with_group("widgets");
    let verbs =
        ["", "*", "GET", "readOnly", "write", "unlistedVerb", "spin", "ü\u{0}\"\\", "proxy"];
    for verb in verbs {
        assert!(ask(&reviewer, &admin, resource(verb, "x.io", "widgets"))?.allowed, "`{verb}`");
        assert!(
            ask(&reviewer, &admin, NonResourceAttributes::new(verb, "/x"))?.allowed,
            "`{verb}`"
        );
        let status = ask(&reviewer, &user, resource(verb, "x.io", "widgets"))?;
        assert_eq!(status.allowed, verb == "spin", "`{verb}`");
    }
    let lost = ask(&reviewer, &admin, resource("lose", "x.io", "widgets"))?;
    assert_eq!((lost.allowed, lost.denied), (false, true));
    assert_eq!(lost.reason, "forbidden by `no-loss`");
    Ok(())
}

#[test]
fn a_small_file_declares_a_verb() -> Result<()> {
    let policies = r#"permit (principal, action == k8s::Action::"spin", resource)
                      when { resource.resource == "widgets" };"#;
    let Err(error) = reviewer(policies, "") else {
        anyhow::bail!("loaded a policy about a verb that is not declared");
    };
    assert!(error.to_string().contains("spin"), "{error}");

    let more =
        r#"namespace k8s { action "spin" appliesTo { principal: [User], resource: [Resource] }; }"#;
    let reviewer = reviewer(policies, more)?;
    let spin = resource("spin", "x.io", "widgets");
    assert!(ask(&reviewer, &Subject::new("wim"), spin.clone())?.allowed);
    // Declared for users and resources alone: for others it is as unlisted as before.
    let robot = Subject::new("system:serviceaccount:a:b");
    assert!(!ask(&reviewer, &robot, spin)?.allowed);
    assert!(
        !ask(&reviewer, &Subject::new("wim"), NonResourceAttributes::new("spin", "/"))?.allowed
    );
    Ok(())
}

#[test]
fn a_schema_that_cannot_decide_every_verb_is_refused() -> Result<()> {
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(
        "namespace k8s { entity User, Resource; \
         action get appliesTo { principal: User, resource: Resource }; }",
    )?;
    assert!(Vocabulary::of(&schema).is_err());
    Ok(())
}

#[test]
fn without_a_schema_every_verb_is_an_action() -> Result<()> {
    let policies = r#"
        permit (principal in k8s::Group::"readers", action in k8s::Action::"readOnly", resource);
        permit (principal, action == k8s::Action::"spin", resource);"#;
    let engine = Engine::builder().policies("test.cedar", policies).exact_cedar().build()?;
    let reviewer = Reviewer::new(engine)?;
    let rita = Subject::new("rita").with_group("readers");
    for (verb, allowed) in [("list", true), ("spin", true), ("create", false), ("readOnly", false)]
    {
        assert_eq!(ask(&reviewer, &rita, resource(verb, "", "pods"))?.allowed, allowed, "`{verb}`");
    }
    Ok(())
}

#[test]
fn principals_are_known_by_uid_or_always_by_name() -> Result<()> {
    let policies = r#"permit (principal == k8s::User::"alice", action, resource);"#;
    let reviewer = reviewer(policies, "")?;
    let pods = resource("get", "", "pods");
    let with_uid = Subject::new("alice").with_uid("42");
    let disguised = Subject::new("mallory").with_uid("alice");
    assert!(ask(&reviewer, &Subject::new("alice"), pods.clone())?.allowed);
    assert!(!ask(&reviewer, &with_uid, pods.clone())?.allowed);

    let names = reviewer.vocabulary().clone().with_principal_ids(PrincipalIds::UserName);
    let by_name = reviewer.with_vocabulary(names);
    assert!(ask(&by_name, &with_uid, pods.clone())?.allowed);
    assert!(!ask(&by_name, &disguised, pods)?.allowed);
    Ok(())
}

#[test]
fn names_and_namespaces_are_groups_too() -> Result<()> {
    let policies = r#"
        permit (principal in k8s::UserName::"alice", action, resource in k8s::Namespace::"a");
        permit (principal in k8s::UserName::"system:serviceaccount:ci:bot", action,
                resource is k8s::Resource);
        permit (principal in k8s::Namespace::"shop", action == k8s::Action::"get", resource);"#;
    let reviewer = reviewer(policies, "")?;
    let pods = |namespace: &str| resource("get", "", "pods").with_namespace(namespace);
    let become_bot = |namespace: &str| {
        resource("impersonate", "", "serviceaccounts").with_namespace(namespace).with_name("bot")
    };
    let alice = Subject::new("alice").with_uid("42");
    let disguised = Subject::new("mallory").with_uid("alice").with_group("alice");
    let bot = Subject::new("system:serviceaccount:ci:bot").with_uid("43");
    let shop = Subject::new("system:serviceaccount:shop:till");
    let cases = [
        (&alice, pods("a"), true),
        (&alice, pods("b"), false),
        (&alice, pods(""), false),
        (&alice, become_bot("a"), true),
        (&alice, become_bot("b"), false),
        (&alice, become_bot(""), false),
        (&disguised, pods("a"), false),
        (&bot, pods(""), true),
        (&bot, become_bot("ci"), false),
        (&shop, pods("b"), true),
        (&shop, resource("list", "", "pods"), false),
    ];
    for (subject, attributes, allowed) in cases {
        let status = ask(&reviewer, subject, attributes.clone())?;
        assert_eq!(status.allowed, allowed, "{} {attributes:?}", subject.user);
    }
    Ok(())
}

#[test]
fn who_asks_is_never_taken_for_whom_they_impersonate() -> Result<()> {
    let policies = r#"
        permit (principal, action == k8s::Action::"impersonate", resource is k8s::User)
        when { principal.name == "mallory" && resource.name == "mallory" };
        permit (principal, action == k8s::Action::"impersonate", resource is k8s::Group)
        when { resource.name == "crew" };"#;
    let reviewer = reviewer(policies, "")?;
    let mallory = Subject::new("mallory").with_uid("root").with_group("crew");
    let root = resource("impersonate", "", "users").with_name("root");
    let answered = reviewer.answer(SubjectAccessReview::new(mallory.clone(), root));
    let status = answered.status.context("a status")?;
    assert_eq!((status.allowed, status.denied), (false, true));
    assert!(status.evaluation_error.contains("k8s::User::\"root\""), "{status:?}");
    // One's own name and group are what they are.
    let own = resource("impersonate", "", "users").with_name("mallory");
    assert!(ask(&reviewer, &mallory, own.clone())?.allowed);
    assert!(ask(&reviewer, &Subject::new("mallory"), own)?.allowed);
    let crew = resource("impersonate", "", "groups").with_name("crew");
    assert!(ask(&reviewer, &mallory, crew)?.allowed);
    Ok(())
}

#[test]
fn a_request_that_cannot_be_decided_is_denied_for_good() -> Result<()> {
    let reviewer = reviewer("permit (principal, action, resource);", "")?;
    let long = "x".repeat(1 << 20);
    let questions = [
        SubjectAccessReview::new(Subject::new(long.clone()), resource("get", "", "pods")),
        SubjectAccessReview::new(Subject::new("a"), resource("get", "", &long)),
        SubjectAccessReview::new(Subject::new("a"), resource(&long, "", "pods")),
        SubjectAccessReview::new(
            (0..20_000).fold(Subject::new("a"), |s, n| s.with_group(n.to_string())),
            resource("get", "", "pods"),
        ),
    ];
    for question in questions {
        let status = reviewer.answer(question).status.context("a status")?;
        assert_eq!((status.allowed, status.denied), (false, true));
        assert!(
            status.evaluation_error.contains("limit")
                || status.evaluation_error.contains("more than"),
            "{}",
            status.evaluation_error
        );
    }
    Ok(())
}

#[test]
fn statuses_say_allowed_denied_or_no_opinion() -> Result<()> {
    let policies = r#"
        @id("a") permit (principal, action == k8s::Action::"get", resource is k8s::Resource);
        @id("b") forbid (principal, action, resource is k8s::Resource)
                 when { resource.resource == "nodes" };"#;
    let reviewer = reviewer(policies, "")?;
    let alice = Subject::new("alice");
    let get = ask(&reviewer, &alice, resource("get", "", "pods"))?;
    assert_eq!((get.allowed, get.denied, get.reason.as_str()), (true, false, "allowed by `a`"));
    let nodes = ask(&reviewer, &alice, resource("get", "", "nodes"))?;
    assert_eq!((nodes.allowed, nodes.denied), (false, true));
    assert_eq!(nodes.reason, "forbidden by `b`");
    let list = ask(&reviewer, &alice, resource("list", "", "pods"))?;
    assert_eq!((list.allowed, list.denied), (false, false));
    assert_eq!(list.reason, "no policy permits this");
    Ok(())
}
