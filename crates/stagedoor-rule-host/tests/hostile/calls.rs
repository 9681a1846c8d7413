//! What rules do when they are asked.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use stagedoor_core::Entities;
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, RuleLimits, WasmRule, WasmRuleError};

use crate::rules::{Text, ask, host, load, request, that_does, with_items};

/// Asks a rule that must fail with this code.
fn fails(bytes: &[u8], code: &str) -> Result<()> {
    match ask(bytes)? {
        Ok(holds) => bail!("it said {holds}"),
        Err(error) => ensure!(error.code() == code, "{error} ({})", error.code()),
    }
    Ok(())
}

#[test]
fn a_good_rule_says_yes() -> Result<()> {
    ensure!(ask(&that_does("")?)?.is_ok_and(|holds| holds));
    Ok(())
}

#[test]
fn an_infinite_loop_runs_out_of_fuel_or_time() -> Result<()> {
    let endless = that_does("(loop $l (br $l))")?;
    fails(&endless, "wasm_rule::fuel")?;
    let host = host()?;
    let mut limits = RuleLimits::default();
    limits.fuel = 1 << 40;
    let rule = WasmRule::load(&host, &endless, limits)?;
    let Err(error) = rule.evaluate(&request()?, &Entities::empty(), "{}") else { bail!("a yes") };
    ensure!(error.code() == "wasm_rule::deadline", "{error}");
    Ok(())
}

#[test]
fn a_loop_of_bulk_operations_is_cut() -> Result<()> {
    let fill = "(loop $l
        (memory.fill (i32.const 8192) (i32.const 1) (i32.const 100000))
        (memory.copy (i32.const 8192) (i32.const 8193) (i32.const 100000)) (br $l))";
    fails(&that_does(fill)?, "wasm_rule::fuel")?;
    let rule = {
        let mut limits = RuleLimits::default();
        limits.fuel = 1 << 40;
        WasmRule::load(&host()?, &that_does(fill)?, limits)?
    };
    let Err(error) = rule.evaluate(&request()?, &Entities::empty(), "{}") else { bail!("a yes") };
    ensure!(error.code() == "wasm_rule::deadline", "{error}");
    Ok(())
}

#[test]
fn recursion_without_end_overflows_its_own_stack() -> Result<()> {
    let recursion = with_items(
        "(func $f (param i64 i64 i64 i64) (result i64)
            (i64.add (i64.const 1) (call $f (local.get 3) (local.get 2) (local.get 1) (local.get 0))))",
        "(drop (call $f (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
    )?;
    fails(&recursion, "wasm_rule::stack")?;
    // On a thread with little stack as well.
    let small = std::thread::Builder::new().stack_size(192 << 10);
    let told = small.spawn(move || fails(&recursion, "wasm_rule::stack"))?.join();
    told.map_err(|_| anyhow::anyhow!("the thread panicked"))?
}

#[test]
fn recursion_through_a_table_overflows_too() -> Result<()> {
    let recursion = with_items(
        "(type $t (func)) (table 1 funcref) (elem (i32.const 0) $f)
         (func $f (call_indirect (type $t) (i32.const 0)))",
        "(call $f)",
    )?;
    fails(&recursion, "wasm_rule::stack")
}

#[test]
fn memory_stops_at_the_limit() -> Result<()> {
    // 2 pages are there; 254 more are 16 MiB.
    let grown =
        that_does("(if (i32.eq (memory.grow (i32.const 254)) (i32.const -1)) (then unreachable))")?;
    ensure!(ask(&grown)?.is_ok_and(|holds| holds));
    fails(&that_does("(drop (memory.grow (i32.const 255)))")?, "wasm_rule::memory")?;
    fails(&that_does("(drop (memory.grow (i32.const 65534)))")?, "wasm_rule::memory")?;
    fails(&that_does("(loop $l (drop (memory.grow (i32.const 1))) (br $l))")?, "wasm_rule::memory")
}

#[test]
fn tables_stop_at_the_limit() -> Result<()> {
    let grow = |by: &str| {
        with_items(
            "(table $t 1 funcref)",
            &format!("(drop (table.grow $t (ref.null func) (i32.const {by})))"),
        )
    };
    ensure!(ask(&grow("99999")?)?.is_ok());
    fails(&grow("100000")?, "wasm_rule::table")?;
    fails(&grow("1000000")?, "wasm_rule::table")
}

