//! The calls, and what each does.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use stagedoor_backstage::Principal;
use stagedoor_core::plain_reason;
use stagedoor_wire::{
    BackstageGroup, BackstagePermission, BackstageUser, Decision, EntityInput, Explanation, List,
    Problem, QueryAnswer, QueryInput, RequestInput, Result, WireError,
};

use crate::engine::{Engine, Options};
use crate::state::State;
use crate::tree::Interest;

/// What the host asks for. Engines and entities are numbers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the functions of `@stagedoor/wasm` of these names are described there"
)]
pub enum Call<'a> {
    Interests {
        names: Vec<String>,
    },
    Load {
        options: Options,
    },
    Reload {
        engine: u32,
        options: Options,
    },
    Free {
        engine: u32,
    },
    Describe {
        engine: u32,
    },
    Entities {
        #[serde(borrow)]
        entities: &'a RawValue,
        over: Option<u32>,
    },
    EntitiesJson {
        #[serde(borrow)]
        json: &'a RawValue,
        engine: Option<u32>,
    },
    FreeEntities {
        entities: u32,
    },
    Decide {
        engine: u32,
        #[serde(borrow)]
        request: &'a RawValue,
        entities: Option<u32>,
    },
    DecideBatch {
        engine: u32,
        #[serde(borrow)]
        requests: Vec<&'a RawValue>,
        entities: Option<u32>,
    },
    Explain {
        engine: u32,
        #[serde(borrow)]
        request: &'a RawValue,
        entities: Option<u32>,
    },
    Query {
        engine: u32,
        #[serde(borrow)]
        query: &'a RawValue,
        entities: Option<u32>,
    },
    List {
        engine: u32,
        #[serde(borrow)]
        query: &'a RawValue,
        entities: Option<u32>,
    },
    DecideBackstage {
        engine: u32,
        permissions: Vec<BackstagePermission>,
        user: Option<BackstageUser>,
    },
    SetGroups {
        engine: u32,
        groups: Vec<BackstageGroup>,
    },
    ReviewAccess {
        engine: u32,
        #[serde(borrow)]
        review: &'a RawValue,
    },
}

/// An engine, as `load`, `reload` and `describe` return it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EngineDescription<'e> {
    engine: u32,
    revision: &'e str,
    policy_count: usize,
    warnings: Vec<Problem>,
}

