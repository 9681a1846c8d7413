//! How much freed memory a server keeps to itself.
//!
//! glibc keeps what was freed by arenas, of which it makes up to eight for each processor, and takes
//! ever larger blocks from them once such blocks were freed. So a server that decides one large request
//! after the other, each on another thread, comes to have the memory of many at a time. musl and the
//! allocators of other systems do neither.

/// Bounds what is kept. INVARIANT: before there are threads, since each takes an arena.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn bound() {
    /// Small pieces come from each thread's own cache, whatever the arenas are.
    const ARENAS: libc::c_int = 2;
    /// Blocks from here on go back to the system as soon as they are freed, in bytes.
    const BLOCK: libc::c_int = 256 << 10;
    /// What may be free at the end of an arena, in bytes.
    const FREE: libc::c_int = 1 << 20;

    for (setting, value) in [
        (libc::M_ARENA_MAX, ARENAS),
        (libc::M_MMAP_THRESHOLD, BLOCK),
        (libc::M_TRIM_THRESHOLD, FREE),
    ] {
        #[expect(unsafe_code, reason = "a function of the C library")]
        // SAFETY: it takes two numbers, and no other thread runs yet.
        let is_set = unsafe { libc::mallopt(setting, value) };
        if is_set == 0 {
            tracing::warn!(setting, value, "the allocator keeps more memory than it should");
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn bound() {}
