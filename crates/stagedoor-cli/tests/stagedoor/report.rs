//! `stagedoor report`.

#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{repository, stagedoor};

/// Texts that a page must show and not obey.
const HOSTILE: &str = r#"
@id("</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>") @doc("<img src=x onerror='window.pwned=3'>\u{202e}")
permit (principal in Team::"<b>a</b>\"'>", action == Action::"read", resource)
when { resource.name == "</pre><script>window.pwned=4</script>" };
@id("all") @doc("All.") permit (principal in Team::"staff", action, resource is Doc);
@id("none") forbid (principal in Team::"guests", action == Action::"write", resource);
"#;

const SCHEMA: &str = "
    entity Team; entity User in [Team]; entity Doc { name: String };
    action read, write appliesTo { principal: User, resource: Doc };";

fn hostile() -> Result<tempfile::TempDir> {
    let place = tempfile::tempdir()?;
    std::fs::write(place.path().join("a.cedarschema"), SCHEMA)?;
    std::fs::write(place.path().join("a.cedar"), HOSTILE)?;
    Ok(place)
}

/// Opens a page in Chromium and uses it; screenshots are put into a folder of this name.
fn browse(page: &Path, name: &str) -> Result<()> {
    let Some(chromium) = chromium() else {
        println!("SKIPPED: no Chromium. Install it: apt-get install chromium");
        return Ok(());
    };
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join(name);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/browse.mjs");
    let output = Command::new("node")
        .args([script.as_path(), &chromium, page, &shots])
        .output()
        .context("`node` is needed")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{errors}");
    println!("screenshots: {}", shots.display());
    Ok(())
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    found.into_iter().find(|path| path.is_file())
}

#[test]
fn the_shipped_policies_are_a_page() -> Result<()> {
    let place = tempfile::tempdir()?;
    for (policies, more, cells) in [
        (
            "policies/backstage",
            &["--catalog", "policies/backstage/demo/catalog-info.yaml"][..],
            46 * 5,
        ),
        ("policies/kubernetes", &[], 8 * 5),
    ] {
        let page = place.path().join("page.html");
        let page_text = page.to_str().context("not UTF-8")?;
        let args = [&["report", policies, "--html", page_text], more].concat();
        let run = stagedoor(&repository(""), args, b"")?;
        assert_eq!((run.exit, run.stdout.as_str()), (0, ""), "{}", run.stderr);
        let html = std::fs::read_to_string(&page)?;
        let found = html.matches("data-cell=").count();
        ensure!(found > cells, "{policies}: {found} cells");
        for told in ["of clauses covered", "id=\"findings\""] {
            ensure!(html.contains(told), "{policies}: {told}");
        }
        browse(&page, policies.trim_start_matches("policies/"))?;
    }
    Ok(())
}

#[test]
fn names_and_texts_stay_texts() -> Result<()> {
    let place = hostile()?;
    let run =
        stagedoor(place.path(), ["report", "--html", "page.html", "--title", "<script>x"], b"")?;
    assert_eq!(run.exit, 0, "{}", run.stderr);
    let html = std::fs::read_to_string(place.path().join("page.html"))?;
    assert_eq!(html.matches("<script").count(), 2, "the data and the page's own");
    for raw in ["<img", "<b>a</b>", "<script>window", "<script>x", "\u{202e}"] {
        ensure!(!html.contains(raw), "{raw}");
    }
    browse(&place.path().join("page.html"), "hostile")
}

#[test]
fn grids_say_who_may_do_what() -> Result<()> {
    let place = hostile()?;
    let run = stagedoor(place.path(), ["report", "--format", "json"], b"")?;
    let json: Value = serde_json::from_str(&run.stdout).context(run.stderr)?;
    let verdict = |row: &str, column: usize| {
        let rows = json[0]["rows"].as_array().into_iter().flatten();
        let row = rows
            .into_iter()
            .find(|found| found["name"].as_str().is_some_and(|name| name.contains(row)));
        row.map(|row| row["cells"][column]["verdict"].clone()).unwrap_or_default()
    };
    assert_eq!(json[0]["columns"][0]["name"], "read");
    for (row, read, write) in [
        ("everybody", "deny", "deny"),
        ("staff", "allow", "allow"),
        ("guests", "deny", "deny"),
        ("<b>a</b>", "conditional", "deny"),
    ] {
        assert_eq!((verdict(row, 0), verdict(row, 1)), (read.into(), write.into()), "{row}");
    }
    let policies = ["report", "policies/backstage", "--format", "json"];
    let run = stagedoor(&repository(""), policies, b"")?;
    let json: Value = serde_json::from_str(&run.stdout).context(run.stderr)?;
    let rows = json[0]["rows"].as_array().context("no rows")?;
    let admins = rows.iter().find(|row| row["name"] == "group:default/platform-admins");
    let cells = admins.context("no such row")?["cells"].as_array().context("no cells")?;
    ensure!(cells.iter().all(|cell| cell["verdict"] == "allow"), "admins have every permission");
    let everybody = rows.first().context("no row")?["cells"].as_array().context("no cells")?;
    ensure!(everybody.iter().any(|cell| cell["verdict"] == "conditional"), "{everybody:?}");
    Ok(())
}

#[test]
fn a_report_needs_a_place() -> Result<()> {
    let place = hostile()?;
    let run = stagedoor(place.path(), ["report"], b"")?;
    ensure!(run.exit != 0 && run.stderr.contains("--html"), "{run:?}");
    let run = stagedoor(place.path(), ["report", "--html", "-"], b"")?;
    ensure!(run.exit == 0 && run.stdout.starts_with("<!doctype html>"), "{run:?}");
    let run = stagedoor(place.path(), ["report", "--html", "no/such/folder.html"], b"")?;
    ensure!(run.exit != 0 && run.stderr.contains("cannot be written"), "{run:?}");
    Ok(())
}
