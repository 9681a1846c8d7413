//! The calls, and what each does.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{Decided, Explained, Problem};
use crate::backstage::{Asked, Group, User};
use crate::engine::{Engine, Options};
use crate::failure::{Failure, Result};
use crate::request::{EntityInput, RequestInput};
use crate::state::State;

/// What the host asks for. Engines and entities are numbers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the functions of `@stagedoor/wasm` of these names are described there"
)]
pub enum Call<'a> {
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
        entities: Vec<EntityInput>,
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
        request: RequestInput,
        entities: Option<u32>,
    },
    DecideBatch {
        engine: u32,
        requests: Vec<RequestInput>,
        entities: Option<u32>,
    },
    Explain {
        engine: u32,
        request: RequestInput,
        entities: Option<u32>,
    },
    DecideBackstage {
        engine: u32,
        permissions: Vec<Asked>,
        user: Option<User>,
    },
    SetGroups {
        engine: u32,
        groups: Vec<Group>,
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
struct Described<'e> {
    engine: u32,
    revision: &'e str,
    policy_count: usize,
    warnings: Vec<Problem>,
}

/// A set of entities.
#[derive(Serialize)]
struct Prepared {
    entities: u32,
    size: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Answer<T> {
    Ok(T),
    Error(Failure),
}

/// Answers a call, in JSON.
#[must_use]
pub fn answer(call: &[u8]) -> Vec<u8> {
    let answered = serde_json::from_slice(call)
        .map_err(|e| Failure::new("argument::type", e.to_string()))
        .and_then(|call| State::with(|state| run(state, call)));
    answered.unwrap_or_else(|failure| {
        // A failure is text.
        serde_json::to_vec(&Answer::<()>::Error(failure)).unwrap_or_default()
    })
}

fn ok(value: impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(&Answer::Ok(value))
        .map_err(|e| Failure::new("internal::answer", e.to_string()))
}

fn run(state: &mut State, call: Call<'_>) -> Result<Vec<u8>> {
    match call {
        Call::Load { options } => {
            let engine = state.engines.keep(Engine::load(options, &[])?);
            describe(state, engine)
        }
        Call::Reload { engine, options } => {
            let before = state.engines.get(engine)?;
            let loaded = Engine::load(options, before.groups())?;
            *state.engines.get_mut(engine)? = loaded;
            describe(state, engine)
        }
        Call::Describe { engine } => describe(state, engine),
        Call::Free { engine } => ok(state.engines.free(engine)),
        Call::FreeEntities { entities } => ok(state.entities.free(entities)),
        Call::Entities { entities, over } => {
            let entities =
                entities.into_iter().map(EntityInput::read).collect::<Result<Vec<_>>>()?;
            let prepared = match over {
                Some(over) => state.entities.get(over)?.with(entities)?,
                None => stagedoor_core::Entities::from_entities(entities)?,
            };
            keep(state, prepared)
        }
        Call::EntitiesJson { json, engine } => {
            let engine = engine.map(|engine| state.engines.get(engine)).transpose()?;
            let schema = engine.and_then(|engine| engine.core().schema());
            let read = stagedoor_core::Entities::from_json_str(json.get(), schema)?;
            keep(state, read)
        }
        Call::Decide { engine, request, entities } => {
            let (request, entities) = request.over(&state.entities_or_none(entities)?)?;
            let engine = state.engines.get(engine)?;
            ok(Decided::from(&engine.decide(request, &entities)?))
        }
        Call::DecideBatch { engine, requests, entities } => {
            let (engine, store) = (state.engines.get(engine)?, state.entities_or_none(entities)?);
            let decide = |request: RequestInput| {
                let (request, entities) = request.over(&store)?;
                Ok(Decided::from(&engine.decide(request, &entities)?))
            };
            let decided =
                requests.into_iter().map(|request| decide(request).unwrap_or_else(Decided::failed));
            ok(decided.collect::<Vec<_>>())
        }
        Call::Explain { engine, request, entities } => {
            let (request, entities) = request.over(&state.entities_or_none(entities)?)?;
            ok(Explained::from(&state.engines.get(engine)?.explain(request, &entities)?))
        }
        Call::DecideBackstage { engine, permissions, user } => {
            ok(state.engines.get(engine)?.answers(&permissions, user)?)
        }
        Call::SetGroups { engine, groups } => {
            ok(state.engines.get_mut(engine)?.set_groups(groups)?)
        }
        Call::ReviewAccess { engine, review } => {
            ok(state.engines.get(engine)?.review(review.get())?)
        }
    }
}

fn describe(state: &State, number: u32) -> Result<Vec<u8>> {
    let engine = state.engines.get(number)?;
    ok(Described {
        engine: number,
        revision: engine.core().revision(),
        policy_count: engine.core().policies().len(),
        warnings: engine.warnings(),
    })
}

fn keep(state: &mut State, entities: stagedoor_core::Entities) -> Result<Vec<u8>> {
    let size = entities.len();
    ok(Prepared { entities: state.entities.keep(entities), size })
}
