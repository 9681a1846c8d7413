//! Why a rule does not load, and why it gives no answer.

use std::error::Error;
use std::time::Duration;

use stagedoor_core::GuardFailure;

use crate::limits::{ComponentLimits, RuleLimits};

/// The cause of an error. Boxed: another version of Wasmtime breaks no caller.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Failure of one call of a rule. Every variant fails closed: a permit it guards is off, a
/// forbid on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum WasmRuleError {
    /// The rule ran past its deadline.
    #[error("it exceeded its deadline of {0:?}")]
    #[diagnostic(
        code(wasm_rule::deadline),
        help("raise `deadlineMs` in the rule's limits, or bound the loop")
    )]
    DeadlineExceeded(Duration),
    /// The rule used up its fuel.
    #[error("it used up its fuel of {0}")]
    #[diagnostic(
        code(wasm_rule::fuel),
        help("raise `fuel` in the rule's limits, or bound the loop")
    )]
    OutOfFuel(u64),
    /// The rule wanted more memory.
    #[error("it asked for more memory than {0} bytes")]
    #[diagnostic(code(wasm_rule::memory), help("raise `memoryBytes` in the rule's limits"))]
    OutOfMemory(usize),
    /// The rule wanted a larger table.
    #[error("it asked for tables of more than {0} elements")]
    #[diagnostic(code(wasm_rule::table), help("raise `tableElements` in the rule's limits"))]
    TableTooLarge(usize),
    /// The rule's calls nested too deep.
    #[error("its calls nested too deep")]
    #[diagnostic(code(wasm_rule::stack), help("bound the recursion"))]
    StackOverflow,
    /// The rule trapped.
    #[error("it trapped: {0}")]
    #[diagnostic(code(wasm_rule::trap), help("a panic traps: return an error instead"))]
    Trapped(String, #[source] Cause),
    /// What the rule gave back is not what the contract says: invalid UTF-8, say.
    #[error("it gave back what the contract does not allow: {0}")]
    #[diagnostic(code(wasm_rule::output))]
    BadOutput(String, #[source] Cause),
    /// The rule gave back too much.
    #[error("it gave back more than {0} bytes")]
    #[diagnostic(code(wasm_rule::output_size), help("raise `outputBytes` in the rule's limits"))]
    OutputTooLarge(usize),
    /// The request is too large for the rule.
    #[error("the request of more than {0} bytes is too large for it")]
    #[diagnostic(code(wasm_rule::input_size), help("raise `inputBytes` in the rule's limits"))]
    InputTooLarge(usize),
    /// The request holds something that the contract cannot tell: a field `__extn`, say.
    #[error("the request cannot be told to it: {0}")]
    #[diagnostic(code(wasm_rule::input))]
    Input(String),
    /// The rule returned an error.
    #[error("{0}")]
    #[diagnostic(code(wasm_rule::error))]
    Refused(String),
    /// So many calls of the rule run and wait that this one would not come to its turn in time.
    #[error("it is busy with other calls, and none ends within {0:?}")]
    #[diagnostic(
        code(wasm_rule::busy),
        help(
            "make the rule faster, or let calls wait longer: `--rule-wait`, `ruleHost.waitMs`; a rule \
             that is slow has `calls` in its limits as well"
        )
    )]
    Busy(Duration),
    /// The rule is still being compiled.
    #[error("it is still being compiled")]
    #[diagnostic(
        code(wasm_rule::compiling),
        help("wait, or precompile it: `stagedoor rule precompile`")
    )]
    Compiling,
    /// An instance could not be made.
    #[error("no instance could be made: {0}")]
    #[diagnostic(code(wasm_rule::instance))]
    NotInstantiated(String, #[source] Cause),
}

impl WasmRuleError {
    /// Returns the stable code, such as `wasm_rule::deadline`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::DeadlineExceeded(_) => "wasm_rule::deadline",
            Self::OutOfFuel(_) => "wasm_rule::fuel",
            Self::OutOfMemory(_) => "wasm_rule::memory",
            Self::TableTooLarge(_) => "wasm_rule::table",
            Self::StackOverflow => "wasm_rule::stack",
            Self::Trapped(..) => "wasm_rule::trap",
            Self::BadOutput(..) => "wasm_rule::output",
            Self::OutputTooLarge(_) => "wasm_rule::output_size",
            Self::Input(_) => "wasm_rule::input",
            Self::InputTooLarge(_) => "wasm_rule::input_size",
            Self::Refused(_) => "wasm_rule::error",
            Self::Busy(_) => "wasm_rule::busy",
            Self::Compiling => "wasm_rule::compiling",
            Self::NotInstantiated(..) => "wasm_rule::instance",
        }
    }
}

