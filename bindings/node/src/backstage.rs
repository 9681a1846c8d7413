//! Backstage's permission policy in JavaScript.

use std::str::FromStr as _;

use cedar_policy::{EntityTypeName, ParseErrors};
use napi::ValueType;
use napi::bindgen_prelude::{
    Array, Env, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object, Unknown,
};
use napi_derive::napi;
use stagedoor_backstage::{
    AskedPermission, ConditionParam, Criteria, EntityRef, Finding, PermissionCondition,
    PolicyAnswer, PolicyDecision, PolicyEngine, Principal, User,
};

use stagedoor_core::Entity;

use crate::answers::Answers;
use crate::failure::{Failure, Problem, Result, number};
use crate::text::push_text;
use crate::uid::ID_BYTES;

/// The most ownership references that are read.
const REFERENCES: u32 = 10_000;

/// Room for what most users and permissions take.
const KEY_BYTES: usize = 2048;

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

/// Returns groups in Cedar's words.
///
/// # Errors
///
/// `argument::group` for what is no reference.
pub(crate) fn group_entities(groups: Vec<BackstageGroup>) -> Result<Vec<Entity>> {
    let failed = |message: String| Failure::new("argument::group", message);
    let of_type: EntityTypeName =
        "Backstage::Group".parse().map_err(|e: ParseErrors| failed(e.to_string()))?;
    let uid = |reference: &str| match EntityRef::from_str(reference) {
        Ok(reference) => Ok(reference.uid(of_type.clone())),
        Err(error) => Err(failed(error.to_string())),
    };
    let entity = |group: BackstageGroup| {
        let entity = Entity::new(uid(&group.entity_ref)?);
        group.parents.iter().try_fold(entity, |entity, above| Ok(entity.with_parent(uid(above)?)))
    };
    groups.into_iter().map(entity).collect()
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

/// Answers a list of permissions for one user.
///
/// All that JavaScript hands over is read first: a getter may call the engine again.
pub(crate) fn answers<'env>(
    env: &'env Env,
    policy: &PolicyEngine,
    permissions: &[Unknown<'_>],
    user: Option<Unknown<'_>>,
    known: impl FnOnce(
        &mut dyn FnMut(&mut Answers) -> Result<Vec<Object<'env>>>,
    ) -> Result<Vec<Object<'env>>>,
) -> Result<Vec<Object<'env>>> {
    let mut user_key = Vec::with_capacity(KEY_BYTES);
    push_user(user, &mut user_key)?;
    let mut keys = Vec::with_capacity(KEY_BYTES);
    let mut ends = Vec::with_capacity(permissions.len());
    for permission in permissions {
        push_permission(*permission, &mut keys)?;
        ends.push(keys.len());
    }
    known(&mut |known| {
        let principal = known.principal(&user_key, || principal(&user_key));
        let mut start = 0;
        let mut answered = Vec::with_capacity(ends.len());
        for end in &ends {
            let key = keys.get(start..*end).unwrap_or_default();
            start = *end;
            if let Some(answer) = known.answer(env, principal, key)? {
                answered.push(answer);
                continue;
            }
            let (answer, may_keep) = match known.who(principal) {
                Some(Ok(principal)) => {
                    let answer = decide(policy, key, principal);
                    (answer_object(env, &answer)?, policy.may_keep(&answer))
                }
                Some(Err(reason)) => (denial(env, reason, policy.revision())?, true),
                None => (denial(env, "the principal was not kept", policy.revision())?, false),
            };
            if may_keep {
                known.keep(env, principal, key, &answer)?;
            }
            answered.push(answer);
        }
        Ok(answered)
    })
}

/// Reads users; services and whoever cannot be made out are left out.
pub(crate) fn users(users: Unknown<'_>) -> Result<Vec<User>> {
    if !users.is_array()? {
        return Err(Failure::mistyped("users", "an array of {userEntityRef, ownershipEntityRefs}"));
    }
    let array = Array::from_unknown(users)?;
    let mut users = Vec::new();
    for index in 0..array.len() {
        let mut key = Vec::new();
        push_user(Some(array.get_element(index)?), &mut key)?;
        if let Ok(Some(Principal::User(user))) = principal(&key) {
            users.push(user);
        }
    }
    Ok(users)
}

/// Who asks, or why that cannot be told.
pub(crate) type Who = std::result::Result<Option<Principal>, String>;

fn decide(policy: &PolicyEngine, key: &[u8], principal: Option<&Principal>) -> PolicyAnswer {
    let mut parts = Parts(key);
    let mut part = || parts.next().unwrap_or_default();
    let name = part().unwrap_or_default();
    policy.decide(&AskedPermission { name, action: part(), resource_type: part() }, principal)
}

