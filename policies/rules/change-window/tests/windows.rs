//! Windows and freezes against the clock of the context.

use change_window::ChangeWindow;
use serde_json::{Value, json};
use stagedoor_rule_sdk::{Error, Request, Rule as _, Verdict};

fn ask(now: impl Into<Value>, arguments: &Value) -> Result<Verdict, Error> {
    let request = Request::new().with_context(json!({ "now": now.into(), "other": 1 }))?;
    ChangeWindow::evaluate_json(&request, &arguments.to_string())
}

fn holds(now: &str, arguments: &Value) -> Result<bool, Error> {
    Ok(ask(now, arguments)?.holds)
}

#[test]
fn windows_open_and_close() -> Result<(), Error> {
    // 2026-11-23 is a Monday.
    let office = json!({ "windows": [{ "days": ["mon", "fri"], "from": "09:00", "to": "17:00" }] });
    for (now, open) in [
        ("2026-11-23T08:59:59.999Z", false),
        ("2026-11-23T09:00:00Z", true),
        ("2026-11-23T16:59:59Z", true),
        ("2026-11-23T17:00:00Z", false),
        ("2026-11-24T12:00:00Z", false),
        ("2026-11-27T12:00:00Z", true),
        ("2026-11-23T09:30:00+0100", false),
        ("2026-11-23T08:30:00-0100", true),
        ("2026-11-23", false),
    ] {
        assert_eq!(holds(now, &office)?, open, "{now}");
    }
    Ok(())
}

#[test]
fn a_window_may_go_on_into_the_next_day() -> Result<(), Error> {
    let night = json!({ "windows": [{ "days": ["sun"], "from": "22:00", "to": "02:00" }] });
    for (now, open) in [
        ("2026-11-22T21:59:00Z", false),
        ("2026-11-22T22:00:00Z", true),
        ("2026-11-23T01:59:00Z", true),
        ("2026-11-23T02:00:00Z", false),
        ("2026-11-22T01:00:00Z", false),
    ] {
        assert_eq!(holds(now, &night)?, open, "{now}");
    }
    let whole = json!({ "windows": [{ "days": ["sun"], "from": "00:00", "to": "24:00" }] });
    assert!(holds("2026-11-22T23:59:59Z", &whole)? && !holds("2026-11-23T00:00:00Z", &whole)?);
    Ok(())
}

#[test]
fn times_are_of_the_offset() -> Result<(), Error> {
    let berlin = json!({
        "windows": [{ "days": ["mon"], "from": "00:00", "to": "01:00" }], "utcOffset": "+01:00"
    });
    assert!(holds("2026-11-22T23:30:00Z", &berlin)? && !holds("2026-11-23T00:30:00Z", &berlin)?);
    Ok(())
}

#[test]
fn freezes_win() -> Result<(), Error> {
    let frozen = json!({
        "freezes": [{ "from": "2026-12-20", "to": "2027-01-05T08:00:00Z", "reason": "year's end" }]
    });
    assert!(holds("2026-12-19T23:59:59Z", &frozen)?);
    let verdict = ask("2026-12-31", &frozen)?;
    assert_eq!(verdict.reason.as_deref(), Some("changes are frozen: year's end"));
    assert!(!verdict.holds && holds("2027-01-05T08:00:00Z", &frozen)?);
    Ok(())
}

#[test]
fn the_time_may_be_given_in_three_ways() -> Result<(), Error> {
    let monday = json!({ "windows": [{ "days": ["mon"], "from": "00:00", "to": "24:00" }] });
    for now in [
        json!("2026-11-23T12:00:00Z"),
        json!(1_795_435_200_000_i64),
        json!({ "__extn": { "fn": "datetime", "arg": "2026-11-23T12:00:00Z" } }),
    ] {
        assert!(ask(now.clone(), &monday)?.holds, "{now}");
    }
    assert!(!ask(-1, &monday)?.holds, "1969-12-31 was a Wednesday");
    Ok(())
}

#[test]
fn what_is_no_time_gives_no_verdict() {
    let any = json!({});
    for now in [
        json!("2026-02-29"),
        json!("2026-13-01"),
        json!("2026-11-23T25:00:00Z"),
        json!("2026-11-23T12:00:00"),
        json!("tomorrow"),
        json!(true),
        json!({ "__extn": { "fn": "ip", "arg": "10.0.0.1" } }),
    ] {
        assert!(ask(now.clone(), &any).is_err(), "{now}");
    }
    assert!(ChangeWindow::evaluate_json(&Request::new(), "{}").is_err());
    for arguments in [
        json!({ "windows": [{ "days": ["mon"], "from": "9:00", "to": "17:00" }] }),
        json!({ "windows": [{ "days": ["noday"], "from": "09:00", "to": "17:00" }] }),
        json!({ "utcOffset": "CET" }),
        json!({ "window": [] }),
    ] {
        assert!(ask("2026-11-23", &arguments).is_err(), "{arguments}");
    }
}
