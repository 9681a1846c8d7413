//! `stagedoor who-can` and `stagedoor what-can`: questions about a whole policy set.

mod any_schema;

use std::path::PathBuf;

use clap::Args;
use stagedoor_core::{Engine, Entities};
use stagedoor_kubernetes::access::{
    Access, AccessPolicies, AccessQuestion, Permission, PermissionEffect, api_group_of,
};
use stagedoor_kubernetes::rbac::RbacImport;
use stagedoor_kubernetes::{SCHEMA, Subject};
use stagedoor_source::{FileKind, PolicySet};
use stagedoor_wire::WireError;

use any_schema::AnySchema;

use crate::authorize::entities;
use crate::built_in_roles::{self, BuiltIn, BuiltInArgs};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::load::LoadArgs;
use crate::output::Output;
use crate::platform::{PLATFORMS, Platform};
use crate::review::{catalog, catalog_entities};
use crate::table::Table;
use crate::terminal::line;

/// Size of a file of subjects, in bytes.
const SUBJECT_BYTES: usize = 16 << 20;

/// Which policies a question is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// Policies: directories or files. The schema of the platform that they are about is added
    /// unless they bring one; Kubernetes' where nothing tells.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    policies: Vec<PathBuf>,

    /// Roles and bindings of Kubernetes instead: YAML or JSON.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    rbac: Vec<PathBuf>,
}

/// Where policies or roles are, and what a cluster has besides.
#[derive(Debug, Args)]
struct AccessArgs {
    #[command(flatten)]
    source: SourceArgs,

    #[command(flatten)]
    built_in: BuiltInArgs,

    /// For another schema than Kubernetes': entities in Cedar's JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "rbac")]
    entities: Option<PathBuf>,

    /// For Backstage: files of the catalog, with its users, groups and entities.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "rbac")]
    catalog: Vec<PathBuf>,
}

impl AccessArgs {
    fn engine(&self, load: &LoadArgs, output: &Output) -> Result<Engine, Failure> {
        let SourceArgs { policies, rbac } = &self.source;
        if rbac.is_empty() {
            let sources = load.sources(policies, &[], &mut Input::default())?;
            let limits = load.limits()?;
            let set = PolicySet::of(sources.clone(), &PLATFORMS, &[], &limits);
            let is_about_another = set.is_about(Platform::Backstage.name())
                || set.sources().files().iter().any(|file| is_schema(file.kind));
            let set = match is_about_another && !set.is_about(Platform::Kubernetes.name()) {
                true => set,
                false => {
                    PolicySet::of(sources, &PLATFORMS, &[Platform::Kubernetes.name()], &limits)
                }
            };
            return Ok(load.build(set, output)?.engine);
        }
        let resolved = built_in_roles::resolved(rbac, None, &self.built_in, BuiltIn::All)?;
        // An answer that lacks somebody says why.
        resolved.warnings().iter().for_each(|warning| output.remark(&warning.to_string()));
        let import = RbacImport::of(&resolved).map_err(|e| Failure::input(e.to_string()))?;
        let builder = Engine::builder().schema("(shipped) kubernetes.cedarschema", SCHEMA);
        Ok(import.add_to(builder).build()?)
    }

    /// Returns what answers about another schema than Kubernetes'.
    fn any_schema<'e>(&self, engine: &'e Engine) -> Result<Option<AnySchema<'e>>, Failure> {
        let platform = engine.schema().map(stagedoor_review::Platform::of);
        let Some(platform) = platform.filter(|of| *of != stagedoor_review::Platform::Kubernetes)
        else {
            if self.entities.is_some() || !self.catalog.is_empty() {
                return Err(Failure::input("the policies are about Kubernetes")
                    .with_help("leave out `--entities` and `--catalog`"));
            }
            return Ok(None);
        };
        let mut known = match &self.entities {
            Some(path) => entities(path, engine, &mut Input::default())?,
            None => Entities::empty(),
        };
        if !self.catalog.is_empty() {
            let catalog = catalog_entities(&catalog(&self.catalog)?);
            known = known.with(catalog).map_err(WireError::from)?;
        }
        Ok(Some(AnySchema { engine, entities: known, platform }))
    }
}

/// List who can do something, and by which policy or binding: in Kubernetes, or by any other schema.
///
/// One line for each policy that permits it. What the question leaves open is answered for
/// every value: without `--namespace`, a line says in which namespace it holds. Where a policy
/// depends on more than is asked, the line says `if` and on what, in Cedar's words.
///
/// By another schema ACTION is one of its actions, RESOURCE an entity or a type, and left out
/// stands for all: `who-can read 'Doc::"plan"'`, `who-can catalog.entity.delete
/// component:default/ledger`. Who of many is meant in the end, `list principals` tells.
#[derive(Debug, Args)]
pub(crate) struct WhoCanArgs {
    /// The verb (`get`, `create`, `impersonate`), or an action of the schema.
    #[arg(value_name = "VERB|ACTION")]
    verb: String,

