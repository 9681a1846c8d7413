//! What an engine is made of, as JavaScript says it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use napi::ValueType;
use napi::bindgen_prelude::{
    Array, FromNapiValue as _, JsObjectValue as _, JsValue as _, Object, Unknown,
};
use napi_derive::napi;
use stagedoor_backstage::Budget;
use stagedoor_core::Limits;
use stagedoor_distribution::SignedSet;
use stagedoor_rule_host::HostSettings;

use crate::failure::{Failure, Result};
use crate::keys;

/// What an engine is made of. At least one of `directory`, `files` and `texts` is needed.
#[napi(object, object_to_js = false)]
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// A directory of which all `*.cedar`, `*.cedar.json`, `*.cedarschema` and
    /// `*.cedarschema.json` are read, below it too.
    pub directory: Option<String>,
    /// Such files.
    pub files: Option<Vec<String>>,
    /// Such files as texts.
    pub texts: Option<Vec<SourceText>>,
    /// A bundle, as `stagedoor bundle` writes it, in place of a directory and files.
    pub bundle: Option<String>,
    /// Whose words the policies use. `backstage` adds Backstage's schema and the permissions
    /// in the directory's `*.permissions.yaml`, and is needed for `decideBackstage`; `kubernetes`
    /// adds Kubernetes' schema, and is needed for `reviewAccess`.
    #[napi(ts_type = "'backstage' | 'kubernetes'")]
    pub platform: Option<String>,
    /// How many of Backstage's answers are kept (20,000).
    pub cache_size: Option<u32>,
    /// How large Backstage's conditions may be; larger ones are cut, with a finding.
    pub budget: Option<ConditionBudget>,
    /// A directory of custom rules in WebAssembly (`*.wasm`), which policies name in `@guard`.
    /// Reloads read it again.
    pub rules: Option<String>,
    /// What rules may be, what compiling them may take, and where compiled ones are.
    pub rule_host: Option<RuleHostOptions>,
    /// Other limits than the default ones on what is loaded and decided about, such as
    /// `{policyBytes: 131072}`: the names and numbers are those of `--limits` of the command.
    #[napi(ts_type = "Partial<Record<'fileBytes' | 'policyBytes' | 'policies' | 'nesting' | \
                   'operators' | 'schemaParts' | 'validationSteps' | 'entities' | 'ancestors' | \
                   'memberships' | 'stringBytes' | 'problems', number>>")]
    pub limits: Option<HashMap<String, f64>>,
    /// Decide exactly as Cedar does: without a schema, and with a `forbid` that cannot be
    /// evaluated left out. For conformance tests.
    pub exact_cedar: Option<bool>,
    /// What plugins of a running Backstage tell of their permissions: those that are not known
    /// are added. Only for the platform `backstage`.
    pub plugins: Option<Vec<PluginMetadata>>,
}

/// What rules may be, what compiling them may take, and where compiled ones are. What is left out
/// keeps its default. How much a call may use stands beside each rule, in `NAME.limits.json`.
#[napi(object, object_to_js = false)]
#[derive(Debug, Clone, Default)]
pub struct RuleHostOptions {
    /// The largest file of a rule, in bytes (16,777,216).
    pub bytes: Option<f64>,
    /// Modules that the component of a rule may have (16).
    pub modules: Option<f64>,
    /// Processor time to compile one rule, in seconds (2); with more, a rule may have as many times
    /// more code as well.
    pub compile_seconds: Option<f64>,
    /// Memory to compile one rule, in MiB (256).
    pub compile_memory_mib: Option<f64>,
    /// The largest memory that the limits of a rule may allow it, in MiB (32).
    pub memory_mib: Option<f64>,
    /// Calls of rules at the same time (16).
    pub concurrency: Option<f64>,
    /// The longest that a call waits for its turn, in milliseconds (20).
    pub wait_ms: Option<f64>,
    /// A directory of this user's own where compiled rules are kept (`stagedoor/rules` in the
    /// user's cache).
    pub cache: Option<String>,
    /// A directory of rules that `stagedoor rule precompile` has compiled, which only root and this
    /// user may write: its code is run as it stands.
    pub precompiled: Option<String>,
    /// Compile nothing, and start no process for it: only rules of `precompiled` load.
    pub precompiled_only: Option<bool>,
}

const RULE_HOST: [&str; 10] = [
    "bytes",
    "modules",
    "compileSeconds",
    "compileMemoryMib",
    "memoryMib",
    "concurrency",
    "waitMs",
    "cache",
    "precompiled",
    "precompiledOnly",
];

