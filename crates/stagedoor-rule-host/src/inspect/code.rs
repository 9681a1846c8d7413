//! What of a function makes compiling it long: a compiler's time grows faster than its size.

use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// Figures of one function.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) bytes: u64,
    pub(super) locals: u64,
    pub(super) blocks: u64,
    pub(super) branch_targets: u64,
}

impl Function {
    pub(super) fn of(body: &FunctionBody<'_>) -> Result<Self, BinaryReaderError> {
        let mut function = Self { bytes: body.range().len() as u64, ..Self::default() };
        for local in body.get_locals_reader()? {
            let (count, _) = local?;
            function.locals = function.locals.saturating_add(u64::from(count));
        }
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.read()? {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::TryTable { .. }
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::BrOnNull { .. }
                | Operator::BrOnNonNull { .. } => function.blocks += 1,
                Operator::BrTable { targets } => {
                    function.blocks += 1;
                    function.branch_targets += u64::from(targets.len());
                }
                _ => {}
            }
        }
        Ok(function)
    }
}
