//! A loaded rule.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stagedoor_core::{Entities, GuardInputs, Request, single_line};
use wasmtime::component::Component;

use crate::arguments::Schema;
use crate::cache::hex;
use crate::call::call;
use crate::compile::compile;
use crate::compiler::Processor;
use crate::contract::LinkedRule;
use crate::description::Description;
use crate::error::{WasmRuleError, WasmRuleLoadError, causes};
use crate::host::RuleHost;
use crate::inspect::{Contents, contents, inspect};
use crate::limits::RuleLimits;
use crate::request::request;
use crate::turns::Turns;

/// The longest deadline that a rule may have.
const LONGEST: Duration = Duration::from_secs(1);
/// So many checked arguments of one rule are remembered.
const CHECKED: usize = 4096;

/// A rule: a component that follows the contract, with its limits.
pub struct WasmRule {
    host: RuleHost,
    prepared: Arc<PreparedRule>,
    limits: RuleLimits,
}

/// A component that was inspected and compiled, and has described itself: the same for all limits,
/// so that it serves until its file changes.
pub(crate) struct PreparedRule {
    component: LinkedRule,
    known: RuleMetadata,
    schema: Schema,
    origin: Origin,
    turns: Turns,
    /// What the rule said of arguments: the same each time.
    checked: Mutex<BTreeMap<String, Result<(), String>>>,
}

/// Where compiled code came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Compiled,
    Cache,
    Precompiled,
}

/// What was found out about a rule when it was compiled.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RuleMetadata {
    /// The SHA-256 of the component.
    digest: String,
    contents: Contents,
    description: Description,
}

/// What a rule answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleVerdict {
    /// Whether it says yes.
    pub holds: bool,
    /// Why, on one line.
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
        let prepared = PreparedRule::new(host, bytes)?;
        Self::with_limits(host, Arc::new(prepared), limits)
    }

    /// Returns a rule of what was prepared.
    pub(crate) fn with_limits(
        host: &RuleHost,
        prepared: Arc<PreparedRule>,
        limits: RuleLimits,
    ) -> Result<Self, WasmRuleLoadError> {
        within_host(&limits, host)?;
        Ok(Self { host: host.clone(), prepared, limits })
    }

    /// Compiles a component for a store of precompiled rules, and returns the name of the entry.
    /// What is there under that name is replaced.
    ///
    /// With `native` it is compiled for this very processor, else for any of its kind.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`WasmRuleLoadError::Store`] if it cannot be written.
    pub fn precompile(
        host: &RuleHost,
        bytes: &[u8],
        native: bool,
        store: impl AsRef<std::path::Path>,
    ) -> Result<String, WasmRuleLoadError> {
        let processor = if native { Processor::Native } else { Processor::Portable };
        let contents = inspect(bytes, &host.config().component)?;
        let (known, _, compiled) = compiled(host, bytes, contents, processor)?;
        crate::precompiled::write(store.as_ref(), bytes, &known, &compiled)
            .map_err(WasmRuleLoadError::Store)
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
    ) -> Result<RuleVerdict, WasmRuleError> {
        let limit = self.limits.input_bytes;
        let (asked, bytes) = request(asked, entities, self.inputs(), arguments, limit)?;
        let limits = self.limits.for_input(bytes, self.host.config().memory_bytes);
        let PreparedRule { component, turns, .. } = &*self.prepared;
        let (given, fuel) = call(&self.host.0, component, turns, &limits, |rule, store| {
            component.evaluate(rule, store, &asked)
        })?;
        let shown = |text: String| cut(single_line(&text), self.limits.reason_bytes);
        let verdict = given.map_err(|message| WasmRuleError::Refused(shown(message)))?;
        Ok(RuleVerdict { holds: verdict.holds, reason: verdict.reason.map(shown), fuel })
    }

    /// Checks arguments against the rule's schema, and lets the rule check them itself.
    ///
    /// # Errors
    ///
    /// What is wrong, and where in the arguments.
    pub fn check_arguments(&self, arguments: &str) -> Result<(), String> {
        let read = serde_json::from_str(arguments)
            .map_err(|e| stagedoor_core::plain_reason(&e.to_string()))?;
        self.prepared.schema.check(&read)?;
        if !self.prepared.component.validates() {
            return Ok(());
        }
        let mut checked = self.prepared.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = checked.get(arguments) {
            return known.clone();
        }
        let limits = self.limits.for_loading();
        let PreparedRule { component, turns, .. } = &*self.prepared;
        let called = call(&self.host.0, component, turns, &limits, |rule, store| {
            component.validate(rule, store, arguments)
        });
        let (answer, _) = called.map_err(|error| format!("the rule cannot check them: {error}"))?;
        let answer = answer.map_err(|reason| cut(single_line(&reason), self.limits.reason_bytes));
        if checked.len() >= CHECKED {
            checked.clear();
        }
        checked.insert(arguments.to_owned(), answer.clone());
        answer
    }

    /// Returns what policies call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.prepared.known.description.name
    }

    /// Returns its version, as it says itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.prepared.known.description.version
    }

    /// Returns the version of the contract that it follows.
    #[must_use]
    pub fn contract(&self) -> &'static str {
        self.prepared.component.version()
    }

    /// Returns what it looks at.
    #[must_use]
    pub fn inputs(&self) -> GuardInputs {
        self.prepared.known.description.inputs()
    }

    /// Returns the JSON schema of its arguments.
    #[must_use]
    pub fn arguments_schema(&self) -> &str {
        self.prepared.schema.text()
    }

    /// Returns arguments that its schema takes.
    #[must_use]
    pub fn sample_arguments(&self) -> String {
        self.prepared.schema.sample().to_string()
    }

    /// Returns its limits.
    #[must_use]
    pub fn limits(&self) -> &RuleLimits {
        &self.limits
    }

    /// Returns the SHA-256 of the component, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.prepared.known.digest
    }

    /// Returns what is in the component.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.prepared.known.contents
    }

    /// Returns whether it was compiled before, and came from the cache.
    #[must_use]
    pub fn from_cache(&self) -> bool {
        self.prepared.origin == Origin::Cache
    }

    /// Returns whether it came from the store of precompiled rules.
    #[must_use]
    pub fn is_precompiled(&self) -> bool {
        self.prepared.origin == Origin::Precompiled
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

impl PreparedRule {
    /// Takes a component from where it was compiled before, or compiles it.
    pub(crate) fn new(host: &RuleHost, bytes: &[u8]) -> Result<Self, WasmRuleLoadError> {
        let shared = &host.0;
        let precompiled = shared.precompiled.as_ref();
        let precompiled = precompiled.and_then(|store| store.get(bytes, &shared.engine));
        let kept = || shared.cache.as_ref().and_then(|cache| cache.get(bytes, &shared.engine));
        let (known, component, origin): (RuleMetadata, Component, Origin) =
            if let Some((known, component)) = precompiled {
                (known, component, Origin::Precompiled)
            } else if let Some((known, component)) = kept() {
                (known, component, Origin::Cache)
            } else {
                let contents = inspect(bytes, &host.config().component)?;
                let (known, component, compiled) =
                    compiled(host, bytes, contents, Processor::Native)?;
                if let Some(cache) = &shared.cache {
                    cache.put(bytes, &known, &compiled);
                }
                (known, component, Origin::Compiled)
            };
        // A host with other limits may have kept it.
        known.contents.within(&host.config().component)?;
        let schema = known.description.checked()?;
        let component = linked(host, &component)?;
        let (turns, checked) = (Turns::new(), Mutex::default());
        Ok(Self { component, known, schema, origin, turns, checked })
    }
}

/// Returns the SHA-256 of a component, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).iter())
}

