//! Links templates to principals and resources.

use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid};
use cedar_policy_core::ast::{self, EntityReference, PrincipalOrResourceConstraint};
use cedar_policy_core::validator::ValidatorEntityTypeKind;

use super::Report;
use super::compile::Compiler;
use super::policies::check_policy_limit;
use crate::builder::TemplateLink;
use crate::hash::{FastMap, FastSet};
use crate::limits::Limits;
use crate::policy::Slots;
use crate::problem::Problem;
use crate::source::Source;
use crate::validation::Validation;

/// Loads links of templates that were loaded before.
pub(super) fn load(
    links: &[TemplateLink],
    source: Option<&Source>,
    validation: Option<&Validation>,
    limits: &Limits,
    compiler: &mut Compiler,
    report: &mut Report,
) {
    if links.is_empty() || !check_policy_limit(compiler, links.len(), limits, report) {
        return;
    }
    let in_file = |problem: Problem| match source {
        Some(source) => problem.in_file(&source.name),
        None => problem,
    };
    let mut checker = validation.map(Checker::new);
    for link in links {
        let Some(template) = compiler.template(&link.template) else {
            report.error(|| {
                let (id, template) = (&link.id, &link.template);
                let message = format!("link `{id}` refers to unknown template `{template}`");
                let help = "a template's id is its `@id`, or its key in JSON";
                in_file(
                    Problem::error("link::template", message).with_help(help).with_policy(&**id),
                )
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
                report.add(problem.severity(), || in_file(problem));
            }
        }
        let slots = Slots {
            template: link.template.as_str().into(),
            principal: link.principal.clone(),
            resource: link.resource.clone(),
        };
        let id = link.id.as_str().into();
        if let Err(error) = compiler.add_link(&link.template, id, slots) {
            report.error(|| in_file(compiler.problem(error)));
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
                return Err(format!(
                    "link `{link}` fills `{name}`, but template `{template}` has no such slot"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Validates links. What Cedar says of a link depends only on the types of what fills
/// it (on the id, where the type lists its ids), so each combination is asked once.
struct Checker<'v> {
    validation: &'v Validation,
    /// Types that list their ids.
    listed: FastSet<EntityTypeName>,
    known: FastMap<String, FastSet<[Option<Kind>; 2]>>,
}

/// What the validator sees of an entity that fills a slot.
#[derive(PartialEq, Eq, Hash)]
enum Kind {
    Of(EntityTypeName),
    Listed(EntityUid),
}

impl<'v> Checker<'v> {
    fn new(validation: &'v Validation) -> Self {
        let listed = validation
            .schema()
            .entity_types()
            .filter(|type_| matches!(type_.kind, ValidatorEntityTypeKind::Enum(_)))
            .map(|type_| type_.name().clone().into())
            .collect();
        Self { validation, listed, known: FastMap::default() }
    }

    fn check(&mut self, tree: &ast::Template, link: &TemplateLink) -> Vec<Problem> {
        let kinds = [&link.principal, &link.resource].map(|uid| uid.as_ref().map(|u| self.kind(u)));
        if self.known.get(&link.template).is_some_and(|known| known.contains(&kinds)) {
            return Vec::new();
        }
        let problems = self.validate(tree, link);
        if problems.is_empty() {
            self.known.entry(link.template.clone()).or_default().insert(kinds);
        }
        problems
    }

    fn kind(&self, uid: &EntityUid) -> Kind {
        let type_ = uid.type_name();
        if self.listed.contains(type_) {
            Kind::Listed(uid.clone())
        } else {
            Kind::Of(type_.clone())
        }
    }

    /// Validates the scope with its slots filled in: the condition was validated with the
    /// template, for everything that may fill them.
    fn validate(&self, tree: &ast::Template, link: &TemplateLink) -> Vec<Problem> {
        let principal = filled(tree.principal_constraint().as_inner(), link.principal.as_ref());
        let resource = filled(tree.resource_constraint().as_inner(), link.resource.as_ref());
        let scope = ast::Template::new(
            ast::PolicyID::from_string("link"),
            None,
            ast::Annotations::new(),
            tree.effect(),
            ast::PrincipalConstraint::new(principal),
            tree.action_constraint().clone(),
            ast::ResourceConstraint::new(resource),
            None,
        );
        self.validation
            .trees(std::iter::once(&scope))
            .into_iter()
            .map(|finding| finding.problem.with_policy(&*link.id))
            .collect()
    }
}

/// Returns a scope constraint with an entity in place of its slot.
fn filled(
    constraint: &PrincipalOrResourceConstraint,
    slot: Option<&EntityUid>,
) -> PrincipalOrResourceConstraint {
    let fill = |reference: &EntityReference| match (reference, slot) {
        (EntityReference::Slot(_), Some(uid)) => {
            EntityReference::EUID(Arc::new(uid.clone().into()))
        }
        _ => reference.clone(),
    };
    match constraint {
        PrincipalOrResourceConstraint::Any => PrincipalOrResourceConstraint::Any,
        PrincipalOrResourceConstraint::Is(type_) => {
            PrincipalOrResourceConstraint::Is(Arc::clone(type_))
        }
        PrincipalOrResourceConstraint::Eq(reference) => {
            PrincipalOrResourceConstraint::Eq(fill(reference))
        }
        PrincipalOrResourceConstraint::In(reference) => {
            PrincipalOrResourceConstraint::In(fill(reference))
        }
        PrincipalOrResourceConstraint::IsIn(type_, reference) => {
            PrincipalOrResourceConstraint::IsIn(Arc::clone(type_), fill(reference))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use crate::Engine;

    const SCHEMA: &str = "
        entity Team; entity User in [Team]; entity Colour enum [\"red\", \"green\"];
        entity Folder; entity Thing in [Folder, Colour];
        action look, touch appliesTo { principal: User, resource: Thing };";

    const TEMPLATES: &str = "
        @id(\"in\") permit(principal in ?principal, action == Action::\"look\", resource in ?resource);
        @id(\"eq\") permit(principal == ?principal, action, resource == ?resource);
        @id(\"is\") permit(principal is User in ?principal, action, resource is Thing in ?resource);
        @id(\"who\") permit(principal in ?principal, action == Action::\"touch\", resource);";

    /// Returns the ids of the links that are refused.
    fn refused(values: &[(&str, String)]) -> Result<Vec<String>, Box<dyn Error>> {
        let links: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(n, (template, values))| {
                format!(
                    r#"{{"templateId": "{template}", "newId": "link{n}", "values": {{{values}}}}}"#
                )
            })
            .collect();
        let json = format!(r#"{{"templateLinks": [{}]}}"#, links.join(","));
        let builder = Engine::builder().schema("s", SCHEMA).policies("templates", TEMPLATES);
        let Err(error) = builder.policies_json("links", json).build() else {
            return Ok(Vec::new());
        };
        assert_eq!(error.unreported(), 0);
        let mut refused: Vec<String> = error
            .problems()
            .iter()
            .filter(|problem| problem.severity() == crate::Severity::Error)
            .map(|problem| {
                let text = format!("{problem:?}");
                let named = text.split("link").find_map(|rest| {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    (!digits.is_empty()).then(|| format!("link{digits}"))
                });
                named.unwrap_or(text)
            })
            .collect();
        refused.dedup();
        Ok(refused)
    }

    #[test]
    fn links_together_are_refused_as_each_is_alone() -> Result<(), Box<dyn Error>> {
        let uid = |type_: &str, id: &str| format!(r#"{{"type": "{type_}", "id": "{id}"}}"#);
        let fillings = [
            uid("User", "a"),
            uid("Team", "a"),
            uid("Folder", "a"),
            uid("Thing", "\\u0061"),
            uid("Colour", "red"),
            uid("Colour", "blue"),
            uid("Nothing", "a"),
            uid("User ", "a"),
            r#"{"id": "b", "type": "Team"}"#.to_owned(),
            r#"{"__entity": {"type": "Folder", "id": "b"}}"#.to_owned(),
            r#"["User", "a"]"#.to_owned(),
            r#"{"type": "User", "id": "a", "id": "b"}"#.to_owned(),
            r#"{"type": "User", "id": 1}"#.to_owned(),
            r#""User::\"a\"""#.to_owned(),
        ];
        let mut links = Vec::new();
        for template in ["in", "eq", "is", "who"] {
            for principal in &fillings {
                links.push((template, format!(r#""?principal": {principal}"#)));
                for resource in &fillings {
                    let values = format!(r#""?principal": {principal}, "?resource": {resource}"#);
                    links.push((template, values));
                }
            }
        }
        let (mut taken, mut all) = (Vec::new(), 0);
        for link in &links {
            all += 1;
            if refused(std::slice::from_ref(link))?.is_empty() {
                taken.push(link.clone());
            }
        }
        // Enough of both, or this says nothing.
        assert!(taken.len() > 20 && all - taken.len() > 100, "{} of {all}", taken.len());
        assert_eq!(refused(&taken)?, Vec::<String>::new());
        for link in links.iter().filter(|link| !taken.contains(link)) {
            let mut together = taken.clone();
            together.push(link.clone());
            let expected = format!("link{}", taken.len());
            assert_eq!(refused(&together)?, [expected], "{link:?}");
        }
        Ok(())
    }
}
