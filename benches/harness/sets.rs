//! Policy sets, catalogs and manifests of any size, for what reviews and measures of tests cost.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

const PERMISSIONS: [&str; 3] =
    ["catalog.entity.read", "catalog.entity.refresh", "catalog.entity.delete"];
const KINDS: [(&str, &str); 3] =
    [("component", "Component"), ("api", "API"), ("resource", "Resource")];
const TYPES: [&str; 6] = ["service", "website", "library", "database", "queue", "openapi"];
const LIFECYCLES: [&str; 3] = ["production", "experimental", "deprecated"];

const USERS: usize = 100;
const ENTITIES: usize = 200;

/// What is taken in turn.
fn of<T: Copy>(all: &[T], number: usize) -> Option<T> {
    all.get(number % all.len().max(1)).copied()
}

/// How policies of a set differ from those of another.
#[derive(Clone, Copy)]
pub(crate) enum Difference {
    Nothing,
    One,
    All,
}

/// What one policy says.
struct Grant {
    forbids: bool,
    team: usize,
    permission: usize,
    kind: usize,
    of_type: (usize, usize),
    lifecycle: usize,
}

impl Grant {
    fn new(number: usize, teams: usize, changed: Difference, count: usize) -> Self {
        let is_changed = match changed {
            Difference::Nothing => false,
            Difference::One => number == count / 2,
            Difference::All => true,
        };
        Self {
            forbids: number.is_multiple_of(17),
            team: number % teams,
            permission: number / teams % PERMISSIONS.len(),
            kind: number / 3 % KINDS.len(),
            of_type: (number % TYPES.len(), number % 23 + if is_changed { 100 } else { 0 }),
            lifecycle: number / 5 % LIFECYCLES.len(),
        }
    }

    /// Returns whether it applies to a user, a permission and an entity.
    fn applies(&self, user: usize, permission: usize, entity: usize, teams: usize) -> bool {
        self.permission == permission
            && teams_of(user, teams).contains(&self.team)
            && self.kind == entity % KINDS.len()
            && self.of_type == (entity % TYPES.len(), entity % 23)
            && self.lifecycle != entity % LIFECYCLES.len()
    }
}

fn teams_of(user: usize, teams: usize) -> [usize; 2] {
    [user % teams, user * 7 % teams]
}

/// Writes policies about a catalog: each about a team, a permission, a kind and a type of entities.
pub(crate) fn policies(to: &Path, count: usize, changed: Difference) -> Result<()> {
    fs::create_dir_all(to)?;
    let teams = teams(count);
    let mut text = String::new();
    for number in 0..count {
        let grant = Grant::new(number, teams, changed, count);
        let effect = if grant.forbids { "forbid" } else { "permit" };
        let (team, (of_type, number_of_type)) = (grant.team, grant.of_type);
        let permission = of(&PERMISSIONS, grant.permission).unwrap_or_default();
        let (kind, _) = of(&KINDS, grant.kind).unwrap_or_default();
        let of_type = of(&TYPES, of_type).unwrap_or_default();
        let life = of(&LIFECYCLES, grant.lifecycle).unwrap_or_default();
        writeln!(
            text,
            "@id(\"p{number}\") @doc(\"Policy number {number}.\")\n{effect} (\n  \
             principal in Backstage::Group::\"group:default/team-{team}\",\n  \
             action == Backstage::Action::\"{permission}\",\n  resource is \
             Backstage::CatalogEntity\n) when {{\n  resource.kind == \"{kind}\" && \
             resource.hasTag(\"spec.type\") &&\n  resource.getTag(\"spec.type\").contains\
             (\"{of_type}-{number_of_type}\")\n}} unless {{\n  resource.hasTag(\"spec.lifecycle\") \
             &&\n  resource.getTag(\"spec.lifecycle\").contains(\"{life}\")\n}};"
        )?;
    }
    fs::write(to.join("p.cedar"), text)?;
    Ok(())
}

fn teams(policies: usize) -> usize {
    (policies / 10).max(10)
}

/// Writes a catalog, and cases about it.
pub(crate) fn cases(to: &Path, policies: usize, cases: usize) -> Result<()> {
    let teams = teams(policies);
    let mut catalog = String::new();
    for team in 0..teams {
        writeln!(
            catalog,
            "---\napiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {{ name: team-{team} }}\n\
             spec: {{ type: team, children: [] }}"
        )?;
    }
    for user in 0..USERS {
        let [first, second] = teams_of(user, teams);
        writeln!(
            catalog,
            "---\napiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {{ name: user-{user} }}\n\
             spec: {{ memberOf: [team-{first}, team-{second}] }}"
        )?;
    }
    for entity in 0..ENTITIES {
        let Some((_, kind)) = of(&KINDS, entity) else { continue };
        writeln!(
            catalog,
            "---\napiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata: {{ name: e-{entity} }}\n\
             spec: {{ type: {}-{}, lifecycle: {}, owner: team-{}, definition: x }}",
            of(&TYPES, entity).unwrap_or_default(),
            entity % 23,
            of(&LIFECYCLES, entity).unwrap_or_default(),
            entity % teams
        )?;
    }
    fs::write(to.join("catalog.yaml"), catalog)?;
    let mut tests = "fixtures: { catalog: [catalog.yaml] }\ncases:\n".to_owned();
    let grants: Vec<Grant> =
        (0..policies).map(|n| Grant::new(n, teams, Difference::Nothing, policies)).collect();
    for case in 0..cases {
        let (user, permission, entity) =
            (case / 3 % USERS, case % PERMISSIONS.len(), case % ENTITIES);
        let (kind, _) = of(&KINDS, entity).unwrap_or_default();
        let applying = || grants.iter().filter(|g| g.applies(user, permission, entity, teams));
        let expect = match applying().next().is_some() && !applying().any(|grant| grant.forbids) {
            true => "allow",
            false => "deny",
        };
        writeln!(
            tests,
            "- {{ name: case {case}, user: 'user:default/user-{user}', permission: {}, entity: \
             '{kind}:default/e-{entity}', expect: {expect} }}",
            of(&PERMISSIONS, permission).unwrap_or_default(),
        )?;
    }
    fs::write(to.join("a.test.yaml"), tests)?;
    Ok(())
}

/// Writes roles and role bindings as manifests: 50 roles, and bindings of a team each in a
/// namespace.
pub(crate) fn bindings(to: &Path, count: usize, changed: Difference) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut text = String::new();
    for role in 0..ROLES {
        let resource = of(&["pods", "configmaps", "services", "secrets", "events"], role);
        let verbs = of(&["get, list", "get, list, watch", "create, update", "delete"], role / 5);
        writeln!(
            text,
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{ name: \
             role-{role} }}\nrules: [{{ apiGroups: [''], resources: [{}], verbs: [{}] }}]",
            resource.unwrap_or_default(),
            verbs.unwrap_or_default()
        )?;
    }
    for number in 0..count {
        let is_changed = match changed {
            Difference::Nothing => false,
            Difference::One => number == count / 2,
            Difference::All => true,
        };
        let team = if is_changed { "crew" } else { "team" };
        writeln!(
            text,
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{ name: \
             b{number}, namespace: ns-{} }}\nroleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: \
             ClusterRole, name: role-{} }}\nsubjects: [{{ apiGroup: rbac.authorization.k8s.io, kind: \
             Group, name: {team}-{number} }}]",
            number % (count / 10).max(1),
            number % ROLES
        )?;
    }
    fs::write(to.join("rbac.yaml"), text)?;
    Ok(())
}

const ROLES: usize = 50;
