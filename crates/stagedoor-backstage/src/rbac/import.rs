//! Cedar policies that mean what the files mean.
//!
//! A row becomes a policy for the members of its role, and so does a document of conditions.
//! Where something else puts a row aside, the policy has an `unless` that names those for whom
//! it does:
//!
//! | put aside | by | for |
//! |---|---|---|
//! | rows | conditions on the permission, where they come first | members of roles with one |
//! | denials of a resource type | an allowance of the permission by name | members of that role |
//! | rows of users and groups themselves | any role | whoever has one |
//!
//! Rows of users and groups themselves count where the plugin looks for them: under the name of
//! a permission without resources, or else under the resource type, and the latter only where
//! conditions come first.
//!
//! Nothing else needs an `unless`. An allowance of a resource type cannot permit what a row about the
//! permission itself does not: that row either allows, too, or it denies and forbids. Rows that
//! come before conditions need none for the same reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use smol_str::SmolStr;

use super::conditional_file::RoleCondition;
use super::emit::{Clause, clause, quoted};
use super::policy_file::{Members, Origin, Precedence, RbacFiles, Row, Subject, action_word};
use crate::permission::{Permission, PermissionAction, Permissions};
use crate::schema::entity_type;

/// The permission that the plugin treats as one about resources, unless a row names it.
const CREATES_POLICIES: &str = "policy.entity.create";
const POLICY_ENTITY: &str = "policy-entity";

/// Policies that mean what files of the RBAC plugin mean.
///
/// # Examples
///
/// ```
/// use stagedoor_backstage::Permissions;
/// use stagedoor_backstage::rbac::{Precedence, RbacFiles, RbacImport};
///
/// let permissions = Permissions::known()?;
/// let csv = "g, group:default/web, role:default/web\n\
///            p, role:default/web, catalog-entity, read, allow\n";
/// let files = RbacFiles::read(("policy.csv", csv), None, &permissions)?;
/// let import = RbacImport::of(&files, Precedence::default(), &permissions);
/// assert!(import.to_cedar().contains(r#"principal in Backstage::Group::"group:default/web""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RbacImport {
    header: String,
    policies: Vec<String>,
    remarks: Vec<Remark>,
}

/// Something in the files that no policy came of, or that a policy says in a narrower way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remark {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// What is the matter.
    pub message: String,
    /// Whether policies permit less than the files for it.
    pub closes: bool,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl RbacImport {
    /// Returns the policies for `files`, whose resource types stand for the permissions of
    /// this table.
    #[must_use]
    pub fn of(files: &RbacFiles, precedence: Precedence, permissions: &Permissions) -> Self {
        let names = [&files.csv, &files.yaml, &files.config.file];
        let names: Vec<&str> =
            names.into_iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        let from = names.join(" and ");
        let mut import = Self {
            header: format!("// What {from} of the RBAC plugin permit.\n").replace('\r', " "),
            policies: Vec::new(),
            remarks: Vec::new(),
        };
        let config = &files.config;
        for (line, message) in &config.remarks {
            import.remark(&config.file, *line, false, message.as_str());
        }
        import.super_users(files);
        let writer = Writer { files, precedence, permissions, asides: asides(files, permissions) };
        for row in &files.rows {
            writer.row(row, &mut import);
        }
        for condition in &files.conditions {
            writer.condition(condition, &mut import);
        }
        import
    }

    /// Returns the policies as one text.
    #[must_use]
    pub fn to_cedar(&self) -> String {
        let mut text = self.header.clone();
        for policy in &self.policies {
            text.push('\n');
            text.push_str(policy);
        }
        text
    }

    /// Returns how many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Returns whether there is no policy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Returns what to know about single lines of the files.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// Super users have every permission before anything else is looked at.
    fn super_users(&mut self, files: &RbacFiles) {
        let Some(list) = super_claims(files) else { return };
        let doc = format!("{}:{}", files.config.file, files.config.super_users_line);
        self.policies.push(format!(
            "// lint:allow(broad-grant) Super users are meant to have every permission.\n\
             @id(\"super users\")\n@doc({})\npermit (\n  principal is Backstage::User,\n  \
             action,\n  resource\n)\nwhen {{ {list} }};\n",
            quoted(&doc)
        ));
    }

    fn remark(&mut self, file: &str, line: u32, closes: bool, message: impl Into<String>) {
        self.remarks.push(Remark { file: file.to_owned(), line, message: message.into(), closes });
    }
}

