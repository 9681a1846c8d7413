//! What is odd about policies by themselves: those that nothing satisfies, parts of conditions that
//! say nothing, and one that another makes needless.
//!
//! Each is decided for all requests, as everything here. What is not found out is not told: this is
//! for hints, and no hint is no proof.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast::{Expr, ExprKind, Literal, PatternElem};
use stagedoor_core::expr::{conjuncts, disjuncts, operands, walk};
use stagedoor_core::{Effect, PolicyInfo};

use crate::formula::Formula;
use crate::library::Library;
use crate::policy::ParsedPolicy;
use crate::question::{Question, Reply};
use crate::schema::Environment;
use crate::stack::with_stack;

/// What is odd about one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// No request satisfies it.
    NeverApplies,
    /// This part of its condition is never false where it is evaluated.
    AlwaysTrue(String),
    /// This alternative is false, or errs, wherever it is evaluated.
    NeverTrue(String),
    /// This `like` has no wildcard.
    NoWildcard(String),
    /// This list has an element twice.
    Twice(String),
}

impl Library<'_> {
    /// Returns what is odd about each policy, in order; nothing for what cannot be read again.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_analysis::{Library, Oddity};
    /// use stagedoor_core::Engine;
    ///
    /// let engine = Engine::builder()
    ///     .schema("s", "entity User { level: Long }; entity Doc;
    ///         action read appliesTo { principal: User, resource: Doc };")
    ///     .policies("p", "permit (principal, action, resource)
    ///         when { principal.level >= 5 && principal.level > 2 };")
    ///     .build()?;
    /// let library = Library::of(&engine).ok_or("no schema")?;
    /// let odd = library.oddities();
    /// assert_eq!(odd, [vec![Oddity::AlwaysTrue("principal.level > 2".to_owned())]]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn oddities(&self) -> Vec<Vec<Oddity>> {
        let of = |(number, info): (usize, &PolicyInfo<'_>)| match self.parsed(number) {
            Ok(policy) => {
                Inspection { library: self, policy: &policy, text: info.text() }.oddities()
            }
            Err(_) => Vec::new(),
        };
        with_stack(|| self.policies().iter().enumerate().map(of).collect())
    }

    /// Returns whether some request may make a policy count, by its number: a permit where it is
    /// satisfied, a forbid also where it cannot be evaluated. What guards say is left out. No is
    /// proved; yes is said of what is not found out, too.
    #[must_use]
    pub fn may_count(&self, number: usize) -> bool {
        let Ok(policy) = self.parsed(number) else { return true };
        let schema = self.schema();
        let mut environments = schema.environments.iter();
        with_stack(|| {
            environments.any(|env| {
                let mut question = Question::new(schema, env);
                let counts = counts(&mut question, &policy);
                question.require(&counts);
                !matches!(question.ask(), Reply::No)
            })
        })
    }

    /// Returns whether one policy surely counts whenever another does; both by their numbers. Conditions
    /// as deep as an engine takes them need a stack as large as its threads have.
    #[must_use]
    pub fn covers(&self, wide: usize, narrow: usize) -> bool {
        let (Ok(wide), Ok(narrow)) = (self.parsed(wide), self.parsed(narrow)) else { return false };
        // What guards say is not known; the same ones say the same.
        if wide.is_guarded() && wide.guards != narrow.guards {
            return false;
        }
        let schema = self.schema();
        let mut matching =
            schema.environments.iter().filter(|env| narrow.scope.may_match(env, schema));
        matching.all(|env| {
            let mut question = Question::new(schema, env);
            let given = counts(&mut question, &narrow);
            let wanted = counts(&mut question, &wide);
            question.require(&given);
            question.require(&wanted.negated());
            matches!(question.ask(), Reply::No)
        })
    }
}

/// Returns when a policy counts: a forbid also where it errs.
fn counts(question: &mut Question<'_>, policy: &ParsedPolicy) -> Formula {
    match policy.effect {
        Effect::Permit => question.translator().permits(policy),
        Effect::Forbid => question.translator().forbids(policy),
    }
}

struct Inspection<'a, 'e> {
    library: &'a Library<'e>,
    policy: &'a ParsedPolicy,
    text: &'a str,
}

impl Inspection<'_, '_> {
    fn oddities(&self) -> Vec<Oddity> {
        let Some(condition) = &self.policy.condition else { return Vec::new() };
        let meant = self.by_meaning(condition);
        if meant.contains(&Oddity::NeverApplies) {
            return meant;
        }
        let mut all = self.by_text(condition);
        all.extend(meant);
        all.dedup();
        all
    }

