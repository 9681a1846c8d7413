//! Why somebody has a permission of Backstage's, and what other policies would change.

use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Env, JsValue as _, Object, Unknown};
use napi::{Task, ValueType};
use napi_derive::napi;
use serde::Serialize;
use stagedoor_backstage::{Catalog, Principal, Resource};
use stagedoor_review::diff::{AccessRow, Cases, Comparison, Direction, Meaning, PolicyChanges};
use stagedoor_testing::RequestSpace;
use stagedoor_wire::{Explanation, WireError};

use crate::backstage::{answer_object, permission as permission_of, query, who};
use crate::decision::decided;
use crate::engine::Engine;
use crate::failure::{Failure, Result};
use crate::json::{Json, json};
use crate::loading::{Policies, guarded};
use crate::options::ConditionBudget;

/// So many requests of a catalog's users are decided by both of two policy sets.
const REQUESTS: u32 = 200_000;

#[napi]
impl Engine {
    /// Explains Cedar's decision about a permission of Backstage's: what every policy in question
    /// says, and for a denial what comes nearest. `entity` is what the catalog's API tells of the
    /// entity that is meant; a permission that is about no resource has none.
    ///
    /// What Backstage is answered (`decideBackstage`) is narrower where its findings say so.
    ///
    /// Throws if the permission is not known, or is not about such an entity: take that as a
    /// denial.
    #[napi(ts_return_type = "Explanation", catch_unwind)]
    pub fn explain_backstage<'env>(
        &self,
        env: &'env Env,
        permission: String,
        #[napi(ts_arg_type = "BackstageUser")] user: Unknown<'_>,
        #[napi(ts_arg_type = "object | undefined | null")] entity: Option<Unknown<'_>>,
    ) -> napi::Result<Unknown<'env>> {
        let explained = || -> Result<Unknown<'env>> {
            let resource = entity.map(|entity| resource(entity)).transpose()?.flatten();
            let principal = principal(user)?;
            let policies = self.policies()?;
            let current = policies.current();
            let explanation = current.backstage()?.explain(&permission, &principal, resource);
            let explanation = explanation.map_err(WireError::from)?;
            Ok(env.to_js_value(&Explanation::of(&explanation, &current.engine))?)
        };
        explained().map_err(|failure| failure.thrown(env))
    }

    /// Decides a permission of Backstage's about one entity, of which all is known: what the
    /// catalog's API tells of it, as JSON. Cedar's decision, with nothing closed since no rule can
    /// say it.
    ///
    /// Throws if the permission is not known, or is not about such an entity: take that as a
    /// denial.
    #[napi(ts_return_type = "Decision", catch_unwind)]
    pub fn decide_backstage_entity<'env>(
        &self,
        env: &'env Env,
        permission: String,
        #[napi(ts_arg_type = "BackstageUser")] user: Unknown<'_>,
        entity: String,
    ) -> napi::Result<Object<'env>> {
        let decide = || -> Result<Object<'env>> {
            let (resource, principal) = (described(entity)?, principal(user)?);
            let policies = self.policies()?;
            let current = policies.current();
            let outcome = current.backstage()?.decide_about(&permission, &principal, resource);
            decided(env, &outcome.map_err(WireError::from)?)
        };
        decide().map_err(|failure| failure.thrown(env))
    }

    /// Answers as `decideBackstage` does, with conditions that may be of another size: where they
    /// are not sent around. Nothing is kept.
    #[napi(ts_return_type = "BackstageAnswer", catch_unwind)]
    pub fn decide_backstage_within<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "BackstagePermission")] permission: Unknown<'_>,
        #[napi(ts_arg_type = "BackstageUser")] user: Unknown<'_>,
        budget: ConditionBudget,
    ) -> napi::Result<Object<'env>> {
        let answer = || -> Result<Object<'env>> {
            let (asked, principal) = (permission_of(permission)?, principal(user)?);
            let policies = self.policies()?;
            let current = policies.current();
            let policy = current.backstage()?;
            let answer = policy.decide_within(&query(&asked), &principal, budget.checked());
            answer_object(env, &answer, policy.may_keep(&answer))
        };
        answer().map_err(|failure| failure.thrown(env))
    }

    /// Returns what each policy says about a permission of Backstage's that is about resources,
    /// whichever is meant: it applies to all of them, to some, or to none. Those that apply to none
    /// for their scope are left out.
    ///
    /// Throws if the permission is not known: take that as a denial.
    #[napi(ts_return_type = "Array<BackstageResidual>", catch_unwind)]
    pub fn backstage_residuals<'env>(
        &self,
        env: &'env Env,
        permission: String,
        #[napi(ts_arg_type = "BackstageUser")] user: Unknown<'_>,
    ) -> napi::Result<Unknown<'env>> {
        let residuals = || -> Result<Unknown<'env>> {
            let principal = principal(user)?;
            let policies = self.policies()?;
            let current = policies.current();
            let residuals = current.backstage()?.residuals(&permission, &principal);
            Ok(env.to_js_value(&residuals.map_err(WireError::from)?)?)
        };
        residuals().map_err(|failure| failure.thrown(env))
    }

    /// Compares these policies with others, which take their place: who gains and who loses what.
    /// What changes is decided for all requests. `catalog` is what the catalog's API tells of
    /// entities and users, as a JSON array: it gives names to what changes; at most about so many
    /// `requests` (200,000) of these users are decided by both. Does not hold up JavaScript.
    #[napi(ts_return_type = "Promise<PolicyComparison>", catch_unwind)]
    pub fn compare_backstage(
        &self,
        env: Env,
        others: &Engine,
        catalog: Option<String>,
        requests: Option<u32>,
    ) -> napi::Result<AsyncTask<Compare>> {
        let task = || -> Result<Compare> {
            let (policies, others) = (self.policies()?, others.policies()?);
            policies.current().backstage()?;
            others.current().backstage()?;
            let requests = requests.unwrap_or(REQUESTS) as usize;
            Ok(Compare { policies, others, catalog: catalog.unwrap_or_default(), requests })
        };
        task().map(AsyncTask::new).map_err(|failure| failure.thrown(&env))
    }
}