/// Returns what holds for super users. The plugin compares them with ownership references, and
/// thus not with groups above those.
fn super_claims(files: &RbacFiles) -> Option<String> {
    let names: Vec<String> =
        files.config.super_users.iter().map(|name| quoted(&name.to_string())).collect();
    (!names.is_empty()).then(|| format!("principal.claims.containsAny([{}])", names.join(", ")))
}

/// For one permission: roles whose members have other rows put aside.
#[derive(Debug, Default)]
struct IgnoredRows {
    /// They have a condition.
    conditional: BTreeSet<SmolStr>,
    /// A row of theirs allows the permission by its name.
    named_allow: BTreeSet<SmolStr>,
}

fn asides<'a>(files: &RbacFiles, permissions: &'a Permissions) -> BTreeMap<&'a str, IgnoredRows> {
    let mut asides = BTreeMap::new();
    for permission in permissions.iter() {
        let mut aside = IgnoredRows::default();
        for row in files.rows.iter().filter(|row| row.allow) {
            if let Subject::Role(role) = &row.subject
                && row.object == permission.name()
                && row.action == permission.action()
            {
                aside.named_allow.insert(role.clone());
            }
        }
        for condition in &files.conditions {
            if covers(condition, permission) && files.roles.contains_key(&condition.role) {
                aside.conditional.insert(condition.role.clone());
            }
        }
        if !aside.conditional.is_empty() || !aside.named_allow.is_empty() {
            asides.insert(permission.name(), aside);
        }
    }
    asides
}

fn covers(condition: &RoleCondition, permission: &Permission) -> bool {
    permission.resource_type() == Some(&condition.resource_type)
        && condition.permissions.iter().any(|m| m.covers(permission.name(), permission.action()))
}

struct Writer<'a> {
    files: &'a RbacFiles,
    precedence: Precedence,
    permissions: &'a Permissions,
    asides: BTreeMap<&'a str, IgnoredRows>,
}

