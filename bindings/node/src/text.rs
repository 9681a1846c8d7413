//! JavaScript strings.

use std::mem::MaybeUninit;
use std::{ptr, slice};

use napi::bindgen_prelude::{JsValue as _, Unknown};
use napi::sys;

use crate::failure::{Failure, Result};

/// Texts shorter than this are read without an allocation.
const SHORT: usize = 512;

/// The most bytes that a character takes.
const CHARACTER: usize = 4;

/// Hands a string's text to `read`.
///
/// # Errors
///
/// `argument::type` if the value is not a string, `argument::size` if its text is longer than
/// `limit` bytes, and `argument::unicode` if it has half a character in it: two different
/// strings of that kind would read the same.
pub(crate) fn with_text<R>(
    value: Unknown<'_>,
    what: &str,
    limit: usize,
    read: impl FnOnce(&str) -> Result<R>,
) -> Result<R> {
    let mut buffer = [MaybeUninit::uninit(); SHORT];
    let bytes = utf8(value, what, &mut buffer)?;
    // Where the buffer ends may be in the middle of the text.
    if bytes.len() < SHORT - CHARACTER {
        return read(checked(value, what, bytes)?);
    }
    let mut buffer = Vec::new();
    push_long(value, what, limit, &mut buffer)?;
    read(checked(value, what, &buffer)?)
}

fn push_long(value: Unknown<'_>, what: &str, limit: usize, buffer: &mut Vec<u8>) -> Result<()> {
    let length = utf8_length(value, what)?;
    if length > limit {
        let message = format!("{what} has {length} bytes; the limit is {limit}");
        return Err(Failure::new("argument::size", message));
    }
    buffer.reserve(length + 1);
    let written = utf8(value, what, buffer.spare_capacity_mut())?.len();
    // SAFETY: so many bytes after the buffer's were written.
    unsafe { buffer.set_len(buffer.len() + written) };
    Ok(())
}

/// Returns a string's text.
///
/// # Errors
///
/// As [`with_text`].
pub(crate) fn text(value: Unknown<'_>, what: &str, limit: usize) -> Result<String> {
    with_text(value, what, limit, |text| Ok(text.to_owned()))
}

fn checked<'b>(value: Unknown<'_>, what: &str, bytes: &'b [u8]) -> Result<&'b str> {
    let broken =
        || Failure::new("argument::unicode", format!("{what} has half of a character in it"));
    let text = str::from_utf8(bytes).map_err(|_| broken())?;
    if !text.is_ascii() && text.contains(char::REPLACEMENT_CHARACTER) && !is_unicode(value)? {
        return Err(broken());
    }
    Ok(text)
}

/// Writes a string's text to a buffer, as far as there is room, and returns what was written.
fn utf8<'b>(value: Unknown<'_>, what: &str, buffer: &'b mut [MaybeUninit<u8>]) -> Result<&'b [u8]> {
    let value = value.value();
    let mut written = 0;
    // SAFETY: both handles are of the call that is going on, and at most as many bytes are
    // written as the buffer is long.
    let status = unsafe {
        let start = buffer.as_mut_ptr().cast();
        sys::napi_get_value_string_utf8(value.env, value.value, start, buffer.len(), &mut written)
    };
    accepted(status, what)?;
    // SAFETY: so many bytes at the buffer's start were written, and no more than there are.
    Ok(unsafe { slice::from_raw_parts(buffer.as_ptr().cast(), written.min(buffer.len())) })
}

fn utf8_length(value: Unknown<'_>, what: &str) -> Result<usize> {
    let value = value.value();
    let mut length = 0;
    // SAFETY: both handles are of the call that is going on; without a buffer the text's
    // length is asked for.
    let status = unsafe {
        sys::napi_get_value_string_utf8(value.env, value.value, ptr::null_mut(), 0, &mut length)
    };
    accepted(status, what)?;
    Ok(length)
}

/// Returns whether a string is made of whole characters.
fn is_unicode(value: Unknown<'_>) -> Result<bool> {
    let value = value.value();
    let mut length = 0;
    // SAFETY: as in `utf8_length`.
    let status = unsafe {
        sys::napi_get_value_string_utf16(value.env, value.value, ptr::null_mut(), 0, &mut length)
    };
    accepted(status, "the string")?;
    let mut units = vec![0_u16; length + 1];
    let mut written = 0;
    // SAFETY: as in `utf8`.
    let status = unsafe {
        let start = units.as_mut_ptr();
        sys::napi_get_value_string_utf16(value.env, value.value, start, units.len(), &mut written)
    };
    accepted(status, "the string")?;
    let units = units.into_iter().take(written);
    Ok(char::decode_utf16(units).all(|character| character.is_ok()))
}

fn accepted(status: sys::napi_status, what: &str) -> Result<()> {
    if status == sys::Status::napi_ok {
        return Ok(());
    }
    Err(Failure::mistyped(what, "a string"))
}
