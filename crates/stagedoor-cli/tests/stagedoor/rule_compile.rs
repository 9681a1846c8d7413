//! Components that take a compiler long: each is refused in bounded time and memory, or compiled
//! within it. Rules that are broken, pinned, precompiled, or say what nobody should obey.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{Run, repository, stagedoor};

/// Returns a rule called `hostile` with these items in its module, that does this before it says
/// yes.
fn rule(core: &str, evaluate: &str) -> Result<Vec<u8>> {
    let parts = Path::new("crates/stagedoor-rule-host/tests/hostile");
    let part = |name| std::fs::read_to_string(repository(&parts.join(name).to_string_lossy()));
    let module = part("module.wat")?
        .replace("{core}", core)
        .replace("{describe}", "")
        .replace("{evaluate}", evaluate);
    let text = part("component.wat")?
        .replace("{imports}", "")
        .replace("{module}", &module)
        .replace("{version}", "0.1.0");
    Ok(wat::parse_str(text)?)
}

/// Functions with this body, as often as it takes to fill so many bytes; `unit` is the size of one.
fn functions(body: &str, unit: usize, a_function: usize, bytes: usize) -> String {
    let mut text = String::new();
    let body = body.repeat(a_function / unit);
    for _ in 0..bytes.div_ceil(a_function) {
        // Writing to a string does not fail.
        let _ = write!(text, "(func (param i32) (local i32 i64 f64) {body})");
    }
    text
}

/// Bodies that compilers take long for, and their sizes in bytes.
const BODIES: [(&str, &str, usize); 8] = [
    ("blocks", "(block (br_if 0 (local.get 0)))", 7),
    ("empty loops", "(loop)", 3),
    ("loops around", "(loop (br_if 0 (local.get 0)))", 7),
    ("live locals", "(local.set 1 (i32.add (local.get 1) (local.get 0)))", 7),
    ("branch tables", "(block (block (br_table 0 1 0 1 (local.get 0))))", 13),
    ("memory", "(i32.store (local.get 0) (i32.load offset=8 (local.get 0)))", 9),
    ("bulk memory", "(memory.copy (local.get 0) (local.get 1) (i32.const 9))", 10),
    ("conditions", "(if (local.get 0) (then (local.set 1 (local.get 0))) (else))", 10),
];

