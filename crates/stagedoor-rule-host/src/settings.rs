//! What operators set of a host, the same by the command, the addon and Backstage's module.

use std::error::Error as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::compiler::Compiler;
use crate::host::{HostConfig, HostError, RuleHost};
use crate::limits::ComponentLimits;

const MIB: u64 = 1 << 20;

/// What is set of a host; what is left out keeps its default.
///
/// The command calls them `--rule-bytes`, `--rule-compile-seconds` and so on, `@stagedoor/node` and
/// Backstage's module `ruleHost.bytes`, `ruleHost.compileSeconds`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostSettings {
    /// The largest file of a rule, in bytes (16 MiB).
    pub bytes: Option<u64>,
    /// Modules in it (16).
    pub modules: Option<u64>,
    /// Processor time to compile one rule, in seconds (2). How much may be in it grows with this.
    pub compile_seconds: Option<u64>,
    /// Memory to compile one rule, in MiB (256).
    pub compile_memory_mib: Option<u64>,
    /// The largest memory that a rule may be allowed, in MiB (32).
    pub memory_mib: Option<u64>,
    /// Calls of rules at the same time (16).
    pub concurrency: Option<u64>,
    /// The longest that a call waits for its turn, in milliseconds (20).
    pub wait_ms: Option<u64>,
    /// A directory of this user's own for compiled rules (`stagedoor/rules` in the user's cache).
    pub cache: Option<PathBuf>,
    /// A directory of rules that were compiled before, which is trusted as this program is.
    pub precompiled: Option<PathBuf>,
    /// Compile nothing: only rules of `precompiled` and `cache` load.
    pub precompiled_only: bool,
}

impl HostSettings {
    /// Returns the configuration of a host, whose rules this compiles.
    ///
    /// # Errors
    ///
    /// [`HostError::Setting`] for one that is out of its range, or does not go with another.
    pub fn config(&self, compiler: Compiler) -> Result<HostConfig, HostError> {
        let mut config = HostConfig::default();
        if let Some(seconds) =
            within(("compileSeconds", "rule-compile-seconds"), self.compile_seconds, 1..=3600)?
        {
            config.compile.processor_time = Duration::from_secs(seconds);
            config.component = for_seconds(&config.component, seconds);
        }
        if let Some(mib) = within(
            ("compileMemoryMib", "rule-compile-memory"),
            self.compile_memory_mib,
            64..=65_536,
        )? {
            config.compile.memory_bytes = mib * MIB;
        }
        if let Some(bytes) = within(("bytes", "rule-bytes"), self.bytes, 1..=1024 * MIB)? {
            config.component.bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(modules) = within(("modules", "rule-modules"), self.modules, 1..=1000)? {
            config.component.modules = modules;
        }
        if let Some(mib) = within(("memoryMib", "rule-memory"), self.memory_mib, 1..=1024)? {
            config.memory_bytes = usize::try_from(mib * MIB).unwrap_or(usize::MAX);
        }
        if let Some(calls) =
            within(("concurrency", "rule-concurrency"), self.concurrency, 1..=1024)?
        {
            config.concurrency = usize::try_from(calls).unwrap_or(1);
        }
        if let Some(ms) = within(("waitMs", "rule-wait"), self.wait_ms, 0..=60_000)? {
            config.acquire_timeout = Duration::from_millis(ms);
        }
        config.precompiled.clone_from(&self.precompiled);
        config.cache.clone_from(&self.cache);
        if self.precompiled_only {
            if self.precompiled.is_none() && self.cache.is_none() {
                let message = "`ruleHost.precompiledOnly` needs `ruleHost.precompiled`, a directory \
                               that `stagedoor rule precompile` has written";
                return Err(HostError::Setting(message.to_owned()));
            }
        } else {
            config.compiler = compiler;
            config.cache = config.cache.or_else(HostConfig::user_cache);
        }
        Ok(config)
    }

    /// Makes a host. Where the user's cache cannot be used, and none is named, it goes on without:
    /// then it also returns why compiled rules are not kept.
    ///
    /// # Errors
    ///
    /// [`HostError`] as [`RuleHost::new`], and for settings that cannot be.
    pub fn host(&self, compiler: Compiler) -> Result<(RuleHost, Option<String>), HostError> {
        let mut config = self.config(compiler)?;
        let unkept = match RuleHost::new(&config) {
            // A home that cannot be written, or is another's.
            Err(HostError::Cache(error)) if self.cache.is_none() => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                format!("{error}{cause}")
            }
            Ok(host) if config.cache.is_some() || self.precompiled_only => return Ok((host, None)),
            Ok(_) => "the environment names no home for a cache".to_owned(),
            Err(error) => return Err(error),
        };
        config.cache = None;
        let host = RuleHost::new(&config)?;
        // Nothing is compiled at each start that is in the store.
        Ok((host, self.precompiled.is_none().then_some(unkept)))
    }
}

