//! Calls all rules of a directory on two threads for some seconds, and prints the calls, the
//! failures by their codes and the memory once in ten seconds. Fails if the memory grows after the
//! first tenth of the time.
//!
//! ```sh
//! cargo run --release --example soak -- DIRECTORY 600
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Entities, Entity, Request, Value};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, WasmRules};

/// Calls that gave no answer, by code.
type Failures = Mutex<BTreeMap<&'static str, u64>>;

/// What the memory may grow by, in KiB: a page here and there.
const SLACK: u64 = 8 << 10;

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let directory = PathBuf::from(args.next().context("which directory?")?);
    let seconds = args.next().context("how many seconds?")?;
    let seconds: u64 = seconds.to_string_lossy().parse()?;
    let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
    let rules = WasmRules::load(&host, directory)?;
    let (done, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    let failures = Failures::default();
    let (request, entities) = asked()?;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for rule in rules.iter() {
                        let arguments = match rule.name() {
                            "image-policy" => r#"{"registries": ["registry.example.com"]}"#,
                            "name-convention" => r#"{"template": "{namespace}-<words>"}"#,
                            _ => "{}",
                        };
                        match rule.evaluate(&request, &entities, arguments) {
                            Ok(_) => _ = answers.fetch_add(1, Ordering::Relaxed),
                            Err(error) => count(&failures, error.code()),
                        }
                    }
                }
            });
        }
        let watched = watch(seconds, &answers, &failures);
        done.store(true, Ordering::Relaxed);
        watched
    })
}

fn count(failures: &Failures, code: &'static str) {
    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    *failures.entry(code).or_default() += 1;
}

fn watch(seconds: u64, answers: &AtomicU64, failures: &Failures) -> Result<()> {
    let started = Instant::now();
    let mut level = None;
    loop {
        let passed = started.elapsed().as_secs();
        let (resident, reserved) = (status("VmRSS:")?, status("VmSize:")?);
        let answers = answers.load(Ordering::Relaxed);
        let failures = failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        println!(
            "{passed:>4} s  {answers:>10} answers  failures {failures:?}  {resident:>7} KiB \
             resident  {reserved:>8} KiB reserved"
        );
        ensure!(reserved < 4 << 20, "{reserved} KiB are reserved");
        if passed * 10 >= seconds {
            let level = *level.get_or_insert(resident);
            ensure!(resident < level + SLACK, "{level} KiB have become {resident} KiB");
        }
        if passed >= seconds {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(10.min(seconds - passed)));
    }
}

/// Returns a figure of this process, in KiB.
fn status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.split_whitespace().next().context("no number")?.parse()?)
}

fn asked() -> Result<(Request, Entities)> {
    let object = Entity::new(r#"Object::"o""#.parse()?)
        .with_tag("/spec/containers/*/image", Value::from_iter(["registry.example.com/a:1"]));
    let resource = Entity::new(r#"Resource::"r""#.parse()?)
        .with_attribute("name", "payments-api")
        .with_attribute("namespace", "payments")
        .with_attribute("object", object.uid.clone());
    let request = Request::new(
        r#"User::"ana""#.parse()?,
        r#"Action::"create""#.parse()?,
        resource.uid.clone(),
    );
    let request = request.with_context("now", Value::Long(1_795_392_000_000));
    Ok((request, Entities::from_entities([object, resource])?))
}
