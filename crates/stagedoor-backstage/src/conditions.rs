//! What policies say about resources, as conditions over Backstage's rules.
//!
//! A residual policy becomes formulas over facts ([`translate`]), formulas of permits and
//! forbids become one ([`formula`] keeps it small), which is narrowed to what rules can
//! say and written in them ([`render`]).

mod advice;
mod facet;
mod formula;
mod path;
mod render;
mod translate;

use std::collections::BTreeSet;

use cedar_policy::pst::Clause;
use cedar_policy::{EntityTypeName, EntityUid};
use smol_str::SmolStr;
use stagedoor_core::{Effect, Engine, Entities, PolicyInfo, Residual, ResidualCondition};

use crate::criteria::Criteria;
use crate::permission::{Permission, Permissions};
use crate::permission_rules::PermissionRules;
use crate::policy_answer::{Finding, FindingCode};

use facet::Sayable;
use path::Model;
use render::Renderer;
use translate::Translator;

pub(crate) use formula::Formula;

/// The conditions of one resource type.
pub(crate) struct Conditions<'a> {
    resource_type: &'a str,
    type_name: &'a EntityTypeName,
    rules: &'a PermissionRules,
    model: Model<'a>,
    entities: &'a Entities,
}

/// What all policies together say.
pub(crate) struct Combined {
    /// Holds for resources that are allowed; it has nothing that rules cannot say.
    pub(crate) formula: Formula,
    pub(crate) reasons: Vec<SmolStr>,
    pub(crate) findings: Vec<Finding>,
}

/// One policy's part in the decision.
struct Part<'e> {
    policy: PolicyInfo<'e>,
    /// Holds where a permit permits, or where a forbid does not forbid.
    lets_pass: Formula,
}

impl<'a> Conditions<'a> {
    /// Returns `None` if there are no rules for the resource type.
    pub(crate) fn new(
        resource_type: &'a str,
        type_name: &'a EntityTypeName,
        rules: &'a PermissionRules,
        entities: &'a Entities,
    ) -> Option<Self> {
        let model = Model::of(resource_type, rules)?;
        Some(Self { resource_type, type_name, rules, model, entities })
    }

