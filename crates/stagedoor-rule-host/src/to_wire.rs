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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::WasmRuleLoadError;

    #[test]
    #[expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]
    fn errors_keep_their_kind_their_causes_and_their_file() -> Result<(), serde_json::Error> {
        let json = |error: WireError| serde_json::to_value(error);
        let setting = json(HostError::Setting("it is 0".to_owned()).into())?;
        assert_eq!(
            (&setting["code"], &setting["error"]),
            (&"rules::setting".into(), &"it is 0".into())
        );
        assert_eq!(json(HostError::Engine("no".to_owned()).into())?["code"], "rules::host");
        let io = std::io::Error::other("it is gone");
        let told = json(WasmRulesError::Io("rules".to_owned(), io).into())?;
        assert_eq!(told["error"], "`rules` cannot be read: it is gone");
        assert_eq!(told["file"], "rules");
        let error = WasmRuleLoadError::TooMany { what: "modules", given: 17, limit: 16 };
        let told = json(WasmRulesError::Rule { file: "a.wasm".to_owned(), error }.into())?;
        assert_eq!((&told["code"], &told["file"]), (&"rules::load".into(), &"a.wasm".into()));
        assert!(
            told["help"].as_str().is_some_and(|help| help.contains("--rule-modules")),
            "{told}"
        );
        Ok(())
    }
}
