//! Requests of handles with every mixture of right and wrong values in their slots: the answer is that
//! of the request and entity which have these values, and where those are refused, so is the request.

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{
    DecideError, Engine, Entities, Entity, EntityId, EntityTypeName, EntityUid, Extension, Limits,
    PreparedRequest, Record, Request, Value, ValueRef,
};
use stagedoor_tests::conformance::Answer;

const SCHEMA: &str = "
    entity Group; entity Folder in [Folder];
    entity User in [Group] { level: Long };
    entity Doc in [Folder, Group] {
        kind: String, owner?: User, size: Long, labels?: Set<String>, meta?: { note?: String }
    } tags String;
    entity Note { kind: String };
    action read appliesTo {
        principal: User, resource: Doc, context: { mfa: Bool, ip?: ipaddr, via?: Way } };
    action scan appliesTo { principal: Group, resource: [Doc, Note] };
    type Way = { hops: Long };";

const POLICIES: &str = r#"
    @id("kind") permit (principal, action == Action::"read", resource)
    when { resource.kind == "a" && resource.size < 10 };
    @id("owner") permit (principal, action, resource is Doc)
    when { resource has owner && resource.owner == principal };
    @id("labels") permit (principal, action, resource is Doc)
    when { resource has labels && resource.labels.contains("open") };
    @id("tag") permit (principal, action, resource is Doc)
    when { resource.hasTag("t") && resource.getTag("t") == "x" };
    @id("folder") permit (principal, action, resource in Folder::"f") when { principal is User };
    @id("group") permit (principal, action, resource in Group::"g") when { principal is User };
    @id("note") permit (principal, action, resource is Doc)
    when { resource has meta && resource.meta has note && resource.meta.note == "n" };
    @id("mfa") forbid (principal, action == Action::"read", resource) unless { context.mfa };
    @id("ip") forbid (principal, action == Action::"read", resource)
    when { context has ip && context.ip.isLoopback() };
    @id("hops") forbid (principal, action == Action::"read", resource)
    when { context has via && context.via.hops > 3 };
    @id("own") forbid (principal, action, resource == Doc::"secret");"#;

/// Longer than a text may be that the engine is asked about.
const LONG: &str = "0123456789abcdef";

fn engine(exact: bool) -> Result<Engine> {
    let mut limits = Limits::default();
    limits.string_bytes = 12;
    limits.nesting = 4;
    let builder = Engine::builder().policies("p", POLICIES);
    let builder = if exact { builder.exact_cedar() } else { builder.schema("s", SCHEMA) };
    Ok(builder.limits(limits).build()?)
}

/// Nests deeper than the engine takes of a context.
fn deep() -> Value {
    let inner: Record = [("hops".into(), 1.into())].into_iter().collect();
    (0..6).fold(Value::Record(inner), |value, _| Value::from_iter([value]))
}

fn record(name: &str, value: impl Into<Value>) -> Value {
    Value::Record([(name.into(), value.into())].into_iter().collect())
}

/// A name, and what may stand in its slot, nothing among it.
type Column = (&'static str, Vec<Option<Value>>);

fn attributes() -> Result<Vec<Column>> {
    let user: EntityUid = r#"User::"u""#.parse()?;
    let group: EntityUid = r#"Group::"g""#.parse()?;
    Ok(vec![
        ("kind", vec![None, Some("a".into()), Some(LONG.into()), Some(1.into())]),
        ("owner", vec![None, Some(user.into()), Some(group.into())]),
        ("size", vec![None, Some(1.into()), Some(10.into()), Some("a".into())]),
        ("labels", vec![None, Some(Value::from_iter(["open"])), Some(Value::from_iter([1]))]),
        ("meta", vec![None, Some(record("note", "n")), Some(record("other", "n")), Some(deep())]),
    ])
}

fn tags() -> Vec<Column> {
    vec![("t", vec![None, Some("x".into()), Some(true.into())])]
}

fn fields() -> Result<Vec<Column>> {
    let ip = Value::Extension(Extension::ip("127.0.0.1")?);
    let decimal = Value::Extension(Extension::decimal("1.5")?);
    Ok(vec![
        ("mfa", vec![None, Some(true.into()), Some(false.into()), Some(LONG.into())]),
        ("ip", vec![None, Some(ip), Some(decimal)]),
        ("via", vec![None, Some(record("hops", 4)), Some(record("hops", "4")), Some(deep())]),
    ])
}

/// Returns every choice of one value from each column.
fn choices(columns: &[Column]) -> Vec<Vec<Option<&Value>>> {
    columns.iter().fold(vec![Vec::new()], |rows, (_, values)| {
        let longer = |row: Vec<_>| {
            values.iter().map(move |value| row.iter().copied().chain([value.as_ref()]).collect())
        };
        rows.into_iter().flat_map(longer).collect()
    })
}

fn value_refs<'v>(values: &[Option<&'v Value>]) -> Vec<Option<ValueRef<'v>>> {
    values.iter().map(|value| value.map(ValueRef::from)).collect()
}

