//! The engine's handle in JavaScript.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::{
    Array, AsyncTask, Env, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object, Unknown,
};
use napi::{Task, ValueType};
use napi_derive::napi;
use stagedoor_backstage::{User, read_groups};
use stagedoor_core::{Decision as CoreDecision, Outcome, PolicyInfo, Request};
use stagedoor_kubernetes::SubjectAccessReview;
use stagedoor_wire::{Effect, Explanation, List, Problem, QueryAnswer, QueryInput, WireError};

use crate::backstage::{self, KnownPermission, PolicyPlace};
use crate::decision::{decided, refused};
use crate::entities::prepared;
use crate::failure::{Failure, Result};
use crate::json::{Json, json};
use crate::loading::Policies;
use crate::options::Options;
use crate::request::RequestReader;

/// Policies that were loaded, ready to decide.
///
/// What it holds is freed with the last handle, or by `close`. Each worker thread loads its own.
#[napi]
pub struct Engine {
    /// Shared with the functions that it has made.
    pub(crate) policies: Rc<RefCell<Option<Arc<Policies>>>>,
}

/// Reads a query: all that JavaScript hands over, before the policies are looked at.
fn queried(query: Unknown<'_>) -> Result<QueryInput> {
    if query.get_type()? != ValueType::Object {
        return Err(Failure::mistyped("query", "{principal, action, resourceType}"));
    }
    Ok(QueryInput::from_json(&json(query, "query")?.to_string())?)
}

/// What a reload came to.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ReloadResult {
    /// Whether the policies differ from those before.
    pub changed: bool,
    /// The revision that is in force now.
    pub revision: String,
}

#[napi]
impl Engine {
    /// Loads policies without holding up JavaScript. Rejects with everything that is wrong.
    #[napi(ts_return_type = "Promise<Engine>", catch_unwind)]
    pub fn load(
        env: Env,
        #[napi(ts_arg_type = "EngineOptions")] options: Unknown<'_>,
    ) -> napi::Result<AsyncTask<Load>> {
        let options = Options::read(options).map_err(|failure| failure.thrown(&env))?;
        Ok(AsyncTask::new(Load(Some(options))))
    }

    /// Loads policies. Throws everything that is wrong.
    #[napi(catch_unwind)]
    pub fn load_sync(
        env: Env,
        #[napi(ts_arg_type = "EngineOptions")] options: Unknown<'_>,
    ) -> napi::Result<Self> {
        let loaded = Options::read(options).and_then(Policies::load);
        loaded.map(Self::of).map_err(|failure| failure.thrown(&env))
    }

