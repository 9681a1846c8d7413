//! Rules as text.

use std::time::Duration;

use anyhow::{Result, anyhow};
use stagedoor_core::{Entities, Request};
use stagedoor_rule_host::{
    Compiler, HostConfig, RuleHost, RuleLimits, WasmRule, WasmRuleError, WasmRuleLoadError,
};

/// A rule of which tests fill in parts.
#[derive(Default)]
pub struct Text<'t> {
    /// Items of the component, before its module.
    pub imports: &'t str,
    /// Items of the module.
    pub core: &'t str,
    /// What it does before it describes itself.
    pub describe: &'t str,
    /// What it does before it says yes.
    pub evaluate: &'t str,
    /// The contract's version.
    pub version: Option<&'t str>,
}

impl Text<'_> {
    pub fn component(&self) -> Result<Vec<u8>> {
        let module = include_str!("module.wat")
            .replace("{core}", self.core)
            .replace("{describe}", self.describe)
            .replace("{evaluate}", self.evaluate);
        let text = include_str!("component.wat")
            .replace("{imports}", self.imports)
            .replace("{module}", &module)
            .replace("{version}", self.version.unwrap_or("0.1.0"));
        Ok(wat::parse_str(text)?)
    }
}

/// Returns a rule that does this when it is asked.
pub fn that_does(evaluate: &str) -> Result<Vec<u8>> {
    Text { evaluate, ..Text::default() }.component()
}

/// Returns a rule with these items, that does this when it is asked.
pub fn with_items(core: &str, evaluate: &str) -> Result<Vec<u8>> {
    Text { core, evaluate, ..Text::default() }.component()
}

pub fn host() -> Result<RuleHost> {
    Ok(RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?)
}

/// Loads a rule with time enough on a machine that does ten other things.
pub fn load(host: &RuleHost, bytes: &[u8]) -> Result<WasmRule, WasmRuleLoadError> {
    let mut limits = RuleLimits::default();
    limits.deadline = Duration::from_secs(1);
    WasmRule::load(host, bytes, limits)
}

pub fn request() -> Result<Request> {
    let uid = |text: &str| text.parse().map_err(|e| anyhow!("{e}"));
    Ok(Request::new(uid(r#"User::"u""#)?, uid(r#"Action::"look""#)?, uid(r#"Thing::"t""#)?))
}

/// Loads a rule and asks it.
pub fn ask(bytes: &[u8]) -> Result<Result<bool, WasmRuleError>> {
    let rule = load(&host()?, bytes)?;
    Ok(rule.evaluate(&request()?, &Entities::empty(), "{}").map(|given| given.holds))
}