/// What a request is about.
struct Subject<'a> {
    id: &'a str,
    parents: &'a [(&'a EntityTypeName, &'a str)],
    values: &'a [Option<&'a Value>],
}

struct Bench {
    engine: Engine,
    store: Entities,
    principal: EntityUid,
    attributes: Vec<Column>,
    tags: Vec<Column>,
    fields: Vec<Column>,
    doc: EntityTypeName,
}

impl Bench {
    fn new(exact: bool) -> Result<Self> {
        let user = Entity::new(r#"User::"u""#.parse()?).with_attribute("level", 1);
        let (principal, doc) = (user.uid.clone(), "Doc".parse()?);
        let store = Entities::from_entities([user])?;
        let engine = engine(exact)?;
        let (attributes, fields) = (attributes()?, fields()?);
        Ok(Self { engine, store, principal, attributes, tags: tags(), fields, doc })
    }

    /// Returns the answer to the request whose resource and context have these values.
    fn expected(
        &self,
        action: &EntityUid,
        subject: &Subject<'_>,
        context: &[Option<&Value>],
    ) -> Result<Answer, DecideError> {
        let uid = EntityUid::from_type_name_and_id(self.doc.clone(), EntityId::new(subject.id));
        let mut entity = Entity::new(uid.clone());
        let names = self.attributes.iter().chain(&self.tags).map(|(name, _)| *name);
        for (number, (name, value)) in names.zip(subject.values).enumerate() {
            let Some(value) = value else { continue };
            let value = Value::clone(value);
            entity = match number < self.attributes.len() {
                true => entity.with_attribute(name, value),
                false => entity.with_tag(name, value),
            };
        }
        for (type_, id) in subject.parents {
            let type_ = EntityTypeName::clone(type_);
            entity = entity.with_parent(EntityUid::from_type_name_and_id(type_, EntityId::new(id)));
        }
        let mut request = Request::new(self.principal.clone(), action.clone(), uid);
        for ((name, _), value) in self.fields.iter().zip(context) {
            let Some(value) = value else { continue };
            request = request.with_context(name, Value::clone(value));
        }
        let outcome = self.engine.decide(&request, &self.store.with([entity])?)?;
        Ok(Answer::from(&outcome))
    }

    /// Asks for one request in slots, twice, since the second answer uses what the first found.
    fn compare(
        &self,
        action: &EntityUid,
        subject: &Subject<'_>,
        context: &[Option<&Value>],
    ) -> Result<bool> {
        let expected = self.expected(action, subject, context);
        let names =
            |columns: &[Column]| columns.iter().map(|(name, _)| *name).collect::<Vec<&str>>();
        let Self { engine, store, principal, attributes, tags, fields, doc } = self;
        let (principal, action) = (engine.principal(principal, store)?, engine.action(action)?);
        let type_ = engine.resource_type(doc, &names(attributes), &names(tags))?;
        let contexts = engine.context_type(&action, &names(fields));
        let (values, in_context) = (value_refs(subject.values), value_refs(context));
        let resource = type_.resource(subject.id, &values).with_parents(subject.parents);
        let mut asked = PreparedRequest::new(&principal, &action, resource);
        if let Ok(contexts) = &contexts {
            asked = asked.with_context_values(contexts.context(&in_context));
        }
        for _ in 0..2 {
            let given = engine.decide_prepared(&asked).map(|outcome| Answer::from(&outcome));
            let told = || format!("{given:?}, not {expected:?}");
            match (&given, &expected) {
                (Ok(given), Ok(expected)) => ensure!(given == expected, told()),
                (Err(_), Err(_)) => {}
                _ => anyhow::bail!(told()),
            }
            let ruling = engine.ruling_prepared(&asked).map(|ruling| ruling.decision()).ok();
            let decision = expected.as_ref().map(|answer| answer.decision).ok();
            ensure!(ruling == decision, "the ruling is {ruling:?}, not {decision:?}");
        }
        Ok(expected.is_ok())
    }
}

/// Compares every row; some must be decided and, where a schema says what fits, some refused.
fn compare_all<'r>(
    bench: &Bench,
    rows: impl Iterator<Item = (Subject<'r>, Vec<Option<&'r Value>>)>,
) -> Result<()> {
    let read: EntityUid = r#"Action::"read""#.parse()?;
    let exact = bench.engine.is_exact_cedar();
    let (mut decided, mut refused) = (0_usize, 0_usize);
    for (subject, context) in rows {
        let is_decided = bench.compare(&read, &subject, &context).with_context(|| {
            let Subject { id, parents, values } = &subject;
            format!("`{id}` in {parents:?} with {values:?}, context {context:?}")
        })?;
        *(if is_decided { &mut decided } else { &mut refused }) += 1;
    }
    ensure!(decided >= 8 && (exact || refused > 10), "{decided} were decided, {refused} refused");
    Ok(())
}