impl From<WasmRuleError> for GuardFailure {
    fn from(error: WasmRuleError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// Failure to load a rule.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum WasmRuleLoadError {
    /// The file is too large.
    #[error("the component of {given} bytes is larger than the limit of {limit}")]
    #[diagnostic(
        code(wasm_rule::load::size),
        help("make it smaller, or raise the limit: `--rule-bytes`, `ruleHost.bytes`")
    )]
    TooLarge {
        /// Its size.
        given: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// There is too much in it.
    #[error("the component has {given} {what}, and the limit is {limit}")]
    #[diagnostic(
        code(wasm_rule::load::too_many),
        help("compiling it could take long; split it, or raise the limit: {}", limit_of(what))
    )]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many, as far as it was looked through.
        given: u64,
        /// The most that are accepted.
        limit: u64,
    },
    /// It is a core module.
    #[error("this is a core module, not a component")]
    #[diagnostic(
        code(wasm_rule::load::core_module),
        help(
            "link with `wasm-component-ld`, as the SDK's README says, or wrap it: `wasm-tools component new`"
        )
    )]
    CoreModule,
    /// It is no WebAssembly, or is damaged.
    #[error("this is not a valid component: {0}")]
    #[diagnostic(code(wasm_rule::load::invalid))]
    Invalid(String),
    /// It imports something.
    #[error("the rule imports `{0}`, and a rule imports nothing")]
    #[diagnostic(
        code(wasm_rule::load::import),
        help(
            "a rule has no clock, randomness, files or network: what varies comes in the context"
        )
    )]
    Import(String),
    /// It does not follow the contract.
    #[error("the component does not export `stagedoor:rule/guard`")]
    #[diagnostic(code(wasm_rule::load::no_contract), help("write it with the rule SDK"))]
    NoContract,
    /// It follows another version of the contract.
    #[error("the rule follows `{found}`; this host knows the versions {known}")]
    #[diagnostic(code(wasm_rule::load::contract_version), help("build it with this version's SDK"))]
    ContractVersion {
        /// What it exports.
        found: String,
        /// The versions that are known.
        known: &'static str,
    },
    /// What it exports is not what the contract says.
    #[error("the rule does not fit the contract: {0}")]
    #[diagnostic(code(wasm_rule::load::contract))]
    Contract(String),
    /// It could not be compiled.
    #[error("the rule cannot be compiled: {0}")]
    #[diagnostic(code(wasm_rule::load::compile))]
    Compile(String),
    /// Compiling it took more than is allowed.
    #[error("compiling the rule took more than {0}")]
    #[diagnostic(
        code(wasm_rule::load::compile_limit),
        help(
            "make its functions smaller, or raise the limit: `--rule-compile-seconds`, \
             `--rule-compile-memory`, `ruleHost.compileSeconds`, `ruleHost.compileMemoryMib`"
        )
    )]
    CompileLimit(String),
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    #[diagnostic(code(wasm_rule::load::read))]
    Read(std::io::Error),
    /// What was compiled cannot be written to its store.
    #[error("the compiled rule cannot be written")]
    #[diagnostic(code(wasm_rule::load::store))]
    Store(#[source] std::io::Error),
    /// It is not the component that is meant.
    #[error("the component has the digest sha256:{found}, but {by} pins sha256:{pinned}")]
    #[diagnostic(
        code(wasm_rule::load::digest),
        help(
            "put the pinned component back, or look at what changed and write the lock again: `stagedoor rule lock`"
        )
    )]
    Digest {
        /// The digest of the component.
        found: String,
        /// The digest that it should have.
        pinned: String,
        /// Who says so.
        by: String,
    },
    /// The lock does not name it.
    #[error("rule `{rule}` (sha256:{found}) is not in {by}, which pins all rules")]
    #[diagnostic(
        code(wasm_rule::load::unlocked),
        help("write the lock again: `stagedoor rule lock`")
    )]
    Unlocked {
        /// What the rule calls itself.
        rule: String,
        /// The digest of the component.
        found: String,
        /// The lock.
        by: String,
    },
    /// There is nothing that compiles it.
    #[error("the rule is not compiled yet, and this process has nothing to compile it with")]
    #[diagnostic(
        code(wasm_rule::load::no_compiler),
        help(
            "compile it before with `stagedoor rule precompile`, by this version, and name the \
             directory: `--precompiled-rules`, `ruleHost.precompiled`"
        )
    )]
    NoCompiler,
    /// The process that compiles could not be started, or ended in a way that it never should.
    #[error("the compiler does not work: {0}")]
    #[diagnostic(
        code(wasm_rule::load::compiler),
        help(
            "where no process can be started, compile rules before with `stagedoor rule precompile`, \
             and name the directory: `--precompiled-rules`, `ruleHost.precompiled`"
        )
    )]
    Compiler(String),
    /// It could not be described.
    #[error("the rule cannot describe itself: {0}")]
    #[diagnostic(code(wasm_rule::load::describe))]
    Describe(String, #[source] WasmRuleError),
    /// What it says of itself is wrong.
    #[error("the rule describes itself wrongly: {0}")]
    #[diagnostic(code(wasm_rule::load::description))]
    Description(String),
    /// Its limits are beyond the host's.
    #[error("the rule may not have {0}, which is beyond the host's limit")]
    #[diagnostic(
        code(wasm_rule::load::limits),
        help(
            "lower it in the rule's limits; memory may be more with `--rule-memory`, `ruleHost.memoryMib`"
        )
    )]
    Limits(String),
}