    fn translator(&self) -> Translator<'a> {
        Translator::new(self.model, self.type_name, self.entities)
    }

    /// Combines permits and forbids.
    pub(crate) fn combined(&self, residuals: &[Residual<'_>]) -> Combined {
        let mut translator = self.translator();
        let parts: Vec<Part<'_>> = residuals
            .iter()
            .map(|residual| {
                let permits = residual.policy.effect() == Effect::Permit;
                let lets_pass = match &residual.condition {
                    ResidualCondition::Always => Formula::Constant(permits),
                    ResidualCondition::Never => Formula::Constant(!permits),
                    // A permit must not count then, and a forbid must.
                    ResidualCondition::Failed(_) => Formula::FALSE,
                    ResidualCondition::Expression(expr) => {
                        let outcomes = translator.outcomes(expr);
                        // A forbid that errs forbids.
                        if permits { outcomes.holds } else { outcomes.fails }
                    }
                };
                Part { policy: residual.policy, lets_pass }
            })
            .collect();
        let of = |effect| parts.iter().filter(move |part| part.policy.effect() == effect);
        let permits = Formula::any(of(Effect::Permit).map(|part| part.lets_pass.clone()));
        let forbids = Formula::all(of(Effect::Forbid).map(|part| part.lets_pass.clone()));
        let exact = Formula::all([permits, forbids]);
        let formula = exact.narrowed();
        let findings = self.closed(&exact, &parts, &translator);
        Combined { reasons: reasons(&formula, &parts), formula, findings }
    }

    /// Tells what of the formula rules cannot say, and whose it is.
    fn closed(
        &self,
        exact: &Formula,
        parts: &[Part<'_>],
        translator: &Translator<'_>,
    ) -> Vec<Finding> {
        let (mut numbers, mut facets) = (BTreeSet::new(), BTreeSet::new());
        exact.not_sayables(&mut numbers, &mut facets);
        let mut findings: Vec<Finding> = Vec::new();
        if numbers.is_empty() && facets.is_empty() {
            return findings;
        }
        for part in parts {
            let (mut own_numbers, mut own_facets) = (BTreeSet::new(), BTreeSet::new());
            part.lets_pass.not_sayables(&mut own_numbers, &mut own_facets);
            for number in own_numbers.intersection(&numbers) {
                let Some(unsaid) = translator.not_sayable().get(number / 2) else { continue };
                findings.push(finding(&part.policy, Some(&unsaid.clause), unsaid.reason));
            }
            for facet in own_facets.intersection(&facets) {
                if let Sayable::No(reason) = facet.presence() {
                    findings.push(finding(&part.policy, None, reason));
                }
            }
        }
        findings.dedup();
        findings
    }

    /// Returns the criteria that say the formula; `None` for a constant.
    pub(crate) fn decision(&self, formula: &Formula) -> Result<Option<Criteria>, Box<Finding>> {
        if let Formula::Constant(_) = formula {
            return Ok(None);
        }
        let renderer = Renderer { resource_type: self.resource_type, rules: self.rules };
        renderer.criteria(formula).map(Some).ok_or_else(|| {
            Box::new(Finding {
                code: FindingCode::NotSayable,
                policy: None,
                file: None,
                line: None,
                clause: None,
                message: "the policies cannot be said in rules, so that the answer is a denial"
                    .to_owned(),
                help: "report this: it should have been found in a single policy".to_owned(),
            })
        })
    }

    /// Returns what no rule can say in the policies about this resource type, whoever asks.
    pub(crate) fn findings(&self, engine: &Engine, permissions: &Permissions) -> Vec<Finding> {
        let about = |p: &&Permission| p.resource_type() == Some(self.resource_type);
        let actions: Vec<EntityUid> =
            permissions.iter().filter(about).map(Permission::uid).collect();
        let mut findings = Vec::new();
        for policy in engine.policies_about(&actions, self.type_name) {
            findings.extend(guarded(&policy));
            // The scope says it once.
            if policy.text().matches("resource").count() < 2 {
                continue;
            }
            // It parses, or it would not have been loaded.
            let Ok(written) = policy.written() else { continue };
            for clause in written.clauses() {
                let (Clause::When(expr) | Clause::Unless(expr)) = clause;
                let mut translator = self.translator().open();
                let outcomes = translator.outcomes(expr);
                let (mut numbers, mut facets) = (BTreeSet::new(), BTreeSet::new());
                for formula in [&outcomes.holds, &outcomes.fails] {
                    formula.not_sayables(&mut numbers, &mut facets);
                }
                let numbers: BTreeSet<usize> = numbers.into_iter().map(|n| n / 2).collect();
                let unsaid = numbers.iter().filter_map(|n| translator.not_sayable().get(*n));
                findings.extend(unsaid.map(|u| finding(&policy, Some(&u.clause), u.reason)));
            }
        }
        findings.dedup();
        findings
    }
}

/// Returns the policies that lead to the decision.
fn reasons(formula: &Formula, parts: &[Part<'_>]) -> Vec<SmolStr> {
    let narrowed: Vec<(&PolicyInfo<'_>, Formula)> =
        parts.iter().map(|part| (&part.policy, part.lets_pass.narrowed())).collect();
    let ids = |wanted: &dyn Fn(Effect, &Formula) -> bool| -> Vec<SmolStr> {
        let wanted = narrowed.iter().filter(|(policy, passes)| wanted(policy.effect(), passes));
        wanted.map(|(policy, _)| policy.id().into()).collect()
    };
    let forbids = |effect| effect == Effect::Forbid;
    match formula {
        Formula::Constant(true) => ids(&|effect, passes| !forbids(effect) && passes.is_true()),
        Formula::Constant(false) => {
            let outright = ids(&|effect, passes| forbids(effect) && *passes == Formula::FALSE);
            let is_permitted = narrowed
                .iter()
                .any(|(policy, passes)| !forbids(policy.effect()) && *passes != Formula::FALSE);
            if outright.is_empty() && is_permitted {
                ids(&|effect, passes| forbids(effect) && !passes.is_true())
            } else {
                outright
            }
        }
        _ => ids(&|effect, passes| match forbids(effect) {
            true => !passes.is_true(),
            false => *passes != Formula::FALSE,
        }),
    }
}

/// Tells of a guard that cannot be asked before the resource is known.
fn guarded(policy: &PolicyInfo<'_>) -> Option<Finding> {
    let guard = policy.guards().find(|guard| guard.inputs().resource)?;
    let closed = match policy.effect() {
        Effect::Permit => "the policy permits nothing there",
        Effect::Forbid => "the policy forbids there whatever the guard would say",
    };
    let message = format!(
        "guard `{}` looks at the resource, which is not known where conditions are asked for: \
         {closed}",
        guard.rule()
    );
    let help = "say it in Cedar, or guard permissions about no resource only";
    Some(guard_finding(policy, FindingCode::Guarded, message, help))
}

/// Tells of a guard that looks at the context, of which there is none in Backstage.
pub(crate) fn without_context(policy: &PolicyInfo<'_>) -> Option<Finding> {
    let guard = policy.guards().find(|guard| guard.inputs().context)?;
    let closed = match policy.effect() {
        Effect::Permit => "permits nothing",
        Effect::Forbid => "always forbids",
    };
    let message = format!(
        "guard `{}` looks at the context, which is empty in Backstage: unless it answers without, \
         the policy {closed}",
        guard.rule()
    );
    let help = "Backstage tells its policy neither the time nor anything else of the request: use \
                a rule that looks at principal and action only";
    Some(guard_finding(policy, FindingCode::NoContext, message, help))
}

fn guard_finding(
    policy: &PolicyInfo<'_>,
    code: FindingCode,
    message: String,
    help: &str,
) -> Finding {
    Finding {
        code,
        policy: Some(policy.id().into()),
        file: Some(policy.file().to_owned()),
        line: policy.line(),
        clause: None,
        message,
        help: help.to_owned(),
    }
}

fn finding(policy: &PolicyInfo<'_>, clause: Option<&str>, reason: &str) -> Finding {
    let closed = match policy.effect() {
        Effect::Permit => "what it permits there is denied",
        Effect::Forbid => "whatever it may forbid there is denied",
    };
    let clause_text = clause.map(|clause| format!("`{clause}` ")).unwrap_or_default();
    Finding {
        code: FindingCode::NotSayable,
        policy: Some(policy.id().into()),
        file: Some(policy.file().to_owned()),
        line: policy.line(),
        clause: clause.map(ToOwned::to_owned),
        message: format!("{clause_text}cannot become a condition: {closed}"),
        help: reason.to_owned(),
    }
}
