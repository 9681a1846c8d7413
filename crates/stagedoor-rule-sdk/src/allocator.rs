//! Memory for a rule that lives for one call: handed out, and never taken back.
//!
//! The first blocks come from an arena that a fresh instance has without asking the host;
//! after that, the memory grows up to the host's limit.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;

/// Enough for a request of some tens of kilobytes.
const ARENA: usize = 128 << 10;
const PAGE: usize = 64 << 10;

struct Bump {
    arena: UnsafeCell<[u8; ARENA]>,
    /// The next free address and the end of what may be handed out; 0 before the first call.
    state: UnsafeCell<(usize, usize)>,
}

// One thread: a component without threads runs nothing at the same time.
#[expect(unsafe_code, reason = "wasm32-unknown-unknown has one thread")]
unsafe impl Sync for Bump {}

#[global_allocator]
static BUMP: Bump = Bump { arena: UnsafeCell::new([0; ARENA]), state: UnsafeCell::new((0, 0)) };

#[expect(unsafe_code, reason = "a global allocator is unsafe to implement")]
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: nothing else reads or writes the state while this runs.
        let state = unsafe { &mut *self.state.get() };
        if state.1 == 0 {
            let start = self.arena.get() as usize;
            *state = (start, start + ARENA);
        }
        let Some(start) = state.0.checked_next_multiple_of(layout.align()) else {
            return ptr::null_mut();
        };
        let Some(end) = start.checked_add(layout.size()) else { return ptr::null_mut() };
        if end > state.1 {
            return grown(state, layout);
        }
        state.0 = end;
        start as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        let state = unsafe { &mut *self.state.get() };
        // The last block is free again: a string that grows stays where it is.
        if block as usize + layout.size() == state.0 {
            state.0 = block as usize;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let state = unsafe { &mut *self.state.get() };
        let start = block as usize;
        if start + layout.size() == state.0 && start.saturating_add(new_size) <= state.1 {
            state.0 = start + new_size;
            return block;
        }
        // SAFETY: the caller's alignment is valid, and the new block is another one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
            }
            new
        }
    }
}

/// Takes more memory from the host, and a block from it.
fn grown(state: &mut (usize, usize), layout: Layout) -> *mut u8 {
    let wanted = layout.size().max(PAGE);
    let pages = wanted.div_ceil(PAGE);
    let before = core::arch::wasm32::memory_grow(0, pages);
    if before == usize::MAX {
        return ptr::null_mut();
    }
    let start = before * PAGE;
    *state = (start + layout.size(), start + pages * PAGE);
    start as *mut u8
}