    /// The resource: `pods`, `pods/exec`, `deployments.apps/scale`, or a path such as `/metrics`.
    #[arg(value_name = "RESOURCE")]
    resource: Option<String>,

    /// The namespace.
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,

    /// Ask for the whole cluster: all namespaces at once, or an object that is in none.
    #[arg(long, conflicts_with = "namespace")]
    all_namespaces: bool,

    /// The name of the object.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// People to answer for by name: a YAML list of `user` and `groups`.
    #[arg(long, value_name = "FILE")]
    subjects: Option<PathBuf>,

    #[command(flatten)]
    source: AccessArgs,

    #[command(flatten)]
    load: LoadArgs,

    /// Print CSV.
    #[arg(long)]
    csv: bool,
}

/// List what somebody can do, and by which policy or binding: in Kubernetes, or by any other schema.
///
/// First what policies permit, then what they forbid, in the words of a role's rule. Where a
/// policy depends on more than that, the line says `if` and on what, in Cedar's words.
///
/// By another schema SUBJECT is an entity or a type: `what-can 'User::"ana"'`, `what-can
/// user:default/ana`; who is in which group, `--entities`, `--catalog` or `--group` tell.
#[derive(Debug, Args)]
pub(crate) struct WhatCanArgs {
    /// Who: a user name (`alice`, `system:serviceaccount:ci:bot`), `User/NAME`, `Group/NAME` or
    /// `ServiceAccount/NAMESPACE/NAME`.
    #[arg(value_name = "SUBJECT")]
    subject: String,

    /// A group that the user is in.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    group: Vec<String>,

    #[command(flatten)]
    source: AccessArgs,

    #[command(flatten)]
    load: LoadArgs,

    /// Print CSV.
    #[arg(long)]
    csv: bool,
}

pub(crate) fn who_can(args: &WhoCanArgs, output: &mut Output) -> Result<Ending, Failure> {
    let engine = args.source.engine(&args.load, output)?;
    if let Some(any) = args.source.any_schema(&engine)? {
        if args.namespace.is_some()
            || args.all_namespaces
            || args.name.is_some()
            || args.subjects.is_some()
        {
            return Err(Failure::input("the policies are not about Kubernetes").with_help(
                "leave out `--namespace`, `--all-namespaces`, `--name` and `--subjects`",
            ));
        }
        let rows = any.who_can(&args.verb, args.resource.as_deref())?;
        any_schema::print(&rows, args.csv, "nobody", output)?;
        return Ok(Ending::Done);
    }
    let question = question(args)?;
    let policies = AccessPolicies::of(&engine).map_err(|e| Failure::input(e.to_string()))?;
    tell_watched(&policies, output);
    let mut found = policies.who_can(&question);
    if let Some(path) = &args.subjects {
        let text = Input::default().text(path, SUBJECT_BYTES)?;
        let subjects: Vec<Subject> = serde_saphyr::from_str(&text).map_err(|e| {
            let name = Input::name(path);
            Failure::input(format!("`{name}`: {}", e.without_snippet()))
                .with_help("give a list of `{ user: NAME, groups: [NAME, …] }`")
        })?;
        found.extend(policies.who_of_can(&question, &subjects));
    }
    if output.is_json() {
        found.iter().try_for_each(|access| output.json(access))?;
        return Ok(Ending::Done);
    }
    let mut table = Table::new(["WHO", "NAMESPACE", "POLICY", "IF"]);
    for access in &found {
        table.row(row_of_access(access));
    }
    table.print(args.csv, "nobody", output)?;
    Ok(Ending::Done)
}

fn is_schema(kind: FileKind) -> bool {
    matches!(kind, FileKind::Source(kind) if kind.is_schema())
}

/// Says which policies no answer tells of.
fn tell_watched(policies: &AccessPolicies<'_>, output: &Output) {
    let watched: Vec<String> = policies.watched().map(|id| format!("`{}`", line(id))).collect();
    if !watched.is_empty() {
        output.remark(&format!("not enforced, and left out: {}", watched.join(", ")));
    }
}

fn row_of_access(access: &Access) -> [String; 4] {
    let who = match &access.via {
        Some(via) => format!("{} ({via})", access.subject),
        None => access.subject.to_string(),
    };
    let mut conditions: Vec<String> = access.condition.iter().cloned().collect();
    conditions.extend(guarded_by(&access.guards));
    for except in &access.except {
        let (policy, when) = (&except.policy, &except.condition);
        let guarded = guarded_by(&except.guards).map(|by| format!(" ({by})")).unwrap_or_default();
        conditions.push(format!("not forbidden by {policy}: {when}{guarded}"));
    }
    let namespace = access.namespace.clone().unwrap_or_default();
    [who, namespace, access.policy.clone(), conditions.join("; ")]
}