#[test]
fn attributes_and_tags_in_slots_are_checked_as_those_of_entities() -> Result<()> {
    for exact in [false, true] {
        let bench = Bench::new(exact)?;
        let columns: Vec<Column> = bench.attributes.iter().chain(&bench.tags).cloned().collect();
        let mfa = Value::Bool(true);
        let rows = choices(&columns);
        let rows = rows.iter().enumerate().map(|(number, values)| {
            // What is left out at the end is not there; values beyond the slots are refused elsewhere.
            let absent = values.iter().rev().take_while(|value| value.is_none()).count();
            let given = values.len() - if number % 2 == 0 { absent } else { 0 };
            let values = values.get(..given).unwrap_or_default();
            (Subject { id: "1", parents: &[], values }, vec![Some(&mfa), None, None])
        });
        compare_all(&bench, rows)?;
    }
    Ok(())
}

#[test]
fn contexts_in_slots_are_checked_as_records() -> Result<()> {
    for exact in [false, true] {
        let bench = Bench::new(exact)?;
        let (kind, size) = (Value::from("a"), Value::from(1));
        let values = [Some(&kind), None, Some(&size)];
        let contexts = choices(&bench.fields);
        let rows = contexts
            .into_iter()
            .map(|context| (Subject { id: "1", parents: &[], values: &values }, context));
        compare_all(&bench, rows)?;
    }
    Ok(())
}

#[test]
fn ids_and_parents_are_checked_as_those_of_entities() -> Result<()> {
    let types = ["Folder", "Group", "User", "Note", "Doc", "Nobody"];
    let types: Vec<EntityTypeName> = types.into_iter().map(str::parse).collect::<Result<_, _>>()?;
    let (kind, size, mfa) = (Value::from("b"), Value::from(1), Value::Bool(true));
    let values = [Some(&kind), None, Some(&size)];
    let ids = ["f", "g", "u", "1", "secret", LONG];
    let mut sets: Vec<Vec<(&EntityTypeName, &str)>> = vec![Vec::new()];
    for type_ in &types {
        sets.extend(ids.iter().map(|id| vec![(type_, *id)]));
        sets.extend(types.iter().map(|other| vec![(type_, "x"), (other, "f"), (other, "g")]));
    }
    for exact in [false, true] {
        let bench = Bench::new(exact)?;
        let rows = ids.iter().flat_map(|id| {
            sets.iter().map(|parents| {
                (Subject { id, parents, values: &values }, vec![Some(&mfa), None, None])
            })
        });
        compare_all(&bench, rows)?;
    }
    Ok(())
}