/// Reads whose permission is explained.
fn principal(user: Unknown<'_>) -> Result<Principal> {
    let refused = |message: String| Failure::new("user::reference", message);
    match who(Some(user))? {
        Ok(Some(principal)) => Ok(principal),
        Ok(None) => Err(refused("nobody is signed in: denied".to_owned())),
        Err(error) => Err(refused(format!("{error}: denied"))),
    }
}

/// Reads what the catalog's API tells of an entity.
fn resource(entity: Unknown<'_>) -> Result<Option<Resource>> {
    match entity.get_type()? {
        ValueType::Undefined | ValueType::Null => return Ok(None),
        ValueType::Object if !entity.is_array()? => {}
        _ => return Err(Failure::mistyped("entity", "an entity as the catalog's API tells it")),
    }
    described(json(entity, "entity")?.to_string()).map(Some)
}

/// Reads what the catalog's API tells of an entity, as JSON.
fn described(json: String) -> Result<Resource> {
    let catalog = Catalog::from_files([("entity", json)]).map_err(WireError::from)?;
    let set_aside = || {
        let warning = catalog.warnings().first();
        let why = warning.map_or_else(|| "it is none".to_owned(), ToString::to_string);
        Failure::new("entity::refused", format!("`entity` cannot be read: {why}"))
    };
    let reference = catalog.references().next().ok_or_else(set_aside)?;
    let described = catalog.described(reference);
    described.map_err(|error| Failure::new("entity::unknown", error.to_string()))
}

/// What differs between two policy sets; `PolicyComparison` in `header.d.ts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyComparison<'a> {
    policies: &'a PolicyChanges,
    meaning: Option<&'a Meaning>,
    rows: Vec<AccessRow>,
    asked: usize,
    left_out: usize,
    widened: usize,
    narrowed: usize,
}

/// Compares two policy sets on another thread.
#[derive(Debug)]
pub struct Compare {
    policies: Arc<Policies>,
    others: Arc<Policies>,
    catalog: String,
    requests: usize,
}

impl Compare {
    fn compared(&self) -> Result<Json> {
        let (old, new) = (self.policies.current(), self.others.current());
        let permissions = new.backstage()?.permissions().union(old.backstage()?.permissions());
        let files = Some(self.catalog.as_str()).filter(|text| !text.is_empty());
        let catalog = Catalog::from_files(files.map(|text| ("catalog", text)));
        let catalog = catalog.map_err(WireError::from)?;
        let space = RequestSpace::of_catalog(&catalog, permissions, self.requests);
        let comparison = Comparison::of(&old.engine, &new.engine, &space.requests);
        let unread = |error: &dyn std::error::Error| {
            Failure::new("internal::parse", format!("policies cannot be compared: {error}"))
        };
        let mut meaning =
            Meaning::of(&old.engine, &new.engine, Cases::Kept).map_err(|error| unread(&error))?;
        if let Some(meaning) = &mut meaning {
            meaning.name_people(&comparison);
        }
        Json::of(&PolicyComparison {
            policies: &comparison.policies,
            meaning: meaning.as_ref(),
            rows: comparison.rows(),
            asked: space.requests.len(),
            left_out: space.left_out,
            widened: comparison.count(Direction::Widened),
            narrowed: comparison.count(Direction::Narrowed),
        })
    }
}

impl Task for Compare {
    type Output = Result<Json>;
    type JsValue = Json;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(guarded(|| self.compared()))
    }

    fn resolve(&mut self, env: Env, compared: Self::Output) -> napi::Result<Json> {
        compared.map_err(|failure| failure.thrown(&env))
    }
}