/// Names the custom rules that guard a policy, if there are any.
fn guarded_by(rules: &[String]) -> Option<String> {
    (!rules.is_empty()).then(|| format!("guarded by {}", rules.join(", ")))
}

fn question(args: &WhoCanArgs) -> Result<AccessQuestion, Failure> {
    let Some(asked) = args.resource.as_deref() else {
        return Err(Failure::input("a question about Kubernetes names a resource")
            .with_help("write `who-can get pods`, or a path such as `/metrics`"));
    };
    if asked.starts_with('/') {
        return Ok(AccessQuestion::path(&args.verb, asked));
    }
    let (resource, subresource) = match asked.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (asked, None),
    };
    let (resource, group) = match resource.split_once('.') {
        Some((resource, group)) => (resource, group),
        None => {
            let known = api_group_of(resource).ok_or_else(|| {
                Failure::input(format!("`{resource}` is not a resource of Kubernetes itself"))
                    .with_help(format!("name its API group: `{resource}.example.com`"))
            })?;
            (resource, known)
        }
    };
    let mut question = AccessQuestion::resource(&args.verb, group, resource);
    if let Some(subresource) = subresource {
        question = question.with_subresource(subresource);
    }
    match &args.namespace {
        Some(namespace) => question = question.in_namespace(namespace),
        None if args.all_namespaces => question = question.in_namespace(""),
        None => {}
    }
    if let Some(name) = &args.name {
        question = question.named(name);
    }
    Ok(question)
}

pub(crate) fn what_can(args: &WhatCanArgs, output: &mut Output) -> Result<Ending, Failure> {
    let engine = args.source.engine(&args.load, output)?;
    if let Some(any) = args.source.any_schema(&engine)? {
        let rows = any.what_can(&args.subject, &args.group, output)?;
        any_schema::print(&rows, args.csv, "nothing", output)?;
        return Ok(Ending::Done);
    }
    let policies = AccessPolicies::of(&engine).map_err(|e| Failure::input(e.to_string()))?;
    tell_watched(&policies, output);
    let found = match args.subject.strip_prefix("Group/") {
        Some(group) => policies.what_can_members_of(group),
        None => policies.what_can(&subject(args)?),
    };
    if output.is_json() {
        found.iter().try_for_each(|permission| output.json(permission))?;
        return Ok(Ending::Done);
    }
    let mut table =
        Table::new(["EFFECT", "VERBS", "RESOURCES", "NAMES", "NAMESPACE", "POLICY", "IF"]);
    for permission in &found {
        table.row(row_of_permission(permission));
    }
    table.print(args.csv, "nothing", output)?;
    Ok(Ending::Done)
}

fn row_of_permission(permission: &Permission) -> [String; 7] {
    let effect = match permission.effect {
        PermissionEffect::Permit => "permit",
        PermissionEffect::Forbid => "forbid",
    };
    let mut resources = Vec::new();
    for group in &permission.api_groups {
        for resource in &permission.resources {
            resources.push(match (group.as_str(), resource.split_once('/')) {
                ("", _) => resource.clone(),
                ("*", _) if resource == "*" => resource.clone(),
                (group, Some((resource, subresource))) => {
                    format!("{resource}.{group}/{subresource}")
                }
                (group, None) => format!("{resource}.{group}"),
            });
        }
    }
    resources.extend(permission.non_resource_urls.iter().map(|path| match path.as_str() {
        "*" => "every path".to_owned(),
        path => path.to_owned(),
    }));
    let mut conditions: Vec<String> = permission.condition.iter().cloned().collect();
    conditions.extend(guarded_by(&permission.guards));
    [
        effect.to_owned(),
        permission.verbs.join(","),
        resources.join(","),
        permission.resource_names.join(","),
        permission.namespaces.join(","),
        permission.policy.clone(),
        conditions.join("; "),
    ]
}

fn subject(args: &WhatCanArgs) -> Result<Subject, Failure> {
    let user = match args.subject.split_once('/') {
        Some(("User", name)) => name.to_owned(),
        Some(("ServiceAccount", account)) => {
            let (namespace, name) = account.split_once('/').ok_or_else(|| {
                Failure::input(format!("`{}` names no namespace", args.subject))
                    .with_help("write `ServiceAccount/NAMESPACE/NAME`")
            })?;
            format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => args.subject.clone(),
    };
    let subject = Subject::new(user).with_group("system:authenticated");
    Ok(args.group.iter().fold(subject, |subject, group| subject.with_group(group)))
}