/// Writes down a permission: each part is preceded by its length, so that no two are alike.
fn push_permission(permission: Unknown<'_>, key: &mut Vec<u8>) -> Result<()> {
    if permission.get_type()? != ValueType::Object {
        return Err(Failure::mistyped("permission", "{name, attributes, resourceType}"));
    }
    let permission = Object::from_unknown(permission)?;
    let name: Unknown<'_> = permission.get_c_named_property_unchecked(c"name")?;
    push(name, "`name` of a permission", key)?;
    let attributes: Unknown<'_> = permission.get_c_named_property_unchecked(c"attributes")?;
    match attributes.get_type()? {
        ValueType::Undefined | ValueType::Null => absent(key),
        ValueType::Object => {
            let attributes = Object::from_unknown(attributes)?;
            let action = attributes.get_c_named_property_unchecked(c"action")?;
            push_optional(action, "`attributes.action` of a permission", key)?;
        }
        _ => return Err(Failure::mistyped("`attributes` of a permission", "an object")),
    }
    let resource_type = permission.get_c_named_property_unchecked(c"resourceType")?;
    push_optional(resource_type, "`resourceType` of a permission", key)
}

/// Writes down who asks, in the same way. Nobody is nothing.
fn push_user(user: Option<Unknown<'_>>, key: &mut Vec<u8>) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    match user.get_type()? {
        ValueType::Undefined | ValueType::Null => return Ok(()),
        ValueType::Object => {}
        _ => return Err(Failure::mistyped("user", "{userEntityRef, ownershipEntityRefs}")),
    }
    let user = Object::from_unknown(user)?;
    let reference: Unknown<'_> = user.get_c_named_property_unchecked(c"userEntityRef")?;
    if reference.get_type()? == ValueType::Undefined {
        absent(key);
        let service: Unknown<'_> = user.get_c_named_property_unchecked(c"service")?;
        return push(service, "`userEntityRef` or `service` of a user", key);
    }
    push(reference, "`userEntityRef`", key)?;
    let owned: Unknown<'_> = user.get_c_named_property_unchecked(c"ownershipEntityRefs")?;
    if owned.get_type()? == ValueType::Undefined {
        return Ok(());
    }
    if !owned.is_array()? {
        return Err(Failure::mistyped("`ownershipEntityRefs`", "an array of references"));
    }
    let owned = Array::from_unknown(owned)?;
    if owned.len() > REFERENCES {
        let message = format!("{} ownership references; the limit is {REFERENCES}", owned.len());
        return Err(Failure::new("argument::size", message));
    }
    for index in 0..owned.len() {
        push(owned.get_element(index)?, "one of `ownershipEntityRefs`", key)?;
    }
    Ok(())
}

fn principal(key: &[u8]) -> Who {
    let mut parts = Parts(key);
    let text = |part: Option<Option<&str>>| part.flatten().map(str::to_owned);
    let reference = match parts.next() {
        None => return Ok(None),
        Some(None) => {
            let subject = text(parts.next()).ok_or("there is neither a user nor a service")?;
            return Ok(Some(Principal::Service(subject)));
        }
        Some(Some(reference)) => reference,
    };
    // A reference that cannot be read might be one that a forbid is about.
    let read = |text: &str| EntityRef::from_str(text).map_err(|e| format!("{e}: denied"));
    let user = User::new(read(reference)?);
    let owned = parts.flatten().map(read).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Some(user.with_ownership(owned).into()))
}

/// A length that no text has.
const ABSENT: u32 = u32::MAX;

fn absent(key: &mut Vec<u8>) {
    key.extend_from_slice(&ABSENT.to_le_bytes());
}

fn push(value: Unknown<'_>, what: &str, key: &mut Vec<u8>) -> Result<()> {
    let start = key.len();
    absent(key);
    // Shorter than `ID_BYTES`.
    let length = push_text(value, what, ID_BYTES, key)?;
    let length = u32::try_from(length).unwrap_or(ABSENT - 1);
    if let Some(place) = key.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *place = length.to_le_bytes();
    }
    Ok(())
}

fn push_optional(value: Unknown<'_>, what: &str, key: &mut Vec<u8>) -> Result<()> {
    if value.get_type()? == ValueType::Undefined {
        absent(key);
        return Ok(());
    }
    push(value, what, key)
}

/// The parts of a key: each a text, or none where there was none.
struct Parts<'k>(&'k [u8]);

impl<'k> Iterator for Parts<'k> {
    type Item = Option<&'k str>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == ABSENT {
            self.0 = rest;
            return Some(None);
        }
        let (text, rest) = rest.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(str::from_utf8(text).ok())
    }
}

fn answer_object<'env>(env: &'env Env, answer: &PolicyAnswer) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set_named_property("decision", decision_object(env, answer.decision())?)?;
    object.set_named_property("reasons", frozen_list(env, answer.reasons())?)?;
    object.set_named_property("errors", frozen_list(env, answer.errors())?)?;
    let findings: Vec<Problem> = answer.findings().iter().map(Problem::from).collect();
    object.set_named_property("findings", frozen(env, findings)?)?;
    object.set_named_property("revision", answer.revision())?;
    object.freeze()?;
    Ok(object)
}

/// The answer to somebody who cannot be made out.
fn denial<'env>(env: &'env Env, reason: &str, revision: &str) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set_named_property("decision", decision_object(env, &PolicyDecision::Deny)?)?;
    object.set_named_property("reasons", frozen_list(env, [""; 0])?)?;
    object.set_named_property("errors", frozen_list(env, [reason])?)?;
    object.set_named_property("findings", frozen_list(env, [""; 0])?)?;
    object.set_named_property("revision", revision)?;
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
