//! Lets so many calls run at a time: the pool refuses one more at once, the gate lets it wait.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Gate {
    free: Mutex<usize>,
    came_free: Condvar,
}

/// A place in the pool, free again when dropped.
#[derive(Debug)]
pub(crate) struct Pass<'g>(&'g Gate);

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        Self { free: Mutex::new(places), came_free: Condvar::new() }
    }

    /// Waits for a place; `None` if none comes free in time.
    pub(crate) fn enter(&self, patience: Duration) -> Option<Pass<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if *free == 0 {
            let until = Instant::now() + patience;
            while *free == 0 {
                let left = until.checked_duration_since(Instant::now())?;
                let waited = self.came_free.wait_timeout(free, left);
                free = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        *free -= 1;
        Some(Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.came_free.notify_one();
    }
}