impl RuleHostOptions {
    fn checked(self) -> Result<HostSettings> {
        let mut settings = HostSettings::default();
        settings.bytes = whole("bytes", self.bytes)?;
        settings.modules = whole("modules", self.modules)?;
        settings.compile_seconds = whole("compileSeconds", self.compile_seconds)?;
        settings.compile_memory_mib = whole("compileMemoryMib", self.compile_memory_mib)?;
        settings.memory_mib = whole("memoryMib", self.memory_mib)?;
        settings.concurrency = whole("concurrency", self.concurrency)?;
        settings.wait_ms = whole("waitMs", self.wait_ms)?;
        settings.cache = self.cache.map(PathBuf::from);
        settings.precompiled = self.precompiled.map(PathBuf::from);
        settings.precompiled_only = self.precompiled_only.unwrap_or(false);
        Ok(settings)
    }
}

/// Returns a number without fraction and sign; whether it is in its range is the host's to say.
fn whole(name: &str, number: Option<f64>) -> Result<Option<u64>> {
    match number {
        None => Ok(None),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, and neither below nor beyond"
        )]
        Some(number) if number.fract() == 0.0 && (0.0..=9e15).contains(&number) => {
            Ok(Some(number as u64))
        }
        Some(_) => {
            let message = format!("`{name}` is not a whole number from 0");
            Err(Failure::new("argument::option", message).within(|| "ruleHost".to_owned()))
        }
    }
}

/// What a plugin of a running Backstage tells of its permissions and rules.
#[napi(object, object_to_js = false)]
#[derive(Debug, Clone)]
pub struct PluginMetadata {
    /// The plugin's id.
    pub plugin_id: String,
    /// What `/.well-known/backstage/permissions/metadata` of the plugin answers: JSON.
    pub metadata: String,
}

/// Bounds on the conditions of one answer. What is left out keeps its default.
#[napi(object, object_to_js = false)]
#[derive(Debug, Clone, Copy, Default)]
pub struct ConditionBudget {
    /// The most rules (64).
    pub leaves: Option<u32>,
    /// How deep rules may nest (16).
    pub depth: Option<u32>,
    /// The most bytes of the conditions as JSON (1,647).
    pub bytes: Option<u32>,
}

impl ConditionBudget {
    pub(crate) fn checked(self) -> Budget {
        let default = Budget::default();
        let or = |given: Option<u32>, default: usize| given.map_or(default, |n| n as usize);
        Budget {
            leaves: or(self.leaves, default.leaves),
            depth: or(self.depth, default.depth),
            bytes: or(self.bytes, default.bytes),
        }
    }
}

/// A policy file or schema that is given as text.
#[napi(object, object_to_js = false)]
#[derive(Debug, Clone)]
pub struct SourceText {
    /// Its name in messages; the ending tells what it is, as for files.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Whose words policies use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    Backstage,
    Kubernetes,
}

/// Options that were read.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) texts: Vec<SourceText>,
    pub(crate) bundle: Option<PathBuf>,
    /// In place of all of these: a release that a replica has.
    pub(crate) release: Option<Arc<SignedSet>>,
    pub(crate) platform: Option<Platform>,
    pub(crate) cache_size: u32,
    pub(crate) budget: Budget,
    pub(crate) rules: Option<PathBuf>,
    pub(crate) rule_host: HostSettings,
    pub(crate) limits: Limits,
    pub(crate) exact: bool,
    pub(crate) plugins: Vec<stagedoor_backstage::PluginMetadata>,
}

const NAMES: [&str; 12] = [
    "directory",
    "files",
    "texts",
    "bundle",
    "platform",
    "cacheSize",
    "budget",
    "rules",
    "ruleHost",
    "limits",
    "exactCedar",
    "plugins",
];

/// Answers that are kept unless `cacheSize` says otherwise.
const CACHED: u32 = 20_000;

impl Options {
    /// Reads options.
    ///
    /// # Errors
    ///
    /// `argument::option` for a name that is not known: misspelt options would be left out
    /// in silence.
    pub(crate) fn read(value: Unknown<'_>) -> Result<Self> {
        Self::read_as(value, false)
    }

