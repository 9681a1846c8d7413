//! A policy set is one thing: whatever becomes of its files on the way, the old set or the new one
//! is in force, and nothing between them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use proptest::prelude::*;
use stagedoor_core::{Engine, Limits, LoadError};
use stagedoor_source::{
    FileSystem as _, Fingerprint, MANIFEST_NAME, Manifest, ManifestUse, MemoryFileSystem,
    PolicyChanges, PolicySet, PolicySources, Reload, ReloadSource, Reloading,
};

const ROOT: &str = "set";

const OLD: [(&str, &str); 4] = [
    (
        "app.cedarschema",
        "entity User, Doc; action read appliesTo { principal: User, resource: Doc };",
    ),
    (
        "a.cedar",
        "@id(\"a\") permit (principal, action, resource);\n@id(\"b\") forbid (principal == User::\"x\", action, resource);\n",
    ),
    ("b.cedar", "@id(\"c\") forbid (principal, action, resource == Doc::\"d\");\n"),
    ("more/c.cedar", "@id(\"d\") forbid (principal == User::\"y\", action, resource);\n"),
];

const NEW: [(&str, &str); 4] = [
    (
        "app.cedarschema",
        "entity User, Doc; action read appliesTo { principal: User, resource: Doc };\n",
    ),
    (
        "a.cedar",
        "@id(\"a\") permit (principal, action, resource);\n@id(\"b\") forbid (principal == User::\"z\", action, resource);\n",
    ),
    ("b.cedar", "@id(\"c\") forbid (principal, action, resource == Doc::\"e\");\n"),
    ("more/d.cedar", "@id(\"e\") forbid (principal == User::\"y\", action, resource);\n"),
];

/// A directory in memory.
struct Set {
    files: MemoryFileSystem,
    manifest: ManifestUse,
}