#[test]
fn what_takes_a_compiler_long_is_refused_in_time_or_compiled() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut bombs: Vec<(String, String)> = Vec::new();
    for (name, body, unit) in BODIES {
        // One function as large as a ConfigMap may be, and many that are as large as they may be.
        bombs.push((format!("{name} in one"), functions(body, unit, 502 << 10, 502 << 10)));
        bombs.push((format!("{name} in several"), functions(body, unit, 60 << 10, 502 << 10)));
    }
    let (_, loops, unit) = BODIES[2];
    bombs.push(("3 MB of loops".to_owned(), functions(loops, unit, 100 << 10, 3 << 20)));
    let (_, memory, unit) = BODIES[5];
    bombs.push(("3 MB of memory".to_owned(), functions(memory, unit, 100 << 10, 3 << 20)));
    bombs.push((
        "thousands of functions".to_owned(),
        functions("(drop (local.get 0))", 3, 30, 1 << 20),
    ));
    let exports = (0..60_000).fold("(func $f)".to_owned(), |mut text, n| {
        let _ = write!(text, r#"(export "e{n}" (func $f))"#);
        text
    });
    bombs.push(("exports".to_owned(), exports));
    // Blocks that hand on a thousand values each, of three bytes.
    let many = "i64 ".repeat(1000);
    let handed_on = format!(
        "(type $t (func (param {many}) (result {many}))) (func (type $t) {} {})",
        (0..1000).map(|n| format!("(local.get {n})")).collect::<String>(),
        "block (type $t) br 0 end ".repeat(2_500),
    );
    bombs.push(("values of blocks".to_owned(), handed_on));
    let called = format!(
        "(type $t (func (param {many}) (result {many}))) (func $f (type $t) unreachable)
         (func (type $t) {} {})",
        (0..1000).map(|n| format!("(local.get {n})")).collect::<String>(),
        "call $f ".repeat(20_000),
    );
    bombs.push(("values of calls".to_owned(), called));
    let vectors = "(local.set 1 (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 \
                   (local.get 1) (local.get 1)))";
    let vectors = format!("(func (local v128) (local v128) {})", vectors.repeat(4_000));
    bombs.push(("vectors".to_owned(), format!("{vectors} ").repeat(8)));
    bombs.push(("data segments".to_owned(), r#"(data (i32.const 0) "x")"#.repeat(90_000)));
    bombs.push(("globals".to_owned(), "(global i32 (i32.const 1))".repeat(200_000)));
    let elements = format!("(table 1 funcref) (func $f) (elem func {})", "$f ".repeat(400_000));
    bombs.push(("elements".to_owned(), elements));
    bombs.push(("a table".to_owned(), "(table 9000000 funcref)".to_owned()));
    bombs.push(("locals".to_owned(), format!("(func {})", "(local i64)".repeat(40_000))));
    bombs.push((
        "nested blocks".to_owned(),
        format!("(func {}{})", "(block ".repeat(5_000), ")".repeat(5_000)),
    ));
    let mut refused = 0;
    for (name, core) in bombs {
        std::fs::write(directory.path().join("bomb.wasm"), rule(&core, "")?)?;
        // Neither the command nor its compiler may take more processor time than this.
        let run = Command::new("sh")
            .args(["-c", r#"ulimit -t 10; exec "$0" rule check bomb.wasm"#])
            .arg(env!("CARGO_BIN_EXE_stagedoor"))
            .current_dir(directory.path())
            .env("XDG_CACHE_HOME", directory.path())
            .output()?;
        let told = String::from_utf8_lossy(&run.stderr);
        match run.status.code().with_context(|| format!("{name} was killed"))? {
            0 => {}
            code => {
                refused += 1;
                let figures =
                    ["and the limit is", "s of processor time", "took more than 256 MiB of memory"];
                ensure!(code == 1, "{name}: {code} {told}");
                ensure!(figures.iter().any(|figure| told.contains(figure)), "{name}: {told}");
            }
        }
    }
    ensure!(refused > BODIES.len(), "{refused} were refused: are these still bombs?");
    Ok(())
}

#[test]
fn a_bound_on_compiling_is_a_setting() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::write(here.join("rule.wasm"), rule("", "")?)?;
    let run = stagedoor(here, ["rule", "check", "rule.wasm", "--rule-bytes", "100"], b"")?;
    ensure!(run.exit == 1 && run.stderr.contains("larger than the limit of 100"), "{run:?}");
    ensure!(run.stderr.contains("--rule-bytes"), "{run:?}");
    // The size that is told is the file's.
    let large = std::fs::File::create(here.join("large.wasm"))?;
    large.set_len(18_365_315)?;
    let run = stagedoor(here, ["rule", "check", "large.wasm"], b"")?;
    ensure!(run.exit == 1 && run.stderr.contains("18365315 bytes"), "{run:?}");
    // Each refusal names the setting that it met.
    let check =
        |more: &[&str]| stagedoor(here, [&["rule", "check", "many.wasm"], more].concat(), b"");
    std::fs::write(here.join("many.wasm"), with_modules(17)?)?;
    let run = check(&[])?;
    ensure!(run.exit == 1 && run.stderr.contains("17 modules, and the limit is 16"), "{run:?}");
    ensure!(run.stderr.contains("--rule-modules"), "{run:?}");
    let run = check(&["--rule-modules", "17"])?;
    ensure!(run.exit == 0, "{run:?}");
    std::fs::write(here.join("many.wasm"), rule(&"(func)".repeat(60_000), "")?)?;
    let run = check(&[])?;
    ensure!(run.exit == 1 && run.stderr.contains("--rule-compile-seconds"), "{run:?}");
    let run = check(&["--rule-compile-seconds", "20"])?;
    ensure!(!run.stderr.contains("and the limit is"), "{run:?}");
    std::fs::write(here.join("many.wasm"), rule("", "")?)?;
    std::fs::write(here.join("many.limits.json"), r#"{"memoryBytes": 67108864}"#)?;
    let run = check(&[])?;
    ensure!(run.exit == 1 && run.stderr.contains("--rule-memory"), "{run:?}");
    let run = check(&["--rule-memory", "64", "--rule-concurrency", "2", "--rule-wait", "5"])?;
    ensure!(run.exit == 0, "{run:?}");
    for (flag, value) in
        [("--rule-wait", "99999999"), ("--rule-concurrency", "0"), ("--rule-compile-memory", "1")]
    {
        let run = check(&[flag, value])?;
        ensure!(run.exit != 0 && run.stderr.contains(flag), "{run:?}");
        ensure!(run.stderr.contains("and may be from"), "{run:?}");
    }
    Ok(())
}

/// Returns a rule with so many modules.
fn with_modules(count: usize) -> Result<Vec<u8>> {
    let parts = Path::new("crates/stagedoor-rule-host/tests/hostile");
    let part = |name| std::fs::read_to_string(repository(&parts.join(name).to_string_lossy()));
    let module = part("module.wat")?
        .replace("{core}", "")
        .replace("{describe}", "")
        .replace("{evaluate}", "");
    let text = part("component.wat")?
        .replace("{imports}", &"(core module)".repeat(count - 1))
        .replace("{module}", &module)
        .replace("{version}", "0.1.0");
    Ok(wat::parse_str(text)?)
}

/// Writes policies with the permit that stands here, a rule `hostile.wasm` beside them, and asks.
fn decided(here: &Path, guard: &str) -> Result<Run> {
    std::fs::write(
        here.join("p/p.cedar"),
        format!(r#"@id("all") {guard} permit (principal, action, resource);"#),
    )?;
    std::fs::write(
        here.join("p/s.cedarschema"),
        "entity User; action view appliesTo { principal: User, resource: User };",
    )?;
    std::fs::write(
        here.join("r.json"),
        r#"{"principal":"User::\"a\"","action":"Action::\"view\"","resource":"User::\"b\""}"#,
    )?;
    stagedoor(here, ["authorize", "--policies", "p", "--request", "r.json"], b"")
}

#[test]
fn a_broken_rule_matters_to_those_who_name_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::create_dir_all(here.join("p/rules"))?;
    std::fs::write(here.join("p/rules/left-over.wasm"), "junk")?;
    let run = decided(here, "")?;
    ensure!(run.exit == 0, "{run:?}");
    let run = stagedoor(here, ["validate", "p"], b"")?;
    ensure!(run.exit == 0, "{run:?}");
    let told = format!("{}{}", run.stdout, run.stderr);
    ensure!(told.contains("left-over.wasm") && told.contains("rules::broken"), "{run:?}");
    let run = decided(here, r#"@guard("left-over")"#)?;
    ensure!(run.exit == 1, "{run:?}");
    ensure!(run.stderr.contains("rule `left-over` cannot be used"), "{run:?}");
    // Others are used.
    std::fs::write(here.join("p/rules/hostile.wasm"), rule("", "")?)?;
    let run = decided(here, r#"@guard("hostile")"#)?;
    ensure!(run.exit == 0, "{run:?}");
    Ok(())
}

#[test]
fn a_pinned_rule_is_that_one_to_the_byte() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::create_dir_all(here.join("p/rules"))?;
    let file = here.join("p/rules/hostile.wasm");
    std::fs::write(&file, rule("", "")?)?;
    let checked = stagedoor(here, ["rule", "check", "p/rules/hostile.wasm"], b"")?;
    let digest = checked.stdout.lines().find_map(|line| line.trim().strip_prefix("sha256"));
    let digest = digest.context("no digest")?.trim();
    let pinned = format!(r#"@guard("hostile@sha256:{digest}")"#);
    let run = decided(here, &pinned)?;
    ensure!(run.exit == 0, "{run:?}");
    let run = stagedoor(here, ["rule", "lock", "p"], b"")?;
    ensure!(run.exit == 0 && run.stdout.contains("pins 1 rule"), "{run:?}");
    let run = decided(here, r#"@guard("hostile")"#)?;
    ensure!(run.exit == 0, "{run:?}");

    std::fs::write(&file, rule("(global i32 (i32.const 1))", "")?)?;
    for guard in [pinned.as_str(), r#"@guard("hostile")"#] {
        let run = decided(here, guard)?;
        ensure!(run.exit == 1, "{guard}: {run:?}");
        ensure!(run.stderr.contains(&format!("sha256:{digest}")), "{guard}: {run:?}");
        ensure!(run.stderr.replace('\n', " ").matches("sha256:").count() >= 2, "{guard}: {run:?}");
    }
    // Without the lock, by the policy alone.
    std::fs::remove_file(here.join("p/rules.lock"))?;
    let run = decided(here, r#"@guard("hostile")"#)?;
    ensure!(run.exit == 0, "{run:?}");
    let run = decided(here, &pinned)?;
    ensure!(run.exit == 1 && run.stderr.contains("is pinned"), "{run:?}");
    for wrong in ["hostile@sha256:12", "hostile@", "hostile@md5:1", "@sha256:12"] {
        let run = decided(here, &format!(r#"@guard("{wrong}")"#))?;
        ensure!(run.exit == 1 && run.stderr.contains("invalid rule name"), "{wrong}: {run:?}");
    }
    // A lock that cannot be read is no lock that pins nothing.
    for wrong in
        ["", "{}", r#"{"version": 2, "rules": {}}"#, r#"{"version": 1, "rules": {"a": "x"}}"#]
    {
        std::fs::write(here.join("p/rules.lock"), wrong)?;
        let run = decided(here, r#"@guard("hostile")"#)?;
        ensure!(run.exit == 1 && run.stderr.contains("rules.lock"), "{wrong}: {run:?}");
    }
    std::fs::write(here.join("p/rules.lock"), r#"{"version": 1, "rules": {}}"#)?;
    let run = decided(here, r#"@guard("hostile")"#)?;
    ensure!(run.exit == 1 && run.stderr.contains("is not in"), "{run:?}");
    // The lock beside the policies holds for rules of another directory as well.
    std::fs::create_dir(here.join("elsewhere"))?;
    std::fs::rename(here.join("p/rules/hostile.wasm"), here.join("elsewhere/hostile.wasm"))?;
    let lock = format!(r#"{{"version": 1, "rules": {{"hostile": "sha256:{digest}"}}}}"#);
    std::fs::write(here.join("p/rules.lock"), lock)?;
    let run = stagedoor(here, ["validate", "p", "--rules", "elsewhere"], b"")?;
    ensure!(run.exit == 1 && run.stderr.contains(&format!("sha256:{digest}")), "{run:?}");
    std::fs::remove_file(here.join("p/rules.lock"))?;
    let run = stagedoor(here, ["validate", "p", "--rules", "elsewhere"], b"")?;
    ensure!(run.exit == 0, "{run:?}");
    Ok(())
}

#[test]
fn precompiled_rules_need_no_compiler() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::create_dir_all(here.join("p/rules"))?;
    std::fs::write(here.join("p/rules/hostile.wasm"), rule("", "")?)?;
    let run = stagedoor(here, ["rule", "precompile", "p/rules", "--out", "compiled"], b"")?;
    ensure!(run.exit == 0 && run.stdout.starts_with("hostile "), "{run:?}");
    decided(here, r#"@guard("hostile")"#)?;
    std::fs::create_dir(here.join("cache"))?;
    // A second of processor time compiles nothing that is this large otherwise; and what is in the
    // store is taken, not what is in a cache.
    let args = [
        "authorize",
        "--policies",
        "p",
        "--request",
        "r.json",
        "--precompiled-rules",
        "compiled",
        "--rule-cache",
        "cache",
    ];
    let run = stagedoor(here, args, b"")?;
    ensure!(run.exit == 0, "{run:?}");
    let kept = std::fs::read_dir(here.join("cache"))?.flatten();
    let kept = kept.filter(|entry| entry.path().extension().is_some_and(|e| e == "cwasm")).count();
    ensure!(kept == 0, "it was compiled again");
    // A changed entry is not run, but compiled again.
    let entry = std::fs::read_dir(here.join("compiled"))?.flatten().next().context("an entry")?;
    let mut bytes = std::fs::read(entry.path())?;
    *bytes.last_mut().context("bytes")? ^= 1;
    std::fs::write(entry.path(), bytes)?;
    let run = stagedoor(here, args, b"")?;
    ensure!(run.exit == 0, "{run:?}");
    let kept = std::fs::read_dir(here.join("cache"))?.flatten();
    ensure!(kept.filter(|e| e.path().extension().is_some_and(|e| e == "cwasm")).count() == 1);
    // With nothing else allowed it is not used, though a compiler could be started.
    let only: Vec<&str> =
        args.iter().copied().take(args.len() - 2).chain(["--precompiled-only"]).collect();
    let run = stagedoor(here, &only, b"")?;
    ensure!(run.exit == 1 && run.stderr.contains("nothing to compile it with"), "{run:?}");
    let run = stagedoor(here, ["rule", "precompile", "p/rules", "--out", "compiled"], b"")?;
    ensure!(run.exit == 0, "{run:?}");
    let run = stagedoor(here, &only, b"")?;
    ensure!(run.exit == 0, "{run:?}");
    let run = stagedoor(here, ["validate", "p", "--precompiled-only"], b"")?;
    ensure!(run.exit != 0 && run.stderr.contains("--precompiled-rules"), "{run:?}");
    // Others may write it: its code is not run.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(here.join("compiled"), std::fs::Permissions::from_mode(0o777))?;
    let run = stagedoor(here, args, b"")?;
    ensure!(run.exit == 1 && run.stderr.contains("others may write it"), "{run:?}");
    Ok(())
}

/// Says no, for a reason of so many bytes at the address of its items.
fn no_because(reason: &str) -> Result<Vec<u8>> {
    let data: String = reason.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let evaluate = format!(
        "(i32.store8 (i32.const 604) (i32.const 0)) (i32.store8 (i32.const 608) (i32.const 1))
         (i32.store (i32.const 612) (i32.const 70000)) (i32.store (i32.const 616) (i32.const {}))",
        reason.len()
    );
    let parts = Path::new("crates/stagedoor-rule-host/tests/hostile");
    let part = |name| std::fs::read_to_string(repository(&parts.join(name).to_string_lossy()));
    let module = part("module.wat")?
        .replace("{core}", "")
        .replace("{describe}", "")
        .replace("{evaluate}", &evaluate)
        .replace(
            "(data (i32.const 600)",
            &format!("(data (i32.const 70000) \"{data}\") (data (i32.const 600)"),
        );
    let text = part("component.wat")?
        .replace("{imports}", "")
        .replace("{module}", &module)
        .replace("{version}", "0.1.0");
    Ok(wat::parse_str(text)?)
}

#[test]
fn what_a_rule_says_is_one_line_wherever_it_is_shown() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    std::fs::create_dir_all(here.join("p/rules"))?;
    let reason = "no\n::add-mask::x\n::error file=a::b\r\u{1b}]0;owned\u{7} \u{202e}\u{2066}\u{2028}::c\u{fffe}";
    std::fs::write(here.join("p/rules/hostile.wasm"), no_because(reason)?)?;
    let run = decided(here, r#"@guard("hostile")"#)?;
    ensure!(run.exit == 2, "{run:?}");
    std::fs::write(
        here.join("p/t.test.yaml"),
        r#"
suites:
  - name: guards
    cases:
      - name: "case\nwith \uFFFE \u202E and \x1b[2J"
        principal: 'User::"a"'
        action: 'Action::"view"'
        resource: 'User::"b"'
        expect: allow
"#,
    )?;
    let mut said = 0;
    for args in [
        &["authorize", "--policies", "p", "--request", "r.json"][..],
        &["explain", "--policies", "p", "--request", "r.json"],
        &["rule", "run", "p/rules/hostile.wasm", "--request", "r.json"],
        &["rule", "check", "p/rules/hostile.wasm"],
        &["test", "p"],
        &["test", "p", "--report", "github"],
        &["test", "p", "--report", "junit"],
        &["test", "p", "--report", "tap"],
    ] {
        let run = stagedoor(here, args, b"")?;
        for text in [&run.stdout, &run.stderr] {
            let is_obeyed = |c: char| stagedoor_core::is_unsafe(c) && c != '\n' && c != '\t';
            ensure!(!text.contains(is_obeyed), "{args:?}: {text:?}");
            let begins = |line: &str| {
                ["::add-mask", "::error file=a", "::c"]
                    .iter()
                    .any(|it| line.trim_start().starts_with(it))
            };
            ensure!(!text.lines().any(begins), "{args:?}: {text}");
            said += usize::from(text.contains("::add-mask::x"));
        }
    }
    ensure!(said >= 5, "the reason was shown {said} times only");
    Ok(())
}
