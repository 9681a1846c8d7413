//! What goes wrong, in the form that programs read.

use miette::Diagnostic as _;
use stagedoor_wire::WireError;

use crate::error::WasmRulesError;
use crate::host::HostError;

impl From<HostError> for WireError {
    fn from(error: HostError) -> Self {
        let code = match error {
            HostError::Setting(_) => "rules::setting",
            _ => "rules::host",
        };
        Self::new(code, chain(&error))
    }
}

impl From<WasmRulesError> for WireError {
    fn from(error: WasmRulesError) -> Self {
        let mut told = Self::new("rules::load", chain(&error));
        if let WasmRulesError::Rule { error, .. } = &error
            && let Some(help) = error.help()
        {
            told = told.with_help(help.to_string());
        }
        match error {
            WasmRulesError::Io(file, _)
            | WasmRulesError::Empty(file)
            | WasmRulesError::Rule { file, .. }
            | WasmRulesError::Limits { file, .. }
            | WasmRulesError::Lock { file, .. } => told.with_file(file),
        }
    }
}

/// Returns an error's message with those of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
