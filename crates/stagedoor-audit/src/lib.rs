//! Records of decisions, in forms that a SIEM takes, and where they go.
//!
//! A [`DecisionRecord`] has everything that was asked, the answer, and what it rests on. A
//! [`DecisionLog`] takes records from many threads, keeps those that its [`Rules`] want, writes
//! them in a [`Form`] to a [`DecisionSink`] on a thread of its own, and counts what it drops. Or
//! it is required: then a record is written before its decision is told, and one that cannot be
//! written is an error, at which callers refuse.
//!
//! # Examples
//!
//! ```
//! use stagedoor_audit::{DecisionLog, DecisionRecord, Form, LogOptions, Outcome, Platform, Writer};
//!
//! let log = DecisionLog::new(LogOptions::default(), Form::Own, Box::new(Writer::new(Vec::new())));
//! log.record(Outcome::Denied, false, || {
//!     let asked = serde_json::json!({"subject": {"type": "user", "id": "ann"}});
//!     DecisionRecord::new(Platform::AuthZen, "evaluation", Outcome::Denied, asked)
//! })?;
//! log.close();
//! assert_eq!(log.counts().written, 1);
//! # Ok::<(), stagedoor_audit::NotRecorded>(())
//! ```

mod clock;
mod form;
mod log;
#[cfg(feature = "otlp")]
mod otlp;
mod queue;
mod record;
mod recorder;
mod rules;
mod sink;

pub use clock::rfc3339;
pub use form::Form;
pub use log::{Counts, DecisionLog, LogOptions, NotRecorded};
#[cfg(feature = "otlp")]
pub use otlp::{HeaderError, Otlp};
pub use record::{
    Caller, ConditionRecord, DecisionRecord, GuardRecord, Outcome, Platform, PolicyErrorRecord,
    PolicyRecord, RECORD_VERSION, RequestError,
};
pub use recorder::Recorder;
pub use rules::{Decisions, DropRule, MASK, Pointer, RuleError, Rules};
pub use sink::{DecisionSink, FileSink, Writer};

/// The JSON Schema of records in the own form.
pub const SCHEMA: &str = include_str!("../schema/decision-record.v1.schema.json");
