//! Records held against their JSON Schema and against what OCSF and ECS demand; and what becomes
//! of them when sinks fail or are slow.
#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stagedoor_audit::{
    Caller, ConditionRecord, DecisionLog, DecisionRecord, DecisionSink, Decisions, Form,
    GuardRecord, LogOptions, Outcome, Platform, PolicyErrorRecord, PolicyRecord, Recorder,
    RequestError, Rules, SCHEMA,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn values(&self) -> Result<Vec<Value>> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?)
    }
}

impl DecisionSink for Lines {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        let lines = lines.lines().map(str::to_owned);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        Ok(())
    }
}

/// Returns records of every platform and outcome, with every field.
fn records() -> Vec<DecisionRecord<'static>> {
    let outcomes = [
        Outcome::Allowed,
        Outcome::Denied,
        Outcome::NoOpinion,
        Outcome::Conditional,
        Outcome::Listed,
        Outcome::Changed,
        Outcome::Failed,
    ];
    let platforms = [
        Platform::Kubernetes,
        Platform::Backstage,
        Platform::AuthZen,
        Platform::Cedar,
        Platform::Stagedoor,
    ];
    let mut records = Vec::new();
    for outcome in outcomes {
        for platform in platforms {
            let plain = DecisionRecord::new(platform, "authorize", outcome, json!({}));
            let mut full = plain.clone();
            full.request_id = "q-1".into();
            full.audit_id = Some("a-1".into());
            let caller = Caller { subject: Some("s".to_owned()), ..Caller::default() };
            full.caller = Some(Cow::Owned(caller));
            full.request = json!({
                "user": "ann", "groups": ["devs"], "uid": "u1", "extra": {"k": ["v"]},
                "verb": "delete", "apiGroup": "", "resource": "pods", "namespace": "n", "name": "p",
            });
            full.policies = vec![PolicyRecord { id: "p1".into(), effect: "permit".into() }];
            full.errors = vec![PolicyErrorRecord {
                policy: "p2".to_owned(),
                code: "policy::evaluation".to_owned(),
                message: "no such attribute".to_owned(),
            }];
            full.guards = vec![GuardRecord {
                policy: "p1".to_owned(),
                rule: "r".to_owned(),
                verdict: "yes".to_owned(),
            }];
            full.conditions = vec![ConditionRecord {
                id: "c".to_owned(),
                effect: "Deny".to_owned(),
                condition: "true".to_owned(),
            }];
            full.error = Some(RequestError { code: String::new(), message: "why".to_owned() });
            full.pruned = vec!["context.x".to_owned()].into();
            full.results = Some(3);
            full.revision = "r-1".into();
            full.duration_micros = 1_234;
            records.extend([plain, full]);
        }
    }
    records
}

/// Writes all records in a form, with a part masked; returns them as they were written.
fn written(form: Form) -> Result<Vec<Value>> {
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.rules.decisions = Decisions::All;
    options.rules.mask = vec!["/request/extra/*".parse()?];
    let log = DecisionLog::new(options, form, Box::new(lines.clone()));
    let count = records().len();
    for record in records() {
        log.record(record.outcome, true, || record)?;
    }
    log.close();
    assert_eq!(log.counts().written, count as u64);
    lines.values()
}

