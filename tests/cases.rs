//! Runs the cases that all faces share through the library, one trial a file.

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use stagedoor_tests::archive::read_directory;
use stagedoor_tests::suite::Suite;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/decide");
    let files = match read_directory(&folder) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("{error:?}");
            return ExitCode::FAILURE;
        }
    };
    let trials = files
        .into_iter()
        .map(|(name, text)| Trial::test(format!("library: {name}"), move || run(&text)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn run(text: &str) -> Result<(), Failed> {
    let suite: Suite = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let cases = suite.run().map_err(|e| format!("{e:#}"))?;
    eprintln!("{}: {cases} cases", suite.description);
    Ok(())
}
