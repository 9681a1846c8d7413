//! Random edits of policies against a fresh engine and Cedar's own policy set.

use std::cell::Cell;
use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use cedar_policy::{Policy, PolicyId, PolicySet, SlotId, Template};
use proptest::collection::vec;
use proptest::prelude::any;
use stagedoor_core::{Engine, EngineBuilder, Entities, Request, TemplateLink};
use stagedoor_tests::bytes::Choices;
use stagedoor_tests::conformance::Answer;
use stagedoor_tests::runner::holds;
use stagedoor_tests::trial::{cedar_entity, cedar_request};
use stagedoor_tests::{faces, loose, typed, world};

use crate::resembling::alike;
use crate::{for_each_script, random_bytes};

/// What an id stands for.
#[derive(Debug, Clone)]
enum Part {
    Policy(String),
    Template(String, [bool; 2]),
    Link(Box<TemplateLink>),
}

/// A policy set as it must be, in order, and as Cedar holds it.
struct Model {
    parts: Vec<(String, Part)>,
    cedar: PolicySet,
    exact: bool,
    /// With more parts than this, edits take away more than they add.
    room: usize,
}

impl Model {
    fn put(&mut self, id: &str, part: Part) -> Result<()> {
        let name = PolicyId::new(id);
        match &part {
            Part::Policy(text) => self.cedar.add(Policy::parse(Some(name), text)?)?,
            Part::Template(text, _) => {
                self.cedar.add_template(Template::parse(Some(name), text)?)?;
            }
            Part::Link(link) => {
                let principal = link.principal.clone().map(|uid| (SlotId::principal(), uid));
                let resource = link.resource.clone().map(|uid| (SlotId::resource(), uid));
                let slots: HashMap<_, _> = principal.into_iter().chain(resource).collect();
                self.cedar.link(PolicyId::new(&link.template), name, slots)?;
            }
        }
        self.parts.push((id.to_owned(), part));
        Ok(())
    }

    fn take(&mut self, id: &str) -> Result<()> {
        let at = self.parts.iter().position(|(known, _)| known == id).context("no such part")?;
        let name = PolicyId::new(id);
        match self.parts.remove(at).1 {
            Part::Policy(_) => drop(self.cedar.remove_static(name)?),
            Part::Template(..) => drop(self.cedar.remove_template(name)?),
            Part::Link(_) => drop(self.cedar.unlink(name)?),
        }
        Ok(())
    }

    fn links_of(&self, id: &str) -> usize {
        let is_of = |(_, part): &&(String, Part)| matches!(part, Part::Link(l) if l.template == id);
        self.parts.iter().filter(is_of).count()
    }

    /// Returns an engine that was never edited. Without a schema an id is but a position there.
    fn fresh(&self) -> Result<Option<Engine>> {
        self.built(builder(self.exact))
    }

    /// Returns the same, made of what another engine was loaded with where that says the same.
    fn resembling(&self, other: &Engine) -> Result<Option<Engine>> {
        self.built(builder(self.exact).resembling(other))
    }

    fn built(&self, mut builder: EngineBuilder) -> Result<Option<Engine>> {
        if self.exact {
            return Ok(None);
        }
        for (id, part) in &self.parts {
            builder = match part {
                Part::Policy(text) | Part::Template(text, _) => builder.policies(id, text),
                Part::Link(link) => builder.link(link.as_ref().clone()),
            };
        }
        Ok(Some(builder.build()?))
    }
}

fn builder(exact: bool) -> EngineBuilder {
    let builder = Engine::builder().unshadowed();
    if exact {
        return builder.exact_cedar();
    }
    builder.schema("typed.cedarschema", typed::SCHEMA)
}

/// How long a script is, and how it is checked.
struct Script {
    steps: usize,
    exact: bool,
    /// After so many steps each time, everything is held to a fresh engine and to Cedar.
    every: usize,
    room: usize,
}

