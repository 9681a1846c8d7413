//! The engine as one WebAssembly module that imports nothing: JSON in, JSON out.
//!
//! The host writes a call where [`stagedoor_input`] says, calls [`stagedoor_call`] and reads the
//! answer from [`stagedoor_output`]: `{"ok": …}` or `{"error": {"code", "error", "message", …}}`. Policies
//! and entities stay here, under the numbers that `load` and `entities` return. `@stagedoor/wasm`
//! does all that; the calls are the variants of [`Call`].

mod call;
mod engine;
mod state;
mod tree;

use std::cell::RefCell;

pub use call::{Call, answer};

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for a call of so many bytes, and returns where.
#[expect(unsafe_code, reason = "the host finds it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn stagedoor_input(bytes: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.clear();
        input.resize(bytes, 0);
        input.as_mut_ptr()
    })
}

/// Answers the call that was written, and returns how many bytes the answer has.
#[expect(unsafe_code, reason = "the host finds it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn stagedoor_call() -> usize {
    // Large inputs are not kept: policies have been copied out of them.
    let input = INPUT.take();
    let output = answer(&input);
    let bytes = output.len();
    OUTPUT.set(output);
    bytes
}

/// Returns where the answer stands, until the next call.
#[expect(unsafe_code, reason = "the host finds it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn stagedoor_output() -> *const u8 {
    OUTPUT.with_borrow(|output| output.as_ptr())
}
