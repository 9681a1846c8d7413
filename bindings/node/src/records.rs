//! Records of decisions, made into lines for a program that keeps them.

use std::collections::HashMap;

use napi::ValueType;
use napi::bindgen_prelude::{Env, FromNapiValue as _, Object, Unknown};
use napi_derive::napi;
use serde_json::Value;
use stagedoor_audit::{DecisionRecord, Decisions, Form, RECORD_VERSION, Recorder, Rules, rfc3339};

use crate::failure::{Failure, Result};
use crate::json::json;
use crate::keys;

/// What a program says of a decision. What else a record has is made here.
const KEYS: [&str; 16] = [
    "auditId",
    "caller",
    "conditions",
    "durationMicros",
    "endpoint",
    "error",
    "errors",
    "guards",
    "outcome",
    "platform",
    "policies",
    "pruned",
    "request",
    "requestId",
    "results",
    "revision",
];
const OPTIONS: [&str; 5] = ["decisions", "drop", "form", "mask", "sample"];

/// Which decisions are recorded, what of them is left out, and how they are written.
#[napi(object, object_to_js = false)]
#[derive(Debug, Clone, Default)]
pub struct DecisionRecorderOptions {
    /// `json` (the default), which `stagedoor replay` reads; `ocsf`, OCSF 1.8.0's API Activity; `ecs`,
    /// the Elastic Common Schema.
    #[napi(ts_type = "'json' | 'ocsf' | 'ecs'")]
    pub form: Option<String>,
    /// `denials-and-changes` (the default): what is denied, and what is allowed and changes something.
    #[napi(ts_type = "'denials' | 'denials-and-changes' | 'all'")]
    pub decisions: Option<String>,
    /// Records only a part of the decisions of an outcome: `{allowed: 0.01}`.
    #[napi(
        ts_type = "Partial<Record<'allowed' | 'denied' | 'no-opinion' | 'conditional' | 'listed', number>>"
    )]
    pub sample: Option<HashMap<String, f64>>,
    /// Leaves records out in which a part has a value: `/request/user=user:default/robot-*`.
    pub drop: Option<Vec<String>>,
    /// Masks a part of each record: `/request/context/*`.
    pub mask: Option<Vec<String>>,
}

impl DecisionRecorderOptions {
    fn recorder(&self) -> Result<Recorder> {
        let wrong = |message: String| Failure::new("argument::value", message);
        let form = match self.form.as_deref() {
            None | Some("json") => Form::Own,
            Some("ocsf") => Form::Ocsf,
            Some("ecs") => Form::Ecs,
            Some(other) => {
                return Err(wrong(format!("`form` is `{other}`, not `json`, `ocsf` or `ecs`")));
            }
        };
        let mut rules = Rules::default();
        rules.decisions = match self.decisions.as_deref() {
            None | Some("denials-and-changes") => Decisions::DenialsAndChanges,
            Some("denials") => Decisions::Denials,
            Some("all") => Decisions::All,
            Some(other) => {
                return Err(wrong(format!(
                    "`decisions` is `{other}`, not `denials`, `denials-and-changes` or `all`"
                )));
            }
        };
        for (outcome, rate) in self.sample.iter().flatten() {
            rules.sample(&format!("{outcome}={rate}")).map_err(|e| wrong(e.to_string()))?;
        }
        for rule in self.drop.iter().flatten() {
            rules.drop.push(rule.parse().map_err(|e| wrong(format!("{e}")))?);
        }
        for pointer in self.mask.iter().flatten() {
            rules.mask.push(pointer.parse().map_err(|e| wrong(format!("{e}")))?);
        }
        Ok(Recorder::new(rules, form))
    }
}

/// Makes lines of records. `DecisionLog` of this package has one, and hands them on.
#[napi]
pub struct DecisionRecorder(Recorder);

#[napi]
impl DecisionRecorder {
    /// Returns what keeps records by these rules. Throws what is wrong with them.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        env: Env,
        #[napi(ts_arg_type = "DecisionRecorderOptions | undefined | null")] options: Option<
            Unknown<'_>,
        >,
    ) -> napi::Result<Self> {
        let read = || -> Result<Recorder> {
            let options = match options {
                Some(options) if options.get_type()? == ValueType::Object => {
                    keys::check(&Object::from_unknown(options)?, &OPTIONS)?;
                    DecisionRecorderOptions::from_unknown(options)?
                }
                _ => DecisionRecorderOptions::default(),
            };
            options.recorder()
        };
        read().map(Self).map_err(|failure| failure.thrown(&env))
    }

    /// Returns a decision as it is written; nothing if the rules do not want it. `isChange` says
    /// whether it allows a change of something, as far as that is known.
    #[napi(catch_unwind)]
    pub fn line(
        &self,
        env: Env,
        #[napi(ts_arg_type = "DecisionRecordInput")] record: Unknown<'_>,
        is_change: bool,
    ) -> napi::Result<Option<String>> {
        let made = self::record(record).map(|record| self.0.line(record, is_change));
        made.map_err(|failure| failure.thrown(&env))
    }

    /// How many records were left out for what is in them.
    #[napi(getter)]
    pub fn excluded(&self) -> i64 {
        i64::try_from(self.0.excluded()).unwrap_or(i64::MAX)
    }
}

/// Reads what a program says of a decision.
fn record(given: Unknown<'_>) -> Result<DecisionRecord<'static>> {
    if given.get_type()? != ValueType::Object {
        return Err(Failure::mistyped(
            "record",
            "{platform, endpoint, request, outcome, policies}",
        ));
    }
    keys::check(&Object::from_unknown(given)?, &KEYS)?;
    let mut value = json(given, "record")?;
    if let Value::Object(members) = &mut value {
        // What is undefined is left out, as everywhere.
        members.retain(|_, value| !value.is_null());
        members.insert("version".to_owned(), RECORD_VERSION.into());
        members.insert("time".to_owned(), rfc3339(std::time::SystemTime::now()).into());
    }
    serde_json::from_value(value).map_err(|error| {
        let reason = stagedoor_core::plain_reason(&error.to_string());
        Failure::new("argument::type", format!("not a decision: {reason}"))
    })
}
