//! Files of records: turned over, moved away by others, and on a disk that is full.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::serving::{Serving, eventually, shared};

fn name(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

fn question(n: usize, filler: usize) -> Value {
    json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
        "context": {"time": format!("{n}"), "filler": "x".repeat(filler)},
    })
}

/// Returns the ids of the requests that a file has records of, each line of which is a record.
fn requests(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path)?;
    ensure!(text.is_empty() || text.ends_with('\n'), "half a record at the end");
    let mut ids = Vec::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line)?;
        if record["endpoint"] == "evaluation" {
            ids.push(record["requestId"].as_str().context("an id")?.to_owned());
        }
    }
    Ok(ids)
}

#[test]
fn files_are_turned_over_and_opened_again_and_no_record_is_lost() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("records.log");
    let world = shared("worlds/certification");
    let world = name(&world)?;
    let serving = Serving::start(&[
        "--policies",
        world,
        "--entities",
        world,
        "--audit-log",
        name(&log)?,
        "--audit-log-max-size",
        "1",
        "--audit-log-max-files",
        "50",
    ])?;
    let mut moved = Vec::new();
    let ask = |from: usize, to: usize| -> Result<()> {
        for n in from..to {
            let id = format!("q-{n}");
            // Three of them are more than a file may have.
            let body = question(n, 400_000).to_string();
            let answered =
                serving.post("/access/v1/evaluation", &body, &[("x-request-id", &id)])?;
            ensure!(answered.text == r#"{"decision":true}"#, "{}", answered.text);
        }
        Ok(())
    };
    for round in 0..4 {
        ask(round * 5, round * 5 + 5)?;
        // As logrotate does it: away with the file, then the signal.
        let place = directory.path().join(format!("moved-{round}"));
        std::fs::rename(&log, &place)?;
        moved.push(place);
        serving.signal("-HUP")?;
        eventually("the file is there again", || Ok(log.exists()))?;
    }
    ask(20, 21)?;
    serving.end()?;
    let mut found = Vec::new();
    let mut turned_over = 0;
    for entry in std::fs::read_dir(directory.path())? {
        let path = entry?.path();
        ensure!(std::fs::metadata(&path)?.len() < 3 << 20, "{}", path.display());
        turned_over += usize::from(name(&path)?.contains("records.log."));
        found.extend(requests(&path)?);
    }
    assert!(turned_over > 2, "{turned_over} files were turned over");
    found.sort();
    let mut expected: Vec<String> = (0..21).map(|n| format!("q-{n}")).collect();
    expected.sort();
    assert_eq!(found, expected, "each once");
    Ok(())
}

/// Where a write fits in part only, none of it stays, and nothing is allowed that is not there as a
/// whole.
#[test]
fn a_disk_that_is_full_leaves_no_half_records_and_allows_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("records.log");
    let world = shared("worlds/certification");
    let world = name(&world)?;
    // So many blocks of 512 bytes may a file have; past that, writes end early and then fail.
    let serving = Serving::by_shell(
        r#"trap "" XFSZ; ulimit -f 16; exec "$@""#,
        &[
            "--policies",
            world,
            "--entities",
            world,
            "--audit-log",
            name(&log)?,
            "--audit-log-required",
        ],
    )?;
    let ask = |n: usize| -> Result<bool> {
        let id = format!("q-{n}");
        let body = question(n, 300).to_string();
        let answered = serving.post("/access/v1/evaluation", &body, &[("x-request-id", &id)])?;
        ensure!(answered.code == 200, "{}", answered.text);
        Ok(answered.json()?["decision"] == true)
    };
    let mut allowed = BTreeSet::new();
    for n in 0..40 {
        if ask(n)? {
            allowed.insert(format!("q-{n}"));
        }
    }
    assert!(!allowed.is_empty() && allowed.len() < 40, "{}", allowed.len());
    assert_eq!(requests(&log)?.into_iter().collect::<BTreeSet<_>>(), allowed);
    // There is room again.
    let full = directory.path().join("full");
    std::fs::rename(&log, &full)?;
    serving.signal("-HUP")?;
    eventually("the file is there again", || Ok(log.exists()))?;
    assert!(ask(40)?);
    assert!(requests(&log)?.contains(&"q-40".to_owned()));
    serving.end()?;
    Ok(())
}