#[test]
fn more_values_than_slots_are_refused() -> Result<()> {
    let bench = Bench::new(false)?;
    let engine = &bench.engine;
    let principal = engine.principal(&bench.principal, &bench.store)?;
    let action = engine.action(&r#"Action::"read""#.parse()?)?;
    let type_ = engine.resource_type(&bench.doc, &["kind", "size"], &[])?;
    let contexts = engine.context_type(&action, &["mfa"])?;
    for (values, fields) in [(2, 1), (3, 1), (2, 2)] {
        let given = [Some("a".into()), Some(1.into()), None];
        let mfa = [Some(true.into()), None];
        let resource = type_.resource("1", given.get(..values).unwrap_or_default());
        let context = contexts.context(mfa.get(..fields).unwrap_or_default());
        let asked =
            PreparedRequest::new(&principal, &action, resource).with_context_values(context);
        let is_decided = engine.decide_prepared(&asked).is_ok();
        ensure!(is_decided == (values == 2 && fields == 1), "{values} values, {fields} fields");
    }
    Ok(())
}

/// Policies that require what only entities in the store have, and ask for groups that they name.
const STORED: &str = r#"
    permit (principal, action == Action::"see", resource) when { principal in resource.readers };
    permit (principal, action == Action::"see", resource)
    when { principal.level > 4 && resource.readers in Team::"12" };
    permit (principal, action == Action::"see", resource)
    when { context.mfa && resource.owner == principal && principal.level == resource.size };
    forbid (principal, action in [Action::"see", Action::"hide"], resource)
    when { resource.size > principal.level && context.from.isMulticast() };
    forbid (principal, action == Action::"hide", resource) unless { resource.owner in Club::"2" };"#;

/// Ids that end alike, and ids that are alike in two types: whoever is in some of them, asked for all of
/// them, and about whom and what nobody knows.
#[test]
fn stored_resources_are_decided_as_by_cedar() -> Result<()> {
    let text = "
        entity Team in [Team]; entity Club in [Club];
        entity User in [Team, Club] { level: Long };
        entity Doc { readers: Team, owner: User, size: Long };
        action see, hide appliesTo { principal: User, resource: Doc,
            context: { mfa: Bool, from: ipaddr } };";
    let (schema, _) = cedar_policy::Schema::from_cedarschema_str(text)?;
    let engine = Engine::builder().schema("s", text).policies("p", STORED).build()?;
    let set: cedar_policy::PolicySet = STORED.parse()?;
    let named = |type_: &str, id: &str| stagedoor_core::uid(type_, id);
    let ids =
        ["0", "2", "12", "112", "0012", "x12", "", "a", "team-7", "team-17", "eam-7", "größe"];
    let mut entities = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let mut user = Entity::new(named("User", id)?).with_attribute("level", number as i64);
        for (group, other) in ids.iter().enumerate() {
            for (type_, every) in [("Team", 2 + number % 4), ("Club", 1 + number)] {
                if (group + number) % every == 0 {
                    user = user.with_parent(named(type_, other)?);
                }
            }
        }
        let doc = Entity::new(named("Doc", id)?).with_attribute("readers", named("Team", id)?);
        let owner = ids.get(number / 2).copied().unwrap_or_default();
        let doc = doc.with_attribute("owner", named("User", owner)?);
        entities.extend([user, doc.with_attribute("size", (number % 5) as i64)]);
    }
    let cedar = entities.iter().map(stagedoor_tests::trial::cedar_entity);
    let cedar = cedar.collect::<Result<Vec<_>>>()?;
    let cedar = cedar_policy::Entities::from_entities(cedar, Some(&schema))?;
    let store = Entities::from_entities(entities)?;
    let (mut allowed, mut erred, mut all) = (0, 0, 0);
    for action in ["see", "hide"] {
        let handle = engine.action(&named("Action", action)?)?;
        let contexts = engine.context_type(&handle, &["from", "mfa"])?;
        for who in ids.iter().chain(&["nobody"]) {
            let principal = engine.principal(&named("User", who)?, &store)?;
            for what in ids.iter().chain(&["nothing"]) {
                let resource = engine.stored_resource(&named("Doc", what)?, &store)?;
                let (mfa, from) =
                    (all % 3 != 0, if all % 2 == 0 { "224.0.0.1" } else { "10.0.0.1" });
                let from = Value::Extension(Extension::new("ip", from)?);
                let request = Request::new(
                    principal.uid().clone(),
                    named("Action", action)?,
                    resource.uid().clone(),
                )
                .with_context("mfa", mfa)
                .with_context("from", from.clone());
                let whole = Answer::from(&engine.decide(&request, &store)?);
                let values = [Some((&from).into()), Some(mfa.into())];
                let asked = PreparedRequest::stored(&principal, &handle, &resource);
                let in_slots = asked.with_context_values(contexts.context(&values));
                let asked = PreparedRequest::stored(&principal, &handle, &resource);
                let in_record = asked.with_context(&request.context);
                for asked in [&in_slots, &in_record] {
                    let given = Answer::from(&engine.decide_prepared(asked)?);
                    ensure!(given == whole, "{given:?}, not {whole:?}: {request:?}");
                    let ruling = engine.ruling_prepared(asked)?.decision();
                    ensure!(ruling == whole.decision, "{ruling:?}, not {whole:?}: {request:?}");
                }
                let cedar_request = stagedoor_tests::trial::cedar_request(&request, Some(&schema))?;
                let expected = Answer::of_cedar(&cedar_request, &set, &cedar).failing_closed(&set);
                ensure!(whole == expected, "{whole:?}, not {expected:?}: {request:?}");
                all += 1;
                allowed += usize::from(whole.decision == stagedoor_core::Decision::Allow);
                erred += usize::from(!whole.errors.is_empty());
            }
        }
    }
    ensure!(
        allowed > 20 && allowed < all && erred > 20,
        "{allowed} allowed, {erred} erred of {all}"
    );
    Ok(())
}
