//! Looks through a component before anything of it is compiled.

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::contract::{EXPORT, VERSION};
use crate::error::WasmRuleLoadError;
use crate::limits::ComponentLimits;

/// Tells this inspection from others: to be raised whenever it refuses more or less, so that
/// what another one let pass does not come from a cache.
pub(crate) const INSPECTION: u32 = 1;

/// What is in a component.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contents {
    /// Size of the file, in bytes.
    pub bytes: usize,
    /// Modules.
    pub modules: u64,
    /// Functions with code.
    pub functions: u64,
    /// Types.
    pub types: u64,
    /// How deep modules and components nest in it.
    pub nesting: usize,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// Returns what is in a component that is within the limits and follows the contract.
pub(crate) fn inspect(
    bytes: &[u8],
    limits: &ComponentLimits,
) -> Result<Contents, WasmRuleLoadError> {
    let contents = contents(bytes, limits)?;
    if let Some(import) = contents.imports.first() {
        return Err(WasmRuleLoadError::Import(import.clone()));
    }
    follows_contract(&contents.exports)?;
    // Cheaper than compiling, and stricter about features that the host does not want.
    Validator::new_with_features(features())
        .validate_all(bytes)
        .map_err(|e| WasmRuleLoadError::invalid(&e))?;
    Ok(contents)
}

/// Returns what is in a component that is within the limits.
pub(crate) fn contents(
    bytes: &[u8],
    limits: &ComponentLimits,
) -> Result<Contents, WasmRuleLoadError> {
    let mut contents = Contents { bytes: bytes.len(), ..Contents::default() };
    contents.within(limits)?;
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|e| WasmRuleLoadError::invalid(&e))?;
        match &payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(WasmRuleLoadError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        contents.nesting = contents.nesting.max(depth);
        contents.count(&payload, depth)?;
        contents.within(limits)?;
    }
    Ok(contents)
}

impl Contents {
    /// Adds what a section says of itself; its items are looked at by the validator.
    fn count(&mut self, payload: &Payload<'_>, depth: usize) -> Result<(), WasmRuleLoadError> {
        let invalid = |e: wasmparser::BinaryReaderError| WasmRuleLoadError::invalid(&e);
        match payload {
            Payload::ModuleSection { .. } => self.modules += 1,
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::TypeSection(section) => self.types += u64::from(section.count()),
            Payload::CoreTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section.clone() {
                    self.imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section.clone() {
                    self.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks it against limits.
    pub(crate) fn within(&self, limits: &ComponentLimits) -> Result<(), WasmRuleLoadError> {
        if self.bytes > limits.bytes {
            return Err(WasmRuleLoadError::too_large(self.bytes, limits));
        }
        for (what, given, limit) in [
            ("levels of nesting", self.nesting as u64, limits.nesting as u64),
            ("modules", self.modules, limits.modules),
            ("functions", self.functions, limits.functions),
            ("types", self.types, limits.types),
        ] {
            if given > limit {
                return Err(WasmRuleLoadError::TooMany { what, limit });
            }
        }
        Ok(())
    }
}

fn follows_contract(exports: &[String]) -> Result<(), WasmRuleLoadError> {
    let ours = |export: &&String| {
        export.strip_prefix(EXPORT).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
    };
    let Some(found) = exports.iter().find(ours) else { return Err(WasmRuleLoadError::NoContract) };
    if *found == format!("{EXPORT}@{VERSION}") {
        return Ok(());
    }
    Err(WasmRuleLoadError::ContractVersion { found: found.clone(), known: VERSION })
}

/// What compilers emit today, and nothing that is still an experiment.
fn features() -> WasmFeatures {
    let mut features = WasmFeatures::default();
    features.remove(WasmFeatures::THREADS | WasmFeatures::RELAXED_SIMD | WasmFeatures::MEMORY64);
    features
}
