//! Backstage's permission policy in JavaScript.

use std::str::FromStr as _;

use napi::ValueType;
use napi::bindgen_prelude::{
    Array, Env, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object, Unknown,
};
use napi_derive::napi;
use stagedoor_backstage::{
    ConditionParam, Criteria, EntityRef, EntityRefError, Finding, Permission, PermissionCondition,
    PermissionQuery, PolicyAnswer, PolicyDecision, PolicyEngine, Principal, User, read_groups,
};
use stagedoor_core::Entity;

use crate::failure::{Failure, Problem, Result, number};
use crate::text::text;
use crate::uid::ID_BYTES;

/// The most ownership references that are read.
const REFERENCES: u32 = 10_000;

/// A permission, as Backstage's `permission` has it. Other fields are left alone.
#[napi(object, object_to_js = false, object_from_js = false)]
#[derive(Debug)]
pub struct BackstagePermission {
    /// Such as `catalog.entity.read`.
    #[napi(ts_type = "string")]
    pub name: (),
    /// What the permission states about itself.
    #[napi(ts_type = "{ action?: string }")]
    pub attributes: Option<()>,
    /// The type of the resources that it is about.
    #[napi(ts_type = "string")]
    pub resource_type: Option<()>,
}

/// A signed-in user, as `coreServices.userInfo` tells, or a service.
#[napi(object, object_to_js = false, object_from_js = false)]
#[derive(Debug)]
pub struct BackstageUser {
    /// The user's reference, such as `user:default/alice`.
    #[napi(ts_type = "string")]
    pub user_entity_ref: Option<()>,
    /// The references by which the user owns entities.
    #[napi(ts_type = "string[]")]
    pub ownership_entity_refs: Option<()>,
    /// In place of a user: a service by its subject, such as `plugin:catalog`.
    #[napi(ts_type = "string")]
    pub service: Option<()>,
}

/// A group of Backstage's catalog.
#[napi(object, object_to_js = false)]
#[derive(Debug)]
pub struct BackstageGroup {
    /// The group's reference, such as `group:default/web`.
    pub entity_ref: String,
    /// References of the groups right above it.
    pub parents: Vec<String>,
}

/// A permission that is known.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct KnownPermission {
    /// Such as `catalog.entity.read`.
    pub name: String,
    /// The plugin that defines it.
    pub plugin_id: String,
    /// `attributes.action`, if it has one.
    pub action: Option<String>,
    /// The type of the resources that it is about; a basic permission has none.
    pub resource_type: Option<String>,
}

/// Where a policy stands.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct PolicyPlace {
    /// The policy's id.
    pub id: String,
    /// `permit` or `forbid`.
    #[napi(ts_type = "'permit' | 'forbid'")]
    pub effect: &'static str,
    /// Its file, as it was loaded.
    pub file: String,
    /// The line at which it starts there, from 1.
    pub line: Option<u32>,
    /// Its `@doc`, if it has one.
    pub doc: Option<String>,
}

impl From<&Permission> for KnownPermission {
    fn from(permission: &Permission) -> Self {
        Self {
            name: permission.name().to_owned(),
            plugin_id: permission.plugin_id().to_owned(),
            action: permission.action().map(|action| action.to_string()),
            resource_type: permission.resource_type().map(ToOwned::to_owned),
        }
    }
}

/// How many entities an owner has.
#[napi(object, object_to_js = false)]
#[derive(Debug)]
pub struct BackstageOwner {
    /// The owner's reference, such as `group:default/web`.
    pub entity_ref: String,
    /// How many entities it owns.
    pub count: u32,
}

/// Returns groups in Cedar's words, and what is odd about them.
pub(crate) fn group_entities(groups: Vec<BackstageGroup>) -> (Vec<Entity>, Vec<Finding>) {
    read_groups(groups.into_iter().map(|group| (group.entity_ref, group.parents)))
}

/// An answer for Backstage. It is frozen, and the same one may be returned again.
#[napi(object, object_to_js = false, object_from_js = false)]
#[derive(Debug)]
pub struct BackstageAnswer {
    /// What the policy answers: nothing but Backstage's own fields.
    #[napi(
        ts_type = "{ result: 'ALLOW' } | { result: 'DENY' } | { result: 'CONDITIONAL'; pluginId: string; resourceType: string; conditions: BackstageCriteria }"
    )]
    pub decision: (),
    /// Ids of the policies that lead to it.
    #[napi(ts_type = "string[]")]
    pub reasons: (),
    /// Why nothing was decided, and the policies that could not be evaluated.
    #[napi(ts_type = "string[]")]
    pub errors: (),
    /// Where the decision is narrower than the policies, since no rule of Backstage says what
    /// they say.
    #[napi(ts_type = "Problem[]")]
    pub findings: (),
    /// The revision of the policies that decided.
    #[napi(ts_type = "string")]
    pub revision: (),
    /// Whether the same question has the same answer as long as the engine's `generation` is
    /// the same. It is not where a guard gave no answer.
    #[napi(ts_type = "boolean")]
    pub may_keep: (),
}

