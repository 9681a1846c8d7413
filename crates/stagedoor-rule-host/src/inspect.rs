//! Looks through a component before anything of it is compiled.

mod code;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use wasmparser::{ComponentInstance, Encoding, Instance, Parser, Payload, Validator, WasmFeatures};

use crate::contract::{EXPORT, VERSIONS, VERSIONS_TEXT};
use crate::error::WasmRuleLoadError;
use crate::limits::ComponentLimits;

use code::Function;

/// Tells this inspection from others: to be raised whenever it refuses more or less, so that
/// what another one let pass does not come from a cache.
pub(crate) const INSPECTION: u32 = 5;

/// What is in a component.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contents {
    /// Size of the file, in bytes.
    pub bytes: usize,
    /// Modules.
    pub modules: u64,
    /// Functions with code, and those that stand between components.
    pub functions: u64,
    /// Types.
    pub types: u64,
    /// What they take, in bytes.
    pub type_bytes: u64,
    /// How deep modules and components nest in it.
    pub nesting: usize,
    /// Code of all functions, in bytes.
    pub code_bytes: u64,
    /// Code of the largest function, in bytes.
    pub function_bytes: u64,
    /// The most local variables of a function.
    pub locals: u64,
    /// The most blocks, loops and branches of a function.
    pub blocks: u64,
    /// The most targets of the `br_table` of a function.
    pub branch_targets: u64,
    /// The most elements that a table begins with.
    pub table_elements: u64,
    /// The most exports of a module, instance or component.
    pub most_exports: u64,
    /// Globals, data and element segments.
    pub segments: u64,
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
        contents.count(&payload, depth).map_err(|e| WasmRuleLoadError::invalid(&e))?;
        contents.within(limits)?;
    }
    Ok(contents)
}

impl Contents {
    /// Adds a section; that its items are right is looked at by the validator.
    fn count(
        &mut self,
        payload: &Payload<'_>,
        depth: usize,
    ) -> Result<(), wasmparser::BinaryReaderError> {
        match payload {
            Payload::ModuleSection { .. } => self.modules += 1,
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            // Each becomes a function in compiled code.
            Payload::ComponentCanonicalSection(section) => {
                self.functions += u64::from(section.count());
            }
            Payload::TypeSection(section) => self.count_types(section.count(), &section.range()),
            Payload::CoreTypeSection(section) => {
                self.count_types(section.count(), &section.range())
            }
            Payload::ComponentTypeSection(section) => {
                self.count_types(section.count(), &section.range());
            }
            Payload::GlobalSection(section) => self.segments += u64::from(section.count()),
            Payload::DataSection(section) => self.segments += u64::from(section.count()),
            Payload::ElementSection(section) => self.segments += u64::from(section.count()),
            Payload::TableSection(section) => {
                self.segments += u64::from(section.count());
                for table in section.clone() {
                    self.table_elements = self.table_elements.max(table?.ty.initial);
                }
            }
            Payload::CodeSectionEntry(body) => {
                let Function { bytes, locals, blocks, branch_targets } = Function::of(body)?;
                self.code_bytes = self.code_bytes.saturating_add(bytes);
                self.function_bytes = self.function_bytes.max(bytes);
                self.locals = self.locals.max(locals);
                self.blocks = self.blocks.max(blocks);
                self.branch_targets = self.branch_targets.max(branch_targets);
            }
            _ => self.count_names(payload, depth)?,
        }
        Ok(())
    }

    fn count_types(&mut self, count: u32, section: &Range<usize>) {
        self.types += u64::from(count);
        self.type_bytes = self.type_bytes.saturating_add(section.len() as u64);
    }