/// Compiles a component, and lets it describe itself.
fn compiled(
    host: &RuleHost,
    bytes: &[u8],
    contents: Contents,
    processor: Processor,
) -> Result<(RuleMetadata, Component, Vec<u8>), WasmRuleLoadError> {
    let compiled = compile(&host.0, bytes, processor)?;
    // SAFETY: `compile` has these bytes from Wasmtime: in this process, or in a child which it
    // started for them and whose seal it has checked.
    #[expect(unsafe_code, reason = "compiled code comes from the compiler just now")]
    let component = unsafe { Component::deserialize(&host.0.engine, &compiled) };
    let component = component.map_err(|e| WasmRuleLoadError::Compile(causes(&e)))?;
    let description = describe(host, &linked(host, &component)?)?;
    description.checked()?;
    Ok((RuleMetadata { digest: digest(bytes), contents, description }, component, compiled))
}

/// Checks a component against the contract.
fn linked(host: &RuleHost, component: &Component) -> Result<LinkedRule, WasmRuleLoadError> {
    LinkedRule::new(&host.0.linker, component).map_err(WasmRuleLoadError::Contract)
}

fn describe(host: &RuleHost, component: &LinkedRule) -> Result<Description, WasmRuleLoadError> {
    let limits = RuleLimits::default().for_loading();
    let (mut unfit, turns) = (None, Turns::new());
    let described = call(&host.0, component, &turns, &limits, |rule, store| {
        if let Err(error) = component.check_types(rule, store) {
            unfit = Some(causes(&error));
            return Err(error);
        }
        component.describe(rule, store)
    });
    match (described, unfit) {
        (_, Some(unfit)) => Err(WasmRuleLoadError::Contract(unfit)),
        (Ok((info, _)), None) => Ok(info.into()),
        (Err(error), None) => Err(WasmRuleLoadError::Describe(error.to_string(), error)),
    }
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

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn texts_are_cut_between_characters() {
        let cut = |text: &str, limit| cut(text.to_owned(), limit);
        assert_eq!(
            (cut("äbc", 4), cut("äbc", 3), cut("äbc", 1)),
            ("äbc".into(), "äb…".into(), "…".into())
        );
    }
}
