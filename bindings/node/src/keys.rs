//! Objects of JavaScript whose keys are known.

use napi::bindgen_prelude::{JsObjectValue as _, Object, Unknown};
use napi::{KeyCollectionMode, KeyConversion, KeyFilter, ValueType};
use stagedoor_core::unknown_key;

use crate::failure::{Failure, Result};
use crate::text::with_text;

/// The longest key that is looked at.
const KEY_BYTES: usize = 1 << 16;

/// Checks that an object has no keys of its own but these.
///
/// INVARIANT: whoever reads an object that JavaScript hands over calls this. A key that is passed
/// over in silence, `ctx` for `context`, loses whatever forbids by it.
pub(crate) fn check(object: &Object<'_>, known: &[&str]) -> Result<()> {
    let names = object.get_all_property_names(
        KeyCollectionMode::OwnOnly,
        KeyFilter::Enumerable,
        KeyConversion::NumbersToStrings,
    )?;
    for index in 0..names.get_array_length()? {
        let name: Unknown<'_> = names.get_element(index)?;
        if name.get_type()? == ValueType::Symbol {
            continue;
        }
        with_text(name, "a key", KEY_BYTES, |name| match known.contains(&name) {
            true => Ok(()),
            false => Err(Failure::new("argument::type", unknown_key(name, known.iter().copied()))),
        })?;
    }
    Ok(())
}
