//! Makes an engine of texts, or tells everything that is wrong with them.
//!
//! One statement's syntax tree is held at a time (a chunk's worth on each thread), and
//! nothing of it outlives the loading but what decisions need.

mod compile;
mod edit;
mod json;
mod links;
mod policies;
mod reuse;
mod schema;
mod schema_size;

use std::sync::Arc;

use cedar_policy::{EntityUid, Schema};
use cedar_policy_core::ast;

use crate::builder::EngineBuilder;
use crate::conformance::Shapes;
use crate::engine::Engine;
use crate::ground::Ground;
use crate::guard::{BoundGuard, GuardBinder};
use crate::hash::{FastMap, FastSet};
use crate::index::Index;
use crate::ledger::{self, Digest, Ledger, Parts};
use crate::limits::Limits;
use crate::node::EntitySymbols;
use crate::number::EntityNumber;
use crate::policy_list::PolicyList;
use crate::problem::{LoadError, Problem, Severity};
use crate::shadow::Shadow;
use crate::snapshot::Snapshot;
use crate::source::{Source, SourceKind};
use crate::stack::on_large_stack;
use crate::symbols::Symbols;
use crate::validation::Validation;

use compile::Compiler;
pub(crate) use edit::{Change, edited};
pub(crate) use json::policies_in_json;
use reuse::{KnownPolicies, Terms};

impl EngineBuilder {
    /// Loads everything.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with all problems that were found. Nothing is loaded in part.
    pub fn build(self) -> Result<Engine, LoadError> {
        on_large_stack(move || build(self)).unwrap_or_else(|reason| {
            Err(LoadError::new(vec![Problem::error("policies::load", reason)], 0))
        })
    }
}

/// Problems, up to the limit: of errors, and of warnings.
pub(crate) struct Report {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    unreported: usize,
    limit: usize,
}

impl Report {
    fn new(limits: &Limits) -> Self {
        Self { errors: Vec::new(), warnings: Vec::new(), unreported: 0, limit: limits.problems }
    }

    /// Adds a problem; it is made only if it will be reported.
    fn add(&mut self, severity: Severity, problem: impl FnOnce() -> Problem) {
        let is_error = severity == Severity::Error;
        let list = if is_error { &mut self.errors } else { &mut self.warnings };
        if list.len() < self.limit {
            list.push(problem());
        } else if is_error {
            self.unreported += 1;
        }
    }

    fn error(&mut self, problem: impl FnOnce() -> Problem) {
        self.add(Severity::Error, problem);
    }

    fn has_errors(&self) -> bool {
        !self.errors.is_empty() || self.unreported > 0
    }

    /// Returns whether errors were found that are not reported any more.
    fn is_full(&self) -> bool {
        self.unreported > 0
    }

    fn into_error(self) -> LoadError {
        let mut problems = self.errors;
        problems.extend(self.warnings);
        LoadError::new(problems, self.unreported)
    }
}

fn build(builder: EngineBuilder) -> Result<Engine, LoadError> {
    let EngineBuilder {
        sources,
        problems,
        links,
        rules,
        pinned_rules,
        exact,
        without_index,
        interpreted,
        shadow,
        unshadowed,
        limits,
        resembled,
    } = builder;
    let mut report = Report::new(&limits);
    for problem in problems {
        report.add(problem.severity(), || problem);
    }
    let sources = within_limit(sources, &limits, &mut report);
    let head = head(&sources, exact);
    let terms = Terms { head: &head, compiled: !interpreted, limits: &limits };
    let known = KnownPolicies::of(&resembled, &terms).filter(|_| !exact);
    let known = known.as_ref();
    let schema = known
        .and_then(KnownPolicies::schema)
        .or_else(|| schema::merge(&sources, &limits, &mut report).map(Arc::new));
    if schema.is_none() && !exact && !report.has_errors() {
        report.error(|| {
            Problem::error("schema::missing", "there is no schema to validate the policies against")
                .with_help(
                    "add a `.cedarschema` file beside the policies, or ask for exact-Cedar mode, \
                     which validates nothing",
                )
        });
    }
    if report.has_errors() && schema.is_none() && !exact {
        // Without a schema every policy would be reported as well.
        return Err(report.into_error());
    }

    if let Some(rules) = &rules {
        for warning in rules.warnings() {
            report.add(warning.severity(), || warning);
        }
    }
    let symbols = known.map_or_else(Symbols::new, KnownPolicies::symbols);
    let mut compiler = Compiler::new(symbols, exact, !interpreted, GuardBinder::new(rules, exact));
    if let Some(known) = known {
        (compiler.dereferenced, compiler.hops) = known.reads();
    }
    let validated = schema.as_deref().filter(|_| !exact);
    // One for all sources, so that what is alike in different files is checked once.
    let validation = validated.map(|schema| Validation::new(schema, &limits));
    let validation = validation.as_ref();
    let mut linked = Vec::new();
    for (kind, source) in &sources {
        match kind {
            SourceKind::Policies => {
                policies::load(source, known, validation, &limits, &mut compiler, &mut report);
            }
            SourceKind::PoliciesJson => {
                let links = json::load(source, validation, &limits, &mut compiler, &mut report);
                linked.push((source, links));
            }
            SourceKind::Schema | SourceKind::SchemaJson => {}
        }
    }
    for (source, links) in linked {
        links::load(&links, Some(source), validation, &limits, &mut compiler, &mut report);
    }
    links::load(&links, None, validation, &limits, &mut compiler, &mut report);
    if !pinned_rules.is_empty() {
        check_pinned(&pinned_rules, compiler.guards.all(), &mut report);
    }
    // INVARIANT: all or nothing: a set of which one text has a problem makes no engine.
    if report.has_errors() {
        return Err(report.into_error());
    }
    let warnings = report.warnings;

    let Compiler { mut symbols, policies, templates, dereferenced, hops, guards, .. } = compiler;
    let (actions, action_entities) = match validated {
        Some(schema) => actions(schema, &mut symbols),
        None => (FastMap::default(), FastMap::default()),
    };
    for name in validated.into_iter().flat_map(Schema::entity_types) {
        symbols.intern_type(name);
    }
    symbols.settle();
    let shapes = validated.map(Shapes::of).unwrap_or_default();
    let ledger = Ledger::of(
        policies
            .iter()
            .map(ledger::of_policy)
            .chain(templates.iter().map(|(id, template)| ledger::of_template(id, &template.body))),
    );
    let shadow = match shadow {
        Some((one_in, sink)) => Some(Shadow::new(one_in, sink)),
        // Cedar beside itself would tell nothing.
        None if unshadowed || interpreted => None,
        None => Shadow::of_debug_build(policies.len()),
    };
    let ground = Ground::new(head, !interpreted, single(&actions), pinned_rules);
    let mut snapshot = Snapshot {
        policies: PolicyList::new(policies),
        sources: sources.into_iter().map(|(_, source)| source).collect(),
        templates: templates.into_iter().collect(),
        revision: ledger.revision(&head),
        ledger,
        symbols,
        index: None,
        shapes: Arc::new(shapes),
        schema,
        actions: Arc::new(actions),
        dereferenced: Arc::new(dereferenced),
        hops,
        action_entities: Arc::new(action_entities),
        exact,
        shadow: shadow.map(Arc::new),
        limits,
        warnings: warnings.into(),
        guards,
        ground: Arc::new(ground),
    };
    if !without_index {
        let index = Index::new(&snapshot.policies, snapshot.index_input(&snapshot.symbols));
        snapshot.index = Some(index);
    }
    Ok(Engine(Arc::new(snapshot)))
}

