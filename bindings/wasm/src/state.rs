//! What is kept between calls.

use std::cell::RefCell;
use std::collections::HashMap;

use stagedoor_core::Entities;
use stagedoor_wire::{Result, WireError};

use crate::engine::Engine;

/// Engines and entities, by their numbers.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) engines: Handles<Engine>,
    pub(crate) entities: Handles<Entities>,
}

/// Things with numbers. No number is given twice.
pub(crate) struct Handles<T> {
    things: HashMap<u32, T>,
    last: u32,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

impl State {
    pub(crate) fn with<R>(work: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        STATE.with_borrow_mut(work)
    }

    /// Returns a set of entities; no number means none. Copies nothing of it.
    pub(crate) fn entities_or_none(&self, number: Option<u32>) -> Result<Entities> {
        number.map_or_else(|| Ok(Entities::empty()), |number| self.entities.get(number).cloned())
    }
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { things: HashMap::new(), last: 0 }
    }
}

impl<T> Handles<T> {
    pub(crate) fn keep(&mut self, thing: T) -> u32 {
        self.last += 1;
        self.things.insert(self.last, thing);
        self.last
    }

    pub(crate) fn get(&self, number: u32) -> Result<&T> {
        self.things.get(&number).ok_or_else(|| missing(number))
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Result<&mut T> {
        self.things.get_mut(&number).ok_or_else(|| missing(number))
    }

    pub(crate) fn free(&mut self, number: u32) -> bool {
        self.things.remove(&number).is_some()
    }
}

fn missing(number: u32) -> WireError {
    WireError::new("engine::closed", format!("there is nothing of the number {number}"))
}