/// Rules, combined: `PermissionCriteria` of `@backstage/plugin-permission-common`.
#[napi(object, object_to_js = false, object_from_js = false)]
#[derive(Debug)]
pub struct BackstageCriteria {
    /// All of these hold.
    #[napi(ts_type = "BackstageCriteria[]")]
    pub all_of: Option<()>,
    /// One of these holds.
    #[napi(ts_type = "BackstageCriteria[]")]
    pub any_of: Option<()>,
    /// This does not hold.
    #[napi(ts_type = "BackstageCriteria")]
    pub not: Option<()>,
    /// The name of a rule, which holds.
    #[napi(ts_type = "string")]
    pub rule: Option<()>,
    /// The type of the resources that the rule is about.
    #[napi(ts_type = "string")]
    pub resource_type: Option<()>,
    /// The rule's parameters.
    #[napi(ts_type = "Record<string, string | number | boolean | string[]>")]
    pub params: Option<()>,
}

/// A permission that is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    name: String,
    action: Option<String>,
    resource_type: Option<String>,
}

/// Who asks, or why that cannot be told.
pub(crate) type Who = std::result::Result<Option<Principal>, EntityRefError>;

/// Answers a permission for a user.
pub(crate) fn answer<'env>(
    env: &'env Env,
    policy: &PolicyEngine,
    asked: &Asked,
    who: &Who,
) -> Result<Object<'env>> {
    match who {
        Ok(principal) => {
            let asked = PermissionQuery {
                name: &asked.name,
                action: asked.action.as_deref(),
                resource_type: asked.resource_type.as_deref(),
            };
            let answer = policy.decide(&asked, principal.as_ref());
            answer_object(env, &answer, policy.may_keep(&answer))
        }
        Err(error) => answer_object(env, &policy.refuse_user(error), true),
    }
}

/// Reads users; services and whoever cannot be made out are left out.
pub(crate) fn users(users: Unknown<'_>) -> Result<Vec<User>> {
    if !users.is_array()? {
        return Err(Failure::mistyped("users", "an array of {userEntityRef, ownershipEntityRefs}"));
    }
    let array = Array::from_unknown(users)?;
    let mut users = Vec::new();
    for index in 0..array.len() {
        if let Ok(Some(Principal::User(user))) = who(Some(array.get_element(index)?))? {
            users.push(user);
        }
    }
    Ok(users)
}

/// Reads a permission.
pub(crate) fn asked(permission: Unknown<'_>) -> Result<Asked> {
    if permission.get_type()? != ValueType::Object {
        return Err(Failure::mistyped("permission", "{name, attributes, resourceType}"));
    }
    let permission = Object::from_unknown(permission)?;
    let name = permission.get_c_named_property_unchecked(c"name")?;
    let name = text(name, "`name` of a permission", ID_BYTES)?;
    let attributes: Unknown<'_> = permission.get_c_named_property_unchecked(c"attributes")?;
    let action = match attributes.get_type()? {
        ValueType::Undefined | ValueType::Null => None,
        ValueType::Object => {
            let attributes = Object::from_unknown(attributes)?;
            let action = attributes.get_c_named_property_unchecked(c"action")?;
            optional(action, "`attributes.action` of a permission")?
        }
        _ => return Err(Failure::mistyped("`attributes` of a permission", "an object")),
    };
    let resource_type = permission.get_c_named_property_unchecked(c"resourceType")?;
    let resource_type = optional(resource_type, "`resourceType` of a permission")?;
    Ok(Asked { name, action, resource_type })
}

/// Reads who asks.
pub(crate) fn who(user: Option<Unknown<'_>>) -> Result<Who> {
    let Some(user) = user else { return Ok(Ok(None)) };
    match user.get_type()? {
        ValueType::Undefined | ValueType::Null => return Ok(Ok(None)),
        ValueType::Object => {}
        _ => return Err(Failure::mistyped("user", "{userEntityRef, ownershipEntityRefs}")),
    }
    let user = Object::from_unknown(user)?;
    let reference = user.get_c_named_property_unchecked(c"userEntityRef")?;
    let Some(reference) = optional(reference, "`userEntityRef`")? else {
        let service = user.get_c_named_property_unchecked(c"service")?;
        let subject = text(service, "`userEntityRef` or `service` of a user", ID_BYTES)?;
        return Ok(Ok(Some(Principal::Service(subject))));
    };
    let owned = user.get_c_named_property_unchecked(c"ownershipEntityRefs")?;
    Ok(principal(&reference, &references(owned)?))
}

