//! `NAME.limits.json` beside `NAME.wasm`.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::error::WasmRulesError;
use crate::files::read;
use crate::limits::RuleLimits;

/// The largest file, in bytes.
const LIMITS_BYTES: u64 = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LimitsFile {
    deadline_ms: Option<u64>,
    deadline_micros_per_input_kib: Option<u64>,
    fuel: Option<u64>,
    fuel_per_input_byte: Option<u64>,
    memory_bytes: Option<usize>,
    memory_per_input_byte: Option<usize>,
    table_elements: Option<usize>,
    input_bytes: Option<usize>,
    output_bytes: Option<usize>,
    reason_bytes: Option<usize>,
    calls: Option<usize>,
}

/// Returns the limits of a rule: those of the file beside it, where it has them.
pub(crate) fn limits_beside(component: &Path) -> Result<RuleLimits, WasmRulesError> {
    let path = component.with_extension("limits.json");
    if !path.exists() {
        return Ok(RuleLimits::default());
    }
    let file = path.display().to_string();
    let wrong = |reason: String| WasmRulesError::Limits { file: file.clone(), reason };
    let bytes = read(&path, LIMITS_BYTES).map_err(|e| WasmRulesError::Io(file.clone(), e))?;
    let bytes = bytes.map_err(|size| wrong(format!("{size} bytes are too large")))?;
    let given: LimitsFile = serde_json::from_slice(&bytes)
        .map_err(|e| wrong(stagedoor_core::plain_reason(&e.to_string())))?;
    let limits = RuleLimits::default();
    Ok(RuleLimits {
        deadline: given.deadline_ms.map_or(limits.deadline, Duration::from_millis),
        deadline_per_input_kib: given
            .deadline_micros_per_input_kib
            .map_or(limits.deadline_per_input_kib, Duration::from_micros),
        fuel: given.fuel.unwrap_or(limits.fuel),
        fuel_per_input_byte: given.fuel_per_input_byte.unwrap_or(limits.fuel_per_input_byte),
        memory_bytes: given.memory_bytes.unwrap_or(limits.memory_bytes),
        memory_per_input_byte: given.memory_per_input_byte.unwrap_or(limits.memory_per_input_byte),
        table_elements: given.table_elements.unwrap_or(limits.table_elements),
        input_bytes: given.input_bytes.unwrap_or(limits.input_bytes),
        output_bytes: given.output_bytes.unwrap_or(limits.output_bytes),
        reason_bytes: given.reason_bytes.unwrap_or(limits.reason_bytes),
        calls: given.calls.unwrap_or(limits.calls),
    })
}
