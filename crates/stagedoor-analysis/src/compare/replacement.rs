//! What other policies in the place of some would change: what mutants are settled by.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast;
use stagedoor_core::{Decision, Effect};

use super::{DirectedComparison, Direction, Policies, Task, tasks_of};
use crate::library::Library;
use crate::policy::ParseError;
use crate::search::SearchOutcome;
use crate::stack::with_stack;
use crate::witness::Witness;

/// What other policies in the place of some change.
#[derive(Debug)]
pub enum ReplacementEffect {
    /// Nothing: every request is decided as before.
    Nothing,
    /// This request is decided otherwise than before.
    Decision {
        /// The request.
        witness: Box<Witness>,
        /// How it is decided without the replacement.
        before: Decision,
        /// The policies that determine that.
        reasons: Vec<String>,
    },
    /// That was not found out, for these reasons.
    Undecided(BTreeSet<String>),
}

impl Library<'_> {
    /// Returns what would change if other policies stood in the places of some, by their numbers;
    /// nothing stands for a policy that is gone. What replaces a guarded policy is guarded alike, as
    /// long as it has `@guard`.
    ///
    /// # Errors
    ///
    /// As [`parsed`](Self::parsed).
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_analysis::{Library, ReplacementEffect};
    /// use stagedoor_core::Engine;
    ///
    /// let engine = Engine::builder()
    ///     .schema("s", "entity User { level: Long }; entity Doc;
    ///         action read appliesTo { principal: User, resource: Doc };")
    ///     .policies("p", "permit (principal, action, resource) when { principal.level > 3 };")
    ///     .build()?;
    /// let library = Library::of(&engine).ok_or("no schema")?;
    /// let gone = library.effect_of(&[(0, None)])?;
    /// assert!(matches!(gone, ReplacementEffect::Decision { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn effect_of(
        &self,
        policies: &[(usize, Option<ast::Policy>)],
    ) -> Result<ReplacementEffect, ParseError> {
        with_stack(|| effect(self, policies))
    }
}

fn effect(
    library: &Library<'_>,
    policies: &[(usize, Option<ast::Policy>)],
) -> Result<ReplacementEffect, ParseError> {
    let replaced = library.with(policies)?;
    let (mut old, mut new): (Policies, Policies) = (Vec::new(), Vec::new());
    for (number, policy) in policies {
        let before = library.parsed(*number)?;
        let after = policy.as_ref().map(|_| replaced.parsed(*number)).transpose()?;
        if after.as_ref().is_some_and(|after| after.key() == before.key()) {
            continue;
        }
        old.push(before);
        new.extend(after);
    }
    let ways = [
        DirectedComparison { direction: Direction::Widened, allows: &replaced, denies: library },
        DirectedComparison { direction: Direction::Narrowed, allows: library, denies: &replaced },
    ];
    let mut undecided = BTreeSet::new();
    for (way, (permits, forbids)) in ways.iter().zip([(&new, &old), (&old, &new)]) {
        for task in way.tasks(permits, forbids) {
            match way.outcome(library.schema(), &task) {
                SearchOutcome::Nothing => {}
                SearchOutcome::Undecided(reasons) => undecided.extend(reasons),
                SearchOutcome::Witness(witness, reasons) => {
                    let is_widened = way.direction == Direction::Widened;
                    let of_library = usize::from(is_widened);
                    return Ok(ReplacementEffect::Decision {
                        witness,
                        before: if is_widened { Decision::Deny } else { Decision::Allow },
                        reasons: reasons.into_iter().nth(of_library).unwrap_or_default(),
                    });
                }
            }
        }
    }
    Ok(match undecided.is_empty() {
        true => ReplacementEffect::Nothing,
        false => ReplacementEffect::Undecided(undecided),
    })
}

impl DirectedComparison<'_, '_> {
    /// Returns the questions about one schema that both sides have.
    fn tasks(&self, permits: &Policies, forbids: &Policies) -> Vec<Task> {
        let schema = self.allows.schema();
        let of = |policies: &Policies, effect: Effect| -> Policies {
            policies.iter().filter(|policy| policy.effect == effect).map(Arc::clone).collect()
        };
        let (permits, forbids) = (of(permits, Effect::Permit), of(forbids, Effect::Forbid));
        let mut tasks = Vec::new();
        for env in &schema.environments {
            tasks.extend(tasks_of(permits.iter(), env, schema, Task::Permit));
            tasks.extend(tasks_of(forbids.iter(), env, schema, Task::Forbid));
        }
        tasks
    }
}