/// Checks that the rules that policies name are those that they were shipped with.
fn check_pinned<'g>(
    pinned: &[(String, String)],
    guards: impl IntoIterator<Item = &'g BoundGuard>,
    report: &mut Report,
) {
    for guard in guards {
        let pins: Vec<&str> = pinned
            .iter()
            .filter(|(rule, _)| *rule == guard.rule)
            .map(|(_, digest)| digest.as_str())
            .collect();
        if pins.is_empty() || pins.iter().any(|digest| *digest != guard.guard.digest()) {
            report.error(|| {
                let rule = &guard.rule;
                let message =
                    format!("rule `{rule}` is not the one that the policies were shipped with");
                Problem::error("guard::digest", message)
                    .with_help("ship the rules with the bundle that was made with them")
            });
        }
    }
}

/// Returns the texts that are not larger than they may be.
fn within_limit(
    sources: Vec<(SourceKind, Arc<Source>)>,
    limits: &Limits,
    report: &mut Report,
) -> Vec<(SourceKind, Arc<Source>)> {
    let (taken, refused): (Vec<_>, Vec<_>) =
        sources.into_iter().partition(|(_, source)| source.text.len() <= limits.file_bytes);
    for (_, source) in &refused {
        report.error(|| Problem::file_too_large(&source.name, limits.file_bytes));
    }
    taken
}

/// Hashes what a policy set is read by: the mode, and the schema's texts. Names are not part of it,
/// so that a directory has one revision wherever it lies.
fn head(sources: &[(SourceKind, Arc<Source>)], exact: bool) -> Digest {
    let mut parts = Parts::of(if exact { "exact" } else { "strict" });
    for (kind, source) in sources {
        parts.add(match kind {
            SourceKind::Schema => b"schema",
            SourceKind::SchemaJson => b"schema-json",
            // Their policies are hashed one by one.
            SourceKind::Policies | SourceKind::PoliciesJson => continue,
        });
        parts.add(source.text.as_bytes());
    }
    parts.digest()
}

/// Returns the actions that are no other action's group.
fn single(actions: &FastMap<EntityUid, Arc<EntitySymbols>>) -> FastSet<EntityNumber> {
    let mut single: FastSet<EntityNumber> =
        actions.values().filter_map(|action| action.own).collect();
    for action in actions.values() {
        for group in action.ids.iter().filter(|id| Some(**id) != action.own) {
            single.remove(group);
        }
    }
    single
}

/// Numbers the schema's actions and their groups.
fn actions(
    schema: &Schema,
    symbols: &mut Symbols,
) -> (FastMap<EntityUid, Arc<EntitySymbols>>, FastMap<EntityUid, Arc<ast::Entity>>) {
    let mut actions = FastMap::default();
    let mut entities = FastMap::default();
    // A schema that was read has actions without cycles, so this does not fail.
    let schema_actions: Vec<_> = schema.action_entities().into_iter().flatten().collect();
    // INVARIANT: all have numbers before any is told by them: an edit may be the first to name one.
    for entity in &schema_actions {
        symbols.intern_uid(&entity.uid());
    }
    for entity in schema_actions {
        let uid = entity.uid();
        let ancestors: Vec<EntityUid> =
            entity.as_ref().ancestors().map(|a| a.clone().into()).collect();
        let interned = EntitySymbols::new(symbols, &uid, ancestors.iter());
        actions.insert(uid.clone(), Arc::new(interned));
        entities.insert(uid, Arc::new(entity.as_ref().clone()));
    }
    (actions, entities)
}