/// Says where a value does not keep to a schema. It knows the words that the schema uses, and
/// fails at others.
fn check(schema: &Value, value: &Value, path: &str) -> Result<()> {
    let is_of = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        _ => false,
    };
    for (word, expected) in schema.as_object().into_iter().flatten() {
        match word.as_str() {
            "$schema" | "$id" | "title" | "description" => {}
            "type" => {
                let types: Vec<&str> = match expected {
                    Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                    other => other.as_str().into_iter().collect(),
                };
                ensure!(types.into_iter().any(is_of), "{path}: {value} is not {expected}");
            }
            "const" => ensure!(value == expected, "{path}: {value} is not {expected}"),
            "enum" => {
                let is_one = expected.as_array().is_some_and(|one| one.contains(value));
                ensure!(is_one, "{path}: {value} is none of {expected}");
            }
            "minLength" => {
                let length = value.as_str().map_or(0, str::len) as u64;
                ensure!(expected.as_u64().is_some_and(|min| length >= min), "{path} is too short");
            }
            "minimum" => ensure!(value.as_f64() >= expected.as_f64(), "{path}: {value}"),
            "maximum" => ensure!(value.as_f64() <= expected.as_f64(), "{path}: {value}"),
            // The one that there is: a time.
            "pattern" => {
                let text = value.as_str().unwrap_or_default();
                let shape: String =
                    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                ensure!(shape == "0000-00-00T00:00:00.000000Z", "{path}: {value}");
            }
            "required" => {
                for name in expected.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    let is_there = !value.is_object() || value.get(name).is_some();
                    ensure!(is_there, "{path} lacks {name}");
                }
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    let schema = expected.get(name);
                    let known = schema.is_some() || path.ends_with("/request");
                    ensure!(known, "{path}/{name} is not described");
                    check(&schema.cloned().unwrap_or_default(), value, &format!("{path}/{name}"))?;
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(expected, item, &format!("{path}/{n}"))?;
                }
            }
            other => anyhow::bail!("the test does not know `{other}`"),
        }
    }
    Ok(())
}

