//! Links templates to principals and resources.

use std::sync::Arc;

use cedar_policy::{EntityUid, Schema};
use cedar_policy_core::ast;
use cedar_policy_core::validator::{Validator, ValidatorEntityTypeKind};

use super::compile::{Compiler, NotTaken};
use super::policies::{duplicate, fits};
use super::{Report, validate};
use crate::builder::TemplateLink;
use crate::error::causes;
use crate::hash::FastSet;
use crate::limits::Limits;
use crate::policy::Slots;
use crate::problem::{Problem, Severity};
use crate::source::Source;

/// Loads links of templates that were loaded before.
pub(super) fn load(
    links: &[TemplateLink],
    source: Option<&Source>,
    schema: Option<&Schema>,
    limits: &Limits,
    compiler: &mut Compiler,
    report: &mut Report,
) {
    if links.is_empty() || !fits(compiler, links.len(), limits, report) {
        return;
    }
    let in_file = |problem: Problem| match source {
        Some(source) => problem.in_file(&source.name),
        None => problem,
    };
    let mut checker = schema.map(Checker::new);
    for link in links {
        let Some(template) = compiler.template(&link.template) else {
            report.error(|| {
                let (id, template) = (&link.id, &link.template);
                let message =
                    format!("link `{id}` is of template `{template}`, which is not there");
                let help = "a template's id is its `@id`, or its key in JSON";
                in_file(Problem::error("link::template", message).with_help(help))
            });
            continue;
        };
        if let Err(message) = fill(&template.tree, link) {
            report.error(|| {
                let help = "a link fills exactly the slots of its template";
                in_file(
                    Problem::error("link::slots", message).with_help(help).with_policy(&*link.id),
                )
            });
            continue;
        }
        if let Some(checker) = &mut checker {
            let tree = Arc::clone(&template.tree);
            for problem in checker.check(&tree, link) {
                report.error(|| in_file(problem));
            }
        }
        let slots = Slots { principal: link.principal.clone(), resource: link.resource.clone() };
        let id = link.id.as_str().into();
        if let Err(NotTaken::Duplicate(id)) = compiler.add_link(&link.template, id, slots) {
            report.error(|| in_file(duplicate(&id)));
        }
    }
}

/// Checks that a link fills the template's slots and no others.
fn fill(tree: &ast::Template, link: &TemplateLink) -> Result<(), String> {
    let has = |id: &ast::SlotId| tree.slots().any(|slot| slot.id == *id);
    for (name, id, value) in [
        ("?principal", ast::SlotId::principal(), &link.principal),
        ("?resource", ast::SlotId::resource(), &link.resource),
    ] {
        let (link, template) = (&link.id, &link.template);
        match (has(&id), value.is_some()) {
            (true, false) => {
                return Err(format!("link `{link}` leaves `{name}` of `{template}` open"));
            }
            (false, true) => {
                return Err(format!("link `{link}` fills `{name}`, which `{template}` has not"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Validates links. What Cedar says of a link depends only on the types of what fills
/// it (on the id, where the type lists its ids), so each combination is asked once.
struct Checker<'a> {
    schema: &'a Schema,
    validator: Validator,
    known: FastSet<(String, [Option<String>; 2])>,
}

impl<'a> Checker<'a> {
    fn new(schema: &'a Schema) -> Self {
        let validator = Validator::new(schema.as_ref().clone());
        Self { schema, validator, known: FastSet::default() }
    }

    fn check(&mut self, tree: &ast::Template, link: &TemplateLink) -> Vec<Problem> {
        let kinds = [&link.principal, &link.resource].map(|uid| uid.as_ref().map(|u| self.kind(u)));
        let combination = (link.template.clone(), kinds);
        if self.known.contains(&combination) {
            return Vec::new();
        }
        let problems = self.validate(tree, link);
        if problems.is_empty() {
            self.known.insert(combination);
        }
        problems
    }

    fn kind(&self, uid: &EntityUid) -> String {
        let type_: &ast::EntityType = uid.type_name().as_ref();
        let is_listed = self
            .schema
            .as_ref()
            .get_entity_type(type_)
            .is_some_and(|t| matches!(t.kind, ValidatorEntityTypeKind::Enum(_)));
        if is_listed { uid.to_string() } else { uid.type_name().to_string() }
    }

    fn validate(&self, tree: &ast::Template, link: &TemplateLink) -> Vec<Problem> {
        // The template's condition was validated with the template.
        let scope = ast::Template::new(
            ast::PolicyID::from_string("template"),
            None,
            ast::Annotations::new(),
            tree.effect(),
            tree.principal_constraint().clone(),
            tree.action_constraint().clone(),
            tree.resource_constraint().clone(),
            None,
        );
        let mut slots = std::collections::HashMap::new();
        if let Some(uid) = &link.principal {
            slots.insert(ast::SlotId::principal(), uid.clone().into());
        }
        if let Some(uid) = &link.resource {
            slots.insert(ast::SlotId::resource(), uid.clone().into());
        }
        let mut set = ast::PolicySet::new();
        let id = ast::PolicyID::from_string("link");
        let linked = set.add_template(scope).map_err(|e| causes(&e)).and_then(|()| {
            let template = ast::PolicyID::from_string("template");
            set.link(template, id, slots).map(|_| ()).map_err(|e| causes(&e))
        });
        if let Err(reason) = linked {
            return vec![Problem::error("link::invalid", reason).with_policy(&*link.id)];
        }
        validate::set_findings(&set, &self.validator)
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.problem.with_policy(&*link.id))
            .collect()
    }
}