/// What a policy is about, and for whom it does not hold.
struct Reach<'a> {
    /// Each with the members that it is not for.
    permissions: Vec<(&'a Permission, Members)>,
    /// All permissions of an action on a resource type are among them.
    whole: Option<(&'a str, Option<PermissionAction>)>,
}

impl<'a> Writer<'a> {
    fn row(&self, row: &Row, import: &mut RbacImport) {
        let csv = match row.origin {
            Origin::Csv => &self.files.csv,
            Origin::AppConfig => &self.files.config.file,
        };
        let title = row_title(row);
        let asked = self.permissions_of(row);
        if asked.is_empty() {
            let (closes, message) = self.without_permissions(row);
            return import.remark(csv, row.line, closes && row.allow, message);
        }
        let (members, everywhere) = match &row.subject {
            Subject::Role(role) => match self.files.roles.get(role) {
                Some(members) => (members.clone(), Members::default()),
                None => {
                    let message = format!("nobody has `{role}`: the row is for nobody");
                    return import.remark(csv, row.line, false, message);
                }
            },
            Subject::Direct(reference) => {
                let mut members = Members::default();
                match reference.kind() {
                    "user" => members.users.insert(reference.clone()),
                    _ => members.groups.insert(reference.clone()),
                };
                let mut with_a_role = Members::default();
                self.files.roles.values().for_each(|role| with_a_role.extend(role));
                (members, with_a_role)
            }
        };
        let of_type = row.object != asked.first().map_or("", |p| p.name());
        let mut reach = Reach {
            permissions: Vec::new(),
            whole: (of_type && row.object != POLICY_ENTITY)
                .then_some((self.resource_type(row), row.action)),
        };
        for permission in asked {
            match self.put_aside(row, permission, of_type) {
                Some(mut aside) => {
                    aside.extend(&everywhere);
                    if aside.everybody {
                        reach.whole = None;
                    }
                    reach.permissions.push((permission, aside));
                }
                None => reach.whole = None,
            }
        }
        reach.permissions.retain(|(_, aside)| !aside.everybody);
        if reach.permissions.is_empty() {
            let message = "put aside for all of its members: no policy is needed";
            return import.remark(csv, row.line, false, message);
        }
        let effect = if row.allow { "permit" } else { "forbid" };
        let doc = format!("{csv}:{}", row.line);
        let spared = (!row.allow).then(|| super_claims(self.files)).flatten();
        let policies = policies(&title, &doc, effect, &members, &reach, None, spared);
        import.policies.extend(policies);
    }

    /// Returns the permissions that a row is about.
    fn permissions_of(&self, row: &Row) -> Vec<&'a Permission> {
        let is_direct = matches!(row.subject, Subject::Direct(_));
        let is_asked = |permission: &&Permission| {
            let of_type = match permission.name() {
                CREATES_POLICIES => Some(POLICY_ENTITY),
                _ => permission.resource_type(),
            };
            let by_name = row.object == permission.name() && !(is_direct && of_type.is_some());
            let by_type = of_type == Some(&row.object)
                && !(is_direct && self.precedence == Precedence::Basic);
            permission.action() == row.action && (by_name || by_type)
        };
        self.permissions.iter().filter(is_asked).collect()
    }

    /// Says why a row is about no permission, and whether a plugin may have one.
    fn without_permissions(&self, row: &Row) -> (bool, String) {
        let Row { object, action, .. } = row;
        let word = action_word(*action);
        if matches!(row.subject, Subject::Direct(_)) && self.precedence == Precedence::Basic {
            let message = "without effect: where rows come before conditions, the plugin takes \
                           rows of users and groups themselves for permissions without resources \
                           alone";
            return (false, message.to_owned());
        }
        if let Ok(permission) = self.permissions.get(object) {
            let stated = action_word(permission.action());
            return match (&row.subject, stated == word) {
                (Subject::Direct(_), true) => {
                    let of_type = permission.resource_type().unwrap_or(POLICY_ENTITY);
                    let message = format!(
                        "without effect: for users and groups themselves the plugin looks for \
                         `{of_type}` and not for `{object}`"
                    );
                    (false, message)
                }
                _ => {
                    let message = format!("without effect: the action of `{object}` is `{stated}`");
                    (false, message)
                }
            };
        }
        if self.permissions.iter().any(|p| p.resource_type() == Some(object)) {
            return (
                false,
                format!("without effect: no permission to `{word}` is about `{object}`"),
            );
        }
        let message = format!(
            "left out: `{object}` is neither a permission nor a resource type that is known. \
             List its plugin in a `*.permissions.yaml`, as `stagedoor backstage discover` does, \
             and name that with `--permissions`"
        );
        (true, message)
    }

    fn resource_type(&self, row: &Row) -> &'a str {
        let types = self.permissions.iter().filter_map(Permission::resource_type);
        types.into_iter().find(|of_type| row.object == *of_type).unwrap_or_default()
    }

    /// Returns for whom a row does not count; `None` if it counts for no member of its role.
    fn put_aside(&self, row: &Row, permission: &Permission, of_type: bool) -> Option<Members> {
        let mut members = Members::default();
        let (Subject::Role(own), Some(aside)) = (&row.subject, self.asides.get(permission.name()))
        else {
            return Some(members);
        };
        let mut put = |roles: &BTreeSet<SmolStr>| {
            let others = roles.iter().filter_map(|role| self.files.roles.get(role));
            others.for_each(|others| members.extend(others));
            !roles.contains(own)
        };
        if self.precedence == Precedence::Conditional && !put(&aside.conditional) {
            return None;
        }
        if of_type && !row.allow && !put(&aside.named_allow) {
            return None;
        }
        Some(members)
    }

    fn condition(&self, condition: &RoleCondition, import: &mut RbacImport) {
        let RoleCondition { line, role, resource_type, .. } = condition;
        let yaml = self.files.yaml.clone();
        let Some(members) = self.files.roles.get(role) else {
            let message = format!("nobody has `{role}`: the conditions are for nobody");
            return import.remark(&yaml, *line, false, message);
        };
        let asked: Vec<&Permission> =
            self.permissions.iter().filter(|p| covers(condition, p)).collect();
        for mapping in &condition.permissions {
            let word = action_word(mapping.action);
            if asked.iter().all(|p| !mapping.covers(p.name(), p.action())) {
                let what = match &mapping.name {
                    Some(name) => format!("`{name}` with the action `{word}`"),
                    None => format!("a permission to `{word}`"),
                };
                let message = format!("{what} about `{resource_type}` is not known: left out");
                import.remark(&yaml, *line, true, message);
            }
        }
        if asked.is_empty() {
            return;
        }
        let (clause, closed) = clause(&condition.criteria, self.permissions.rules());
        for why in closed {
            import.remark(&yaml, *line, true, format!("permits less: {why}"));
        }
        if clause == Clause::Constant(false) {
            return import.remark(&yaml, *line, false, "permits nothing: no policy is needed");
        }
        let broad = condition.permissions.iter().all(|mapping| mapping.name.is_none());
        let one_action = condition.permissions.len() == 1;
        let whole = condition
            .permissions
            .first()
            .filter(|_| broad && one_action)
            .map(|mapping| (resource_type.as_str(), mapping.action));
        let permissions = asked.into_iter().map(|p| (p, Members::default())).collect();
        let title = format!("{role} under conditions {}", about(condition));
        let doc = format!("{yaml}:{line}");
        let reach = Reach { permissions, whole };
        import.policies.extend(policies(
            &title,
            &doc,
            "permit",
            members,
            &reach,
            Some(&clause),
            None,
        ));
    }
}