    /// Adds what is imported, exported and handed on.
    fn count_names(
        &mut self,
        payload: &Payload<'_>,
        depth: usize,
    ) -> Result<(), wasmparser::BinaryReaderError> {
        let mut exports = |count: usize| self.most_exports = self.most_exports.max(count as u64);
        match payload {
            Payload::ExportSection(section) => exports(section.count() as usize),
            Payload::ImportSection(section) => exports(section.count() as usize),
            Payload::ComponentAliasSection(section) => exports(section.count() as usize),
            Payload::InstanceSection(section) => {
                exports(section.count() as usize);
                for instance in section.clone() {
                    exports(match instance? {
                        Instance::Instantiate { args, .. } => args.len(),
                        Instance::FromExports(items) => items.len(),
                    });
                }
            }
            Payload::ComponentInstanceSection(section) => {
                exports(section.count() as usize);
                for instance in section.clone() {
                    exports(match instance? {
                        ComponentInstance::Instantiate { args, .. } => args.len(),
                        ComponentInstance::FromExports(items) => items.len(),
                    });
                }
            }
            Payload::ComponentImportSection(section) => {
                exports(section.count() as usize);
                if depth == 0 {
                    for import in section.clone() {
                        self.imports.push(import?.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                exports(section.count() as usize);
                if depth == 0 {
                    for export in section.clone() {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks it against limits.
    pub(crate) fn within(&self, limits: &ComponentLimits) -> Result<(), WasmRuleLoadError> {
        if self.bytes > limits.bytes {
            return Err(WasmRuleLoadError::too_large(self.bytes as u64, limits));
        }
        for (what, given, limit) in [
            ("levels of nesting", self.nesting as u64, limits.nesting as u64),
            ("modules", self.modules, limits.modules),
            ("functions", self.functions, limits.functions),
            ("types", self.types, limits.types),
            ("bytes of types", self.type_bytes, limits.type_bytes),
            ("bytes of code", self.code_bytes, limits.code_bytes),
            ("bytes of code in one function", self.function_bytes, limits.function_bytes),
            ("local variables in one function", self.locals, limits.locals),
            ("blocks and branches in one function", self.blocks, limits.blocks),
            ("branch targets in one function", self.branch_targets, limits.branch_targets),
            ("elements in one table", self.table_elements, limits.table_elements),
            ("exports, imports or aliases in one list", self.most_exports, limits.exports),
            ("globals, tables and segments", self.segments, limits.segments),
        ] {
            if given > limit {
                return Err(WasmRuleLoadError::TooMany { what, given, limit });
            }
        }
        Ok(())
    }
}

fn follows_contract(exports: &[String]) -> Result<(), WasmRuleLoadError> {
    let version = |export: &String| match export.strip_prefix(EXPORT)? {
        "" => Some(String::new()),
        rest => rest.strip_prefix('@').map(str::to_owned),
    };
    let found: Vec<String> = exports.iter().filter_map(version).collect();
    if found.iter().any(|version| VERSIONS.contains(&version.as_str())) {
        return Ok(());
    }
    match found.first() {
        None => Err(WasmRuleLoadError::NoContract),
        Some(version) => {
            let found =
                if version.is_empty() { EXPORT.to_owned() } else { format!("{EXPORT}@{version}") };
            Err(WasmRuleLoadError::ContractVersion { found, known: VERSIONS_TEXT })
        }
    }
}

/// What compilers emit today, and nothing that is still an experiment.
fn features() -> WasmFeatures {
    let mut features = WasmFeatures::default();
    features.remove(WasmFeatures::THREADS | WasmFeatures::RELAXED_SIMD | WasmFeatures::MEMORY64);
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &str = r#"(component
        (import "given" (func $given))
        (core module $m
            (type (func)) (type (func (param i32)))
            (global i32 (i32.const 0)) (global i32 (i32.const 0))
            (memory 1) (table 7 funcref) (table 9 funcref)
            (data "a") (data "b") (data "c")
            (func $a (export "a") (local i32 i64)
                (block (loop (if (i32.const 0) (then) (else)))) (br 0))
            (func $b (local i32 i32 i32)
                (block (block (br_table 0 1 0 (i32.const 0)))))
            (elem func $a $b)
            (export "b" (func $b)) (export "m" (memory 0)))
        (component $inner (component))
        (core module (func))
        (core instance $i (instantiate $m))
        (func $lifted (canon lift (core func $i "a")))
        (export "out" (func $lifted)))"#;

    #[test]
    fn each_part_is_counted() -> Result<(), Box<dyn std::error::Error>> {
        let bytes = wat::parse_str(COMPONENT)?;
        let found = contents(&bytes, &ComponentLimits::default())?;
        assert_eq!((found.modules, found.nesting, found.bytes), (2, 2, bytes.len()));
        // Three with code, and the one that is lifted.
        assert_eq!(found.functions, 4);
        assert_eq!(found.segments, 2 + 2 + 3 + 1, "globals, tables, data, elements");
        assert_eq!(found.table_elements, 9);
        assert_eq!((found.locals, found.blocks, found.branch_targets), (3, 5, 2));
        assert_eq!(found.most_exports, 3);
        assert_eq!(
            (found.imports, found.exports),
            (vec!["given".to_owned()], vec!["out".to_owned()])
        );
        assert!(found.types >= 3 && found.type_bytes >= found.types);
        assert!(
            found.function_bytes < found.code_bytes
                && found.code_bytes < 2 * found.function_bytes + 9
        );
        Ok(())
    }

    /// At each limit a component still loads, and one below it does not, and says which.
    #[test]
    fn what_is_at_its_limit_is_within_it() -> Result<(), Box<dyn std::error::Error>> {
        let bytes = wat::parse_str(COMPONENT)?;
        let found = contents(&bytes, &ComponentLimits::default())?;
        let exact = ComponentLimits {
            bytes: found.bytes,
            functions: found.functions,
            types: found.types,
            type_bytes: found.type_bytes,
            modules: found.modules,
            nesting: found.nesting,
            code_bytes: found.code_bytes,
            function_bytes: found.function_bytes,
            locals: found.locals,
            blocks: found.blocks,
            branch_targets: found.branch_targets,
            table_elements: found.table_elements,
            exports: found.most_exports,
            segments: found.segments,
        };
        assert_eq!(contents(&bytes, &exact)?, found);
        type Lower = fn(&mut ComponentLimits);
        let less: [(&str, Lower); 14] = [
            ("bytes", |limits| limits.bytes -= 1),
            ("functions", |limits| limits.functions -= 1),
            ("types", |limits| limits.types -= 1),
            ("bytes of types", |limits| limits.type_bytes -= 1),
            ("modules", |limits| limits.modules -= 1),
            ("levels of nesting", |limits| limits.nesting -= 1),
            ("bytes of code", |limits| limits.code_bytes -= 1),
            ("bytes of code in one function", |limits| limits.function_bytes -= 1),
            ("local variables in one function", |limits| limits.locals -= 1),
            ("blocks and branches in one function", |limits| limits.blocks -= 1),
            ("branch targets in one function", |limits| limits.branch_targets -= 1),
            ("elements in one table", |limits| limits.table_elements -= 1),
            ("exports, imports or aliases in one list", |limits| limits.exports -= 1),
            ("globals, tables and segments", |limits| limits.segments -= 1),
        ];
        for (what, lower) in less {
            let mut limits = exact.clone();
            lower(&mut limits);
            match contents(&bytes, &limits) {
                Err(WasmRuleLoadError::TooMany { what: told, given, limit }) => {
                    assert_eq!((told, given), (what, limit + 1));
                }
                Err(WasmRuleLoadError::TooLarge { .. }) => assert_eq!(what, "bytes"),
                other => return Err(format!("{what}: {other:?}").into()),
            }
        }
        Ok(())
    }
}
