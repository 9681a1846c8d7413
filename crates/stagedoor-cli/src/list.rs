//! `stagedoor list`: what somebody may do, to what, and who may.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use stagedoor_core::{Engine, Entities, ListPage};
use stagedoor_wire::{List, QueryInput, Uid, WireError};

use crate::authorize::entities;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::load::PolicyArgs;
use crate::output::Output;
use crate::table::Table;

/// Size of a context, in bytes.
const CONTEXT_BYTES: usize = 8 << 20;

/// List the entities, or the actions, for which a request is allowed.
///
/// Any Cedar schema will do. Entities are those of `--entities`; each that is listed is one for
/// which `authorize` says allow, and none is left out. Where not all of the context is known
/// (`--open-context`), a line says `if` and on what it depends, in Cedar's words.
///
/// Exits with 0, also where nobody and nothing is listed; with 1 on failure, and if some entity
/// could not be decided.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(subcommand)]
    sought: ListCommand,
}

#[derive(Debug, Subcommand)]
enum ListCommand {
    /// List the resources to which somebody may do something.
    Resources {
        /// Who: `User::"ana"`.
        #[arg(long, value_name = "ENTITY")]
        principal: String,
        /// What they want to do: `Action::"read"`.
        #[arg(long, value_name = "ACTION")]
        action: String,
        /// Resources of this type alone; else all that the action applies to.
        #[arg(long = "type", value_name = "TYPE")]
        type_: Option<String>,
        #[command(flatten)]
        with: WithArgs,
    },
    /// List the principals who may do something to a resource.
    Principals {
        /// What they want to do: `Action::"read"`.
        #[arg(long, value_name = "ACTION")]
        action: String,
        /// What they want to do it to: `Doc::"plan"`.
        #[arg(long, value_name = "ENTITY")]
        resource: String,
        /// Principals of this type alone; else all that the action applies to.
        #[arg(long = "type", value_name = "TYPE")]
        type_: Option<String>,
        #[command(flatten)]
        with: WithArgs,
    },
    /// List what somebody may do to a resource.
    Actions {
        /// Who: `User::"ana"`.
        #[arg(long, value_name = "ENTITY")]
        principal: String,
        /// What they want to do something to: `Doc::"plan"`.
        #[arg(long, value_name = "ENTITY")]
        resource: String,
        #[command(flatten)]
        with: WithArgs,
    },
}

#[derive(Debug, Args)]
struct WithArgs {
    #[command(flatten)]
    policies: PolicyArgs,

    /// Entities in Cedar's JSON: who is in which group, and what attributes things have.
    #[arg(long, value_name = "FILE")]
    entities: Option<PathBuf>,

    /// The context, a JSON object.
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,

    /// There may be more in the context than `--context` says.
    #[arg(long)]
    open_context: bool,

    /// The most lines; a remark then says how to go on.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// The id after which the list begins: the last one of the page before.
    #[arg(long, value_name = "ID")]
    after: Option<String>,

    /// Print CSV.
    #[arg(long)]
    csv: bool,
}

pub(crate) fn run(args: &ListArgs, output: &mut Output) -> Result<Ending, Failure> {
    let uid = |text: &String| Some(Uid::Text(text.clone()));
    match &args.sought {
        ListCommand::Resources { principal, action, type_, with } => {
            let asked = QueryInput {
                principal: uid(principal),
                action: uid(action),
                resource_type: type_.clone(),
                ..QueryInput::default()
            };
            with.answer("RESOURCE", asked, |asked, type_| asked.resource_type = type_, output)
        }
        ListCommand::Principals { action, resource, type_, with } => {
            let asked = QueryInput {
                action: uid(action),
                resource: uid(resource),
                principal_type: type_.clone(),
                ..QueryInput::default()
            };
            with.answer("PRINCIPAL", asked, |asked, type_| asked.principal_type = type_, output)
        }
        ListCommand::Actions { principal, resource, with } => {
            let asked = QueryInput {
                principal: uid(principal),
                resource: uid(resource),
                ..QueryInput::default()
            };
            with.answer("ACTION", asked, |_, _| {}, output)
        }
    }
}

