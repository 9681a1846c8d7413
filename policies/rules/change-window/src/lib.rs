//! `change-window`: weekly windows and freezes, against `context.now`.
//!
//! ```cedar
//! @guard("change-window")
//! @guard_args("windows: [{'days': ['mon', 'tue'], 'from': '09:00', 'to': '17:00'}]")
//! permit (principal in Group::"sre", action == Action::"deploy", resource);
//! ```
//!
//! It says yes while a window is open and no freeze holds. Without `windows` every time is in
//! one. A window whose end is not after its start goes on into the next day. Times are of
//! `utcOffset` (`+02:00`), which does not follow daylight saving.
//!
//! `context.now` is a `datetime` of Cedar's, text of its form, or milliseconds since 1970.

mod calendar;

use serde::Deserialize;
use stagedoor_rule_sdk::{Error, Inputs, Request, Rule, Verdict, export};

use calendar::{Moment, Offset, TimeOfDay, Weekday};

/// The rule.
#[derive(Debug)]
pub struct ChangeWindow;

/// When changes may happen.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arguments {
    windows: Option<Vec<Window>>,
    #[serde(default)]
    freezes: Vec<Freeze>,
    #[serde(default)]
    utc_offset: Offset,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    days: Vec<Weekday>,
    from: TimeOfDay,
    to: TimeOfDay,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Freeze {
    from: Moment,
    to: Moment,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    now: Moment,
}

impl Rule for ChangeWindow {
    const INPUTS: Inputs = Inputs::NONE.and_context();
    const ARGUMENTS: &'static str = include_str!("arguments.schema.json");
    type Arguments = Arguments;

    fn validate(arguments: &Arguments) -> Result<(), Error> {
        if arguments.freezes.iter().any(|freeze| freeze.from >= freeze.to) {
            return Err("a freeze ends before it begins".into());
        }
        Ok(())
    }

    fn evaluate(request: &Request, arguments: Arguments) -> Result<Verdict, Error> {
        let Context { now } = request.context()?;
        let freeze = arguments.freezes.iter().find(|f| (f.from..f.to).contains(&now));
        if let Some(freeze) = freeze {
            let why = freeze.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
            return Ok(Verdict::no(format!("changes are frozen{why}")));
        }
        let Some(windows) = &arguments.windows else { return Ok(Verdict::yes()) };
        let (day, time) = now.local(arguments.utc_offset);
        if windows.iter().any(|window| window.is_open(day, time)) {
            return Ok(Verdict::yes());
        }
        Ok(Verdict::no(format!("no change window is open on {day} at {time}")))
    }
}

impl Window {
    fn is_open(&self, day: Weekday, time: TimeOfDay) -> bool {
        let starts = |day| self.days.contains(&day);
        if self.from < self.to {
            return starts(day) && (self.from..self.to).contains(&time);
        }
        (starts(day) && time >= self.from) || (starts(day.before()) && time < self.to)
    }
}

export!(ChangeWindow);
