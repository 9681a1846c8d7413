//! `check backstage` and `explain backstage`: permissions about catalog entities.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_backstage::{
    Catalog, EntityRef, PermissionRequest, PermissionRequestError, Permissions, User,
};
use stagedoor_core::{Decision, Engine, Entities};
use stagedoor_wire::{Explanation, WireError};

use crate::authorize::ending;
use crate::check::conditions;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::load::{LoadArgs, LoadedPolicies};
use crate::narrative::{Detail, Narrator};
use crate::output::Output;
use crate::platform::Platform;
use crate::terminal::{line, printable};

/// Decide whether a user has a permission in Backstage.
///
/// Exits with 0 if the request is allowed, with 2 if it is denied, with 1 on failure.
/// A permission that is not known and an entity that is not in the catalog are denied.
///
/// Without an entity the answer is the one that Backstage gets from its policy, which it
/// never tells the entity: under conditions it exits with 3.
#[derive(Debug, Args)]
pub(crate) struct BackstageArgs {
    /// Policies: directories or files.
    ///
    /// The schema that ships is added unless they bring their own. Permissions of further
    /// plugins are read from `*.permissions.yaml` and `*.permissions.json` in directories.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(super) policies: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) load: LoadArgs,

    /// Catalog files, as `catalog-info.yaml` or as the catalog's API returns them.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) catalog: Vec<PathBuf>,

    /// Who asks: `user:default/ana`.
    #[arg(long, value_name = "REF")]
    pub(super) user: EntityRef,

    /// A group that the user claims when signing in: `group:default/payments`; repeatable.
    ///
    /// Given groups stand in the place of those that the catalog says the user is a member of.
    #[arg(long = "group", value_name = "REF", num_args = 1..)]
    pub(super) groups: Vec<EntityRef>,

    /// The permission: `catalog.entity.delete`.
    #[arg(long, value_name = "NAME")]
    pub(super) permission: String,

    /// The catalog entity that the permission is about: `component:default/ledger`.
    #[arg(long, value_name = "REF")]
    pub(super) entity: Option<EntityRef>,

    /// Decide about each entity of the catalog files, a line each. Exits with 0.
    #[arg(long, value_enum, conflicts_with = "entity")]
    entities: Option<WhichEntities>,
}

/// Which entities to decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WhichEntities {
    /// All of the catalog files.
    All,
}

/// Answers what the arguments ask, with an explanation if it is wanted.
pub(crate) fn answer(
    args: &BackstageArgs,
    output: &mut Output,
    explained: bool,
) -> Result<Ending, Failure> {
    let mut input = Input::default();
    let loaded = args.load.load(&args.policies, Some(Platform::Backstage), output)?;
    let LoadedPolicies { engine, permissions, .. } = loaded;
    let catalog = catalog(&args.catalog, &engine, &mut input)?;
    for warning in catalog.warnings() {
        output.remark(&warning.to_string());
    }
    let user = user(args, &catalog, output);
    if args.entities.is_some() {
        return each(args, &engine, &permissions, &catalog, &user, output);
    }
    let asks_backstage = args.entity.is_none() && !explained;
    let permission = permissions.get(&args.permission);
    let of_resources = permission.is_ok_and(|p| p.resource_type().is_some());
    // People are told more about a permission without resources: which clause failed.
    if asks_backstage && (of_resources || output.is_json()) {
        let question = conditions::Question { permission: &args.permission, text: &question(args) };
        return conditions::answer(engine, permissions, &catalog, user, question, output);
    }
    let asked = match request(args, &permissions, &catalog, user)? {
        Ok(asked) => asked,
        Err(refusal) => {
            if output.is_json() {
                let revision = engine.revision();
                output.json(&stagedoor_wire::Decision::refused(refusal, revision))?;
            } else {
                let denied = output.paint().decision(Decision::Deny);
                output.line(format_args!("{denied} {}", line(&question(args))))?;
                output.line(format_args!("    {}", line(&refusal.error)))?;
                for help in refusal.help.iter().flat_map(|help| help.lines()) {
                    output.line(format_args!("      {}", printable(help)))?;
                }
            }
            return Ok(Ending::Denied);
        }
    };
    let wrong = |e: &dyn std::error::Error| Failure::input(e.to_string());
    let entities = Entities::within(catalog.entities(), engine.limits())
        .and_then(|entities| entities.with(asked.entities))
        .map_err(|e| wrong(&e))?;
    let request = asked.request;
    if output.is_json() && !explained {
        let outcome = engine.decide(&request, &entities).map_err(|e| wrong(&e))?;
        output.json(&stagedoor_wire::Decision::from(&outcome))?;
        return Ok(ending(outcome.decision()));
    }
    let explanation = engine.explain(&request, &entities).map_err(|e| wrong(&e))?;
    if output.is_json() {
        output.json(&Explanation::of(&explanation, &engine))?;
    } else {
        let detail = if explained { Detail::Full } else { Detail::Brief };
        let narrator = Narrator { engine: &engine, paint: output.paint(), detail };
        output.line(narrator.tell(&question(args), &explanation))?;
    }
    Ok(ending(explanation.outcome().decision()))
}

