//! Answers that were given, kept as the objects that JavaScript got.
//!
//! They are kept by everything that they depend on: who asks, with all ownership references
//! in their order, the permission with its attributes, and the policies. Keys are parts
//! preceded by their lengths and compared as a whole.

use std::collections::HashMap;

use napi::bindgen_prelude::{Array, Env, JsObjectValue as _, Object, ObjectRef};

use stagedoor_backstage::Principal;

use crate::backstage::Who;
use crate::failure::Result;

type Keyed<V> = HashMap<Box<[u8]>, V, foldhash::fast::RandomState>;

/// Answers to many principals under one policy set.
#[derive(Default)]
pub(crate) struct Answers {
    /// The policies that gave the answers, by their number.
    generation: u64,
    limit: usize,
    numbers: Keyed<usize>,
    principals: Vec<Known>,
    /// One array that holds all answers: JavaScript's collector sees one reference.
    objects: Option<ObjectRef<false>>,
    count: u32,
}

struct Known {
    who: Who,
    answers: Keyed<u32>,
}

impl Answers {
    /// Forgets what other policies answered, and everything once there is too much of it.
    pub(crate) fn renew(&mut self, env: &Env, generation: u64, limit: usize) -> Result<()> {
        let full = self.count as usize >= limit || self.principals.len() >= limit.max(1);
        if self.generation != generation || full {
            self.clear(env)?;
        }
        (self.generation, self.limit) = (generation, limit);
        Ok(())
    }

    /// Lets go of all answers.
    pub(crate) fn clear(&mut self, env: &Env) -> Result<()> {
        self.numbers.clear();
        self.principals.clear();
        self.count = 0;
        self.objects.take().map_or(Ok(()), |objects| Ok(objects.unref(env)?))
    }

    /// Returns the number of a principal.
    pub(crate) fn principal(&mut self, key: &[u8], who: impl FnOnce() -> Who) -> usize {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.principals.len();
        self.principals.push(Known { who: who(), answers: Keyed::default() });
        self.numbers.insert(key.into(), number);
        number
    }

    /// Returns a principal by its number.
    pub(crate) fn who(
        &self,
        number: usize,
    ) -> Option<std::result::Result<Option<&Principal>, &str>> {
        let known = self.principals.get(number)?;
        Some(known.who.as_ref().map(Option::as_ref).map_err(String::as_str))
    }

    /// Returns the answer that a principal got for a permission.
    pub(crate) fn answer<'env>(
        &self,
        env: &'env Env,
        number: usize,
        permission: &[u8],
    ) -> Result<Option<Object<'env>>> {
        let place = self.principals.get(number).and_then(|known| known.answers.get(permission));
        let (Some(place), Some(objects)) = (place, &self.objects) else { return Ok(None) };
        Ok(Some(objects.get_value(env)?.get_element(*place)?))
    }

    /// Keeps an answer, unless there are too many.
    pub(crate) fn keep(
        &mut self,
        env: &Env,
        number: usize,
        permission: &[u8],
        answer: &Object<'_>,
    ) -> Result<()> {
        if self.count as usize >= self.limit {
            return Ok(());
        }
        let mut objects = match &self.objects {
            Some(objects) => objects.get_value(env)?,
            None => {
                let objects = Array::from_vec(env, Vec::<u32>::new())?.coerce_to_object()?;
                self.objects = Some(objects.create_ref()?);
                objects
            }
        };
        objects.set_element(self.count, *answer)?;
        if let Some(known) = self.principals.get_mut(number) {
            known.answers.insert(permission.into(), self.count);
            self.count += 1;
        }
        Ok(())
    }

    /// Returns how many answers are kept.
    pub(crate) fn len(&self) -> u32 {
        self.count
    }
}
