//! A loaded rule.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stagedoor_core::{Entities, GuardInputs, Request};
use wasmtime::component::Component;

use crate::arguments::Schema;
use crate::cache::hex;
use crate::call::{State, call};
use crate::contract::RulePre;
use crate::description::Description;
use crate::error::{WasmRuleError, WasmRuleLoadError, causes};
use crate::host::RuleHost;
use crate::inspect::{Contents, contents, inspect};
use crate::limits::RuleLimits;
use crate::request::request;

/// The longest deadline that a rule may have.
const LONGEST: Duration = Duration::from_secs(1);

/// A rule: a component that follows the contract, with its limits.
pub struct WasmRule {
    host: RuleHost,
    component: RulePre<State>,
    limits: RuleLimits,
    known: Known,
    schema: Schema,
    from_cache: bool,
}

/// What was found out about a rule when it was compiled.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The SHA-256 of the component.
    digest: String,
    contents: Contents,
    description: Description,
}

/// What a rule answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evaluated {
    /// Whether it says yes.
    pub holds: bool,
    /// Why.
    pub reason: Option<String>,
    /// The fuel that the call took: the same for the same request, always.
    pub fuel: u64,
}

impl WasmRule {
    /// Loads a component, and lets it describe itself.
    ///
    /// # Errors
    ///
    /// [`WasmRuleLoadError`] unless it is within the host's limits, imports nothing and
    /// follows the contract.
    pub fn load(
        host: &RuleHost,
        bytes: &[u8],
        limits: RuleLimits,
    ) -> Result<Self, WasmRuleLoadError> {
        within_host(&limits, host)?;
        let kept = host.0.cache.as_ref().and_then(|cache| cache.get(bytes, &host.0.engine));
        let from_cache = kept.is_some();
        let (known, component): (Known, Component) = match kept {
            Some(kept) => kept,
            None => compiled(host, bytes, &limits)?,
        };
        // A host with other limits may have kept it.
        known.contents.within(&host.config().component)?;
        let schema = known.description.checked()?;
        let component = linked(host, &component)?;
        Ok(Self { host: host.clone(), component, limits, known, schema, from_cache })
    }

    /// Returns what is in a component, whether or not it follows the contract.
    ///
    /// # Errors
    ///
    /// [`WasmRuleLoadError`] unless it is a component within the host's limits.
    pub fn contents_of(host: &RuleHost, bytes: &[u8]) -> Result<Contents, WasmRuleLoadError> {
        contents(bytes, &host.config().component)
    }

    /// Answers a request in a fresh instance.
    ///
    /// # Errors
    ///
    /// [`WasmRuleError`] if the rule gives no answer within its limits.
    pub fn evaluate(
        &self,
        asked: &Request,
        entities: &Entities,
        arguments: &str,
    ) -> Result<Evaluated, WasmRuleError> {
        let asked = request(asked, entities, self.inputs(), arguments, self.limits.input_bytes)?;
        let (given, fuel) = call(&self.host.0, &self.component, &self.limits, |rule, store| {
            rule.stagedoor_rule_guard().call_evaluate(store, &asked)
        })?;
        let limit = self.limits.reason_bytes;
        let verdict = given.map_err(|message| WasmRuleError::Refused(cut(message, limit)))?;
        let reason = verdict.reason.map(|reason| cut(reason, limit));
        Ok(Evaluated { holds: verdict.holds, reason, fuel })
    }

    /// Checks arguments against the rule's schema.
    ///
    /// # Errors
    ///
    /// What is wrong, and where in the arguments.
    pub fn check_arguments(&self, arguments: &str) -> Result<(), String> {
        let arguments = serde_json::from_str(arguments)
            .map_err(|e| stagedoor_core::plain_reason(&e.to_string()))?;
        self.schema.check(&arguments)
    }

    /// Returns what policies call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.known.description.name
    }

    /// Returns its version, as it says itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.known.description.version
    }

    /// Returns what it looks at.
    #[must_use]
    pub fn inputs(&self) -> GuardInputs {
        self.known.description.inputs()
    }

    /// Returns the JSON schema of its arguments.
    #[must_use]
    pub fn arguments_schema(&self) -> &str {
        self.schema.text()
    }

    /// Returns its limits.
    #[must_use]
    pub fn limits(&self) -> &RuleLimits {
        &self.limits
    }

    /// Returns the SHA-256 of the component, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.known.digest
    }

    /// Returns what is in the component.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.known.contents
    }

    /// Returns whether it was compiled before, and came from the cache.
    #[must_use]
    pub fn from_cache(&self) -> bool {
        self.from_cache
    }
}

impl fmt::Debug for WasmRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmRule")
            .field("name", &self.name())
            .field("version", &self.version())
            .field("digest", &self.digest())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Compiles a component that follows the contract, lets it describe itself, and keeps it.
fn compiled(
    host: &RuleHost,
    bytes: &[u8],
    limits: &RuleLimits,
) -> Result<(Known, Component), WasmRuleLoadError> {
    let contents = inspect(bytes, &host.config().component)?;
    let component = Component::new(&host.0.engine, bytes)
        .map_err(|e| WasmRuleLoadError::Compile(causes(&e)))?;
    let description = describe(host, &linked(host, &component)?, limits)?;
    description.checked()?;
    let digest = hex(Sha256::digest(bytes).iter());
    let known = Known { digest, contents, description };
    if let Some(cache) = &host.0.cache {
        cache.put(bytes, &known, &component);
    }
    Ok((known, component))
}

/// Checks a component against the contract.
fn linked(host: &RuleHost, component: &Component) -> Result<RulePre<State>, WasmRuleLoadError> {
    let unfit = |e: wasmtime::Error| WasmRuleLoadError::Contract(causes(&e));
    RulePre::new(host.0.linker.instantiate_pre(component).map_err(unfit)?).map_err(unfit)
}

fn describe(
    host: &RuleHost,
    component: &RulePre<State>,
    limits: &RuleLimits,
) -> Result<Description, WasmRuleLoadError> {
    let limits = limits.for_description();
    call(&host.0, component, &limits, |rule, store| {
        rule.stagedoor_rule_guard().call_describe(store)
    })
    .map(|(info, _)| info.into())
    .map_err(|error| WasmRuleLoadError::Describe(error.to_string(), error))
}

/// Checks that limits bound something, and that the pool has room for them.
fn within_host(limits: &RuleLimits, host: &RuleHost) -> Result<(), WasmRuleLoadError> {
    let beyond = |what: String| Err(WasmRuleLoadError::Limits(what));
    let config = host.config();
    if limits.deadline.is_zero() || limits.deadline > LONGEST {
        return beyond(format!("a deadline of {:?} (up to {LONGEST:?})", limits.deadline));
    }
    if limits.fuel == 0 || limits.fuel > 1 << 40 {
        return beyond(format!("fuel of {}", limits.fuel));
    }
    if limits.memory_bytes > config.memory_bytes {
        return beyond(format!(
            "{} bytes of memory (up to {})",
            limits.memory_bytes, config.memory_bytes
        ));
    }
    if limits.table_elements > config.table_elements {
        let (given, limit) = (limits.table_elements, config.table_elements);
        return beyond(format!("{given} elements of tables (up to {limit})"));
    }
    Ok(())
}

/// Cuts a text that is longer than `limit` bytes.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        text.push('…');
    }
    text
}