/// A set of entities.
#[derive(Serialize)]
struct EntitiesDescription {
    entities: u32,
    size: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Answer<T> {
    Ok(T),
    Error(ThrownError),
}

/// What the host throws: an error, and what its `message` says.
#[derive(Serialize)]
struct ThrownError {
    #[serde(flatten)]
    error: WireError,
    message: String,
}

/// Answers a call, in JSON.
#[must_use]
pub fn answer(call: &[u8]) -> Vec<u8> {
    // As text, which policies and entities are read from as well: what reads JSON is there once.
    let answered = std::str::from_utf8(call)
        .map_err(|e| e.to_string())
        .and_then(|call| serde_json::from_str(call).map_err(|e| plain_reason(&e.to_string())))
        .map_err(|reason| WireError::new("argument::type", reason))
        .and_then(|call| State::with(|state| run(state, call)));
    answered.unwrap_or_else(|error| {
        let thrown = ThrownError { message: error.text(), error };
        // An error is text.
        serde_json::to_vec(&Answer::<()>::Error(thrown)).unwrap_or_default()
    })
}

fn ok(value: impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(&Answer::Ok(value))
        .map_err(|e| WireError::new("internal::answer", e.to_string()))
}

/// Each call has a function of its own that is not inlined: a host compiles a function when it is first
/// called, and should not have to compile all calls for the first one.
fn run(state: &mut State, call: Call<'_>) -> Result<Vec<u8>> {
    match call {
        Call::Interests { names } => {
            ok(names.iter().map(|name| Interest::of(name)).collect::<Vec<_>>())
        }
        Call::Load { options } => load(state, options),
        Call::Reload { engine, options } => reload(state, engine, options),
        Call::Describe { engine } => describe(state, engine),
        Call::Free { engine } => ok(state.engines.free(engine)),
        Call::FreeEntities { entities } => ok(state.entities.free(entities)),
        Call::Entities { entities, over } => prepare(state, entities, over),
        Call::EntitiesJson { json, engine } => prepare_cedars(state, json, engine),
        Call::Decide { engine, request, entities } => decide_one(state, engine, request, entities),
        Call::DecideBatch { engine, requests, entities } => {
            decide_all(state, engine, requests, entities)
        }
        Call::Explain { engine, request, entities } => explain(state, engine, request, entities),
        Call::Query { engine, query, entities } => answer_query(state, engine, query, entities),
        Call::List { engine, query, entities } => list(state, engine, query, entities),
        Call::DecideBackstage { engine, permissions, user } => {
            decide_backstage(state, engine, &permissions, user)
        }
        Call::SetGroups { engine, groups } => {
            ok(state.engines.get_mut(engine)?.set_groups(groups)?)
        }
        Call::ReviewAccess { engine, review } => review_access(state, engine, review),
    }
}

#[inline(never)]
fn load(state: &mut State, options: Options) -> Result<Vec<u8>> {
    let engine = state.engines.keep(Engine::load(options, &[])?);
    describe(state, engine)
}

#[inline(never)]
fn reload(state: &mut State, engine: u32, options: Options) -> Result<Vec<u8>> {
    let before = state.engines.get(engine)?;
    let loaded = Engine::load(options, before.groups())?;
    *state.engines.get_mut(engine)? = loaded;
    describe(state, engine)
}

#[inline(never)]
fn prepare(state: &mut State, entities: &RawValue, over: Option<u32>) -> Result<Vec<u8>> {
    let entities = EntityInput::list_from_json(entities.get())?.into_iter();
    let entities = entities.map(EntityInput::read).collect::<Result<Vec<_>>>()?;
    let prepared = match over {
        Some(over) => state.entities.get(over)?.with(entities)?,
        None => stagedoor_core::Entities::from_entities(entities)?,
    };
    keep(state, prepared)
}

/// Prepares entities in Cedar's form.
#[inline(never)]
fn prepare_cedars(state: &mut State, json: &RawValue, engine: Option<u32>) -> Result<Vec<u8>> {
    let engine = engine.map(|engine| state.engines.get(engine)).transpose()?;
    let schema = engine.and_then(|engine| engine.core().schema());
    let read = stagedoor_core::Entities::from_json_str(json.get(), schema)?;
    keep(state, read)
}

#[inline(never)]
fn decide_one(
    state: &State,
    engine: u32,
    request: &RawValue,
    entities: Option<u32>,
) -> Result<Vec<u8>> {
    let (engine, store) = (state.engines.get(engine)?, state.entities_or_none(entities)?);
    ok(decide(engine, request, &store)?)
}

#[inline(never)]
fn decide_all(
    state: &State,
    engine: u32,
    requests: Vec<&RawValue>,
    entities: Option<u32>,
) -> Result<Vec<u8>> {
    let (engine, store) = (state.engines.get(engine)?, state.entities_or_none(entities)?);
    let revision = engine.core().revision();
    let decided = requests.into_iter().map(|request| {
        decide(engine, request, &store).unwrap_or_else(|error| Decision::refused(error, revision))
    });
    ok(decided.collect::<Vec<_>>())
}

#[inline(never)]
fn explain(
    state: &State,
    engine: u32,
    request: &RawValue,
    entities: Option<u32>,
) -> Result<Vec<u8>> {
    let engine = state.engines.get(engine)?.core();
    let store = state.entities_or_none(entities)?;
    let (request, entities) = RequestInput::from_json(request.get())?.read(engine, &store)?;
    ok(Explanation::of(&engine.explain(&request, &entities)?, engine))
}

#[inline(never)]
fn answer_query(
    state: &State,
    engine: u32,
    query: &RawValue,
    entities: Option<u32>,
) -> Result<Vec<u8>> {
    let engine = state.engines.get(engine)?.core();
    let store = state.entities_or_none(entities)?;
    let (query, _) = QueryInput::from_json(query.get())?.read(engine)?;
    let answers = engine.query(&query, &store)?;
    let revision = engine.revision();
    let told = answers.iter().map(|answer| QueryAnswer::of(answer, revision));
    ok(told.collect::<Vec<_>>())
}

#[inline(never)]
fn list(state: &State, engine: u32, query: &RawValue, entities: Option<u32>) -> Result<Vec<u8>> {
    let engine = state.engines.get(engine)?.core();
    let store = state.entities_or_none(entities)?;
    let (query, page) = QueryInput::from_json(query.get())?.read(engine)?;
    ok(List::of(&engine.list(&query, &store, &page)?, engine.revision()))
}

#[inline(never)]
fn decide_backstage(
    state: &State,
    engine: u32,
    permissions: &[BackstagePermission],
    user: Option<BackstageUser>,
) -> Result<Vec<u8>> {
    let policy = state.engines.get(engine)?.backstage()?;
    let principal = user.map(Principal::from_wire).transpose();
    let principal = principal.as_ref().map(Option::as_ref);
    let answers =
        permissions.iter().map(|permission| policy.answer_permission(permission, principal));
    ok(answers.collect::<Vec<_>>())
}

#[inline(never)]
fn review_access(state: &State, engine: u32, review: &RawValue) -> Result<Vec<u8>> {
    ok(state.engines.get(engine)?.review(review.get())?)
}

fn decide(
    engine: &Engine,
    request: &RawValue,
    store: &stagedoor_core::Entities,
) -> Result<Decision> {
    let (request, entities) = RequestInput::from_json(request.get())?.read(engine.core(), store)?;
    Ok((&engine.core().decide(&request, &entities)?).into())
}

fn describe(state: &State, number: u32) -> Result<Vec<u8>> {
    let engine = state.engines.get(number)?;
    ok(EngineDescription {
        engine: number,
        revision: engine.core().revision(),
        policy_count: engine.core().policies().len(),
        warnings: engine.warnings(),
    })
}

fn keep(state: &mut State, entities: stagedoor_core::Entities) -> Result<Vec<u8>> {
    let size = entities.len();
    ok(EntitiesDescription { entities: state.entities.keep(entities), size })
}
