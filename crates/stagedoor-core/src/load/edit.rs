//! Makes an engine of another one and some changes.

use std::sync::Arc;

use smol_str::SmolStr;

use super::compile::Compiler;
use super::{Report, check_pinned, links, policies};
use crate::builder::TemplateLink;
use crate::engine::Engine;
use crate::hash::FastSet;
use crate::ledger;
use crate::limits::raise;
use crate::policy::StoredPolicy;
use crate::problem::{LoadError, Problem};
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::stack::with_stack_to_load;
use crate::statement::statements;
use crate::validation::Validation;

/// One change of a policy set.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Add { id: SmolStr, text: String },
    Replace { id: SmolStr, text: String },
    Remove(SmolStr),
    Link(TemplateLink),
    ReplaceLink(TemplateLink),
}

/// Returns a snapshot with changes made, all or none.
pub(crate) fn edited(old: &Snapshot, changes: Vec<Change>) -> Result<Engine, LoadError> {
    with_stack_to_load(|| {
        // INVARIANT: the engine that is edited does not change: a copy does, and is let go of if one
        // of the changes cannot be made.
        let mut editor = Editor::new(old);
        changes.into_iter().for_each(|change| editor.change(change));
        editor.finish()
    })
}

/// An engine in the making.
struct Editor {
    /// Its symbols and guards are the compiler's while changes are made.
    snapshot: Snapshot,
    compiler: Compiler,
    validation: Option<Validation>,
    report: Report,
    names: usize,
}

impl Editor {
    fn new(old: &Snapshot) -> Self {
        let schema = old.schema.as_deref().filter(|_| !old.exact);
        let known = |schema| {
            old.ground.validation.get_or_init(|| Validation::new(schema, &old.limits)).anew()
        };
        let (symbols, guards) = (old.symbols.clone(), old.guards.clone());
        Self {
            validation: schema.map(known),
            names: symbols.len(),
            compiler: Compiler::new(symbols, old.exact, old.ground.compiled, guards),
            report: Report::new(&old.limits),
            snapshot: old.clone(),
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Add { id, text } => {
                if self.is_free(&id) {
                    self.text(id, text);
                }
            }
            Change::Replace { id, text } => {
                if self.take_out(&id) {
                    self.text(id, text);
                }
            }
            Change::Remove(id) => drop(self.take_out(&id)),
            Change::Link(link) => {
                if self.is_free(&link.id) {
                    self.link(link);
                }
            }
            Change::ReplaceLink(link) => {
                if self.take_out(&link.id) {
                    self.link(link);
                }
            }
        }
    }

    /// Checks that nothing has this id, and that there is room for one more.
    fn is_free(&mut self, id: &str) -> bool {
        if self.snapshot.policies.number(id).is_some() || self.snapshot.templates.contains_key(id) {
            self.report.error(|| {
                Problem::error("policy::duplicate-id", format!("there is another policy `{id}`"))
                    .with_help("give each policy its own `@id`, or replace the one that is there")
                    .with_policy(id)
            });
            return false;
        }
        let total = self.snapshot.policies.len() + self.snapshot.templates.len() + 1;
        let limit = self.snapshot.limits.policies;
        if total > limit {
            self.report.error(|| {
                let message = format!("{total} policies are more than the limit of {limit}");
                Problem::error("limit::policies", message).with_help(raise("policies"))
            });
        }
        total <= limit
    }

    /// Takes out the policy, template or link with this id; returns whether there was one.
    fn take_out(&mut self, id: &str) -> bool {
        let snapshot = &mut self.snapshot;
        if let Some(template) = snapshot.templates.get(id) {
            let links = template.links;
            if links > 0 {
                self.report.error(|| {
                    let message = format!("template `{id}` is used by {links} links");
                    Problem::error("link::template", message)
                        .with_help("take its links away first")
                        .with_policy(id)
                });
                return false;
            }
            snapshot.ledger.remove(&ledger::of_template(id, &template.body));
            snapshot.templates.remove(id);
            return true;
        }
        let Some(number) = snapshot.policies.number(id) else {
            self.report.error(|| {
                let message = format!("there is no policy `{id}`");
                let help = "a policy's id is its `@id`, a link's id, or its position (`policy0`)";
                Problem::error("policy::edit", message).with_help(help).with_policy(id)
            });
            return false;
        };
        let Some(policy) = snapshot.policies.get(number).cloned() else { return false };
        snapshot.policies.remove(number);
        snapshot.ledger.remove(&ledger::of_policy(&policy));
        if let Some(mut index) = snapshot.index.take() {
            let world = snapshot.index_input(&self.compiler.symbols);
            index.remove(number, &policy, snapshot.policies.removed(), world);
            snapshot.index = Some(index);
        }
        if let Some(slots) = &policy.slots
            && let Some(template) = snapshot.templates.get_mut(&slots.template)
        {
            template.links = template.links.saturating_sub(1);
        }
        snapshot.warnings = without(&snapshot.warnings, id);
        true
    }