/// What a script did, so that a weak generator is noticed.
#[derive(Default)]
struct Tally {
    made: Cell<usize>,
    refused: Cell<usize>,
    linked: Cell<usize>,
    allowed: Cell<usize>,
    decided: Cell<usize>,
}

fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

/// Returns a policy or a template, and its slots.
fn text(id: &str, exact: bool, choices: &mut Choices<'_>) -> Part {
    let bytes: Vec<u8> = (0..24).map(|_| choices.below(256) as u8).collect();
    let (shape, fill) = bytes.split_at(bytes.len() / 2);
    let (mut shape, mut fill) = (Choices::new(shape), Choices::new(fill));
    let text = if exact {
        loose::policy(&mut shape, &mut fill, true)
    } else if shape.chance(60) {
        let head = fill.pick(&[
            "principal in ?principal, action, resource",
            "principal == ?principal, action in Action::\"reading\", resource in ?resource",
            "principal is User in ?principal, action, resource is Doc",
        ]);
        format!("permit({head}) when {{ resource.ns == \"n1\" || context.flag }};")
    } else {
        typed::policy(&mut shape, &mut fill, false)
    };
    let text = format!("@id({id:?})\n{text}");
    match [text.contains("?principal"), text.contains("?resource")] {
        [false, false] => Part::Policy(text),
        slots => Part::Template(text, slots),
    }
}

fn link(id: &str, model: &Model, choices: &mut Choices<'_>) -> Result<Option<TemplateLink>> {
    let templates = model.parts.iter().filter_map(|(template, part)| match part {
        Part::Template(_, slots) => Some((template, *slots)),
        Part::Policy(_) | Part::Link(_) => None,
    });
    let templates: Vec<_> = templates.collect();
    let Some((template, [principal, resource])) = templates.get(choices.below(templates.len()))
    else {
        return Ok(None);
    };
    let who = choices.pick(&[("User", "u0"), ("User", "u1"), ("Group", "g0"), ("Group", "g2")]);
    let what = choices.pick(&[("Doc", "d0"), ("Folder", "f0"), ("Folder", "f1")]);
    Ok(Some(TemplateLink {
        template: (*template).clone(),
        id: id.to_owned(),
        principal: principal.then(|| world::uid(who)).transpose()?,
        resource: resource.then(|| world::uid(what)).transpose()?,
    }))
}

/// Makes one edit of an engine and of the model; returns the engine after it.
fn step(
    number: usize,
    engine: &Engine,
    model: &mut Model,
    choices: &mut Choices<'_>,
    seen: &Tally,
) -> Result<Engine> {
    let mut ids = model.parts.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let known =
        if ids.is_empty() { String::new() } else { ids.swap_remove(choices.below(ids.len())) };
    let new = format!("edit {number}");
    let is_pinned = known.is_empty() || model.links_of(&known) > 0;
    let edit = engine.edit();
    let kind = match choices.below(8) {
        0 | 1 | 5 | 6 if model.parts.len() > model.room => 3,
        kind => kind,
    };
    let (edit, taken, put) = match kind {
        0 | 1 => match text(&new, model.exact, choices) {
            part @ (Part::Policy(_) | Part::Template(..)) => {
                (edit.add(&new, words(&part)), None, Some((new, part)))
            }
            Part::Link(_) => return Ok(engine.clone()),
        },
        2 => {
            let part = text(&known, model.exact, choices);
            (edit.replace(&known, words(&part)), Some(known.clone()), Some((known.clone(), part)))
        }
        3 | 4 => (edit.remove(&known), Some(known.clone()), None),
        5 | 6 => {
            let Some(link) = link(&new, model, choices)? else { return Ok(engine.clone()) };
            count(&seen.linked);
            (edit.link(link.clone()), None, Some((new, Part::Link(Box::new(link)))))
        }
        _ => {
            let edit = match choices.below(6) {
                0 => edit.add(&new, "permit(principal, oops"),
                1 => edit.add(&new, "permit(principal, action, resource); ".repeat(2)),
                2 => edit.remove("nobody"),
                3 => edit.add(&new, "permit(principal, action, resource);").remove("nobody"),
                4 => edit.remove(&known).remove(&known),
                _ => edit.add(&known, "permit(principal, action, resource);"),
            };
            // `known` may be empty, which is an id like any other.
            let is_fine = edit.clone().apply().is_ok();
            ensure!(!is_fine || known.is_empty(), "{edit:?} was made");
            count(&seen.refused);
            return Ok(engine.clone());
        }
    };
    let is_valid = match &put {
        // Cedar's validator says whether a policy may be loaded: so does a fresh engine.
        Some((_, part @ (Part::Policy(_) | Part::Template(..)))) if !model.exact => {
            builder(false).policies("p", words(part)).build().is_ok()
        }
        _ => true,
    };
    let may = is_valid && (taken.is_none() || !is_pinned);
    let told = format!("{edit:?}");
    match edit.apply() {
        Ok(edited) => {
            // A link may be one that the schema refuses; then nothing is told of it here.
            ensure!(may, "made: {told}");
            count(&seen.made);
            if let Some(id) = taken {
                model.take(&id)?;
            }
            if let Some((id, part)) = put {
                model.put(&id, part)?;
            }
            Ok(edited)
        }
        Err(error) => {
            let is_link = matches!(&put, Some((_, Part::Link(_))));
            ensure!(!may || is_link, "refused: {told}: {error}");
            ensure!(!error.problems().is_empty(), "{told} was refused without a reason");
            count(&seen.refused);
            Ok(engine.clone())
        }
    }
}

