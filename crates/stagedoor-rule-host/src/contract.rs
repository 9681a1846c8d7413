//! The contract with rules, as the SDK's `wit/` folder has it, and how its functions are called.
//!
//! Types of the component model are compared by their structure, so that both versions of the
//! contract share the types here.

use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, Instance, InstancePre, Lift, Linker, Lower,
    TypedFunc, flags,
};

use crate::error::causes;
use crate::instance_limits::State;

/// What a rule exports, without the version.
pub(crate) const EXPORT: &str = "stagedoor:rule/guard";
/// The versions that this host speaks, the newest first.
pub(crate) const VERSIONS: [&str; 2] = ["0.2.0", "0.1.0"];
/// The same in words.
pub(crate) const VERSIONS_TEXT: &str = "0.2.0 and 0.1.0";
/// From this version on a rule checks arguments itself.
const WITH_VALIDATE: &str = "0.2.0";

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct EntityUid {
    #[component(name = "type")]
    pub(crate) type_: String,
    pub(crate) id: String,
}

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Entity {
    pub(crate) uid: EntityUid,
    pub(crate) attributes: String,
    pub(crate) tags: String,
    pub(crate) ancestors: Vec<EntityUid>,
}

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Request {
    pub(crate) principal: Option<Entity>,
    pub(crate) action: Option<EntityUid>,
    pub(crate) resource: Option<Entity>,
    pub(crate) context: Option<String>,
    pub(crate) related: Vec<Entity>,
    pub(crate) arguments: String,
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    pub(crate) reason: Option<String>,
}

flags! {
    Inputs {
        #[component(name = "principal")]
        const PRINCIPAL;
        #[component(name = "action")]
        const ACTION;
        #[component(name = "resource")]
        const RESOURCE;
        #[component(name = "context")]
        const CONTEXT;
    }
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct RuleInfo {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) inputs: Inputs,
    #[component(name = "arguments-schema")]
    pub(crate) arguments_schema: String,
}

/// A rule whose functions were found: what instances are made of.
pub(crate) struct LinkedRule {
    pre: InstancePre<State>,
    version: &'static str,
    describe: ComponentExportIndex,
    validate: Option<ComponentExportIndex>,
    evaluate: ComponentExportIndex,
    /// Whether the type of `evaluate` was checked.
    is_typed: AtomicBool,
}

/// What `evaluate` is given, and gives back.
type EvaluateFunc<'r> = TypedFunc<(&'r Request,), (Result<Verdict, String>,)>;

impl LinkedRule {
    /// Finds the functions of the contract in a component.
    ///
    /// # Errors
    ///
    /// What it lacks.
    pub(crate) fn new(linker: &Linker<State>, component: &Component) -> Result<Self, String> {
        let pre = linker.instantiate_pre(component).map_err(|e| causes(&e))?;
        let exported = VERSIONS.iter().find_map(|version| {
            let index = component.get_export_index(None, &*format!("{EXPORT}@{version}"))?;
            Some((*version, index))
        });
        let (version, guard) = exported.ok_or_else(|| format!("it exports no `{EXPORT}`"))?;
        let function = |name: &str| {
            let index = component.get_export_index(Some(&guard), name);
            index.ok_or_else(|| format!("`{EXPORT}@{version}` has no function `{name}`"))
        };
        let validate = (version == WITH_VALIDATE).then(|| function("validate")).transpose()?;
        let (describe, evaluate) = (function("describe")?, function("evaluate")?);
        let is_typed = AtomicBool::new(false);
        Ok(Self { pre, version, describe, validate, evaluate, is_typed })
    }

    /// Returns the version of the contract that it follows.
    pub(crate) fn version(&self) -> &'static str {
        self.version
    }

    pub(crate) fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
    }

    /// Checks the types of the functions.
    pub(crate) fn check_types(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
    ) -> wasmtime::Result<()> {
        instance.get_typed_func::<(), (RuleInfo,)>(&mut *store, self.describe)?;
        if let Some(validate) = self.validate {
            instance.get_typed_func::<(&str,), (Result<(), String>,)>(&mut *store, validate)?;
        }
        self.typed_evaluate(instance, store).map(drop)
    }

    /// Returns `evaluate` of an instance. Its type, which is compared part by part, is the same in all.
    fn typed_evaluate<'r>(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
    ) -> wasmtime::Result<EvaluateFunc<'r>> {
        if self.is_typed.load(Ordering::Acquire)
            && let Some(function) = instance.get_func(&mut *store, self.evaluate)
        {
            // SAFETY: a function of this component, by the same index, was checked to have this type,
            // which is that of the component and not of an instance.
            #[expect(unsafe_code, reason = "the type is checked once, not at each call")]
            return Ok(unsafe { TypedFunc::new_unchecked(function) });
        }
        let function = instance.get_typed_func(&mut *store, self.evaluate)?;
        self.is_typed.store(true, Ordering::Release);
        Ok(function)
    }

    pub(crate) fn describe(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
    ) -> wasmtime::Result<RuleInfo> {
        let function = instance.get_typed_func::<(), (RuleInfo,)>(&mut *store, self.describe)?;
        function.call(store, ()).map(|(info,)| info)
    }

    /// Lets a rule check arguments; one of an older contract takes what its schema takes.
    pub(crate) fn validate(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
        arguments: &str,
    ) -> wasmtime::Result<Result<(), String>> {
        let Some(validate) = self.validate else { return Ok(Ok(())) };
        let function =
            instance.get_typed_func::<(&str,), (Result<(), String>,)>(&mut *store, validate)?;
        function.call(store, (arguments,)).map(|(checked,)| checked)
    }

    pub(crate) fn validates(&self) -> bool {
        self.validate.is_some()
    }

    pub(crate) fn evaluate(
        &self,
        instance: &Instance,
        store: &mut Store<State>,
        request: &Request,
    ) -> wasmtime::Result<Result<Verdict, String>> {
        let function = self.typed_evaluate(instance, store)?;
        function.call(store, (request,)).map(|(answer,)| answer)
    }
}
