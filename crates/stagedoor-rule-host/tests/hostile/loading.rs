//! Components that are no rules.

use std::fmt::Write as _;

use anyhow::{Result, bail, ensure};
use stagedoor_rule_host::{RuleLimits, WasmRule, WasmRuleLoadError};

use crate::rules::{Text, host, load, that_does, with_items};

fn refused(bytes: &[u8]) -> Result<WasmRuleLoadError> {
    match load(&host()?, bytes) {
        Ok(rule) => bail!("it was loaded: {rule:?}"),
        Err(error) => Ok(error),
    }
}

#[test]
fn imports_are_refused_by_name() -> Result<()> {
    for (imports, name) in [
        (r#"(import "wasi:clocks/wall-clock@0.2.0" (instance))"#, "wasi:clocks/wall-clock@0.2.0"),
        (r#"(import "wasi:random/random@0.2.0" (instance))"#, "wasi:random/random@0.2.0"),
        (r#"(import "wasi:cli/environment@0.2.0" (instance))"#, "wasi:cli/environment@0.2.0"),
        (r#"(import "wasi:filesystem/types@0.2.0" (instance))"#, "wasi:filesystem/types@0.2.0"),
        (r#"(import "wasi:sockets/tcp@0.2.0" (instance))"#, "wasi:sockets/tcp@0.2.0"),
        (r#"(import "now" (func (result u64)))"#, "now"),
        (r#"(import "memory" (core module (import "env" "memory" (memory 1))))"#, "memory"),
    ] {
        let text = Text { imports, ..Text::default() };
        match refused(&text.component()?)? {
            WasmRuleLoadError::Import(import) => assert_eq!(import, name),
            error => bail!("{imports}: {error}"),
        }
    }
    Ok(())
}

#[test]
fn a_core_module_is_no_component() -> Result<()> {
    let module = wat::parse_str(r#"(module (import "env" "memory" (memory 1)))"#)?;
    ensure!(matches!(refused(&module)?, WasmRuleLoadError::CoreModule));
    Ok(())
}

#[test]
fn another_contract_is_refused() -> Result<()> {
    for version in ["0.2.1", "0.1.1", "1.0.0"] {
        let text = Text { version: Some(version), ..Text::default() };
        match refused(&text.component()?)? {
            WasmRuleLoadError::ContractVersion { found, known } => {
                assert_eq!(
                    (found, known),
                    (format!("stagedoor:rule/guard@{version}"), "0.2.0 and 0.1.0")
                );
            }
            error => bail!("{version}: {error}"),
        }
    }
    let empty = wat::parse_str("(component)")?;
    ensure!(matches!(refused(&empty)?, WasmRuleLoadError::NoContract));
    let wrong = wat::parse_str(
        r#"(component (instance $i) (export "stagedoor:rule/guard@0.1.0" (instance $i)))"#,
    )?;
    ensure!(matches!(refused(&wrong)?, WasmRuleLoadError::Contract(_)));
    Ok(())
}

#[test]
fn a_rule_that_fails_to_describe_itself_is_refused() -> Result<()> {
    for (describe, code) in [
        ("(unreachable)", "wasm_rule::trap"),
        ("(loop $l (br $l))", "wasm_rule::fuel|wasm_rule::deadline"),
        ("(drop (memory.grow (i32.const 300)))", "wasm_rule::memory"),
        ("(return (i32.const -4))", "wasm_rule::output"),
        ("(i32.store (i32.const 516) (i32.const 100000))", "wasm_rule::output_size"),
    ] {
        let text = Text { describe, ..Text::default() };
        match refused(&text.component()?)? {
            WasmRuleLoadError::Describe(_, error) => {
                ensure!(code.split('|').any(|code| code == error.code()), "{describe}: {error}");
            }
            error => bail!("{describe}: {error}"),
        }
    }
    Ok(())
}

#[test]
fn a_wrong_description_is_refused() -> Result<()> {
    for describe in [
        // An empty name, one of 500 bytes, one with a NUL.
        "(i32.store (i32.const 516) (i32.const 0))",
        "(i32.store (i32.const 516) (i32.const 500))",
        "(i32.store (i32.const 512) (i32.const 3000))",
        // No version, and a schema that is none.
        "(i32.store (i32.const 524) (i32.const 0))",
        "(i32.store (i32.const 536) (i32.const 16))",
    ] {
        let text = Text { describe, ..Text::default() };
        let error = refused(&text.component()?)?;
        ensure!(matches!(error, WasmRuleLoadError::Description(_)), "{describe}: {error}");
    }
    Ok(())
}

#[test]
fn what_is_too_large_is_not_compiled() -> Result<()> {
    let large = with_items(&format!("(data \"{}\")", "x".repeat(17 << 20)), "")?;
    ensure!(matches!(refused(&large)?, WasmRuleLoadError::TooLarge { .. }));
    let many = with_items(&"(func)".repeat(100_000), "")?;
    let error = refused(&many)?;
    ensure!(matches!(error, WasmRuleLoadError::TooMany { what: "functions", .. }), "{error}");
    let modules = Text { imports: &"(core module)".repeat(17), ..Text::default() }.component()?;
    let error = refused(&modules)?;
    ensure!(matches!(error, WasmRuleLoadError::TooMany { what: "modules", .. }), "{error}");
    // Few types, which take hundreds of megabytes to look at.
    let fields: String = (0..900).map(|n| format!("(field \"f{n}\" u32)")).collect();
    let records = format!("(type (record {fields}))").repeat(100);
    let error = refused(&Text { imports: &records, ..Text::default() }.component()?)?;
    ensure!(matches!(error, WasmRuleLoadError::TooMany { what: "bytes of types", .. }), "{error}");
    let nested = format!("{}{}", "(component ".repeat(6), ")".repeat(6));
    let error = refused(&Text { imports: &nested, ..Text::default() }.component()?)?;
    ensure!(
        matches!(error, WasmRuleLoadError::TooMany { what: "levels of nesting", .. }),
        "{error}"
    );
    Ok(())
}

#[test]
fn types_do_not_nest_without_end() -> Result<()> {
    let nested = |depth: usize| -> Result<Vec<u8>> {
        let mut types = "(type $t0 (list u8))".to_owned();
        for n in 1..depth {
            write!(types, "(type $t{n} (tuple $t{0} $t{0}))", n - 1)?;
        }
        Text { imports: &types, ..Text::default() }.component()
    };
    // Each type is twice the one before.
    let error = refused(&nested(200)?)?;
    ensure!(matches!(error, WasmRuleLoadError::Invalid(_)), "{error}");
    let error = refused(&nested(30_000)?)?;
    ensure!(matches!(error, WasmRuleLoadError::TooMany { what: "types", .. }), "{error}");
    Ok(())
}

#[test]
fn damaged_components_are_refused_or_harmless() -> Result<()> {
    let host = host()?;
    let good = that_does("")?;
    for end in (0..good.len()).step_by(7) {
        let cut = good.get(..end).unwrap_or_default();
        ensure!(load(&host, cut).is_err(), "cut at {end}");
    }
    // One bit may do no harm to the meaning; what loads must still keep to its limits.
    let (mut refused, mut loaded) = (0, 0);
    for byte in (0..good.len()).step_by(3) {
        let mut flipped = good.clone();
        if let Some(byte) = flipped.get_mut(byte) {
            *byte ^= 1 << (*byte % 8);
        }
        match load(&host, &flipped) {
            Err(_) => refused += 1,
            Ok(rule) => {
                loaded += 1;
                let _ = rule.evaluate(&crate::rules::request()?, &Default::default(), "{}");
            }
        }
    }
    ensure!(refused > loaded, "{refused} refused, {loaded} loaded");
    for junk in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0", b"not wasm", b"\x7fELF"] {
        ensure!(load(&host, junk).is_err());
    }
    Ok(())
}

#[test]
fn features_that_are_experiments_are_refused() -> Result<()> {
    for core in [
        "(memory $shared 1 1 shared)",
        "(memory $large i64 1)",
        "(func (param i32) (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
    ] {
        let error = refused(&with_items(core, "")?)?;
        ensure!(matches!(error, WasmRuleLoadError::Invalid(_)), "{core}: {error}");
    }
    Ok(())
}

#[test]
fn limits_bound_something() -> Result<()> {
    use std::time::Duration;
    let (host, bytes) = (host()?, that_does("")?);
    let wrong: [fn(&mut RuleLimits); 6] = [
        |limits| limits.deadline = Duration::ZERO,
        |limits| limits.deadline = Duration::MAX,
        |limits| limits.fuel = 0,
        |limits| limits.fuel = u64::MAX,
        |limits| limits.memory_bytes = 1 << 30,
        |limits| limits.table_elements = usize::MAX,
    ];
    for change in wrong {
        let mut limits = RuleLimits::default();
        change(&mut limits);
        let loaded = WasmRule::load(&host, &bytes, limits.clone());
        ensure!(matches!(loaded, Err(WasmRuleLoadError::Limits(_))), "{limits:?}");
    }
    Ok(())
}
