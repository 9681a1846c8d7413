//! Runs Cedar's test cases; see [`stagedoor_tests::conformance`].
//!
//! A sample is committed under `cases/cedar`. Cedar's whole corpus is several megabytes and
//! stays outside the repository: without it, its trials count as ignored and say so.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};
use stagedoor_tests::archive::{Files, read_directory, unpack};
use stagedoor_tests::conformance::{Tally, exactly, pooled, strictly};

/// Where the archives lie: beside the repository.
const ARCHIVES: &str = "../../shared/conformance";

type Run = fn(&Files) -> anyhow::Result<Tally>;

/// The ways in which each set of cases is run.
const RUNS: [(&str, Run); 4] = [
    ("exact, indexed", |files| exactly(files, true)),
    ("exact, index disabled", |files| exactly(files, false)),
    ("strict", strictly),
    ("exact, 48 policy sets in one", |files| pooled(files, 48)),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = Vec::new();
    for name in ["cedar-corpus", "cedar-handwritten"] {
        let path = here.join(ARCHIVES).join(name).with_extension("tar.gz");
        if !path.exists() {
            eprintln!("SKIPPED: {name}: there is no {}", path.display());
        }
        add(&mut trials, name, path, unpack);
    }
    // The sample is committed: if it is missing, that is a failure.
    add(&mut trials, "sample", here.join("cases/cedar"), read_directory);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn add(
    trials: &mut Vec<Trial>,
    name: &'static str,
    path: PathBuf,
    read: fn(&Path) -> anyhow::Result<Files>,
) {
    let is_there = path.exists();
    let files: &'static OnceLock<Result<Files, String>> = Box::leak(Box::default());
    for (way, run) in RUNS {
        let path = path.clone();
        let trial = Trial::test(format!("{name}: {way}"), move || {
            let files = files.get_or_init(|| read(&path).map_err(|e| format!("{e:?}"))).as_ref()?;
            let tally = run(files).map_err(|e| format!("{e:?}"))?;
            eprintln!("{name}, {way}: {tally}");
            passed(&tally)
        });
        trials.push(trial.with_ignored_flag(!is_there && name != "sample"));
    }
}

fn passed(tally: &Tally) -> Result<(), Failed> {
    if tally.requests == 0 {
        return Err("no request was compared".into());
    }
    if tally.differences.is_empty() {
        return Ok(());
    }
    let first: Vec<&str> = tally.differences.iter().map(String::as_str).take(20).collect();
    Err(format!("{tally}\n{}", first.join("\n")).into())
}