impl WasmRuleLoadError {
    pub(crate) fn too_large(given: u64, limits: &ComponentLimits) -> Self {
        Self::TooLarge { given, limit: limits.bytes as u64 }
    }

    /// Returns whether the same component may load at another time.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::NoCompiler | Self::Compiler(_))
    }

    /// The parser tells of bytes on many lines.
    pub(crate) fn invalid(error: &wasmparser::BinaryReaderError) -> Self {
        let told = error.to_string();
        Self::Invalid(told.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// Names the setting that bounds how many of these there may be.
fn limit_of(what: &str) -> &'static str {
    match what {
        "modules" => "`--rule-modules`, `ruleHost.modules`",
        "levels of nesting" | "elements in one table" => {
            "`HostConfig::component` of a program of your own"
        }
        _ => "`--rule-compile-seconds`, `ruleHost.compileSeconds`",
    }
}

/// Returns an error and its causes as one line.
pub(crate) fn causes(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        // What a trap's backtrace would add is no business of a log line.
        let part = part.lines().next().unwrap_or_default();
        if part.starts_with("error while executing at wasm backtrace") || text.ends_with(part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(part);
    }
    text
}

/// A resource that a rule asked for beyond its limit, as the store reports it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum LimitExceeded {
    #[error("memory beyond the limit")]
    Memory,
    #[error("tables beyond the limit")]
    Table,
}

impl LimitExceeded {
    pub(crate) fn error(self, limits: &RuleLimits) -> WasmRuleError {
        match self {
            Self::Memory => WasmRuleError::OutOfMemory(limits.memory_bytes),
            Self::Table => WasmRuleError::TableTooLarge(limits.table_elements),
        }
    }
}

/// Failure to load rules. None of them is used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmRulesError {
    /// A file or the directory cannot be read.
    #[error("`{0}` cannot be read")]
    Io(String, #[source] std::io::Error),
    /// There are no rules in the directory.
    #[error("there are no rules (`*.wasm`) in `{0}`")]
    Empty(String),
    /// A component is no rule.
    #[error("`{file}`: {error}")]
    Rule {
        /// The file.
        file: String,
        /// Why.
        error: WasmRuleLoadError,
    },
    /// The limits of a rule cannot be read.
    #[error("`{file}` has no limits of a rule: {reason}")]
    Limits {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// What pins the rules cannot be read.
    #[error("`{file}` does not pin rules: {reason}")]
    Lock {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_names_what_raises_it() {
        for (what, setting) in [
            ("modules", "`--rule-modules`"),
            ("levels of nesting", "`HostConfig::component`"),
            ("elements in one table", "`HostConfig::component`"),
            ("functions", "`--rule-compile-seconds`"),
        ] {
            let error = WasmRuleLoadError::TooMany { what, given: 2, limit: 1 };
            let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
            assert!(help.as_ref().is_some_and(|help| help.contains(setting)), "{what}: {help:?}");
        }
    }

    #[test]
    fn causes_are_one_line_and_each_is_told_once() {
        let error = wasmtime::Error::msg("the end\nwith more").context("the end\nwith more");
        assert_eq!(causes(&error.context("it failed")), "it failed: the end");
    }

    #[test]
    fn only_a_want_of_processes_passes() {
        assert!(WasmRuleLoadError::NoCompiler.is_passing());
        assert!(WasmRuleLoadError::Compiler("no".to_owned()).is_passing());
        assert!(!WasmRuleLoadError::Compile("no".to_owned()).is_passing());
    }
}
