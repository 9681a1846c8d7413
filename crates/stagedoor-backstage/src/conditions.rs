//! What policies say about resources, as conditions over Backstage's rules.
//!
//! A residual policy becomes formulas over facts ([`translate`]), formulas of permits and
//! forbids become one ([`formula`] keeps it small), which is narrowed to what rules can
//! say and written in them ([`render`]).

mod advice;
mod facet;
mod fit;
mod formula;
mod path;
mod render;
mod translate;

use cedar_policy::{EntityTypeName, EntityUid};
use smol_str::SmolStr;
use stagedoor_core::expr::conjuncts;
use stagedoor_core::{Effect, Engine, Entities, PolicyInfo, Residual, ResidualCondition};

use crate::budget::Budget;
use crate::criteria::Criteria;
use crate::owners::OwnerCounts;
use crate::permission::{Permission, Permissions};
use crate::permission_rules::PermissionRules;
use crate::policy_answer::{Finding, FindingCode};

use facet::Expressible;
use fit::{ConditionFitter, FittedConditions, Omissions};
use formula::UnsupportedParts;
use path::Model;
use render::Renderer;
use translate::Translator;

pub(crate) use formula::Formula;
pub(crate) use path::excerpt;

/// The conditions of one resource type.
pub(crate) struct Conditions<'a> {
    resource_type: &'a str,
    type_name: &'a EntityTypeName,
    rules: &'a PermissionRules,
    model: Model<'a>,
    entities: &'a Entities,
}

/// What all policies together say.
pub(crate) struct CombinedPolicies {
    /// Holds for resources that are allowed; it has nothing that rules cannot say.
    pub(crate) formula: Formula,
    /// The rules that say it; none where it is a constant.
    pub(crate) criteria: Option<Criteria>,
    pub(crate) reasons: Vec<SmolStr>,
    pub(crate) findings: Vec<Finding>,
}

/// What conditions may take, and what decides what of them stays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) budget: Budget,
    pub(crate) owners: Option<&'a OwnerCounts>,
    /// The principal's own reference.
    pub(crate) own: &'a str,
}

/// One policy's part in the decision.
struct PolicyFormula<'e> {
    policy: PolicyInfo<'e>,
    /// Holds where a permit permits, or where a forbid does not forbid.
    allows: Formula,
}

impl PolicyFormula<'_> {
    fn is_permit(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }
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

    /// Combines permits and forbids, within the room that there is.
    pub(crate) fn combined(&self, residuals: &[Residual<'_>], room: Room<'_>) -> CombinedPolicies {
        let mut translator = self.translator();
        let parts: Vec<PolicyFormula<'_>> = residuals
            .iter()
            .map(|residual| {
                let permits = residual.policy.effect() == Effect::Permit;
                let allows = match &residual.condition {
                    ResidualCondition::Always => Formula::Constant(permits),
                    ResidualCondition::Never => Formula::Constant(!permits),
                    // A permit must not count then, and a forbid must.
                    ResidualCondition::Failed(_) => Formula::FALSE,
                    ResidualCondition::Expression(expr) => {
                        let truth = translator.truth(expr);
                        // A forbid that errs forbids.
                        if permits { truth.when_true } else { truth.when_false }
                    }
                };
                PolicyFormula { policy: residual.policy, allows }
            })
            .collect();
        let of = |permits| {
            let parts = parts.iter().filter(move |part| part.is_permit() == permits);
            parts.map(|part| part.allows.clone())
        };
        let exact = Formula::all([Formula::any(of(true)), Formula::all(of(false))]);
        let mut findings = self.closed(&exact, &parts, &translator);

        let narrowed = |permits| of(permits).map(|formula| formula.narrowed());
        let permits: Vec<Formula> = narrowed(true).collect();
        let renderer = Renderer { resource_type: self.resource_type, rules: self.rules };
        let Room { budget, owners, own } = room;
        let owners = owners.filter(|owners| !owners.is_empty());
        let fitting = ConditionFitter { renderer, budget, owners, own };
        let whole = exact.narrowed();
        let FittedConditions { formula, criteria, cut } =
            fitting.fit(&whole, &permits, &Formula::all(narrowed(false)));
        let mut reasons = reasons(&formula, &parts);
        if let Some(cut) = cut {
            let policies: Vec<&PolicyInfo<'_>> =
                parts.iter().filter(|part| part.is_permit()).map(|part| &part.policy).collect();
            let named = |places: &[usize]| -> Vec<&str> {
                places.iter().filter_map(|place| policies.get(*place)).map(|p| p.id()).collect()
            };
            let dropped = named(&cut.dropped);
            reasons.retain(|reason| !dropped.contains(&reason.as_str()));
            findings.push(over_budget(&cut, &dropped, &named(&cut.shortened)));
        }
        CombinedPolicies { formula, criteria, reasons, findings }
    }

    /// Tells what of the formula rules cannot say, and whose it is.
    fn closed(
        &self,
        exact: &Formula,
        parts: &[PolicyFormula<'_>],
        translator: &Translator<'_>,
    ) -> Vec<Finding> {
        let mut all = UnsupportedParts::default();
        exact.unsupported_parts(&mut all);
        let mut findings: Vec<Finding> = Vec::new();
        if all.is_empty() {
            return findings;
        }
        for part in parts {
            let mut own = UnsupportedParts::default();
            part.allows.unsupported_parts(&mut own);
            for id in own.exprs.intersection(&all.exprs) {
                let Some(expr) = translator.unsupported(*id) else { continue };
                findings.push(unsupported(&part.policy, Some(&expr.clause), expr.reason));
            }
            for facet in own.facets.intersection(&all.facets) {
                if let Expressible::No(reason) = facet.presence() {
                    findings.push(unsupported(&part.policy, None, reason));
                }
            }
        }
        findings.dedup();
        findings
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
            let Ok(tree) = policy.tree() else { continue };
            for clause in tree.non_scope_constraints().into_iter().flat_map(conjuncts) {
                let mut translator = self.translator().open();
                let truth = translator.truth(clause);
                let mut found = UnsupportedParts::default();
                for formula in [&truth.when_true, &truth.when_false] {
                    formula.unsupported_parts(&mut found);
                }
                let exprs = found.exprs.iter().filter_map(|id| translator.unsupported(*id));
                findings.extend(exprs.map(|e| unsupported(&policy, Some(&e.clause), e.reason)));
            }
        }
        findings.dedup();
        findings
    }
}