#[test]
fn traps_are_told_apart() -> Result<()> {
    for (body, says) in [
        ("(unreachable)", "unreachable"),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.load (i32.const -4)))", "out of bounds memory access"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", "conversion to integer"),
    ] {
        let Err(error) = ask(&that_does(body)?)? else { bail!("{body}: a yes") };
        ensure!(error.code() == "wasm_rule::trap" && error.to_string().contains(says), "{error}");
    }
    let start = with_items("(func $s unreachable) (start $s)", "")?;
    let Err(error) = load(&host()?, &start) else { bail!("it was loaded") };
    ensure!(error.to_string().contains("cannot describe itself"), "{error}");
    Ok(())
}

#[test]
fn an_allocator_that_lies_is_caught() -> Result<()> {
    let module = Text::default().component()?;
    ensure!(!module.is_empty());
    for (address, says) in [("-8", "realloc"), ("1", "aligned"), ("131070", "")] {
        let text = format!("(return (i32.const {address}))");
        let bytes = allocator(&text)?;
        let Err(error) = ask(&bytes)? else { bail!("{address}: a yes") };
        ensure!(error.code() == "wasm_rule::output", "{address}: {error} {}", error.code());
        ensure!(error.to_string().contains(says), "{address}: {error}");
    }
    Ok(())
}

/// Returns a rule whose allocator begins with this.
fn allocator(first: &str) -> Result<Vec<u8>> {
    let text = include_str!("component.wat")
        .replace("{imports}", "")
        .replace("{version}", "0.1.0")
        .replace(
            "{module}",
            &include_str!("module.wat")
                .replace("(local $start i32)", &format!("(local $start i32) {first}"))
                .replace("{core}", "")
                .replace("{describe}", "")
                .replace("{evaluate}", ""),
        );
    Ok(wat::parse_str(text)?)
}

/// A reason of so many bytes at an address.
pub fn reason(address: &str, length: &str) -> String {
    format!(
        "(i32.store8 (i32.const 608) (i32.const 1))
         (i32.store (i32.const 612) (i32.const {address}))
         (i32.store (i32.const 616) (i32.const {length}))"
    )
}

#[test]
fn what_is_given_back_is_bounded_and_checked() -> Result<()> {
    fails(&that_does(&reason("4096", "100000"))?, "wasm_rule::output_size")?;
    // Longer than the memory, and out of it.
    fails(&that_does(&reason("4096", "2000000000"))?, "wasm_rule::output")?;
    fails(&that_does(&reason("-1", "16"))?, "wasm_rule::output")?;
    let invalid = format!("(i32.store8 (i32.const 4096) (i32.const 0xff)) {}", reason("4096", "1"));
    fails(&that_does(&invalid)?, "wasm_rule::output")?;
    // Neither a verdict nor an error.
    fails(&that_does("(i32.store8 (i32.const 600) (i32.const 7))")?, "wasm_rule::output")?;
    // A verdict outside the memory, and one at an odd address.
    fails(&that_does("(return (i32.const -4))")?, "wasm_rule::output")?;
    fails(&that_does("(return (i32.const 601))")?, "wasm_rule::output")?;
    // Cut off.
    let long = load(&host()?, &that_does(&reason("70000", "50000"))?)?;
    let given = long.evaluate(&request()?, &Entities::empty(), "{}")?;
    ensure!(given.reason.is_some_and(|reason| reason.len() <= 1024 + 3));
    Ok(())
}

#[test]
fn errors_of_the_rule_are_its_own() -> Result<()> {
    // `err` with the name as its text.
    let body = "(i32.store8 (i32.const 600) (i32.const 1))
        (i32.store (i32.const 604) (i32.const 1024)) (i32.store (i32.const 608) (i32.const 7))";
    let Err(error) = ask(&that_does(body)?)? else { bail!("a yes") };
    assert_eq!((error.code(), error.to_string().as_str()), ("wasm_rule::error", "hostile"));
    Ok(())
}

