//! Rules whose answers stand in a table, and that count how often they are asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use stagedoor_core::{
    Engine, EngineBuilder, Entities, Entity, Guard, GuardAnswer, GuardFailure, GuardInputs,
    GuardRefusal, Request, RuleEvaluator,
};

pub const SCHEMA: &str = "
    entity User; entity Thing { kind: String };
    action look appliesTo { principal: User, resource: Thing, context: { mfa?: Bool } };";

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Yes,
    No,
    Nothing,
}

/// The rules by name: what each says, and whether it looks at the resource.
#[derive(Debug, Default)]
pub struct Table {
    rules: BTreeMap<String, (Says, bool)>,
    bound: AtomicUsize,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Table {
    pub fn new<'a>(rules: impl IntoIterator<Item = (&'a str, Says)>) -> Arc<Self> {
        let rules = rules.into_iter().map(|(name, says)| (name.to_owned(), (says, false)));
        Arc::new(Self { rules: rules.collect(), ..Self::default() })
    }

    /// As [`new`](Self::new), for rules that look at the resource.
    pub fn about_resources<'a>(rules: impl IntoIterator<Item = (&'a str, Says)>) -> Arc<Self> {
        let rules = rules.into_iter().map(|(name, says)| (name.to_owned(), (says, true)));
        Arc::new(Self { rules: rules.collect(), ..Self::default() })
    }

    /// Returns how often each rule was asked, and forgets it.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        self.asked.lock().map(|mut asked| std::mem::take(&mut *asked)).unwrap_or_default()
    }

    /// Returns how many pairs of rule and arguments were bound.
    pub fn bound(&self) -> usize {
        self.bound.load(Ordering::Relaxed)
    }
}

impl RuleEvaluator for Table {
    fn guard(&self, rule: &str, arguments: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        self.bound.fetch_add(1, Ordering::Relaxed);
        let known = || self.rules.keys().cloned().collect();
        let (says, resource) =
            *self.rules.get(rule).ok_or_else(|| GuardRefusal::Unknown { known: known() })?;
        if arguments.contains("refuse") {
            return Err(GuardRefusal::Arguments("`refuse` is not taken".to_owned()));
        }
        let name = format!("{rule}{arguments}");
        Ok(Arc::new(Row { name, says, resource, asked: Arc::clone(&self.asked) }))
    }
}

#[derive(Debug)]
struct Row {
    name: String,
    says: Says,
    resource: bool,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Guard for Row {
    fn inputs(&self) -> GuardInputs {
        GuardInputs { resource: self.resource, ..GuardInputs::default() }
    }

    fn digest(&self) -> &str {
        match self.says {
            Says::Yes => "yes",
            Says::No => "no",
            Says::Nothing => "nothing",
        }
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        if let Ok(mut asked) = self.asked.lock() {
            *asked.entry(self.name.clone()).or_default() += 1;
        }
        let holds = match self.says {
            Says::Yes => true,
            Says::No => false,
            Says::Nothing => {
                let message = "it broke".to_owned();
                return Err(GuardFailure { code: "table::broke", message });
            }
        };
        Ok(GuardAnswer { holds, reason: Some(format!("`{}` is in the table", self.name)) })
    }
}

/// Returns a builder of policies guarded by these rules.
pub fn builder(rules: &Arc<Table>, policies: &str) -> EngineBuilder {
    let rules = Arc::clone(rules);
    Engine::builder().schema("s.cedarschema", SCHEMA).policies("p.cedar", policies).rules(rules)
}

/// Returns a request, and the entities that it is about.
pub fn request() -> Result<(Request, Entities)> {
    let thing = Entity::new(r#"Thing::"t""#.parse()?).with_attribute("kind", "x");
    let user = Entity::new(r#"User::"u""#.parse()?);
    let request = Request::new(user.uid.clone(), r#"Action::"look""#.parse()?, thing.uid.clone());
    Ok((request, Entities::from_entities([user, thing])?))
}
