//! What is read of roles and bindings, what is refused, and with which words.

use anyhow::{Result, bail, ensure};
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects, RbacWarning};

fn read(text: &str) -> Result<RbacObjects> {
    let mut objects = RbacObjects::default();
    objects.read("f.yaml", text)?;
    Ok(objects)
}

fn refusal(text: &str) -> Result<String> {
    match read(text) {
        Ok(objects) => bail!("was read: {objects:?}"),
        Err(error) => Ok(error.to_string()),
    }
}

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n";

#[test]
fn what_is_wrong_is_named() -> Result<()> {
    let role = |rest: &str| format!("{ROLE}metadata: {{ name: r }}\n{rest}");
    let cases = [
        (role("rules: [{verbs: [get], resource: [pods]}]"), "ClusterRole `r`: `rules[0]"),
        (role("rules: [{verbs: [get], resource: [pods]}]"), "unknown field `resource`"),
        (role("rules: [{verbs: get}]"), "rules[0].verbs"),
        (role("rules: [{verbs: [1]}]"), "rules[0].verbs[0]"),
        (role("rules: [[get]]"), "rules[0]"),
        (role("rule: []"), "unknown field `rule`"),
        (role("rules: []\nrules: []"), "document 1"),
        (role("subjects: []"), "unknown field `subjects`"),
        (format!("{ROLE}metadata: []"), "metadata"),
        (ROLE.replace("v1\n", "v1alpha1\n"), "the version is not known"),
        (ROLE.replace("ClusterRole", "Roles"), "`Roles` is not a kind"),
        (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b}"
                .into(),
            "`roleRef`: give the role",
        ),
        (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: b}\n\
             aggregationRule: {}"
                .into(),
            "only a ClusterRole aggregates",
        ),
        ("a: [".into(), "f.yaml: document 1"),
        ("{\"a\": 1, \"a\": 2}".into(), "the key `a` is given twice"),
        ("{\"a\": ".into(), "document 1"),
    ];
    for (text, expected) in cases {
        let error = refusal(&text)?;
        ensure!(error.contains(expected), "`{expected}` is not in: {error}");
    }
    let deep = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    refusal(&deep)?;
    refusal(&format!("{{\"a\": {}{}}}", "[".repeat(50_000), "]".repeat(50_000)))?;
    let bomb = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\n\
                f: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g]\n";
    refusal(bomb)?;
    Ok(())
}

#[test]
fn an_object_given_twice_must_be_the_same() -> Result<()> {
    let role = |verb: &str| {
        format!("{ROLE}metadata: {{ name: r }}\nrules: [{{verbs: [{verb}], resources: [x]}}]\n")
    };
    let mut objects = read(&role("get"))?;
    objects.read("again.yaml", &role("get"))?;
    let before = objects.clone();
    let other = format!("{ROLE}metadata: {{ name: other }}\n---\n{}", role("list"));
    let Err(error) = objects.read("other.yaml", &other) else { bail!("two in one") };
    assert_eq!(
        error.to_string(),
        "other.yaml: `ClusterRole/r` was given before, in another way; keep one of them"
    );
    assert_eq!(objects, before, "read in part");
    refusal(&format!("{}---\n{}", role("get"), role("list")))?;
    Ok(())
}