/// Returns what tells a row from others of its role.
fn row_title(row: &Row) -> String {
    let subject = match &row.subject {
        Subject::Role(role) => role.to_string(),
        Subject::Direct(reference) => reference.to_string(),
    };
    let effect = if row.allow { "allow" } else { "deny" };
    format!("{subject} {effect} {} {}", action_word(row.action), row.object)
}

/// Returns what tells a document from others of its role: no two share a mapping.
fn about(condition: &RoleCondition) -> String {
    let first = condition.permissions.first();
    let word = action_word(first.and_then(|mapping| mapping.action));
    match first.and_then(|mapping| mapping.name.as_ref()) {
        Some(name) => name.to_string(),
        None => format!("{word} {}", condition.resource_type),
    }
}

/// Writes a policy for the groups among the members, and one for the users.
fn policies(
    title: &str,
    doc: &str,
    effect: &str,
    members: &Members,
    reach: &Reach<'_>,
    condition: Option<&Clause>,
    spared: Option<String>,
) -> Vec<String> {
    let everybody = || Some(("principal is Backstage::User".to_owned(), None));
    let (groups, users) = match members.everybody {
        true => (everybody(), None),
        false => (
            lists("principal in", "Group", &members.groups),
            lists("principal ==", "User", &members.users),
        ),
    };
    let both = groups.is_some() && users.is_some();
    let mut policies = Vec::new();
    for (principals, whom) in [(groups, "groups"), (users, "users")] {
        let Some((scope, list)) = principals else { continue };
        let id = if both { format!("{title} ({whom})") } else { title.to_owned() };
        let mut text =
            format!("@id({})\n@doc({})\n{effect} (\n  {scope},\n", quoted(&id), quoted(doc));
        actions(reach, &mut text);
        text.push_str("\n)");
        for clause in list.into_iter().chain(condition.map(Clause::cedar)) {
            braces("when", &clause, &mut text);
        }
        if let Some(clause) = unless(reach) {
            braces("unless", &clause.cedar(), &mut text);
        }
        if let Some(spared) = &spared {
            braces("unless", spared, &mut text);
        }
        text.push_str(";\n");
        policies.push(text);
    }
    policies
}