    /// Decides a request. `entities` are laid under those of the request.
    ///
    /// Throws if the request is not one that the policies are about; take that as a denial.
    /// The result is an object and thus always truthy: compare its `decision`, or ask
    /// `isAllowed`.
    #[napi(ts_return_type = "Decision", catch_unwind)]
    pub fn decide<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "RequestInput")] request: Unknown<'_>,
        #[napi(ts_arg_type = "Entities | undefined | null")] entities: Option<Unknown<'_>>,
    ) -> napi::Result<Object<'env>> {
        let outcome = self.outcome(request, entities);
        outcome.and_then(|outcome| decided(env, &outcome)).map_err(|failure| failure.thrown(env))
    }

    /// Returns whether a request is allowed: the shortest way to a decision.
    #[napi(catch_unwind)]
    pub fn is_allowed(
        &self,
        env: Env,
        #[napi(ts_arg_type = "RequestInput")] request: Unknown<'_>,
        #[napi(ts_arg_type = "Entities | undefined | null")] entities: Option<Unknown<'_>>,
    ) -> napi::Result<bool> {
        self.ask_about(request, entities, is_allowed).map_err(|failure| failure.thrown(&env))
    }

    /// As `isAllowed`, of a request that `requests.js` has packed; null where it must be read as an
    /// object.
    #[napi(catch_unwind, skip_typescript)]
    pub fn is_allowed_packed(
        &self,
        env: Env,
        request: Unknown<'_>,
        entities: Option<Unknown<'_>>,
    ) -> napi::Result<Option<bool>> {
        let answer = || -> Result<Option<bool>> {
            // What is wrong with its text, the object's reader says of the field where it is.
            let Ok(Some(request)) = RequestReader::packed(request) else { return Ok(None) };
            let (policies, store) = (self.policies()?, store(entities)?);
            let engine = &policies.current().engine;
            let (request, entities) = request.over(engine, &store)?;
            is_allowed(engine, &request, &entities).map(Some)
        };
        answer().map_err(|failure| failure.thrown(&env))
    }

    /// Decides many requests. One that cannot be decided is denied and says why in `error`, with
    /// its `code`.
    #[napi(ts_return_type = "Array<Decision>", catch_unwind)]
    pub fn decide_batch<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "Array<RequestInput>")] requests: Unknown<'_>,
        #[napi(ts_arg_type = "Entities | undefined | null")] entities: Option<Unknown<'_>>,
    ) -> napi::Result<Vec<Object<'env>>> {
        let decide = || -> Result<Vec<Object<'env>>> {
            if !requests.is_array()? {
                return Err(Failure::mistyped("requests", "an array"));
            }
            let requests = Array::from_unknown(requests)?;
            let policies = self.policies()?;
            let engine = &policies.current().engine;
            let store = store(entities)?;
            let mut decisions = Vec::new();
            for index in 0..requests.len() {
                let request: Unknown<'_> = requests.get_element(index)?;
                let outcome = RequestReader::read(request)
                    .and_then(|request| request.over(engine, &store))
                    .and_then(|(request, entities)| Ok(engine.decide(&request, &entities)?));
                decisions.push(match outcome {
                    Ok(outcome) => decided(env, &outcome)?,
                    Err(failure) => refused(env, failure, engine.revision())?,
                });
            }
            Ok(decisions)
        };
        decide().map_err(|failure| failure.thrown(env))
    }

    /// Explains the decision about a request: what every policy in question says and which
    /// values it met, and of a denial, which permits came nearest and what would have to be
    /// different. Looks at every policy, and makes up to some dozens of decisions.
    #[napi(ts_return_type = "Explanation", catch_unwind)]
    pub fn explain<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "RequestInput")] request: Unknown<'_>,
        #[napi(ts_arg_type = "Entities | undefined | null")] entities: Option<Unknown<'_>>,
    ) -> napi::Result<Unknown<'env>> {
        let explained = || -> Result<Unknown<'env>> {
            let (policies, store) = (self.policies()?, store(entities)?);
            let request = RequestReader::read(request)?;
            let engine = &policies.current().engine;
            let (request, entities) = request.over(engine, &store)?;
            let explanation = engine.explain(&request, &entities)?;
            Ok(env.to_js_value(&Explanation::of(&explanation, engine))?)
        };
        explained().map_err(|failure| failure.thrown(env))
    }

    /// Answers a request of which parts are not known: for each action that it is about, what is
    /// left of the policies that may be satisfied. Guards are not asked.
    #[napi(ts_return_type = "Array<QueryAnswer>", catch_unwind)]
    pub fn query<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "QueryInput")] query: Unknown<'_>,
        #[napi(ts_arg_type = "Entities | undefined | null")] entities: Option<Unknown<'_>>,
    ) -> napi::Result<Unknown<'env>> {
        let answered = || -> Result<Unknown<'env>> {
            let (policies, store) = (self.policies()?, store(entities)?);
            let asked = queried(query)?;
            let engine = &policies.current().engine;
            let (query, _) = asked.read(engine)?;
            let answers = engine.query(&query, &store)?;
            let told = answers.iter().map(|answer| QueryAnswer::of(answer, engine.revision()));
            Ok(env.to_js_value(&told.collect::<Vec<_>>())?)
        };
        answered().map_err(|failure| failure.thrown(env))
    }

    /// Lists for which of the entities, or for which actions, a request is allowed: for what the
    /// query leaves open. Exactly those are listed that `decide` would allow, in the order of
    /// their ids; where not all of the context is known, also those that may be, with `if`.
    #[napi(ts_return_type = "List", catch_unwind)]
    pub fn list<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "QueryInput")] query: Unknown<'_>,
        #[napi(ts_arg_type = "Entities | undefined | null")] entities: Option<Unknown<'_>>,
    ) -> napi::Result<Unknown<'env>> {
        let listed = || -> Result<Unknown<'env>> {
            let (policies, store) = (self.policies()?, store(entities)?);
            let asked = queried(query)?;
            let engine = &policies.current().engine;
            let (query, page) = asked.read(engine)?;
            let listed = engine.list(&query, &store, &page).map_err(WireError::from)?;
            Ok(env.to_js_value(&List::of(&listed, engine.revision()))?)
        };
        listed().map_err(|failure| failure.thrown(env))
    }

    /// Answers whether a user has a permission of Backstage's, as Backstage's permission
    /// policy does: without a resource, in conditions. Whatever fails is denied; `errors` of
    /// the answer say why. The engine must have been loaded for the platform `backstage`.
    #[napi(ts_return_type = "BackstageAnswer", catch_unwind)]
    pub fn decide_backstage<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "BackstagePermission")] permission: Unknown<'_>,
        #[napi(ts_arg_type = "BackstageUser | undefined | null")] user: Option<Unknown<'_>>,
    ) -> napi::Result<Object<'env>> {
        let answer = || -> Result<Object<'env>> {
            let policies = self.policies()?;
            let (asked, who) = (backstage::permission(permission)?, backstage::who(user)?);
            backstage::answer(env, policies.current().backstage()?, &asked, &who)
        };
        answer().map_err(|failure| failure.thrown(env))
    }

    /// Answers many permissions for one user, each as `decideBackstage` does.
    #[napi(ts_return_type = "Array<BackstageAnswer>", catch_unwind)]
    pub fn decide_backstage_batch<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "Array<BackstagePermission>")] permissions: Unknown<'_>,
        #[napi(ts_arg_type = "BackstageUser | undefined | null")] user: Option<Unknown<'_>>,
    ) -> napi::Result<Vec<Object<'env>>> {
        let answers = || -> Result<Vec<Object<'env>>> {
            if !permissions.is_array()? {
                return Err(Failure::mistyped("permissions", "an array"));
            }
            let policies = self.policies()?;
            // All that JavaScript hands over is read first: a getter may call the engine again.
            let permissions = Array::from_unknown(permissions)?;
            let asked = (0..permissions.len())
                .map(|index| backstage::permission(permissions.get_element(index)?))
                .collect::<Result<Vec<_>>>()?;
            let who = backstage::who(user)?;
            let current = policies.current();
            let policy = current.backstage()?;
            asked.iter().map(|asked| backstage::answer(env, policy, asked, &who)).collect()
        };
        answers().map_err(|failure| failure.thrown(env))
    }

    /// Returns all of Backstage's permissions that are known, sorted by name.
    #[napi(catch_unwind)]
    pub fn backstage_permissions(&self, env: Env) -> napi::Result<Vec<KnownPermission>> {
        let known = || -> Result<Vec<KnownPermission>> {
            let policies = self.policies()?;
            let current = policies.current();
            Ok(current.backstage()?.permissions().iter().map(KnownPermission::from).collect())
        };
        known().map_err(|failure| failure.thrown(&env))
    }

    /// Returns where policies stand, by their ids. Ids that no policy has are left out.
    #[napi(catch_unwind)]
    pub fn policy_places(&self, env: Env, ids: Vec<String>) -> napi::Result<Vec<PolicyPlace>> {
        let policies = self.policies().map_err(|failure| failure.thrown(&env))?;
        let current = policies.current();
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let found = current.engine.policies().filter(|policy| wanted.contains(policy.id()));
        let place = |policy: PolicyInfo<'_>| PolicyPlace {
            id: policy.id().to_owned(),
            effect: Effect::from(policy.effect()).as_str(),
            file: policy.file().to_owned(),
            line: policy.line().and_then(crate::failure::number),
            doc: policy.annotation("doc").map(ToOwned::to_owned),
        };
        Ok(found.map(place).collect())
    }

    /// Answers Kubernetes' SubjectAccessReview, with its status. Whatever fails is denied. The
    /// engine must have been loaded for the platform `kubernetes`.
    #[napi(ts_return_type = "AccessReviewStatus", catch_unwind)]
    pub fn review_access<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "object")] review: Unknown<'_>,
    ) -> napi::Result<Unknown<'env>> {
        let answer = || -> Result<Unknown<'env>> {
            if review.get_type()? != ValueType::Object {
                return Err(Failure::mistyped("review", "a SubjectAccessReview"));
            }
            let review = json(review, "review")?.to_string();
            let policies = self.policies()?;
            let current = policies.current();
            let reviewer = current.kubernetes()?;
            let review = SubjectAccessReview::from_json(&review).map_err(WireError::from)?;
            let status = reviewer.answer(review).status.unwrap_or_default();
            Ok(env.to_js_value(&status)?)
        };
        answer().map_err(|failure| failure.thrown(env))
    }

    /// Sets the groups above Backstage's groups: a user of a group is then in those, too.
    /// Without, users are in the groups of their ownership references and in no other. Reloads
    /// keep them. Returns what is odd about them: groups that are above each other, of which a
    /// member of one counts as a member of all, and what is no reference. Throws if there are
    /// more than the limits let through; those before then stay in force.
    #[napi(ts_return_type = "Array<Problem>", catch_unwind)]
    pub fn set_groups<'env>(
        &self,
        env: &'env Env,
        #[napi(ts_arg_type = "Array<BackstageGroup>")] groups: Unknown<'_>,
    ) -> napi::Result<Unknown<'env>> {
        let set = || -> Result<Unknown<'env>> {
            let groups = backstage::groups(groups)?.into_iter();
            let (groups, unreadable) =
                read_groups(groups.map(|group| (group.entity_ref, group.parents)));
            let policies = self.policies()?;
            policies.set_groups(groups)?;
            let current = policies.current();
            let circles = current.backstage()?.group_findings();
            let findings: Vec<_> = unreadable.iter().chain(circles).map(Problem::from).collect();
            Ok(env.to_js_value(&findings)?)
        };
        set().map_err(|failure| failure.thrown(env))
    }

    /// Sets how many entities each owner has. Conditions that are too large then lose the claims
    /// that own nothing, and keep those that own most. Reloads keep them.
    #[napi(catch_unwind)]
    pub fn set_owners(
        &self,
        env: Env,
        #[napi(ts_arg_type = "Array<BackstageOwner>")] owners: Unknown<'_>,
    ) -> napi::Result<()> {
        let set = || -> Result<()> {
            let owners = backstage::owners(owners)?.into_iter();
            let owners = owners.map(|owner| (owner.entity_ref, u64::from(owner.count)));
            self.policies()?.set_owners(owners.collect())
        };
        set().map_err(|failure| failure.thrown(&env))
    }

    /// Returns for which of these users, and which permissions of Backstage's, conditions are
    /// larger than the budget, so that they are cut. Does not hold up JavaScript.
    #[napi(ts_return_type = "Promise<Array<Problem>>", catch_unwind)]
    pub fn over_budget(
        &self,
        env: Env,
        #[napi(ts_arg_type = "Array<BackstageUser>")] users: Unknown<'_>,
    ) -> napi::Result<AsyncTask<OverBudget>> {
        let task = || -> Result<OverBudget> {
            let policies = self.policies()?;
            policies.current().backstage()?;
            Ok(OverBudget { policies, users: backstage::users(users)? })
        };
        task().map(AsyncTask::new).map_err(|failure| failure.thrown(&env))
    }

    /// Loads the same files again, without holding up JavaScript, and puts them in force.
    /// Rejects with everything that is wrong; the policies before then stay in force.
    #[napi(ts_return_type = "Promise<ReloadResult>", catch_unwind)]
    pub fn reload(&self, env: Env) -> napi::Result<AsyncTask<Reload>> {
        let policies = self.policies().map_err(|failure| failure.thrown(&env))?;
        Ok(AsyncTask::new(Reload(policies)))
    }

    /// Hash of everything that was loaded, in hexadecimal: equal for equal policies.
    #[napi(getter)]
    pub fn revision(&self, env: Env) -> napi::Result<String> {
        let policies = self.policies().map_err(|failure| failure.thrown(&env))?;
        Ok(policies.current().engine.revision().to_owned())
    }

    /// How many policies were loaded.
    #[napi(getter)]
    pub fn policy_count(&self, env: Env) -> napi::Result<u32> {
        let policies = self.policies().map_err(|failure| failure.thrown(&env))?;
        Ok(u32::try_from(policies.current().engine.policies().len()).unwrap_or(u32::MAX))
    }

    /// What was warned of while loading, and what of Backstage's policies its rules cannot say.
    #[napi(getter, ts_return_type = "Array<Problem>")]
    pub fn warnings<'env>(&self, env: &'env Env) -> napi::Result<Unknown<'env>> {
        let policies = self.policies().map_err(|failure| failure.thrown(env))?;
        let warnings = policies.current().warnings();
        env.to_js_value(&warnings)
    }

    /// Tells the policies and groups in force from all others in this process.
    #[napi(getter)]
    pub fn generation(&self, env: Env) -> napi::Result<f64> {
        let policies = self.policies.borrow();
        let policies = policies.as_ref().ok_or_else(closed);
        let policies = policies.map_err(|failure| failure.thrown(&env))?;
        #[expect(clippy::cast_precision_loss, reason = "nobody loads policies 2^53 times")]
        Ok(policies.current().generation as f64)
    }

    /// How many of Backstage's answers are kept at the most.
    #[napi(getter)]
    pub fn cache_size(&self, env: Env) -> napi::Result<u32> {
        let policies = self.policies().map_err(|failure| failure.thrown(&env))?;
        Ok(policies.cache_size())
    }

    /// Lets go of the policies at once. Whatever is called afterwards throws `engine::closed`.
    #[napi]
    pub fn close(&self) {
        self.policies.replace(None);
    }
}

