//! What is in force, and taking up what changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

use crate::fingerprint::Fingerprint;

/// Something that is loaded from files, and loaded again when they change.
pub trait ReloadSource {
    /// What is loaded.
    type Value;
    /// Why it does not load.
    type Error;

    /// Returns what the files look like now.
    fn fingerprint(&self) -> Fingerprint;

    /// Reads the files and loads them, to be in force after what is now. May take its time.
    ///
    /// # Errors
    ///
    /// Why they do not load.
    fn load(&self, in_force: Option<&Self::Value>) -> Result<Self::Value, Self::Error>;

    /// Has the last word on what was loaded, once it is known to be whole.
    ///
    /// # Errors
    ///
    /// Why it is not to be in force.
    fn admit(&self, loaded: &mut Self::Value) -> Result<(), Self::Error> {
        let _ = loaded;
        Ok(())
    }

    /// Returns whether what was loaded says what is in force already.
    fn is_same(&self, in_force: &Self::Value, loaded: &Self::Value) -> bool;

    /// Is told what came in force, and in whose place.
    fn replaced(&self, before: Option<&Self::Value>, now: &Self::Value) {
        let _ = (before, now);
    }
}

/// What is in force.
#[derive(Debug)]
#[non_exhaustive]
pub struct InForce<V> {
    /// What was loaded.
    pub value: V,
    /// Since when it is in force.
    pub since: SystemTime,
}

/// Why the files as they are now are not in force.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReloadFailure<E> {
    /// The reason.
    pub error: E,
    /// When they were read.
    pub at: SystemTime,
}

/// What a reload came to.
#[derive(Debug)]
pub enum Reload<V> {
    /// What was loaded is in force, in the place of what was before, if there was anything.
    Replaced {
        /// What is in force now.
        now: Arc<InForce<V>>,
        /// What was before. Dropping it may take its time.
        before: Option<Arc<InForce<V>>>,
    },
    /// The files say what is in force already.
    Same,
    /// The files changed while they were read: nothing was done.
    Unsettled,
}

/// What is in force of a [`ReloadSource`].
///
/// Reading takes no lock. What does not load leaves what was before in force, and the failure is
/// kept to be shown. Of two reloads at a time the later one has the last word.
#[derive(Debug)]
pub struct Reloading<S: ReloadSource> {
    source: S,
    in_force: ArcSwapOption<InForce<S::Value>>,
    failure: ArcSwapOption<ReloadFailure<S::Error>>,
    /// What the files looked like when they were last read.
    read: ArcSwapOption<Fingerprint>,
    loading: Mutex<()>,
}

impl<S: ReloadSource> Reloading<S> {
    /// Returns a source of which nothing is in force yet.
    #[must_use]
    pub fn new(source: S) -> Self {
        Self {
            source,
            in_force: ArcSwapOption::empty(),
            failure: ArcSwapOption::empty(),
            read: ArcSwapOption::empty(),
            loading: Mutex::new(()),
        }
    }

    /// Returns the source with something in force that was loaded elsewhere.
    #[must_use]
    pub fn holding(self, value: S::Value) -> Self {
        self.in_force.store(Some(Arc::new(InForce { value, since: SystemTime::now() })));
        self
    }

    /// Returns where it is loaded from.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Returns what is in force, if something was loaded.
    #[must_use]
    pub fn current(&self) -> Option<Arc<InForce<S::Value>>> {
        self.in_force.load_full()
    }

    /// Returns why the last reload failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<ReloadFailure<S::Error>>> {
        self.failure.load_full()
    }

    /// Returns what the files look like now.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.source.fingerprint()
    }

    /// Returns whether the files look as they did when they were last read.
    #[must_use]
    pub fn is_read(&self, now: &Fingerprint) -> bool {
        self.read.load().as_deref() == Some(now)
    }

    /// Reads the files and puts them in force. Blocks.
    ///
    /// # Errors
    ///
    /// Why they do not load, with what keeps a copy for [`failure`](Self::failure); what was in
    /// force stays.
    pub fn reload(&self) -> Result<Reload<S::Value>, S::Error>
    where
        S::Error: Clone,
    {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.source.fingerprint();
        let before = self.current();
        let in_force = before.as_ref().map(|before| &before.value);
        let loaded = self.source.load(in_force);
        // INVARIANT: what is in force is what the files said at one time: a set of which one half
        // was read before a change and the other after it is never taken up.
        if self.source.fingerprint() != seen {
            return Ok(Reload::Unsettled);
        }
        self.read.store(Some(Arc::new(seen)));
        let admitted = loaded.and_then(|mut value| self.source.admit(&mut value).map(|()| value));
        let value = admitted.inspect_err(|error| {
            let failure = ReloadFailure { error: error.clone(), at: SystemTime::now() };
            self.failure.store(Some(Arc::new(failure)));
        })?;
        self.failure.store(None);
        if in_force.is_some_and(|in_force| self.source.is_same(in_force, &value)) {
            return Ok(Reload::Same);
        }
        let now = Arc::new(InForce { value, since: SystemTime::now() });
        self.in_force.store(Some(Arc::clone(&now)));
        // Afterwards: who is told to look again must find what is new.
        self.source.replaced(in_force, &now.value);
        Ok(Reload::Replaced { now, before })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::file_system::FileSystem as _;
    use crate::memory::MemoryFileSystem;

    /// A file that must be a number; another one is touched while it is read, if that is asked.
    struct Number {
        files: MemoryFileSystem,
        restless: bool,
    }

    impl ReloadSource for Number {
        type Value = u32;
        type Error = String;

        fn fingerprint(&self) -> Fingerprint {
            Fingerprint::of_files(&self.files, [Path::new("number")])
        }

        fn load(&self, _: Option<&Self::Value>) -> Result<u32, String> {
            let bytes = self.files.read(Path::new("number"), 10).map_err(|e| e.to_string())?;
            if self.restless {
                self.files.write("number", &bytes);
            }
            let text = String::from_utf8_lossy(&bytes);
            text.parse().map_err(|e: std::num::ParseIntError| e.to_string())
        }

        fn is_same(&self, in_force: &u32, loaded: &u32) -> bool {
            in_force == loaded
        }
    }

    #[test]
    fn what_does_not_load_leaves_what_was_before() {
        let files = MemoryFileSystem::default().with_file("number", "1");
        let mut reloading = Reloading::new(Number { files, restless: false });
        let in_force =
            |reloading: &Reloading<Number>| reloading.current().map(|current| current.value);
        assert_eq!(in_force(&reloading), None);
        assert!(matches!(reloading.reload(), Ok(Reload::Replaced { before: None, .. })));
        assert!(reloading.is_read(&reloading.fingerprint()));
        assert!(matches!(reloading.reload(), Ok(Reload::Same)));

        reloading.source.files.write("number", "one");
        assert!(!reloading.is_read(&reloading.fingerprint()));
        assert!(reloading.reload().is_err() && reloading.failure().is_some());
        assert_eq!(in_force(&reloading), Some(1));

        reloading.source.files.write("number", "2");
        reloading.source.restless = true;
        assert!(matches!(reloading.reload(), Ok(Reload::Unsettled)));
        assert_eq!(in_force(&reloading), Some(1));
        reloading.source.restless = false;
        let replaced = reloading.reload();
        assert!(
            matches!(replaced, Ok(Reload::Replaced { before: Some(old), .. }) if old.value == 1)
        );
        assert_eq!((in_force(&reloading), reloading.failure().is_none()), (Some(2), true));
    }
}