/// What a component may be that takes so long to compile: as much more as it takes longer.
fn for_seconds(limits: &ComponentLimits, seconds: u64) -> ComponentLimits {
    /// What the limits are made for.
    const SECONDS: u64 = 2;
    let more = |limit: u64| limit.max(limit.saturating_mul(seconds) / SECONDS);
    ComponentLimits {
        functions: more(limits.functions),
        types: more(limits.types),
        code_bytes: more(limits.code_bytes),
        function_bytes: more(limits.function_bytes),
        locals: more(limits.locals),
        blocks: more(limits.blocks),
        branch_targets: more(limits.branch_targets),
        exports: more(limits.exports),
        segments: more(limits.segments),
        type_bytes: more(limits.type_bytes),
        ..limits.clone()
    }
}

/// Returns a setting if it is in its range. It has a name for programs, and one for the command.
fn within(
    (name, flag): (&str, &str),
    given: Option<u64>,
    range: RangeInclusive<u64>,
) -> Result<Option<u64>, HostError> {
    match given {
        Some(given) if !range.contains(&given) => {
            let (least, most) = (range.start(), range.end());
            Err(HostError::Setting(format!(
                "`ruleHost.{name}` (`--{flag}` of the command) is {given}, and may be from {least} \
                 to {most}"
            )))
        }
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_heard_within_its_range() -> Result<(), Box<dyn std::error::Error>> {
        let settings = HostSettings {
            bytes: Some(10),
            modules: Some(11),
            compile_seconds: Some(4),
            compile_memory_mib: Some(64),
            memory_mib: Some(12),
            concurrency: Some(13),
            wait_ms: Some(14),
            precompiled: Some("compiled".into()),
            precompiled_only: true,
            ..HostSettings::default()
        };
        let config = settings.config(Compiler::InProcess)?;
        let (limits, standard) = (&config.component, ComponentLimits::default());
        assert_eq!((limits.bytes, limits.modules), (10, 11));
        assert_eq!(config.compile.processor_time, Duration::from_secs(4));
        assert_eq!(config.compile.memory_bytes, 64 << 20);
        assert_eq!((config.memory_bytes, config.concurrency), (12 << 20, 13));
        assert_eq!(config.acquire_timeout, Duration::from_millis(14));
        assert_eq!(config.precompiled, settings.precompiled);
        // Twice the time, twice as much of what takes it, and no more of what does not.
        let twice = [
            (limits.functions, standard.functions),
            (limits.types, standard.types),
            (limits.type_bytes, standard.type_bytes),
            (limits.code_bytes, standard.code_bytes),
            (limits.function_bytes, standard.function_bytes),
            (limits.locals, standard.locals),
            (limits.blocks, standard.blocks),
            (limits.branch_targets, standard.branch_targets),
            (limits.exports, standard.exports),
            (limits.segments, standard.segments),
        ];
        assert!(twice.iter().all(|(now, before)| *now == 2 * before), "{twice:?}");
        assert_eq!(
            (limits.nesting, limits.table_elements),
            (standard.nesting, standard.table_elements)
        );
        // Less time never allows less than the standard does.
        let shorter = HostSettings { compile_seconds: Some(1), ..settings.clone() };
        assert_eq!(shorter.config(Compiler::InProcess)?.component.functions, standard.functions);

        let nowhere = HostSettings { precompiled: None, ..settings.clone() };
        let error = nowhere.config(Compiler::InProcess).err().map(|e| e.to_string());
        assert!(error.is_some_and(|error| error.contains("precompiledOnly")));
        for (wrong, says) in [
            (HostSettings { bytes: Some(0), ..settings.clone() }, "`ruleHost.bytes`"),
            (HostSettings { modules: Some(1001), ..settings.clone() }, "from 1 to 1000"),
            (HostSettings { compile_memory_mib: Some(63), ..settings.clone() }, "is 63"),
            (HostSettings { wait_ms: Some(60_001), ..settings }, "`--rule-wait`"),
        ] {
            let error = wrong.config(Compiler::InProcess).err().map(|e| e.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{says}: {error:?}");
        }
        Ok(())
    }
}