fn words(part: &Part) -> String {
    match part {
        Part::Policy(text) | Part::Template(text, _) => text.clone(),
        Part::Link(_) => String::new(),
    }
}

/// Runs a script of edits; after each step the engine is held to a fresh one and to Cedar.
fn script(bytes: &[u8], script: &Script, seen: &Tally) -> Result<()> {
    let Script { steps, exact, every, room } = *script;
    let mut choices = Choices::new(bytes);
    let given = if exact { world::entities(&mut choices) } else { typed::entities(&mut choices) }?;
    let all = given.clone();
    let entities = Entities::from_entities(given.clone())?;
    let request = |choices: &mut Choices<'_>| {
        if exact { world::request(choices) } else { typed::request(choices) }
    };
    let requests = (0..4).map(|_| request(&mut choices)).collect::<Result<Vec<_>>>()?;
    let schema = if exact { None } else { Some(typed::schema()?) };
    let cedar_entities = cedar_policy::Entities::from_entities(
        given.iter().map(cedar_entity).collect::<Result<Vec<_>>>()?,
        schema.as_ref(),
    )?;
    let mut model = Model { parts: Vec::new(), cedar: PolicySet::new(), exact, room };
    // Some are there from the start, so that edits take away what was loaded.
    let mut start = builder(exact);
    if !exact {
        for number in 0..8 {
            let id = format!("loaded {number}");
            let part = text(&id, exact, &mut choices);
            if builder(false).policies("p", words(&part)).build().is_ok() {
                start = start.policies(&id, words(&part));
                model.put(&id, part)?;
            }
        }
    }
    let mut engine = start.build()?;
    for number in 0..steps {
        let before = engine.clone();
        let revision = before.revision().to_owned();
        engine = step(number, &engine, &mut model, &mut choices, seen)?;
        ensure!(before.revision() == revision, "an edit changed what it was made of");
        if choices.chance(10) {
            let settled = engine.settled();
            ensure!(settled.revision() == engine.revision() && settled.unsettled() == 0);
            engine = settled;
        }
        if number % every != 0 {
            continue;
        }
        let fresh = model.fresh()?;
        let resembling = model.resembling(&before)?;
        let told = || format!("step {number}: {:#?}", model.parts);
        if let Some(fresh) = &fresh {
            ensure!(engine.revision() == fresh.revision(), "another revision: {}", told());
            ensure!(engine.policies().len() == fresh.policies().len(), "{}", told());
        }
        if let (Some(fresh), Some(resembling)) = (&fresh, &resembling) {
            alike(resembling, fresh).with_context(told)?;
            for asked in &requests {
                let (own, fresh) =
                    (resembling.decide(asked, &entities)?, fresh.decide(asked, &entities)?);
                ensure!(own.errors() == fresh.errors(), "other errors: {}", told());
                ensure!(Answer::from(&own) == Answer::from(&fresh), "{asked:?}: {}", told());
            }
            if number % 16 == 0 {
                let asked = requests.first().context("a request")?;
                faces::agree(resembling, asked, &all).with_context(told)?;
            }
        }
        let in_order = engine.policies().map(|p| p.id().to_owned());
        let expected = model.parts.iter().filter(|(_, part)| !matches!(part, Part::Template(..)));
        ensure!(in_order.eq(expected.map(|(id, _)| id.clone())), "another order: {}", told());
        for asked in &requests {
            let given = answer(&engine, asked, &entities)?;
            let cedar = cedar_request(asked, schema.as_ref())?;
            let mut expected = Answer::of_cedar(&cedar, &model.cedar, &cedar_entities);
            if !exact {
                expected = expected.failing_closed(&model.cedar);
            }
            ensure!(given == expected, "{given:?}\nCedar: {expected:?}\n{asked:?}\n{}", told());
            if let Some(fresh) = &fresh {
                let fresh = fresh.decide(asked, &entities)?;
                let own = engine.decide(asked, &entities)?;
                let sorted = |outcome: &stagedoor_core::Outcome| {
                    let mut errors = outcome.errors().to_vec();
                    errors.sort_by(|one, other| one.policy().cmp(other.policy()));
                    errors
                };
                ensure!(sorted(&own) == sorted(&fresh), "other errors: {}", told());
            }
            count(&seen.decided);
            let allowed = given.decision == stagedoor_core::Decision::Allow;
            seen.allowed.set(seen.allowed.get() + usize::from(allowed));
            if number % 16 == 0 {
                faces::agree(&engine, asked, &all).with_context(told)?;
            }
        }
    }
    Ok(())
}

