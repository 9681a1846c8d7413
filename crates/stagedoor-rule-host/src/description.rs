//! What a rule says of itself.

use serde::{Deserialize, Serialize};
use stagedoor_core::GuardInputs;

use crate::arguments::Schema;
use crate::contract::{Inputs, RuleInfo};
use crate::error::WasmRuleLoadError;

/// The longest name or version that a rule may give itself, in bytes.
const NAME_BYTES: usize = 64;

/// What a rule says of itself: the same each time, so that the cache can keep it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    principal: bool,
    action: bool,
    resource: bool,
    context: bool,
    arguments_schema: String,
}

impl From<RuleInfo> for Description {
    fn from(info: RuleInfo) -> Self {
        let RuleInfo { name, version, inputs, arguments_schema } = info;
        Self {
            name,
            version,
            principal: inputs.contains(Inputs::PRINCIPAL),
            action: inputs.contains(Inputs::ACTION),
            resource: inputs.contains(Inputs::RESOURCE),
            context: inputs.contains(Inputs::CONTEXT),
            arguments_schema,
        }
    }
}

impl Description {
    pub(crate) fn inputs(&self) -> GuardInputs {
        let &Self { principal, action, resource, context, .. } = self;
        GuardInputs { principal, action, resource, context }
    }

    /// Returns the schema of the arguments, if all that the rule says can stand.
    pub(crate) fn checked(&self) -> Result<Schema, WasmRuleLoadError> {
        let wrong = |message: String| WasmRuleLoadError::Description(message);
        let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let name = &self.name;
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(in_name) {
            let name: String = name.escape_debug().take(NAME_BYTES).collect();
            return Err(wrong(format!(
                "invalid name `{name}`: a name has up to {NAME_BYTES} lower-case letters, digits and `-`"
            )));
        }
        let version = &self.version;
        if version.is_empty()
            || version.len() > NAME_BYTES
            || !version.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(wrong(format!(
                "its version must be 1 to {NAME_BYTES} visible characters of ASCII"
            )));
        }
        Schema::parse(&self.arguments_schema)
            .map_err(|e| wrong(format!("the schema of its arguments {e}")))
    }
}