/// Reads ownership references.
fn references(owned: Unknown<'_>) -> Result<Vec<String>> {
    if owned.get_type()? == ValueType::Undefined {
        return Ok(Vec::new());
    }
    if !owned.is_array()? {
        return Err(Failure::mistyped("`ownershipEntityRefs`", "an array of references"));
    }
    let owned = Array::from_unknown(owned)?;
    if owned.len() > REFERENCES {
        let message = format!("{} ownership references; the limit is {REFERENCES}", owned.len());
        return Err(Failure::new("argument::size", message));
    }
    let one = |index| text(owned.get_element(index)?, "one of `ownershipEntityRefs`", ID_BYTES);
    (0..owned.len()).map(one).collect()
}

/// Ownership references that cannot be read stop nothing but themselves.
fn principal(reference: &str, owned: &[String]) -> Who {
    let user = User::new(EntityRef::from_str(reference)?);
    Ok(Some(user.with_ownership_refs(owned).into()))
}

fn optional(value: Unknown<'_>, what: &str) -> Result<Option<String>> {
    if value.get_type()? == ValueType::Undefined {
        return Ok(None);
    }
    text(value, what, ID_BYTES).map(Some)
}

fn answer_object<'env>(
    env: &'env Env,
    answer: &PolicyAnswer,
    may_keep: bool,
) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set_named_property("decision", decision_object(env, answer.decision())?)?;
    object.set_named_property("reasons", frozen_list(env, answer.reasons())?)?;
    object.set_named_property("errors", frozen_list(env, answer.errors())?)?;
    let findings: Vec<Problem> = answer.findings().iter().map(Problem::from).collect();
    object.set_named_property("findings", frozen(env, findings)?)?;
    object.set_named_property("revision", answer.revision())?;
    object.set_named_property("mayKeep", may_keep)?;
    object.freeze()?;
    Ok(object)
}

fn decision_object<'env>(env: &'env Env, decision: &PolicyDecision) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    match decision {
        PolicyDecision::Allow => object.set_named_property("result", "ALLOW")?,
        PolicyDecision::Deny => object.set_named_property("result", "DENY")?,
        PolicyDecision::Conditional { plugin_id, resource_type, conditions } => {
            object.set_named_property("result", "CONDITIONAL")?;
            object.set_named_property("pluginId", plugin_id.as_str())?;
            object.set_named_property("resourceType", resource_type.as_str())?;
            object.set_named_property("conditions", criteria_object(env, conditions)?)?;
        }
    }
    object.freeze()?;
    Ok(object)
}

/// Recursive: the engine's budget bounds how deep criteria nest.
fn criteria_object<'env>(env: &'env Env, criteria: &Criteria) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    let list = |items: &[Criteria]| -> Result<Object<'env>> {
        let items = items.iter().map(|item| criteria_object(env, item));
        frozen(env, items.collect::<Result<Vec<_>>>()?)
    };
    match criteria {
        Criteria::AllOf(items) => object.set_named_property("allOf", list(items)?)?,
        Criteria::AnyOf(items) => object.set_named_property("anyOf", list(items)?)?,
        Criteria::Not(item) => object.set_named_property("not", criteria_object(env, item)?)?,
        Criteria::Condition(PermissionCondition { resource_type, rule, params }) => {
            object.set_named_property("rule", rule.as_str())?;
            object.set_named_property("resourceType", resource_type.as_str())?;
            let mut given = Object::new(env)?;
            for (name, param) in params {
                match param {
                    ConditionParam::String(text) => given.set(name, text.as_str())?,
                    ConditionParam::Strings(texts) => given.set(name, frozen_list(env, texts)?)?,
                    ConditionParam::Number(number) => given.set(name, *number)?,
                    ConditionParam::Bool(value) => given.set(name, *value)?,
                }
            }
            given.freeze()?;
            object.set_named_property("params", given)?;
        }
    }
    object.freeze()?;
    Ok(object)
}

fn frozen_list<'env, T: AsRef<str>>(
    env: &'env Env,
    texts: impl IntoIterator<Item = T>,
) -> Result<Object<'env>> {
    let texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
    frozen(env, texts)
}

fn frozen<'env, T: napi::bindgen_prelude::ToNapiValue>(
    env: &'env Env,
    items: Vec<T>,
) -> Result<Object<'env>> {
    let mut array = Array::from_vec(env, items)?.coerce_to_object()?;
    array.freeze()?;
    Ok(array)
}

impl From<&Finding> for Problem {
    fn from(finding: &Finding) -> Self {
        let message = match &finding.clause {
            Some(clause) => format!("{}: `{clause}`", finding.message),
            None => finding.message.clone(),
        };
        Self {
            severity: "warning",
            code: finding.code.as_str().to_owned(),
            message,
            help: Some(finding.help.clone()),
            policy: finding.policy.as_ref().map(ToString::to_string),
            file: finding.file.clone(),
            line: finding.line.and_then(number),
            column: None,
        }
    }
}
