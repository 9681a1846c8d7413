//! An engine of some of another's policies.

use std::sync::Arc;

use crate::engine::Engine;
use crate::index::Index;
use crate::policy::{PolicyInfo, StoredPolicy};
use crate::policy_list::PolicyList;

impl Engine {
    /// Returns an engine of the policies that `keep` chooses, as if the others did not exist.
    ///
    /// Nothing is read or validated again: texts, schema and numbering are shared, so that
    /// entities which were prepared for one engine serve the other. The
    /// [revision](Self::revision) stays that of what was loaded.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Engine, Effect};
    ///
    /// let engine = Engine::builder()
    ///     .schema("app.cedarschema", "
    ///         entity User, Doc; action read appliesTo { principal: User, resource: Doc };")
    ///     .policies("app.cedar", "
    ///         permit(principal, action, resource);
    ///         forbid(principal, action, resource);")
    ///     .build()?;
    /// let permits = engine.restricted_to(|policy| policy.effect() == Effect::Permit);
    /// assert_eq!(permits.policies().len(), 1);
    /// assert_eq!(permits.revision(), engine.revision());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn restricted_to(&self, mut keep: impl FnMut(PolicyInfo<'_>) -> bool) -> Self {
        let whole = &self.0;
        let kept = whole.policies.iter().map(|(_, policy)| policy);
        let kept: Vec<StoredPolicy> =
            kept.filter(|policy| keep(PolicyInfo { policy })).cloned().collect();
        if kept.len() == whole.policies.len() {
            return self.clone();
        }
        // Templates and what conditions read stay those of more policies than there are: what is
        // read for nothing changes no answer.
        let mut part = whole.as_ref().clone();
        part.policies = PolicyList::new(kept);
        if part.index.is_some() {
            let index = Index::new(&part.policies, part.index_input(&part.symbols));
            part.index = Some(index);
        }
        Self(Arc::new(part))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Effect, Engine, Entities, Request};

    /// The answers of a part are those of an engine that was built of the same policies.
    #[test]
    fn a_part_answers_as_if_the_rest_did_not_exist() -> Result<(), Box<dyn std::error::Error>> {
        let policy = |number: usize| {
            let effect = if number.is_multiple_of(3) { "forbid" } else { "permit" };
            let user = number % 5;
            format!(
                "@id(\"p{number}\") {effect}(principal == User::\"{user}\", action, resource) \
                 when {{ resource.size > {number} }};\n"
            )
        };
        let schema = "entity User; entity Doc { size: Long };
            action read appliesTo { principal: User, resource: Doc };";
        let build = |numbers: &[usize]| {
            let texts: String = numbers.iter().copied().map(policy).collect();
            Engine::builder().schema("a.cedarschema", schema).policies("a.cedar", texts).build()
        };
        let all: Vec<usize> = (0..60).collect();
        let whole = build(&all)?;
        for modulus in [2, 4, 7] {
            let kept: Vec<usize> = all.iter().copied().filter(|n| n % modulus == 1).collect();
            let ids: Vec<String> = kept.iter().map(|n| format!("p{n}")).collect();
            let part = whole.restricted_to(|policy| ids.iter().any(|id| id == policy.id()));
            let built = build(&kept)?;
            for (user, size) in (0..5).flat_map(|user| (0..70).map(move |size| (user, size))) {
                let doc: crate::EntityUid = "Doc::\"d\"".parse()?;
                let request = Request::new(
                    format!("User::\"{user}\"").parse()?,
                    "Action::\"read\"".parse()?,
                    doc.clone(),
                );
                let entity = crate::Entity::new(doc).with_attribute("size", size);
                let entities = Entities::from_entities([entity])?;
                // Also asked of the whole, so that what is kept with entities is shared.
                let _ = whole.decide(&request, &entities)?;
                let told = |engine: &Engine| -> Result<_, crate::DecideError> {
                    let outcome = engine.decide(&request, &entities)?;
                    let ids: Vec<String> = outcome.reasons().map(|p| p.id().to_owned()).collect();
                    Ok((outcome.decision(), ids))
                };
                assert_eq!(told(&part)?, told(&built)?, "{modulus} {user} {size}");
            }
        }
        let permits = whole.restricted_to(|policy| policy.effect() == Effect::Permit);
        assert_eq!(permits.policies().len(), 40);
        Ok(())
    }
}
