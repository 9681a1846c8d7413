//! Guards a policy by code: `cargo run -p stagedoor --example custom_rule`.
//!
//! Rules that come from others belong into WebAssembly (feature `rules`), where they can do no harm.
//! What a program trusts as its own code can be a rule as it is.

use std::sync::Arc;

use stagedoor::{
    Decision, Engine, Entities, Guard, GuardAnswer, GuardFailure, GuardInputs, GuardRefusal,
    Request, RuleEvaluator, Value, uid,
};

/// The rules of this program.
#[derive(Debug)]
struct Rules;

/// Says yes in office hours.
#[derive(Debug)]
struct OfficeHours;

impl RuleEvaluator for Rules {
    fn guard(&self, rule: &str, _arguments: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        match rule {
            "office-hours" => Ok(Arc::new(OfficeHours)),
            _ => Err(GuardRefusal::Unknown { known: vec!["office-hours".to_owned()] }),
        }
    }
}

impl Guard for OfficeHours {
    fn inputs(&self) -> GuardInputs {
        GuardInputs { context: true, ..GuardInputs::default() }
    }

    fn digest(&self) -> &str {
        // Part of the engine's revision: change it with the code.
        "office-hours 1"
    }

    fn evaluate(&self, request: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        let Some(Value::Long(hour)) = request.context.get("hour") else {
            let message = "the context has no `hour`".to_owned();
            return Err(GuardFailure { code: "office_hours::no_hour", message });
        };
        let holds = (9..17).contains(hour);
        Ok(GuardAnswer { holds, reason: (!holds).then(|| format!("it is {hour} o'clock")) })
    }
}

/// Asks in the morning, at night, and without telling the time, which closes.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema(
            "doors.cedarschema",
            "entity User, Door;
             action open appliesTo { principal: User, resource: Door, context: { hour?: Long } };",
        )
        .policies(
            "doors.cedar",
            r#"@id("by-day") @guard("office-hours")
               permit (principal == User::"ana", action == Action::"open", resource is Door);"#,
        )
        .rules(Arc::new(Rules))
        .build()?;
    let request = Request::new(uid("User", "ana")?, uid("Action", "open")?, uid("Door", "front")?);
    let decide = |request: &Request| engine.decide(request, &Entities::empty());

    assert_eq!(decide(&request.clone().with_context("hour", 10))?.decision(), Decision::Allow);
    let night = decide(&request.clone().with_context("hour", 23))?;
    assert_eq!(night.decision(), Decision::Deny);
    for guard in night.guards() {
        println!("{} asked {}: {}", guard.policy(), guard.rule(), guard.verdict());
    }
    assert_eq!(decide(&request)?.decision(), Decision::Deny);
    Ok(())
}
