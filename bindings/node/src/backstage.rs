//! Backstage's permission policy in JavaScript.

use napi::ValueType;
use napi::bindgen_prelude::{
    Array, Env, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object, Unknown,
};
use napi_derive::napi;
use stagedoor_backstage::{
    ConditionParam, Criteria, EntityRefError, Permission, PermissionCondition, PermissionQuery,
    PolicyAnswer, PolicyDecision, PolicyEngine, Principal, User,
};
use stagedoor_wire::{
    BackstageGroup, BackstageOwner, BackstagePermission, BackstageUser, PermissionAttributes,
    Problem,
};

use crate::failure::{Failure, Result};
use crate::keys;
use crate::text::text;
use crate::uid::ID_BYTES;

/// The most ownership references that are read.
const REFERENCES: u32 = 10_000;

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

/// Who asks, or why that cannot be told.
pub(crate) type Who = std::result::Result<Option<Principal>, EntityRefError>;

/// Answers a permission for a user.
pub(crate) fn answer<'env>(
    env: &'env Env,
    policy: &PolicyEngine,
    permission: &BackstagePermission,
    who: &Who,
) -> Result<Object<'env>> {
    match who {
        Ok(principal) => {
            let answer = policy.decide(&query(permission), principal.as_ref());
            answer_object(env, &answer, policy.may_keep(&answer))
        }
        Err(error) => answer_object(env, &policy.refuse_user(error), true),
    }
}

/// Returns what is asked, in the engine's words.
pub(crate) fn query(permission: &BackstagePermission) -> PermissionQuery<'_> {
    let attributes = permission.attributes.as_ref();
    PermissionQuery {
        name: &permission.name,
        action: attributes.and_then(|attributes| attributes.action.as_deref()),
        resource_type: permission.resource_type.as_deref(),
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

/// Reads a permission. Keys that are not known are left alone: Backstage's own has some.
pub(crate) fn permission(permission: Unknown<'_>) -> Result<BackstagePermission> {
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
    let attributes = Some(PermissionAttributes { action });
    Ok(BackstagePermission { name, attributes, resource_type })
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
    keys::check(&user, &["userEntityRef", "ownershipEntityRefs", "service"])
        .map_err(|e| e.within(|| "user".to_owned()))?;
    let Some(reference) = optional(reference, "`userEntityRef`")? else {
        let service = user.get_c_named_property_unchecked(c"service")?;
        let subject = text(service, "`userEntityRef` or `service` of a user", ID_BYTES)?;
        return Ok(Ok(Some(Principal::Service(subject))));
    };
    let owned = user.get_c_named_property_unchecked(c"ownershipEntityRefs")?;
    let user = BackstageUser {
        user_entity_ref: Some(reference),
        ownership_entity_refs: references(owned)?,
        service: None,
    };
    Ok(Principal::from_wire(user).map(Some))
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

/// Reads groups.
pub(crate) fn groups(groups: Unknown<'_>) -> Result<Vec<BackstageGroup>> {
    let mistyped = |what: &str| Failure::mistyped(what, "an array of {entityRef, parents}");
    if !groups.is_array()? {
        return Err(mistyped("groups"));
    }
    let array = Array::from_unknown(groups)?;
    let group = |index: u32| -> Result<BackstageGroup> {
        let group: Unknown<'_> = array.get_element(index)?;
        let place = format!("groups[{index}]");
        if group.get_type()? != ValueType::Object {
            return Err(mistyped(&place));
        }
        let group = Object::from_unknown(group)?;
        let entity_ref = group.get_c_named_property_unchecked(c"entityRef")?;
        let entity_ref = text(entity_ref, "`entityRef` of a group", ID_BYTES)?;
        let parents: Unknown<'_> = group.get_c_named_property_unchecked(c"parents")?;
        if !parents.is_array()? {
            return Err(Failure::mistyped("`parents` of a group", "an array of references"));
        }
        let parents = Array::from_unknown(parents)?;
        let one = |n| text(parents.get_element(n)?, "one of `parents`", ID_BYTES);
        let parents = (0..parents.len()).map(one).collect::<Result<Vec<_>>>()?;
        keys::check(&group, &["entityRef", "parents"]).map_err(|e| e.within(|| place))?;
        Ok(BackstageGroup { entity_ref, parents })
    };
    (0..array.len()).map(group).collect()
}

/// Reads how many entities owners have.
pub(crate) fn owners(owners: Unknown<'_>) -> Result<Vec<BackstageOwner>> {
    let mistyped = |what: &str| Failure::mistyped(what, "an array of {entityRef, count}");
    if !owners.is_array()? {
        return Err(mistyped("owners"));
    }
    let array = Array::from_unknown(owners)?;
    let owner = |index: u32| -> Result<BackstageOwner> {
        let owner: Unknown<'_> = array.get_element(index)?;
        let place = format!("owners[{index}]");
        if owner.get_type()? != ValueType::Object {
            return Err(mistyped(&place));
        }
        let owner = Object::from_unknown(owner)?;
        let entity_ref = owner.get_c_named_property_unchecked(c"entityRef")?;
        let entity_ref = text(entity_ref, "`entityRef` of an owner", ID_BYTES)?;
        let count: Unknown<'_> = owner.get_c_named_property_unchecked(c"count")?;
        if count.get_type()? != ValueType::Number {
            return Err(Failure::mistyped("`count` of an owner", "a number"));
        }
        let count = u32::from_unknown(count)?;
        keys::check(&owner, &["entityRef", "count"]).map_err(|e| e.within(|| place))?;
        Ok(BackstageOwner { entity_ref, count })
    };
    (0..array.len()).map(owner).collect()
}

fn optional(value: Unknown<'_>, what: &str) -> Result<Option<String>> {
    if value.get_type()? == ValueType::Undefined {
        return Ok(None);
    }
    text(value, what, ID_BYTES).map(Some)
}

pub(crate) fn answer_object<'env>(
    env: &'env Env,
    answer: &PolicyAnswer,
    may_keep: bool,
) -> Result<Object<'env>> {
    let mut object = Object::new(env)?;
    object.set_named_property("decision", decision_object(env, answer.decision())?)?;
    object.set_named_property("reasons", frozen_list(env, answer.reasons())?)?;
    object.set_named_property("errors", frozen_list(env, answer.errors())?)?;
    let findings = answer.findings().iter().map(|finding| -> Result<Object<'env>> {
        let mut finding = Object::from_unknown(env.to_js_value(&Problem::from(finding))?)?;
        finding.freeze()?;
        Ok(finding)
    });
    let findings = findings.collect::<Result<Vec<_>>>()?;
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