impl Engine {
    pub(crate) fn of(policies: Policies) -> Self {
        Self { policies: Rc::new(RefCell::new(Some(Arc::new(policies)))) }
    }

    pub(crate) fn policies(&self) -> Result<Arc<Policies>> {
        self.policies.borrow().clone().ok_or_else(closed)
    }

    fn outcome(&self, request: Unknown<'_>, entities: Option<Unknown<'_>>) -> Result<Outcome> {
        self.ask_about(request, entities, |engine, request, entities| {
            Ok(engine.decide(request, entities)?)
        })
    }

    /// Asks the engine in force about a request.
    fn ask_about<R>(
        &self,
        request: Unknown<'_>,
        entities: Option<Unknown<'_>>,
        ask: impl FnOnce(&stagedoor_core::Engine, &Request, &stagedoor_core::Entities) -> Result<R>,
    ) -> Result<R> {
        let (policies, store) = (self.policies()?, store(entities)?);
        // All that JavaScript hands over is read first: a getter may close the engine.
        let request = RequestReader::read(request)?;
        let engine = &policies.current().engine;
        let (request, entities) = request.over(engine, &store)?;
        ask(engine, &request, &entities)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("policies", &self.policies).finish_non_exhaustive()
    }
}

/// One determining policy is enough for that.
fn is_allowed(
    engine: &stagedoor_core::Engine,
    request: &Request,
    entities: &stagedoor_core::Entities,
) -> Result<bool> {
    Ok(engine.ruling(request, entities)?.decision() == CoreDecision::Allow)
}