#[test]
fn nothing_is_left_for_the_next_call() -> Result<()> {
    // Says no if anything that it changed is as it left it.
    let rule = load(
        &host()?,
        &with_items(
            "(global $seen (mut i32) (i32.const 0)) (table $t 2 funcref) (func $f) (elem declare func $f)",
            "(if (i32.or (i32.or (global.get $seen) (i32.load (i32.const 100000)))
                         (i32.or (i32.gt_u (memory.size) (i32.const 2))
                                 (i32.eqz (ref.is_null (table.get $t (i32.const 1))))))
               (then (i32.store8 (i32.const 604) (i32.const 0))))
             (global.set $seen (i32.const 1))
             (i32.store (i32.const 100000) (i32.const 1))
             (table.set $t (i32.const 1) (ref.func $f))
             (drop (memory.grow (i32.const 8)))",
        )?,
    )?;
    for _ in 0..200 {
        ensure!(rule.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
    }
    Ok(())
}

#[test]
fn a_module_may_have_several_tables() -> Result<()> {
    ensure!(ask(&with_items("(table 1 funcref) (table 2 funcref)", "")?)?.is_ok_and(|holds| holds));
    Ok(())
}

#[test]
fn what_one_rule_writes_all_over_its_memory_no_rule_reads() -> Result<()> {
    // More pages, further apart, than the host keeps and clears one by one.
    let rule = |stride: u32| {
        that_does(&format!(
            "(drop (memory.grow (i32.const 158)))
             (local.set 0 (i32.const 65536))
             (loop $l
               (if (i32.load8_u (local.get 0))
                 (then (i32.store8 (i32.const 604) (i32.const 0))))
               (i32.store8 (local.get 0) (i32.const 1))
               (local.set 0 (i32.add (local.get 0) (i32.const {stride})))
               (br_if $l (i32.lt_u (local.get 0) (i32.const 10485760))))"
        ))
    };
    let host = host()?;
    let rules = [load(&host, &rule(4096)?)?, load(&host, &rule(12_288)?)?];
    for rule in rules.iter().cycle().take(50) {
        ensure!(rule.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
    }
    Ok(())
}

#[test]
fn a_request_too_large_is_not_handed_over() -> Result<()> {
    let rule = load(&host()?, &that_does("")?)?;
    let arguments = format!("{{\"a\": \"{}\"}}", "x".repeat(5 << 20));
    let Err(error) = rule.evaluate(&request()?, &Entities::empty(), &arguments) else {
        bail!("a yes")
    };
    ensure!(error.code() == "wasm_rule::input_size", "{error}");
    Ok(())
}

#[test]
fn the_same_request_takes_the_same_fuel() -> Result<()> {
    let body = "(local.set 0 (i32.const 1000))
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))";
    let bytes = that_does(body)?;
    let mut fuel = Vec::new();
    for _ in 0..3 {
        let rule = load(&host()?, &bytes)?;
        for _ in 0..50 {
            fuel.push(rule.evaluate(&request()?, &Entities::empty(), "{}")?.fuel);
        }
    }
    fuel.dedup();
    ensure!(matches!(fuel.as_slice(), [one] if *one > 1000), "{fuel:?}");
    Ok(())
}

#[test]
fn a_full_pool_is_waited_for_and_then_told() -> Result<()> {
    let mut config = HostConfig::default().with_compiler(Compiler::InProcess);
    config.concurrency = 1;
    config.acquire_timeout = Duration::from_millis(1);
    let host = RuleHost::new(&config)?;
    let mut limits = RuleLimits::default();
    (limits.fuel, limits.deadline) = (1 << 40, Duration::from_secs(1));
    let endless = WasmRule::load(&host, &that_does("(loop $l (br $l))")?, limits)?;
    let good = load(&host, &that_does("")?)?;
    let asked = request()?;
    let is_busy = |error: WasmRuleError| error.code() == "wasm_rule::busy";
    // Where this thread has to wait while the other one runs, it is tried again.
    for _ in 0..100 {
        let busy = std::thread::scope(|scope| {
            // The good one may hold the only place when this one comes.
            let running = scope.spawn(|| {
                while endless.evaluate(&asked, &Entities::empty(), "{}").is_err_and(is_busy) {}
            });
            let mut busy = false;
            while !running.is_finished() {
                busy |= good.evaluate(&asked, &Entities::empty(), "{}").is_err_and(is_busy);
            }
            busy
        });
        ensure!(good.evaluate(&asked, &Entities::empty(), "{}").is_ok());
        if busy {
            return Ok(());
        }
    }
    bail!("it was never busy")
}