/// Decides about each entity of the catalog.
fn each(
    args: &BackstageArgs,
    engine: &Engine,
    permissions: &Permissions,
    catalog: &Catalog,
    user: &User,
    output: &mut Output,
) -> Result<Ending, Failure> {
    let wrong = |e: &dyn std::error::Error| Failure::input(e.to_string());
    let permission = permissions
        .get(&args.permission)
        .map_err(|unknown| Failure::input(unknown.to_string()).with_help(unknown.help()))?;
    let principal = user.clone().into();
    let known = Entities::within(catalog.entities(), engine.limits()).map_err(|e| wrong(&e))?;
    let mut with_user = None;
    for reference in catalog.references() {
        let resource = catalog.resource(reference).map_err(|e| wrong(&e))?;
        let asked = permission.request(&principal, Some(resource)).map_err(|error| {
            Failure::input(error.to_string()).with_help("leave `--entities` out")
        })?;
        let entities = match &with_user {
            Some(entities) => entities,
            None => with_user.insert(known.with(asked.entities).map_err(|e| wrong(&e))?),
        };
        let outcome = engine.decide(&asked.request, entities).map_err(|e| wrong(&e))?;
        if output.is_json() {
            output
                .json(&EntityAnswer { entity: reference.to_string(), answer: (&outcome).into() })?;
        } else {
            let decision = output.paint().decision(outcome.decision());
            output.line(format_args!("{decision} {}", line(&reference.to_string())))?;
        }
    }
    Ok(Ending::Done)
}

/// The answer about one of many entities.
#[derive(Debug, Serialize)]
struct EntityAnswer {
    entity: String,
    #[serde(flatten)]
    answer: stagedoor_wire::Decision,
}

/// Reads catalog files.
pub(crate) fn catalog(
    files: &[PathBuf],
    engine: &Engine,
    input: &mut Input,
) -> Result<Catalog, Failure> {
    let mut texts = Vec::with_capacity(files.len());
    for path in files {
        texts.push((Input::name(path), input.text(path, engine.limits().file_bytes)?));
    }
    Ok(Catalog::from_files(texts)?)
}

fn user(args: &BackstageArgs, catalog: &Catalog, output: &Output) -> User {
    if !args.groups.is_empty() {
        let groups = args.groups.iter().cloned();
        return catalog.with_circles(User::new(args.user.clone()).with_ownership(groups));
    }
    catalog.user(&args.user).unwrap_or_else(|| {
        output.remark(&format!(
            "`{}` is in none of the catalog files: decided as a user in no group",
            args.user
        ));
        User::new(args.user.clone())
    })
}

/// Returns the request, or why it is refused without asking the policies.
fn request(
    args: &BackstageArgs,
    permissions: &Permissions,
    catalog: &Catalog,
    user: User,
) -> Result<Result<PermissionRequest, WireError>, Failure> {
    let permission = match permissions.get(&args.permission) {
        Ok(permission) => permission,
        Err(unknown) => {
            let error = WireError::new("permission::unknown", unknown.to_string());
            return Ok(Err(error.with_help(unknown.help())));
        }
    };
    let resource = match &args.entity {
        Some(entity) => match catalog.resource(entity) {
            Ok(resource) => Some(resource),
            Err(unknown) => {
                return Ok(Err(WireError::new("entity::unknown", unknown.to_string())));
            }
        },
        None => None,
    };
    permission.request(&user.into(), resource).map(Ok).map_err(|error| {
        let help = match &error {
            PermissionRequestError::ResourceMissing { resource_type, .. }
                if resource_type == "catalog-entity" =>
            {
                "name the entity with `--entity kind:namespace/name`"
            }
            PermissionRequestError::ResourceUnexpected(_) => "leave `--entity` out",
            _ => "only catalog entities can be named on the command line, with `--entity`",
        };
        Failure::input(error.to_string()).with_help(help)
    })
}

fn question(args: &BackstageArgs) -> String {
    let entity = args.entity.as_ref().map(|entity| format!(" {entity}")).unwrap_or_default();
    format!("{} {}{entity}", args.user, args.permission)
}
