//! Why somebody has a permission, or why not: about one resource, and without one.

use std::sync::PoisonError;

use stagedoor_core::{
    DecideError, Entities, EntitiesError, Explanation, Outcome, Request, Residual,
    ResidualCondition,
};
use stagedoor_wire::{BackstageResidual, ResidualApplies};

use crate::conditions::excerpt;
use crate::evaluation::type_name;
use crate::permission::UnknownPermission;
use crate::policy_engine::PolicyEngine;
use crate::principal::Principal;
use crate::request::{PermissionRequestError, Resource};
use crate::stack::with_stack;

/// So many characters of what is left of a policy are told.
const LENGTH: usize = 4_000;

/// A question about a permission that cannot be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplanationError {
    /// The permission is not known: it is denied.
    #[error(transparent)]
    Permission(#[from] UnknownPermission),
    /// The permission is not about such a resource.
    #[error(transparent)]
    Resource(#[from] PermissionRequestError),
    /// There are too many entities, or one of them cannot be read.
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    /// The question is none that policies are about.
    #[error(transparent)]
    Request(#[from] DecideError),
}

impl PolicyEngine {
    /// Explains what the policies say about somebody's permission on a resource, or about a
    /// permission that is about none.
    ///
    /// This is Cedar's decision. What [`decide`](Self::decide) answers Backstage with is
    /// narrower where its findings say so.
    ///
    /// # Errors
    ///
    /// [`ExplanationError`] if the permission is not known, or is not about such a resource.
    pub fn explain(
        &self,
        permission: &str,
        principal: &Principal,
        resource: Option<Resource>,
    ) -> Result<Explanation, ExplanationError> {
        let (request, entities) = self.request(permission, principal, resource)?;
        Ok(self.engine.explain(&request, &entities)?)
    }

    /// Decides about one resource, all of which is known: nothing is closed since no rule of
    /// Backstage can say it.
    ///
    /// # Errors
    ///
    /// As [`explain`](Self::explain). Take that as a denial.
    pub fn decide_about(
        &self,
        permission: &str,
        principal: &Principal,
        resource: Resource,
    ) -> Result<Outcome, ExplanationError> {
        let (request, entities) = self.request(permission, principal, Some(resource))?;
        Ok(self.engine.decide(&request, &entities)?)
    }

    fn request(
        &self,
        permission: &str,
        principal: &Principal,
        resource: Option<Resource>,
    ) -> Result<(Request, Entities), ExplanationError> {
        let permission = self.permissions.get(permission)?;
        let resource = permission.resource(resource)?;
        let entities = self.with_principal(principal)?.with(resource.entities().to_vec())?;
        Ok((Request::new(principal.uid(), permission.uid(), resource.uid().clone()), entities))
    }

    /// Returns the groups and the principal. Many resources are asked about for one principal, which
    /// may be in thousands of groups: that of the last question is kept.
    fn with_principal(&self, principal: &Principal) -> Result<Entities, EntitiesError> {
        // One that panicked left a pair that belongs together.
        let mut last = self.last_principal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entities)) = last.as_ref().filter(|(known, _)| known == principal) {
            return Ok(entities.clone());
        }
        let entities = self.groups.entities.with([principal.entity_within(&self.groups)])?;
        *last = Some((principal.clone(), entities.clone()));
        Ok(entities)
    }

    /// Returns what each policy says about somebody's permission whatever the resource is. Policies
    /// that apply to no resource for their scope are left out; so is everything for a permission
    /// that is about no resource.
    ///
    /// # Errors
    ///
    /// As [`explain`](Self::explain).
    pub fn residuals(
        &self,
        permission: &str,
        principal: &Principal,
    ) -> Result<Vec<BackstageResidual>, ExplanationError> {
        let permission = self.permissions.get(permission)?;
        let Some(type_name) = permission.resource_type().and_then(type_name) else {
            return Ok(Vec::new());
        };
        let entities = self.groups.entities.with([principal.entity_within(&self.groups)])?;
        let residuals = with_stack(|| {
            self.residuals_of(&principal.uid(), &permission.uid(), &type_name, &entities)
        })?;
        Ok(residuals.iter().map(|residual| with_stack(|| told(residual))).collect())
    }
}