/// The failure of whatever is asked of an engine that was closed.
pub(crate) fn closed() -> Failure {
    Failure::new("engine::closed", "the engine was closed")
}

fn store(entities: Option<Unknown<'_>>) -> Result<stagedoor_core::Entities> {
    match entities {
        Some(entities) => prepared(entities, "entities"),
        None => Ok(stagedoor_core::Entities::empty()),
    }
}

/// Loads policies on another thread.
#[derive(Debug)]
pub struct Load(Option<Options>);

impl Task for Load {
    type Output = Result<Policies>;
    type JsValue = Engine;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let options = self.0.take();
        let missing = || Failure::new("internal::task", "the task ran twice");
        Ok(options.ok_or_else(missing).and_then(Policies::load))
    }

    fn resolve(&mut self, env: Env, loaded: Self::Output) -> napi::Result<Engine> {
        loaded.map(Engine::of).map_err(|failure| failure.thrown(&env))
    }
}

/// Reloads policies on another thread.
#[derive(Debug)]
pub struct Reload(Arc<Policies>);

impl Task for Reload {
    type Output = Result<ReloadResult>;
    type JsValue = ReloadResult;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(self.0.reload().map(|(changed, revision)| ReloadResult { changed, revision }))
    }

    fn resolve(&mut self, env: Env, reloaded: Self::Output) -> napi::Result<ReloadResult> {
        reloaded.map_err(|failure| failure.thrown(&env))
    }
}

/// Holds users' conditions against the budget on another thread.
#[derive(Debug)]
pub struct OverBudget {
    policies: Arc<Policies>,
    users: Vec<User>,
}

impl Task for OverBudget {
    type Output = Result<Json>;
    type JsValue = Json;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let users = std::mem::take(&mut self.users);
        Ok(self.policies.over_budget(users).and_then(|found| Json::of(&found)))
    }

    fn resolve(&mut self, env: Env, found: Self::Output) -> napi::Result<Json> {
        found.map_err(|failure| failure.thrown(&env))
    }
}