    /// Reads options of what is loaded as a replica's release, which is added afterwards.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) fn read_beside_release(value: Unknown<'_>) -> Result<Self> {
        Self::read_as(value, true)
    }

    fn read_as(value: Unknown<'_>, is_release: bool) -> Result<Self> {
        if value.get_type()? != ValueType::Object {
            return Err(Failure::mistyped("options", "an object, such as {directory: 'policies'}"));
        }
        let object = Object::from_unknown(value)?;
        let as_option = |failure: Failure| failure.with_code("argument::option");
        keys::check(&object, &NAMES).map_err(|e| as_option(e).within(|| "options".to_owned()))?;
        let mistyped = |error: napi::Error| {
            Failure::new("argument::type", format!("options: {}", error.reason))
        };
        let field =
            |name: &str| -> Result<Unknown<'_>> { Ok(object.get_named_property_unchecked(name)?) };
        // Each by itself, so that the message names the one that is wrong.
        for (name, expected, fits) in [
            ("directory", ValueType::String, "a path"),
            ("files", ValueType::Object, "a list of paths"),
            ("texts", ValueType::Object, "a list of {name, text}"),
            ("bundle", ValueType::String, "a path"),
            ("platform", ValueType::String, "'backstage' or 'kubernetes'"),
            ("cacheSize", ValueType::Number, "a number"),
            ("budget", ValueType::Object, "{leaves, depth, bytes}"),
            ("rules", ValueType::String, "a path"),
            ("ruleHost", ValueType::Object, "an object, such as {compileSeconds: 5}"),
            ("limits", ValueType::Object, "an object, such as {policyBytes: 131072}"),
            ("exactCedar", ValueType::Boolean, "true or false"),
            ("plugins", ValueType::Object, "a list of {pluginId, metadata}"),
        ] {
            let given = field(name)?.get_type()?;
            if given != expected && given != ValueType::Undefined {
                return Err(Failure::mistyped(&format!("`{name}`"), fits));
            }
        }
        for (name, known) in
            [("budget", ["leaves", "depth", "bytes"].as_slice()), ("ruleHost", &RULE_HOST)]
        {
            let given = field(name)?;
            if given.get_type()? == ValueType::Object {
                let checked = keys::check(&Object::from_unknown(given)?, known);
                checked.map_err(|e| as_option(e).within(|| name.to_owned()))?;
            }
        }
        let texts = field("texts")?;
        if texts.is_array()? {
            let texts = Array::from_unknown(texts)?;
            for index in 0..texts.len() {
                let text: Unknown<'_> = texts.get_element(index)?;
                if text.get_type()? == ValueType::Object {
                    let checked = keys::check(&Object::from_unknown(text)?, &["name", "text"]);
                    checked.map_err(|e| as_option(e).within(|| format!("texts[{index}]")))?;
                }
            }
        }
        Self::checked(EngineOptions::from_unknown(value).map_err(mistyped)?, is_release)
    }

    fn checked(options: EngineOptions, is_release: bool) -> Result<Self> {
        let EngineOptions {
            directory,
            files,
            texts,
            bundle,
            platform,
            cache_size,
            budget,
            rules,
            rule_host,
            limits,
            exact_cedar,
            plugins,
        } = options;
        let platform = match platform.as_deref() {
            None => None,
            Some("backstage") => Some(Platform::Backstage),
            Some("kubernetes") => Some(Platform::Kubernetes),
            Some(other) => {
                let message = format!("`platform` is `{other}`, which is not known");
                return Err(Failure::new("argument::option", message)
                    .with_help("leave it out, or write 'backstage' or 'kubernetes'"));
            }
        };
        let backstage = platform == Some(Platform::Backstage);
        let (files, texts) = (files.unwrap_or_default(), texts.unwrap_or_default());
        let none = directory.is_none() && files.is_empty() && texts.is_empty();
        if bundle.is_some() && !(directory.is_none() && files.is_empty()) {
            let message = "`bundle` stands in place of `directory` and `files`: leave them out";
            return Err(Failure::new("argument::option", message));
        }
        if is_release && !(directory.is_none() && files.is_empty() && bundle.is_none()) {
            let message = "the replica says which policies these are: leave `directory`, `files` and `bundle` out";
            return Err(Failure::new("argument::option", message));
        }
        if none && bundle.is_none() && !is_release {
            return Err(Failure::new("argument::option", "no policies are named")
                .with_help("give `directory`, `files`, `texts` or `bundle`"));
        }
        let exact = exact_cedar.unwrap_or(false);
        if exact && platform.is_some() {
            let message = "`exactCedar` and `platform` do not go together";
            return Err(Failure::new("argument::option", message));
        }
        let directory = directory.map(PathBuf::from);
        let paths = files.into_iter().map(PathBuf::from).collect();
        let cache_size = cache_size.unwrap_or(CACHED);
        let budget = budget.unwrap_or_default().checked();
        let bundle = bundle.map(PathBuf::from);
        let rules = rules.map(PathBuf::from);
        if rules.is_none() && rule_host.is_some() && !is_release {
            let message = "`ruleHost` goes with `rules`, the directory of the rules";
            return Err(Failure::new("argument::option", message));
        }
        let rule_host = rule_host.unwrap_or_default().checked()?;
        let limits = limits.iter().flatten().map(|(name, number)| (name.as_str(), *number));
        let limits = stagedoor_source::limits_from_numbers(limits).map_err(|message| {
            Failure::new("argument::option", message).within(|| "limits".to_owned())
        })?;
        if plugins.is_some() && !backstage {
            let message = "`plugins` goes with `platform: 'backstage'`";
            return Err(Failure::new("argument::option", message));
        }
        let plugins = plugins.unwrap_or_default().into_iter().map(|plugin| {
            let PluginMetadata { plugin_id, metadata } = plugin;
            stagedoor_backstage::PluginMetadata::from_answer(&plugin_id, &metadata)
        });
        let plugins = plugins.collect();
        Ok(Self {
            paths,
            directory,
            texts,
            bundle,
            release: None,
            platform,
            cache_size,
            budget,
            rules,
            rule_host,
            limits,
            exact,
            plugins,
        })
    }
}