impl ReloadSource for Set {
    type Value = Engine;
    type Error = LoadError;

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_policies(&self.files, &[ROOT])
    }

    fn load(&self, _: Option<&Self::Value>) -> Result<Engine, LoadError> {
        let sources =
            PolicySources::read_with(&self.files, &[ROOT], &Limits::default(), self.manifest);
        PolicySet::of(sources, &[], &[], &Limits::default()).builder().build()
    }

    fn is_same(&self, in_force: &Engine, loaded: &Engine) -> bool {
        in_force.revision() == loaded.revision()
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Writes a set as a whole, with its manifest.
fn write(files: &MemoryFileSystem, set: &[(&str, &str)]) -> Result<()> {
    files.remove(ROOT);
    set.iter().for_each(|(name, text)| files.write(path(name), text));
    pin(files)
}

fn pin(files: &MemoryFileSystem) -> Result<()> {
    let sources = PolicySources::read(files, &[ROOT], &Limits::default());
    let manifest = Manifest::of(files, Path::new(ROOT), sources.files(), &[])?;
    files.write(path(MANIFEST_NAME), manifest.to_json());
    Ok(())
}

/// Returns the old set in force, and the revisions of the old and the new one.
fn in_force(manifest: ManifestUse) -> Result<(Reloading<Set>, [String; 2])> {
    let reloading = Reloading::new(Set { files: MemoryFileSystem::default(), manifest });
    let mut revisions = Vec::new();
    for set in [NEW, OLD] {
        write(&reloading.source().files, &set)?;
        reloading.reload()?;
        revisions.push(revision(&reloading)?);
    }
    let [new, old] = <[String; 2]>::try_from(revisions).ok().context("two")?;
    ensure!(old != new);
    Ok((reloading, [old, new]))
}

fn revision(reloading: &Reloading<Set>) -> Result<String> {
    Ok(reloading.current().context("nothing is in force")?.value.revision().to_owned())
}

/// Looks at the files as they are, and says whether the set that is in force is a whole one.
fn look(reloading: &Reloading<Set>, whole: &[String; 2], what: &str) -> Result<()> {
    let _ = reloading.reload();
    let now = revision(reloading)?;
    ensure!(whole.contains(&now), "{what}: another set is in force");
    Ok(())
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_never_in_force() -> Result<()> {
    let (reloading, whole) = in_force(ManifestUse::Required)?;
    let files = &reloading.source().files;
    for (name, text) in NEW {
        for length in 0..text.len() {
            write(files, &NEW)?;
            files.write(path(name), text.get(..length).unwrap_or_default());
            look(&reloading, &whole, &format!("{name} of {length} bytes"))?;
            ensure!(revision(&reloading)? == whole[0], "{name}: {length} bytes are not the set");
        }
    }
    // The manifest itself may be what is cut.
    write(files, &NEW)?;
    let manifest = files.read(&path(MANIFEST_NAME), 1 << 20)?;
    for length in 0..manifest.len().saturating_sub(2) {
        files.write(path(MANIFEST_NAME), manifest.get(..length).unwrap_or_default());
        look(&reloading, &whole, "the manifest")?;
        ensure!(revision(&reloading)? == whole[0], "{length} bytes of the manifest are none");
    }
    files.write(path(MANIFEST_NAME), &manifest);
    reloading.reload()?;
    ensure!(revision(&reloading)? == whole[1], "the whole set is taken up");
    Ok(())
}

#[test]
fn a_file_that_is_missing_renamed_or_more_is_never_in_force() -> Result<()> {
    let (reloading, whole) = in_force(ManifestUse::Required)?;
    let files = &reloading.source().files;
    for (name, text) in NEW {
        write(files, &NEW)?;
        files.remove(path(name));
        look(&reloading, &whole, name)?;
        ensure!(reloading.failure().is_some(), "{name} is missing");
        let others = ["z.cedar", "z.cedar.txt", "z.CEDAR", "a.cedar", "node_modules/z.cedar"];
        for other in others.into_iter().filter(|other| *other != name) {
            files.write(path(other), text);
            look(&reloading, &whole, &format!("{name} as {other}"))?;
            files.remove(path(other));
        }
        write(files, &NEW)?;
        files.write(path("more.cedar"), text);
        look(&reloading, &whole, &format!("{name} twice"))?;
    }
    ensure!(revision(&reloading)? == whole[0], "the old set is in force all the time");
    files.remove(path(MANIFEST_NAME));
    ensure!(reloading.reload().is_err(), "without a manifest nothing is taken up");
    Ok(())
}

/// Without a manifest a set that is cut between two policies cannot be known for one: what is lost
/// is told. One that is cut to nothing, or within a policy, is not taken up.
#[test]
fn without_a_manifest_lost_forbids_are_told() -> Result<()> {
    for (name, text) in NEW.into_iter().filter(|(name, _)| name.ends_with(".cedar")) {
        for length in 0..text.len() {
            let (reloading, whole) = in_force(ManifestUse::Optional)?;
            let files = &reloading.source().files;
            write(files, &NEW)?;
            reloading.reload()?;
            files.write(path(name), text.get(..length).unwrap_or_default());
            match reloading.reload() {
                Err(_) => ensure!(revision(&reloading)? == whole[1]),
                Ok(Reload::Replaced { now, before: Some(before) }) => {
                    let changes = PolicyChanges::between(&before.value, &now.value);
                    let fewer = now.value.policies().len() < before.value.policies().len();
                    ensure!(changes.removed.is_empty() != fewer, "{name}: {length}");
                    ensure!(changes.lost_forbids == changes.removed, "{name}: {length}");
                }
                Ok(other) => ensure!(matches!(other, Reload::Same), "{name}: {length}"),
            }
            if length == 0 {
                ensure!(revision(&reloading)? == whole[1], "{name} is empty");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Files come one by one, in any order, each in pieces: whoever looks meanwhile sees the old
    /// set, until all of the new one is there.
    #[test]
    fn a_copy_in_any_order_is_taken_up_when_it_is_whole(
        order in Just((0..NEW.len() + 2).collect::<Vec<_>>()).prop_shuffle(),
        pieces in 1_usize..4,
    ) {
        let failed = |error: anyhow::Error| TestCaseError::fail(error.to_string());
        let (reloading, whole) = in_force(ManifestUse::Required).map_err(failed)?;
        let target = MemoryFileSystem::default();
        write(&target, &NEW).map_err(failed)?;
        let manifest = target.read(&path(MANIFEST_NAME), 1 << 20).unwrap_or_default();
        let manifest = String::from_utf8_lossy(&manifest).into_owned();
        let files = &reloading.source().files;
        for step in order {
            match (step.checked_sub(2), step) {
                (None, 0) => files.remove(path("more/c.cedar")),
                (None, _) => files.write(path(MANIFEST_NAME), &manifest),
                (Some(number), _) => {
                    let Some((name, text)) = NEW.get(number) else { continue };
                    for piece in 1..=pieces {
                        let end = text.len() * piece / pieces;
                        files.write(path(name), text.get(..end).unwrap_or_default());
                        look(&reloading, &whole, name).map_err(failed)?;
                    }
                }
            }
            look(&reloading, &whole, "a step").map_err(failed)?;
        }
        prop_assert_eq!(&revision(&reloading).map_err(failed)?, &whole[1]);
    }
}
