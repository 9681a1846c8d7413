//! Memory for a rule that lives for one call: handed out, and never taken back.
//!
//! The first blocks come from what is left of the pages that a fresh instance begins with; after
//! that, the memory grows up to the host's limit.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::Cell;
use core::ptr;

const PAGE: usize = 64 << 10;

#[expect(unsafe_code, reason = "the linker's name for where its data ends")]
unsafe extern "C" {
    safe static __heap_base: u8;
}

struct Bump {
    /// The next free address; 0 before the first call.
    next: Cell<usize>,
    /// Where the memory ends.
    end: Cell<usize>,
}

// One thread: a component without threads runs nothing at the same time.
#[expect(unsafe_code, reason = "wasm32-unknown-unknown has one thread")]
unsafe impl Sync for Bump {}

#[global_allocator]
static BUMP: Bump = Bump { next: Cell::new(0), end: Cell::new(0) };

#[expect(unsafe_code, reason = "a global allocator is unsafe to implement")]
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.next.get() == 0 {
            self.next.set((&raw const __heap_base).addr());
            self.end.set(wasm32::memory_size(0) * PAGE);
        }
        let start = (self.next.get() + layout.align() - 1) & !(layout.align() - 1);
        let has_room = self.take(start, layout.size());
        ptr::with_exposed_provenance_mut(if has_room { start } else { 0 })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // The last block is free again: a string that grows stays where it is.
        if block.addr() + layout.size() == self.next.get() {
            self.next.set(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if block.addr() + layout.size() == self.next.get() {
            let has_room = self.take(block.addr(), new_size);
            return if has_room { block } else { ptr::null_mut() };
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

impl Bump {
    /// Hands out bytes from an address on, if there are so many.
    fn take(&self, start: usize, size: usize) -> bool {
        let Some(end) = start.checked_add(size) else { return false };
        let has_room = end <= self.end.get() || self.grow(end);
        if has_room {
            self.next.set(end);
        }
        has_room
    }

    /// Takes more memory from the host, up to an address.
    #[cold]
    fn grow(&self, end: usize) -> bool {
        let pages = (end - self.end.get()).div_ceil(PAGE);
        let before = wasm32::memory_grow(0, pages);
        // Elsewhere where somebody else has grown the memory, or there is none.
        if before != self.end.get() / PAGE {
            return false;
        }
        self.end.set(self.end.get() + pages * PAGE);
        true
    }
}
