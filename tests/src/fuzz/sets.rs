//! Fuzz targets for files that policies are shipped in, laid out and tested with.

use std::path::Path;

use cedar_policy::PolicySet;
use stagedoor_core::{Engine, Limits};
use stagedoor_review::fmt::{Style, formatted};
use stagedoor_source::{Bundle, Manifest, ManifestUse, MemoryFileSystem, PolicySources};
use stagedoor_testing::{Options, TestSuite};

/// Reads a bundle. What is read is written as it was read, and its texts make the engine that the
/// same texts make outside of a bundle.
pub fn bundle(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(bundle) = Bundle::from_json("fuzz.bundle.json", text) else { return };
    let written = bundle.to_json();
    let again = Bundle::from_json("again.bundle.json", &written);
    assert_eq!(again.as_ref().ok(), Some(&bundle), "{again:?} of {text:?}");
    if bundle.rules().next().is_some() {
        return;
    }
    let texts = PolicySources::from_texts(bundle.files());
    let build = |sources: &PolicySources| sources.add_to(Engine::builder()).build().ok();
    let revision = |engine: Option<Engine>| engine.map(|engine| engine.revision().to_owned());
    let loaded = revision(build(&PolicySources::from_bundle(&bundle)));
    assert_eq!(loaded, revision(build(&texts)), "{text:?}");
}

/// Pins a set of one policy by a manifest. None but the one that was written for it lets it load.
pub fn manifest(bytes: &[u8]) {
    const POLICY: &str = "permit(principal, action, resource);";
    let set = Path::new("set");
    let files = MemoryFileSystem::default()
        .with_file(set.join("all.cedar"), POLICY)
        .with_file(set.join(stagedoor_source::MANIFEST_NAME), bytes);
    let limits = Limits::default();
    let sources = PolicySources::read_with(&files, &[set], &limits, ManifestUse::Required);
    let right = Manifest::of(&files, set, sources.files(), &[]).map(|manifest| manifest.to_json());
    let json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
    let is_right = right.is_ok_and(|right| json(right.as_bytes()) == json(bytes));
    let loads = sources.add_to(Engine::builder()).build().is_ok();
    assert!(is_right || !loads, "{:?} pins another set", String::from_utf8_lossy(bytes));
}

/// Lays policies out. What comes of it says the same, and is laid out already.
pub fn formatting(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let style = Style::default();
    let Ok(pretty) = formatted(text, &style) else { return };
    let count = |text: &str| text.parse::<PolicySet>().ok().map(|set| set.policies().count());
    assert_eq!(count(text), count(&pretty), "{text:?} became {pretty:?}");
    let again = formatted(&pretty, &style);
    assert!(again.is_ok(), "{again:?} of {pretty:?}, which came of {text:?}");
}

/// Reads a test file beside a policy, and runs what it holds.
pub fn test_file(bytes: &[u8]) {
    let Ok(directory) = tempfile::tempdir() else { return };
    let path = directory.path().join("fuzz.test.yaml");
    let policy = directory.path().join("all.cedar");
    let text = "permit(principal is User, action == Action::\"read\", resource);";
    if std::fs::write(&path, bytes).is_err() || std::fs::write(&policy, text).is_err() {
        return;
    }
    match TestSuite::load(&[path]) {
        Ok(suite) => {
            let report = suite.run(&Options::default());
            let counts = report.counts();
            let ran = counts.passed + counts.failed + counts.not_run;
            assert_eq!(report.cases().count(), ran, "{}", String::from_utf8_lossy(bytes));
            assert!(!report.passed() || counts.failed == 0);
        }
        Err(error) => {
            assert!(
                !error.problems().is_empty(),
                "no problem in {}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