/// Returns what stands in the scope for these principals, and in a clause where they are many.
fn lists(
    scope: &str,
    of_type: &str,
    references: &BTreeSet<crate::EntityRef>,
) -> Option<(String, Option<String>)> {
    match uids(of_type, references).as_slice() {
        [] => None,
        [one] => Some((format!("{scope} {one}"), None)),
        many => {
            let clause = format!("principal in {}", set(many));
            Some(("principal is Backstage::User".to_owned(), Some(clause)))
        }
    }
}

/// Returns a set, on one line if that is not too long.
fn set(items: &[String]) -> String {
    match items.iter().map(String::len).sum::<usize>() < 70 {
        true => format!("[{}]", items.join(", ")),
        false => format!("[\n    {}\n  ]", items.join(",\n    ")),
    }
}

fn uids(of_type: &str, references: &BTreeSet<crate::EntityRef>) -> Vec<String> {
    references
        .iter()
        .map(|of| format!("Backstage::{of_type}::{}", quoted(&of.to_string())))
        .collect()
}

fn actions(reach: &Reach<'_>, text: &mut String) {
    let of_type = |resource_type: &str| entity_type(resource_type).unwrap_or_default();
    // Writing to a string does not fail.
    if let Some((resource_type, action)) = reach.whole {
        let group = action.map_or("none", PermissionAction::as_str);
        let of_type = of_type(resource_type);
        let _ = write!(
            text,
            "  action in Backstage::Action::\"action:{group}\",\n  resource is Backstage::{of_type}"
        );
        return;
    }
    let names: Vec<String> =
        reach.permissions.iter().map(|(permission, _)| uid(permission)).collect();
    let _ = match names.as_slice() {
        [one] => write!(text, "  action == {one},\n  resource"),
        many => write!(text, "  action in\n    [{}],\n  resource", many.join(",\n     ")),
    };
}

fn uid(permission: &Permission) -> String {
    format!("Backstage::Action::{}", quoted(permission.name()))
}

/// Returns for whom, and for which permissions, the policy does not hold.
fn unless(reach: &Reach<'_>) -> Option<Clause> {
    let mut alike: Vec<(&Members, Vec<String>)> = Vec::new();
    for (permission, aside) in &reach.permissions {
        match alike.iter_mut().find(|(members, _)| *members == aside) {
            Some((_, names)) => names.push(uid(permission)),
            None => alike.push((aside, vec![uid(permission)])),
        }
    }
    let is_only = alike.len() == 1;
    let clauses = alike.into_iter().filter_map(|(members, names)| {
        let of_type = |name: &str, references| {
            let list = uids(name, references);
            (!list.is_empty()).then(|| Clause::Text(format!("principal in {}", set(&list))))
        };
        let groups = of_type("Group", &members.groups);
        let users = of_type("User", &members.users);
        let whom: Vec<Clause> = groups.into_iter().chain(users).collect();
        if whom.is_empty() {
            return None;
        }
        let whom = Clause::any(whom);
        if is_only {
            return Some(whom);
        }
        let which = Clause::Text(match names.as_slice() {
            [one] => format!("action == {one}"),
            many => format!("action in {}", set(many)),
        });
        Some(Clause::all(vec![which, whom]))
    });
    let clauses: Vec<Clause> = clauses.collect();
    (!clauses.is_empty()).then(|| Clause::any(clauses))
}

fn braces(word: &str, clause: &str, text: &mut String) {
    let _ = match clause.contains('\n') || clause.len() > 80 {
        true => write!(text, "\n{word}\n{{\n  {clause}\n}}"),
        false => write!(text, "\n{word} {{ {clause} }}"),
    };
}