#[test]
fn what_grants_nothing_is_warned_of() -> Result<()> {
    let text = format!(
        "{ROLE}metadata: {{ name: r }}\nrules:\n- {{resources: [x], apiGroups: ['']}}\n\
         - {{verbs: [get]}}\n- {{verbs: [get], resources: [x]}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{ name: nowhere }}\n\
         subjects: [{{ kind: User, name: a }}]\nroleRef: {{ kind: ClusterRole, name: r }}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{ name: b }}\n\
         subjects: [{{ kind: ServiceAccount, name: a }}, {{ kind: user, name: a }}]\n\
         roleRef: {{ kind: Role, name: r }}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{ name: c }}\n\
         roleRef: {{ kind: ClusterRole, name: gone }}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{ name: d }}\n\
         roleRef: {{ kind: Thing, name: r }}\n"
    );
    let objects = read(&text)?;
    let import = RbacImport::of(&objects.resolve()?)?;
    ensure!(import.is_empty());
    let warned =
        |found: fn(&RbacWarning) -> bool| import.warnings().iter().filter(|w| found(w)).count();
    assert_eq!(warned(|w| matches!(w, RbacWarning::EmptyRule { .. })), 3);
    assert_eq!(warned(|w| matches!(w, RbacWarning::NoNamespace { .. })), 1);
    assert_eq!(warned(|w| matches!(w, RbacWarning::SubjectWithoutNamespace { .. })), 1);
    assert_eq!(warned(|w| matches!(w, RbacWarning::UnknownSubjectKind { .. })), 1);
    assert_eq!(warned(|w| matches!(w, RbacWarning::ClusterBindingToRole { .. })), 1);
    assert_eq!(warned(|w| matches!(w, RbacWarning::MissingRole { .. })), 1);
    assert_eq!(warned(|w| matches!(w, RbacWarning::UnknownRoleKind { .. })), 1);
    // A namespace for what names none, as `kubectl apply -n` gives one.
    let mut objects = RbacObjects::default().with_namespace("here");
    objects.read("f.yaml", &text)?;
    let resolved = objects.resolve()?;
    ensure!(resolved.grants().all(|grant| grant.namespace() == Some("here")));
    ensure!(resolved.grants().count() > 0);
    Ok(())
}

#[test]
fn objects_are_found_again_by_their_line() -> Result<()> {
    let json = |name: &str| {
        format!(
            "{{\"apiVersion\": \"rbac.authorization.k8s.io/v1\", \"kind\": \"ClusterRole\",\n \
             \"metadata\": {{\"name\": \"{name}\"}}}}"
        )
    };
    let stream = format!("\n{}\n\n{} {}\n", json("a"), json("b"), json("c"));
    let yaml = format!(
        "# roles\n{ROLE}metadata: {{ name: a }}\n---\n{ROLE}metadata: {{ name: b }}\n--- # more\n\n\
         {ROLE}metadata: {{ name: c }}\n"
    );
    for (text, lines) in [(stream, [2, 5, 6]), (yaml, [2, 6, 11])] {
        let objects = read(&text)?;
        let found: Vec<usize> = objects.roles().iter().map(|role| role.origin.line).collect();
        assert_eq!(found, lines, "{text}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_used_is_passed_over_and_the_rest_is_read() -> Result<()> {
    let text = format!(
        "{ROLE}metadata: {{ name: good }}\n---\n{ROLE}metadata: {{}}\n---\n\
         {ROLE}metadata: {{ generateName: made- }}\n---\n\
         {ROLE}metadata:\n  name: {{{{ .Release.Name }}}}-reader\n---\n\
         {{{{- if .Values.rbac }}}}\n{ROLE}metadata: {{ name: perhaps }}\n{{{{- end }}}}\n---\n\
         {ROLE}metadata: {{ name: \"{{{{ .Values.name }}}}\" }}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: c }}\ndata: {{ a: \"{{{{ x }}}}\" }}\n---\n\
         {ROLE}metadata: {{ name: last, annotations: {{ about: \"{{{{ x }}}}\" }} }}\n"
    );
    let objects = read(&text)?;
    let names: Vec<&str> = objects.roles().iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["good", "last"]);
    let passed_over: Vec<String> = objects
        .warnings()
        .iter()
        .filter(|warning| matches!(warning, RbacWarning::PassedOver { .. }))
        .map(ToString::to_string)
        .collect();
    assert_eq!(passed_over.len(), 5, "{passed_over:#?}");
    for (warning, expected) in passed_over.iter().zip([
        "f.yaml: document 2: the ClusterRole is passed over: it has no name",
        "document 3: the ClusterRole is passed over: `generateName: made-`",
        "document 4: the document is passed over: it is a template; render it first",
        "document 5: the document is passed over",
        "document 6: the ClusterRole `{{ .Values.name }}` is passed over: it is a template",
    ]) {
        ensure!(warning.contains(expected), "`{expected}` is not in: {warning}");
    }
    // A mistake beside a template is one all the same.
    let Err(_) = read(&format!("{text}---\na: [\n")) else { bail!("read") };
    Ok(())
}