/// Returns the policies that lead to the decision.
fn reasons(formula: &Formula, parts: &[PolicyFormula<'_>]) -> Vec<SmolStr> {
    let narrowed: Vec<(&PolicyInfo<'_>, Formula)> =
        parts.iter().map(|part| (&part.policy, part.allows.narrowed())).collect();
    let ids = |wanted: &dyn Fn(Effect, &Formula) -> bool| -> Vec<SmolStr> {
        let wanted = narrowed.iter().filter(|(policy, passes)| wanted(policy.effect(), passes));
        wanted.map(|(policy, _)| policy.id().into()).collect()
    };
    let forbids = |effect| effect == Effect::Forbid;
    match formula {
        Formula::Constant(true) => ids(&|effect, passes| !forbids(effect) && passes.is_true()),
        Formula::Constant(false) => {
            let outright = ids(&|effect, passes| forbids(effect) && passes.is_false());
            let is_permitted = narrowed
                .iter()
                .any(|(policy, passes)| !forbids(policy.effect()) && !passes.is_false());
            if outright.is_empty() && is_permitted {
                ids(&|effect, passes| forbids(effect) && !passes.is_true())
            } else {
                outright
            }
        }
        _ => ids(&|effect, passes| match forbids(effect) {
            true => !passes.is_true(),
            false => !passes.is_false(),
        }),
    }
}

/// Tells what was left out since it does not fit.
fn over_budget(cut: &Omissions, dropped: &[&str], shortened: &[&str]) -> Finding {
    let Omissions { excess, kept, grants, values, fewer_exceptions, .. } = cut;
    let answer = match kept {
        0 => "nothing of them fits, so that the answer is a denial".to_owned(),
        kept => format!("{kept} of {grants} grants are answered, and the rest is denied"),
    };
    let mut message = format!("the conditions are too large ({excess}): {answer}");
    let mut also = |lead: &str, names: &[&str]| {
        if !names.is_empty() {
            message.push_str(&format!("; {lead} {}", listed(names)));
        }
    };
    also("left out:", dropped);
    also("cut short:", shortened);
    let values: Vec<&str> = values.iter().map(SmolStr::as_str).collect();
    also("among what is missing:", &values);
    if *fewer_exceptions {
        message.push_str("; exceptions of forbids hold for less, too");
    }
    let help = "write policies about labels, kinds and owners rather than one for each entity; \
                let users sign in with fewer groups; or raise the budget, if requests are about \
                fewer resources or Backstage sends them batched";
    Finding::general(FindingCode::OverBudget, message, help)
}

/// Returns the first few names in backticks, and how many more there are.
fn listed(names: &[&str]) -> String {
    const NAMES: usize = 3;
    let shown: Vec<String> = names.iter().take(NAMES).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
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

fn unsupported(policy: &PolicyInfo<'_>, clause: Option<&str>, reason: &str) -> Finding {
    let closed = match policy.effect() {
        Effect::Permit => "what it permits there is denied",
        Effect::Forbid => "whatever it may forbid there is denied",
    };
    let clause_text = clause.map(|clause| format!("`{clause}` ")).unwrap_or_default();
    Finding {
        code: FindingCode::Unsupported,
        policy: Some(policy.id().into()),
        file: Some(policy.file().to_owned()),
        line: policy.line(),
        clause: clause.map(ToOwned::to_owned),
        message: format!("{clause_text}cannot become a condition: {closed}"),
        help: reason.to_owned(),
    }
}