    /// Returns what the text alone shows.
    fn by_text(&self, condition: &Expr) -> Vec<Oddity> {
        let mut found = Vec::new();
        walk(condition, |part| match part.expr_kind() {
            ExprKind::Like { pattern, .. } => {
                let mut wildcards = pattern.iter().filter(|elem| **elem == PatternElem::Wildcard);
                if wildcards.next().is_none() {
                    found.push(Oddity::NoWildcard(self.written(part)));
                } else if pattern.iter().count() == 1 {
                    found.push(Oddity::AlwaysTrue(self.written(part)));
                }
            }
            ExprKind::Set(members) => {
                let mut seen = BTreeSet::new();
                if !members.iter().all(|member| seen.insert(member.to_string())) {
                    found.push(Oddity::Twice(self.written(part)));
                }
            }
            _ => {}
        });
        found
    }

    /// Returns what is so for all requests.
    fn by_meaning(&self, condition: &Expr) -> Vec<Oddity> {
        let schema = self.library.schema();
        let environments: Vec<&Arc<Environment>> = schema
            .environments
            .iter()
            .filter(|env| self.policy.scope.may_match(env, schema))
            .collect();
        // Cedar ends a chain of `when` and `unless` with a `true` that nobody wrote.
        let is_written = |part: &&Expr| {
            !matches!(part.expr_kind(), ExprKind::Lit(Literal::Bool(true)))
                || part.source_loc().is_some()
        };
        let parts: Vec<&Expr> = conjuncts(condition).into_iter().filter(is_written).collect();
        if environments.is_empty() || !is_suspicious(&parts) {
            return Vec::new();
        }
        let never = |wanted: &dyn Fn(&mut Question<'_>)| {
            environments.iter().all(|env| {
                let mut question = Question::new(schema, env);
                wanted(&mut question);
                matches!(question.ask(), Reply::No)
            })
        };
        if never(&|question| {
            let applies = question.translator().permits(self.policy);
            question.require(&applies);
        }) {
            return vec![Oddity::NeverApplies];
        }
        let scope = ParsedPolicy { condition: None, ..self.policy.clone() };
        let reached = |question: &mut Question<'_>, before: &[&Expr]| {
            let scope = question.translator().permits(&scope);
            question.require(&scope);
            for part in before {
                let holds = question.translator().truth(part).when_true;
                question.require(&holds);
            }
        };
        let mut found = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let before = parts.get(..number).unwrap_or_default();
            if is_type_test(part) {
                continue;
            }
            if never(&|question| {
                reached(question, before);
                // Where an entity is not there, it errs: that it may be false is what matters.
                let fails = question.translator().truth(part).when_false;
                question.require(&fails);
            }) {
                found.push(Oddity::AlwaysTrue(self.written(part)));
                continue;
            }
            let alternatives = disjuncts(part);
            for (number, alternative) in alternatives.iter().enumerate() {
                let earlier = alternatives.get(..number).unwrap_or_default();
                if alternatives.len() > 1
                    && never(&|question| {
                        reached(question, before);
                        for other in earlier {
                            let fails = question.translator().truth(other).when_false;
                            question.require(&fails);
                        }
                        let holds = question.translator().truth(alternative).when_true;
                        question.require(&holds);
                    })
                {
                    found.push(Oddity::NeverTrue(self.written(alternative)));
                }
            }
        }
        found
    }

    /// Returns a part as it is written.
    fn written(&self, part: &Expr) -> String {
        let place = part.source_loc().map(|loc| loc.start()..loc.end());
        let text = place.and_then(|place| self.text.get(place)).map(str::to_owned);
        let text = text.unwrap_or_else(|| part.to_string());
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Returns whether a part only asks for a type: the validator may need it.
fn is_type_test(part: &Expr) -> bool {
    matches!(part.expr_kind(), ExprKind::Is { .. })
}

/// Returns whether two parts speak of the same, or one of them is more than a single comparison of
/// two different things. Nothing is odd about others, and most policies are made of those.
fn is_suspicious(parts: &[&Expr]) -> bool {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for part in parts {
        let mut own: BTreeSet<String> = BTreeSet::new();
        let mut is_single = true;
        let mut open = vec![*part];
        while let Some(expr) = open.pop() {
            match expr.expr_kind() {
                ExprKind::Or { .. } | ExprKind::If { .. } | ExprKind::Lit(Literal::Bool(_)) => {
                    is_single = false;
                }
                // What a `has` guards is the same as it guards.
                ExprKind::HasAttr { .. } | ExprKind::ExtHasAttr { .. } => continue,
                ExprKind::GetAttr { .. } | ExprKind::Var(_) => {
                    is_single &= own.insert(expr.to_string());
                    continue;
                }
                _ => {}
            }
            open.extend(operands(expr));
        }
        if !is_single || own.iter().any(|path| seen.contains(path)) {
            return true;
        }
        seen.extend(own);
    }
    false
}