    /// Adds a policy or template.
    fn text(&mut self, id: SmolStr, text: String) {
        let Self { snapshot, compiler, validation, report, .. } = self;
        let limits = &snapshot.limits;
        let source = Arc::new(Source::new(id.as_str(), text));
        if source.text.len() > limits.file_bytes {
            report.error(|| Problem::file_too_large(&source.name, limits.file_bytes));
            return;
        }
        let (found, refused) = statements(&source.text, limits);
        if refused.is_empty() && found.len() != 1 {
            report.error(|| {
                let given = found.len();
                let message = format!("one policy or template is called `{id}`, not {given}");
                Problem::error("policy::edit", message)
                    .with_help("make a change for each policy")
                    .in_file(&source.name)
                    .with_policy(id.as_str())
            });
            return;
        }
        compiler.named = Some(id.clone());
        policies::load(&source, None, validation.as_ref(), limits, compiler, report);
        compiler.named = None;
        let guards = compiler.policies.iter().map(|policy| &policy.body);
        let guards = guards.chain(compiler.templates.values().map(|template| &template.body));
        if !snapshot.ground.pinned_rules.is_empty() {
            let guards = guards.flat_map(|body| body.guards.iter().map(AsRef::as_ref));
            check_pinned(&snapshot.ground.pinned_rules, guards, report);
        }
        self.take_over();
    }

    fn link(&mut self, link: TemplateLink) {
        let template = self.snapshot.templates.get(link.template.as_str()).cloned();
        if let Some(template) = template {
            self.compiler.templates.insert(link.template.as_str().into(), template);
        }
        let Self { snapshot, compiler, validation, report, .. } = self;
        links::load(&[link], None, validation.as_ref(), &snapshot.limits, compiler, report);
        self.take_over();
    }

    /// Takes over what the compiler has made.
    fn take_over(&mut self) {
        let Self { snapshot, compiler, .. } = self;
        for (id, template) in std::mem::take(&mut compiler.templates) {
            if !snapshot.templates.contains_key(&id) {
                snapshot.ledger.add(ledger::of_template(&id, &template.body));
            }
            snapshot.templates.insert(id, template);
        }
        for policy in std::mem::take(&mut compiler.policies) {
            add(snapshot, policy, compiler);
        }
        compiler.forget_ids();
    }

    fn finish(self) -> Result<Engine, LoadError> {
        let Self { mut snapshot, compiler, mut report, names, .. } = self;
        if !snapshot.policies.has_numbers_left() {
            report.error(|| {
                Problem::error("policy::edit", "there are no numbers left for more edits")
                    .with_help("settle the engine: `Engine::settled`")
            });
        }
        if report.has_errors() {
            return Err(report.into_error());
        }
        let Compiler { mut symbols, guards, dereferenced, hops, .. } = compiler;
        // INVARIANT: two engines share a numbering only if they know the same names: entities keep
        // the numbers that they were looked up with, and a name that came later would be missing.
        if symbols.len() > names {
            symbols.part();
        }
        let is_new = |uid: &&cedar_policy::EntityUid| !snapshot.dereferenced.contains(*uid);
        if dereferenced.iter().any(|uid| is_new(&uid)) {
            let known: &FastSet<_> = &snapshot.dereferenced;
            snapshot.dereferenced = Arc::new(known.iter().cloned().chain(dereferenced).collect());
        }
        if !report.warnings.is_empty() {
            let known = snapshot.warnings.iter().cloned();
            snapshot.warnings = known.chain(report.warnings).collect();
        }
        snapshot.hops = snapshot.hops.max(hops);
        snapshot.symbols = symbols;
        snapshot.guards = guards;
        snapshot.revision = snapshot.ledger.revision(&snapshot.ground.head);
        Ok(Engine(Arc::new(snapshot)))
    }
}

fn add(snapshot: &mut Snapshot, policy: StoredPolicy, compiler: &Compiler) {
    snapshot.ledger.add(ledger::of_policy(&policy));
    let indexed = snapshot.index.take().map(|index| (index, policy.clone()));
    let number = snapshot.policies.add(policy);
    if let Some((mut index, policy)) = indexed {
        index.add(number, &policy, snapshot.index_input(&compiler.symbols));
        snapshot.index = Some(index);
    }
}

/// Returns the warnings that are not of a policy.
fn without(warnings: &Arc<[Problem]>, id: &str) -> Arc<[Problem]> {
    if warnings.iter().all(|warning| warning.policy() != Some(id)) {
        return Arc::clone(warnings);
    }
    warnings.iter().filter(|warning| warning.policy() != Some(id)).cloned().collect()
}