fn told(residual: &Residual<'_>) -> BackstageResidual {
    let policy = residual.policy;
    let (applies, condition, message) = match &residual.condition {
        ResidualCondition::Always => (ResidualApplies::Always, None, None),
        ResidualCondition::Never => (ResidualApplies::Never, None, None),
        ResidualCondition::Failed(reason) => (ResidualApplies::Failed, None, Some(reason.clone())),
        ResidualCondition::Expression(left) => {
            (ResidualApplies::Some, Some(excerpt(left, LENGTH)), None)
        }
    };
    BackstageResidual {
        policy: policy.id().to_owned(),
        file: policy.file().to_owned(),
        line: policy.line(),
        doc: policy.annotation("doc").map(str::to_owned),
        effect: policy.effect().into(),
        applies,
        condition,
        message,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, Result};
    use stagedoor_core::{Decision, Engine, PolicyStatus};
    use stagedoor_wire::ResidualApplies;

    use super::ExplanationError;
    use crate::{Catalog, Permissions, PolicyEngine, Principal, SCHEMA, read_groups};

    const POLICIES: &str = r#"
        @id("owners-delete")
        permit (
          principal is Backstage::User,
          action == Backstage::Action::"catalog.entity.delete",
          resource is Backstage::CatalogEntity
        ) when { resource.owners.containsAny(principal.claims) };

        @id("platform-deletes")
        permit (
          principal in Backstage::Group::"group:default/platform",
          action == Backstage::Action::"catalog.entity.delete",
          resource
        );

        @id("on-call-proxy")
        permit (
          principal in Backstage::Group::"group:default/platform",
          action == Backstage::Action::"kubernetes.proxy",
          resource == Backstage::Plugin::"kubernetes"
        );
    "#;

    const CATALOG: &str = r#"[
        {"apiVersion": "backstage.io/v1alpha1", "kind": "Component",
         "metadata": {"name": "ledger"}, "spec": {"owner": "group:default/payments"},
         "relations": [{"type": "ownedBy", "targetRef": "group:default/payments"}]},
        {"apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": {"name": "ana"},
         "spec": {"memberOf": ["payments"]}},
        {"apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": {"name": "ben"},
         "spec": {"memberOf": ["loop-a"]}}
    ]"#;

    fn user(name: &str) -> Result<Principal> {
        let catalog = Catalog::from_files([("catalog.json", CATALOG)])?;
        let user = catalog.user(&format!("user:default/{name}").parse()?);
        Ok(user.context("no such user")?.into())
    }

    fn policy() -> Result<PolicyEngine> {
        let engine = Engine::builder()
            .schema("backstage.cedarschema", SCHEMA)
            .policies("a.cedar", POLICIES)
            .build()?;
        // ben's group is above `platform`, which is above ben's: he is in both.
        let circle = [("group:default/loop-a", "group:default/platform")];
        let circle = circle.into_iter().flat_map(|(a, b)| [(a, vec![b]), (b, vec![a])]);
        let (groups, odd) = read_groups(circle);
        assert!(odd.is_empty());
        Ok(PolicyEngine::new(engine, Permissions::known()?).with_groups(groups)?)
    }

    #[test]
    fn one_resource_is_explained() -> Result<()> {
        let (policy, catalog) = (policy()?, Catalog::from_files([("catalog.json", CATALOG)])?);
        let ledger =
            || -> Result<_> { Ok(catalog.described(&"component:default/ledger".parse()?)?) };
        let delete = "catalog.entity.delete";
        for (name, by) in [("ana", "owners-delete"), ("ben", "platform-deletes")] {
            let explained = policy.explain(delete, &user(name)?, Some(ledger()?))?;
            assert_eq!(explained.outcome().decision(), Decision::Allow, "{name}");
            let reasons: Vec<&str> =
                explained.outcome().reasons().map(|policy| policy.id()).collect();
            assert_eq!(reasons, [by]);
            let satisfied = explained.policies().iter();
            let satisfied = satisfied.filter(|policy| *policy.status() == PolicyStatus::Satisfied);
            assert_eq!(satisfied.map(|policy| policy.policy()).collect::<Vec<_>>(), [by]);
            let decided = policy.decide_about(delete, &user(name)?, ledger()?)?;
            assert_eq!(decided.decision(), Decision::Allow, "{name}");
            assert_eq!(decided.reasons().map(|policy| policy.id()).collect::<Vec<_>>(), [by]);
        }
        let denied = policy.explain("kubernetes.proxy", &user("ana")?, None)?;
        assert_eq!(denied.outcome().decision(), Decision::Deny);
        assert_eq!(denied.nearest().first().context("none is near")?.policy(), "on-call-proxy");
        Ok(())
    }

    #[test]
    fn the_principal_asked_for_last_is_no_other_one() -> Result<()> {
        let (policy, catalog) = (policy()?, Catalog::from_files([("catalog.json", CATALOG)])?);
        let ledger = catalog.described(&"component:default/ledger".parse()?)?;
        let decides = |policy: &PolicyEngine, name: &str| -> Result<Vec<String>> {
            let decided =
                policy.decide_about("catalog.entity.delete", &user(name)?, ledger.clone())?;
            Ok(decided.reasons().map(|policy| policy.id().to_owned()).collect())
        };
        for _ in 0..2 {
            assert_eq!(decides(&policy, "ana")?, ["owners-delete"]);
            assert_eq!(decides(&policy, "ben")?, ["platform-deletes"]);
        }
        // Groups that change change what ben is in.
        let (groups, _) = read_groups([("group:default/loop-a", vec![])]);
        let policy = policy.with_groups(groups)?;
        assert_eq!(decides(&policy, "ben")?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn what_is_no_question_is_told() -> Result<()> {
        let (policy, catalog) = (policy()?, Catalog::from_files([("catalog.json", CATALOG)])?);
        let ledger = catalog.described(&"component:default/ledger".parse()?)?;
        let ana = user("ana")?;
        let unknown = policy.explain("no.such", &ana, None);
        assert!(matches!(unknown, Err(ExplanationError::Permission(_))), "{unknown:?}");
        let basic = policy.explain("kubernetes.proxy", &ana, Some(ledger));
        assert!(matches!(basic, Err(ExplanationError::Resource(_))), "{basic:?}");
        let missing = policy.explain("catalog.entity.delete", &ana, None);
        assert!(matches!(missing, Err(ExplanationError::Resource(_))), "{missing:?}");
        Ok(())
    }

    #[test]
    fn without_a_resource_each_policy_says_what_is_left_of_it() -> Result<()> {
        let policy = policy()?;
        let left = |name: &str| -> Result<Vec<(String, ResidualApplies)>> {
            let left = policy.residuals("catalog.entity.delete", &user(name)?)?;
            Ok(left.into_iter().map(|left| (left.policy, left.applies)).collect())
        };
        let owners = ("owners-delete".to_owned(), ResidualApplies::Some);
        let always = ("platform-deletes".to_owned(), ResidualApplies::Always);
        assert_eq!(left("ben")?, [owners, always]);
        let own: Vec<_> = left("ana")?.into_iter().map(|(policy, _)| policy).collect();
        assert_eq!(own, ["owners-delete"]);
        let text = policy.residuals("catalog.entity.delete", &user("ana")?)?;
        let text = text.first().and_then(|left| left.condition.clone()).context("no condition")?;
        assert!(text.contains("group:default/payments"), "{text}");
        assert!(policy.residuals("kubernetes.proxy", &user("ana")?)?.is_empty());
        Ok(())
    }
}