fn answer(engine: &Engine, request: &Request, entities: &Entities) -> Result<Answer> {
    Ok(Answer::from(&engine.decide(request, entities)?))
}

fn scripts(cases: u32, steps: usize, exact: bool) -> Result<()> {
    let seen = Tally::default();
    let each = Script { steps, exact, every: 1, room: usize::MAX };
    holds(cases, vec(any::<u8>(), 3_000..6_000), |bytes| script(bytes, &each, &seen))?;
    told(seen)
}

/// Says what scripts did; it must not have been too little.
fn told(seen: Tally) -> Result<()> {
    let Tally { made, refused, linked, allowed, decided } = seen;
    let [made, refused, linked] = [made.get(), refused.get(), linked.get()];
    let [allowed, decided] = [allowed.get(), decided.get()];
    eprintln!("{made} edits, {refused} refused, {linked} links; {allowed} of {decided} allowed");
    ensure!(made > 100 && refused > 20 && linked > 10, "{made}, {refused}, {linked}");
    ensure!(allowed * 20 > decided && allowed < decided, "{allowed} of {decided} allowed");
    Ok(())
}

#[test]
fn strict_engines_that_are_edited_are_as_fresh_ones() -> Result<()> {
    scripts(12, 40, false)
}

#[test]
fn exact_engines_that_are_edited_are_as_cedar() -> Result<()> {
    scripts(48, 60, true)
}

/// A long life: what is checked now and then is what thousands of edits have made.
#[test]
fn ten_thousand_edits_leave_nothing_behind() -> Result<()> {
    let seen = Tally::default();
    let life = Script { steps: 10_000, exact: true, every: 500, room: usize::MAX };
    script(&random_bytes(1, life.steps), &life, &seen)?;
    ensure!(seen.made.get() > 5_000, "only {} edits", seen.made.get());
    Ok(())
}