impl WithArgs {
    /// Answers a query for each type that may be meant; `set` gives it one.
    fn answer(
        &self,
        column: &'static str,
        asked: QueryInput,
        set: impl Fn(&mut QueryInput, Option<String>),
        output: &mut Output,
    ) -> Result<Ending, Failure> {
        let mut input = Input::default();
        let engine = self.policies.engine(&mut input, output)?;
        let store = match &self.entities {
            Some(path) => entities(path, &engine, &mut input)?,
            None => Entities::empty(),
        };
        let context = match &self.context {
            Some(path) => object(&Input::name(path), &input.text(path, CONTEXT_BYTES)?)?,
            None => Map::new(),
        };
        let limit = self.limit.map(|limit| limit as usize);
        let asked = QueryInput { context, open_context: self.open_context, ..asked };
        let mut told =
            ListOutput { table: Table::new([column, "IF"]), refused: 0, next: None, shown: 0 };
        for type_ in types(&asked, &engine)? {
            let mut asked = asked.clone();
            if let Some(type_) = &type_ {
                set(&mut asked, Some(type_.clone()));
            }
            asked.limit = limit.map(|limit| limit.saturating_sub(told.shown));
            asked.after.clone_from(&self.after);
            if asked.limit == Some(0) {
                told.next = Some((type_, None));
                break;
            }
            let (query, page) = asked.read(&engine)?;
            let listed = engine.list(&query, &store, &page).map_err(WireError::from)?;
            told.add(type_, &listed, engine.revision(), output)?;
            if told.next.is_some() {
                break;
            }
        }
        told.end(self.csv, output)
    }
}

/// What was listed so far.
struct ListOutput {
    table: Table<2>,
    refused: usize,
    shown: usize,
    /// The type and the id after which the next page begins.
    next: Option<(Option<String>, Option<String>)>,
}

impl ListOutput {
    fn add(
        &mut self,
        type_: Option<String>,
        listed: &ListPage<'_>,
        revision: &str,
        output: &mut Output,
    ) -> Result<(), Failure> {
        self.shown += listed.entries.len();
        self.refused += listed.refused.len();
        self.next = listed.next.clone().map(|next| (type_, Some(next)));
        let list = List::of(listed, revision);
        if output.is_json() {
            return output.json(&list);
        }
        for refusal in &list.refused {
            output.complaint(&format!("`{}` cannot be decided: {}", refusal.uid, refusal.error));
        }
        for entry in list.entries {
            self.table.row([entry.uid, entry.r#if.unwrap_or_default()]);
        }
        Ok(())
    }

    fn end(self, csv: bool, output: &mut Output) -> Result<Ending, Failure> {
        if !output.is_json() {
            self.table.print(csv, "none", output)?;
            if let Some((type_, after)) = self.next {
                let type_ = type_.map(|type_| format!(" --type {type_}")).unwrap_or_default();
                let after = after.map(|id| format!(" --after {id:?}")).unwrap_or_default();
                output.remark(&format!("there may be more: go on with{type_}{after}"));
            }
        }
        Ok(if self.refused > 0 { Ending::Failed } else { Ending::Done })
    }
}

/// Returns the types that a query is to be answered for, where it names none; nothing stands for
/// a query that needs none.
fn types(asked: &QueryInput, engine: &Engine) -> Result<Vec<Option<String>>, Failure> {
    let is_given = asked.principal_type.is_some() || asked.resource_type.is_some();
    let Some(action) = asked.action.clone().filter(|_| !is_given) else { return Ok(vec![None]) };
    let action = action.read("action")?;
    let Some((principals, resources)) = engine.applies_to(&action) else {
        return Err(Failure::input(format!("the schema has no action `{action}`"))
            .with_help("name one that the schema declares, or give `--type`"));
    };
    let types = if asked.principal.is_none() { principals } else { resources };
    if types.is_empty() {
        return Err(Failure::input(format!("`{action}` applies to nothing"))
            .with_help("an action group is not an action: name one of its actions"));
    }
    Ok(types.iter().map(|type_| Some(type_.to_string())).collect())
}

fn object(name: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    let json: stagedoor_core::UniqueJson = serde_json::from_str(text).map_err(|e| {
        let reason = stagedoor_core::plain_reason(&e.to_string());
        Failure::input(format!("`{name}` is not JSON: {reason}"))
    })?;
    match json.0 {
        Value::Object(fields) => Ok(fields),
        _ => Err(Failure::input(format!("`{name}` is not a JSON object"))
            .with_help("give the context as `{\"mfa\": true}`")),
    }
}