#[test]
fn own_records_keep_to_the_schema_that_ships() -> Result<()> {
    let schema: Value = serde_json::from_str(SCHEMA)?;
    let written = written(Form::Own)?;
    for record in &written {
        check(&schema, record, "")?;
    }
    let masked = written.iter().filter(|r| r["request"]["extra"]["k"] == "(masked)").count();
    assert_eq!(masked * 2, written.len());
    let mut ids: Vec<&str> = written.iter().filter_map(|record| record["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), written.len());
    // And it refuses what is none.
    for (pointer, wrong) in [
        ("/version", json!(2)),
        ("/outcome", json!("maybe")),
        ("/time", json!("yesterday")),
        ("/durationMicros", json!(-1)),
        ("/policies", json!([{"id": "p"}])),
    ] {
        let mut record = written[1].clone();
        if let Some(member) = record.pointer_mut(pointer) {
            *member = wrong;
        }
        assert!(check(&schema, &record, "").is_err(), "{pointer}");
    }
    // What is written is read.
    for record in &written {
        let read: DecisionRecord<'_> = serde_json::from_value(record.clone())?;
        assert_eq!(serde_json::to_value(read)?, *record);
    }
    Ok(())
}

#[test]
fn ocsf_events_have_what_api_activity_demands() -> Result<()> {
    for event in written(Form::Ocsf)? {
        let number = |name: &str| event[name].as_u64().unwrap_or(u64::MAX);
        assert_eq!((number("category_uid"), number("class_uid")), (6, 6003));
        let activity = number("activity_id");
        assert!(matches!(activity, 0..=4 | 99), "{event}");
        assert_eq!(number("type_uid"), 600_300 + activity);
        assert_eq!(activity == 99, event.get("activity_name").is_some(), "{event}");
        assert!(matches!(number("severity_id"), 1..=6));
        assert!(number("time") > 1_700_000_000_000, "{event}");
        for pointer in [
            "/metadata/version",
            "/metadata/product/name",
            "/api/operation",
            "/src_endpoint/svc_name",
            "/metadata/uid",
        ] {
            assert!(event.pointer(pointer).is_some_and(Value::is_string), "{pointer}: {event}");
        }
        assert!(event["actor"]["user"].is_object());
        assert_eq!(event["metadata"]["profiles"], json!(["security_control"]));
        assert!(matches!(number("action_id"), 1 | 2 | 99));
        assert!(matches!(number("disposition_id"), 1 | 2 | 26 | 27 | 99));
        for authorization in event["authorizations"].as_array().into_iter().flatten() {
            assert!(authorization["decision"].is_string());
            assert!(authorization["policy"]["uid"].is_string());
        }
        assert!(!event.to_string().contains(r#""k":["v"]"#), "masked in every form");
    }
    Ok(())
}

#[test]
fn ecs_events_are_in_category_api() -> Result<()> {
    for event in written(Form::Ecs)? {
        assert_eq!(event["event"]["category"], json!(["api"]));
        assert!(event["event"]["type"].as_array().is_some_and(|types| !types.is_empty()));
        assert!(
            ["success", "failure", "unknown"]
                .contains(&event["event"]["outcome"].as_str().unwrap_or_default())
        );
        assert_eq!(event["event"]["kind"], "event");
        assert!(event["@timestamp"].is_string() && event["stagedoor"].is_object());
    }
    Ok(())
}

/// Waits at every write for a word, and fails at those it is told to.
struct Slow(mpsc::Receiver<bool>, Lines);

impl DecisionSink for Slow {
    fn write(&mut self, lines: &str) -> io::Result<()> {
        match self.0.recv() {
            Ok(false) => Err(io::Error::other("the disk is full")),
            Ok(true) | Err(_) => self.1.write(lines),
        }
    }
}

fn denial() -> DecisionRecord<'static> {
    DecisionRecord::new(Platform::AuthZen, "evaluation", Outcome::Denied, json!({}))
}

#[test]
fn every_decision_has_a_record_or_is_counted() -> Result<()> {
    let (tell, told) = mpsc::channel();
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.buffer = 10;
    let log = DecisionLog::new(options, Form::Own, Box::new(Slow(told, lines.clone())));
    for _ in 0..1_000 {
        log.record(Outcome::Denied, false, denial)?;
    }
    let waiting = log.counts();
    assert!(waiting.dropped >= 1_000 - 10 - 256, "{waiting:?}");
    tell.send(false)?;
    drop(tell);
    log.flush();
    let counts = log.counts();
    assert_eq!(counts.written + counts.dropped + counts.failed, 1_000, "{counts:?}");
    assert_eq!(lines.values()?.len() as u64, counts.written);
    assert!(counts.failed > 0);
    log.close();
    log.record(Outcome::Denied, false, denial)?;
    assert_eq!(log.counts().dropped, counts.dropped + 1);
    assert!(log.metrics().contains("stagedoor_decision_records_total{result=\"failed\"}"));
    Ok(())
}

#[test]
fn a_record_that_is_required_is_written_or_refused() -> Result<()> {
    let (tell, told) = mpsc::channel();
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.required = true;
    let log = DecisionLog::new(options, Form::Own, Box::new(Slow(told, lines.clone())));
    tell.send(false)?;
    assert!(log.record(Outcome::Denied, false, denial).is_err());
    tell.send(true)?;
    log.record(Outcome::Denied, false, denial)?;
    assert_eq!(lines.values()?.len(), 1, "at once");
    Ok(())
}

#[test]
fn what_waits_is_bounded_by_its_size_too() -> Result<()> {
    let (tell, told) = mpsc::channel();
    let mut options = LogOptions::default();
    options.buffer_bytes = 1 << 20;
    let log = DecisionLog::new(options, Form::Own, Box::new(Slow(told, Lines::default())));
    let large = || {
        let mut record = denial();
        let extra: Vec<Value> = (0..10_000).map(|n| json!(format!("value-{n}"))).collect();
        record.request = json!({ "extra": { "k": extra } });
        record
    };
    for _ in 0..100 {
        log.record(Outcome::Denied, false, large)?;
    }
    let waiting = log.counts();
    assert!(waiting.dropped >= 90, "{waiting:?}");
    drop(tell);
    log.flush();
    let counts = log.counts();
    assert_eq!(counts.written + counts.dropped, 100, "{counts:?}");
    // Room again, also for one that is larger than all of it.
    log.record(Outcome::Denied, false, denial)?;
    log.flush();
    log.record(Outcome::Denied, false, || {
        let mut record = denial();
        record.request = json!("x".repeat(8 << 20));
        record
    })?;
    log.flush();
    assert_eq!(log.counts().written, counts.written + 2);
    Ok(())
}

/// The parts of a record that may be masked, each with a text that no other has.
const SECRETS: [(&str, &str); 16] = [
    ("/requestId", "secret-a"),
    ("/auditId", "secret-b"),
    ("/caller/subject", "secret-c"),
    ("/request/user", "secret-d"),
    ("/request/groups/*", "secret-e"),
    ("/request/verb", "secret-f"),
    ("/request/resource", "secret-g"),
    ("/request/namespace", "secret-h"),
    ("/request/name", "secret-i"),
    ("/policies/*/id", "secret-j"),
    ("/errors/*/message", "secret-k"),
    ("/guards/0/verdict", "secret-l"),
    ("/conditions", "secret-m"),
    ("/error", "secret-n"),
    ("/pruned/0", "secret-o"),
    ("/revision", "secret-p"),
];

fn secret() -> DecisionRecord<'static> {
    let asked = json!({
        "user": "secret-d", "groups": ["secret-e"], "verb": "secret-f", "resource": "secret-g",
        "namespace": "secret-h", "name": "secret-i",
    });
    let mut record = DecisionRecord::new(Platform::Kubernetes, "authorize", Outcome::Denied, asked);
    record.request_id = "secret-a".into();
    record.audit_id = Some("secret-b".into());
    let caller = Caller { subject: Some("secret-c".to_owned()), ..Caller::default() };
    record.caller = Some(Cow::Owned(caller));
    record.policies = vec![PolicyRecord { id: "secret-j".into(), effect: "forbid".into() }];
    record.errors = vec![PolicyErrorRecord {
        policy: "p".to_owned(),
        code: "policy::evaluation".to_owned(),
        message: "secret-k".to_owned(),
    }];
    let (policy, rule, verdict) = ("p".to_owned(), "r".to_owned(), "secret-l".to_owned());
    record.guards = vec![GuardRecord { policy, rule, verdict }];
    record.conditions = vec![ConditionRecord {
        id: "c".to_owned(),
        effect: "Deny".to_owned(),
        condition: "secret-m".to_owned(),
    }];
    record.error = Some(RequestError { code: String::new(), message: "secret-n".to_owned() });
    record.pruned = vec!["secret-o".to_owned()].into();
    record.revision = "secret-p".into();
    record
}

/// Returns a record as it is written with a part masked.
fn masked(form: Form, pointer: Option<&str>, record: DecisionRecord<'_>) -> Result<String> {
    let mut rules = Rules::default();
    rules.mask = pointer.map(str::parse).transpose()?.into_iter().collect();
    Recorder::new(rules, form).line(record, false).context("a line")
}

#[test]
fn what_is_masked_is_in_no_form() -> Result<()> {
    for form in [Form::Own, Form::Ocsf, Form::Ecs] {
        let plain = masked(form, None, secret())?;
        for (pointer, text) in SECRETS {
            assert!(plain.contains(text), "{pointer} is in {form:?}");
            let line = masked(form, Some(pointer), secret())?;
            assert!(!line.contains(text), "{pointer} is masked in {form:?}: {line}");
            let others = SECRETS.iter().filter(|(_, other)| line.contains(other)).count();
            assert_eq!(others, SECRETS.len() - 1, "{pointer} alone is masked in {form:?}: {line}");
        }
    }
    Ok(())
}

#[test]
fn what_is_too_deep_to_be_looked_into_has_a_record_all_the_same() -> Result<()> {
    let mut deep = json!("secret");
    for _ in 0..200 {
        deep = json!({ "a": deep });
    }
    let record = || DecisionRecord::new(Platform::AuthZen, "evaluation", Outcome::Denied, &deep);
    let whole = Recorder::new(Rules::default(), Form::Own).line(record(), false);
    assert!(whole.context("a line")?.contains("secret"), "as it is, it is written whole");
    for form in [Form::Ocsf, Form::Ecs] {
        let line = Recorder::new(Rules::default(), form).line(record(), false);
        let line: Value = serde_json::from_str(&line.context("a line")?)?;
        let own = if form == Form::Ocsf { &line["unmapped"] } else { &line["stagedoor"] };
        assert_eq!((&own["outcome"], &own["request"]), (&json!("denied"), &json!("(masked)")));
        assert_eq!(own["masked"], json!(["/request"]));
    }
    Ok(())
}