/// As many scripts as `STAGEDOOR_EDIT_SCRIPTS` says, of as many steps as `STAGEDOOR_EDIT_STEPS`, from
/// the number `STAGEDOOR_SEED` on: each by its number, checked after each step.
#[test]
fn scripts_as_long_as_is_asked_for() -> Result<()> {
    let seen = Tally::default();
    for_each_script(|number, steps| {
        let long = Script { steps, exact: number % 2 == 0, every: 1, room: 40 };
        script(&random_bytes(number, steps), &long, &seen)
    })?;
    told(seen)
}

#[test]
fn what_cannot_be_edited_is_said() -> Result<()> {
    let engine = Engine::builder()
        .schema(
            "s",
            "entity Team; entity User in [Team]; entity Doc { level: Long };
             action view appliesTo { principal: User, resource: Doc };",
        )
        .policies(
            "p.cedar",
            "@id(\"t\") permit(principal in ?principal, action, resource);
             @id(\"p\") permit(principal, action, resource);",
        )
        .link(TemplateLink {
            template: "t".to_owned(),
            id: "l".to_owned(),
            principal: Some("Team::\"a\"".parse()?),
            resource: None,
        })
        .build()?;
    let link = |template: &str, id: &str, who: &str| -> Result<TemplateLink> {
        let (template, id) = (template.to_owned(), id.to_owned());
        Ok(TemplateLink { template, id, principal: Some(who.parse()?), resource: None })
    };
    let permit = "permit(principal, action, resource);";
    let edit = || engine.edit();
    for (edit, code, message) in [
        (edit().add("p", permit), "policy::duplicate-id", "there is another policy `p`"),
        (edit().add("t", permit), "policy::duplicate-id", "there is another policy `t`"),
        (edit().replace("q", permit), "policy::edit", "there is no policy `q`"),
        (edit().remove("q"), "policy::edit", "there is no policy `q`"),
        (edit().remove("t"), "link::template", "template `t` is used by 1 links"),
        (edit().replace("t", permit), "link::template", "template `t` is used by 1 links"),
        (edit().add("q", ""), "policy::edit", "one policy or template is called `q`, not 0"),
        (
            edit().add("q", "@id(\"r\") permit(principal, action, resource);"),
            "policy::edit",
            "the edit is of `q`, but the policy is called `r`",
        ),
        (
            edit().add("q", "permit(principal, action, resource) when { resource.levle == 1 };"),
            "policy::validate",
            "attribute `levle` on entity type `Doc` not found",
        ),
        (
            edit().link(link("u", "m", "Team::\"a\"")?),
            "link::template",
            "link `m` refers to unknown template `u`",
        ),
        (edit().link(link("t", "l", "Team::\"b\"")?), "policy::duplicate-id", "policy `l`"),
        (
            edit().link(TemplateLink { principal: None, ..link("t", "m", "Team::\"a\"")? }),
            "link::slots",
            "link `m` leaves `?principal` of `t` open",
        ),
    ] {
        let told = format!("{edit:?}");
        let Err(error) = edit.apply() else { anyhow::bail!("{told} was made") };
        let [problem] = error.problems() else { anyhow::bail!("{told}: {error}") };
        ensure!(problem.code() == code, "{told}: {problem:?}");
        ensure!(problem.message().contains(message), "{told}: {}", problem.message());
        ensure!(problem.policy().is_some(), "{told}: {problem:?}");
    }
    // A template goes after its links, in one edit as well.
    let edited = engine.edit().remove("l").remove("t").apply()?;
    ensure!(edited.policies().len() == 1 && engine.policies().len() == 2);
    // A limit is the whole set's, however it came about.
    let mut limits = stagedoor_core::Limits::default();
    limits.policies = 1;
    let narrow = Engine::builder().exact_cedar().limits(limits).build()?;
    let full = narrow.edit().add("p", permit).apply()?;
    let refused = full.edit().add("q", permit).apply().err().context("it was made")?;
    ensure!(refused.problems().iter().all(|p| p.code() == "limit::policies"), "{refused}");
    full.edit().remove("p").add("q", permit).apply()?;
    Ok(())
}
