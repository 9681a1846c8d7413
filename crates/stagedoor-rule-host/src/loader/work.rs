//! Threads that prepare components, and what came of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::{Progress, SeenFile, help};
use crate::host::RuleHost;
use crate::rule::PreparedRule;

/// Components that are compiled at a time.
const WORKERS: usize = 2;

/// A component to be prepared.
pub(super) struct Job {
    pub(super) digest: String,
    pub(super) bytes: Vec<u8>,
}

/// What is prepared, and what is to be.
pub(super) struct Work {
    host: RuleHost,
    state: Mutex<State>,
    done: Condvar,
    version: AtomicU64,
}

#[derive(Default)]
struct State {
    files: HashMap<PathBuf, SeenFile>,
    components: HashMap<String, Progress>,
    /// Components that some load did not wait for any longer.
    missed: HashSet<String>,
    jobs: VecDeque<Job>,
    workers: usize,
    loads: u64,
}

impl Work {
    pub(super) fn new(host: RuleHost) -> Self {
        Self { host, state: Mutex::default(), done: Condvar::new(), version: AtomicU64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns whether nothing was loaded yet.
    pub(super) fn is_first(&self) -> bool {
        self.state().loads == 0
    }

    pub(super) fn seen(&self, path: &Path) -> Option<SeenFile> {
        self.state().files.get(path).cloned()
    }

    /// Returns the digest of what can serve of a file that has changed.
    pub(super) fn usable(&self, seen: &SeenFile) -> Option<String> {
        let state = self.state();
        let is_ready =
            |digest: &&String| matches!(state.components.get(*digest), Some(Progress::Ready(_)));
        [Some(&seen.digest), seen.before.as_ref()].into_iter().flatten().find(is_ready).cloned()
    }

    /// Has a component prepared, unless it is known.
    pub(super) fn add(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        if state.components.contains_key(&job.digest) {
            return;
        }
        state.components.insert(job.digest.clone(), Progress::Pending);
        state.jobs.push_back(job);
        if state.workers >= WORKERS {
            return;
        }
        let worker = Worker(Arc::clone(self));
        let started = thread::Builder::new()
            .name("stagedoor-rule-compile".to_owned())
            .spawn(move || worker.run());
        match started {
            Ok(_) => state.workers += 1,
            Err(error) if state.workers == 0 => {
                // Nobody would do it.
                let jobs = std::mem::take(&mut state.jobs);
                let error = format!("no thread can be started to compile it: {error}");
                for job in jobs {
                    let failed =
                        Progress::Failed { error: error.clone(), help: None, passing: true };
                    state.components.insert(job.digest, failed);
                }
            }
            Err(_) => {}
        }
    }

    /// Waits until these are prepared, or the time is over.
    pub(super) fn wait(&self, digests: &HashSet<String>, until: Option<Instant>) {
        let mut state = self.state();
        loop {
            let is_pending =
                |digest: &&String| matches!(state.components.get(*digest), Some(Progress::Pending));
            let pending: Vec<String> = digests.iter().filter(is_pending).cloned().collect();
            if pending.is_empty() {
                return;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match left {
                None => self.done.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    state.missed.extend(pending);
                    return;
                }
                Some(left) => {
                    let waited = self.done.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Returns whether a load did not wait for something that is not prepared yet.
    pub(super) fn is_missed(&self) -> bool {
        !self.state().missed.is_empty()
    }

    /// Waits until that is not so.
    pub(super) fn settle(&self) {
        let mut state = self.state();
        while !state.missed.is_empty() {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn progress(&self, digest: &str) -> Progress {
        self.state().components.get(digest).cloned().unwrap_or(Progress::Pending)
    }

    /// Remembers these files, and forgets what is in none of them.
    pub(super) fn keep(&self, seen: Vec<(PathBuf, SeenFile)>) {
        let mut state = self.state();
        let state = &mut *state;
        state.loads += 1;
        state.files = seen.into_iter().collect();
        let mut kept = HashSet::new();
        for file in state.files.values_mut() {
            if matches!(state.components.get(&file.digest), Some(Progress::Ready(_))) {
                file.before = None;
            }
            kept.insert(file.digest.clone());
            kept.extend(file.before.clone());
        }
        // What could not be done for want of a process or a thread is tried again.
        let passed =
            |progress: &Progress| matches!(progress, Progress::Failed { passing: true, .. });
        state.components.retain(|digest, progress| kept.contains(digest) && !passed(progress));
        let components = &state.components;
        state.files.retain(|_, file| components.contains_key(&file.digest));
        state.jobs.retain(|job| components.contains_key(&job.digest));
        state.missed.retain(|digest| components.contains_key(digest));
        self.done.notify_all();
    }
}

/// A thread that ends when there is nothing to do.
struct Worker(Arc<Work>);

impl Worker {
    fn run(self) {
        while let Some(job) = self.next() {
            // Whatever happens, nobody waits for it for ever.
            let done = JobReport { work: &self.0, digest: job.digest, progress: None };
            done.with(PreparedRule::new(&self.0.host, &job.bytes));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.0.state();
        let job = state.jobs.pop_front();
        if job.is_none() {
            state.workers -= 1;
        }
        job
    }
}

/// Says what came of a job when it is dropped.
struct JobReport<'w> {
    work: &'w Work,
    digest: String,
    progress: Option<Progress>,
}

impl JobReport<'_> {
    fn with(mut self, prepared: Result<PreparedRule, crate::error::WasmRuleLoadError>) {
        self.progress = Some(match prepared {
            Ok(prepared) => Progress::Ready(Arc::new(prepared)),
            Err(error) => Progress::Failed {
                error: error.to_string(),
                help: help(&error),
                passing: error.is_passing(),
            },
        });
    }
}

impl Drop for JobReport<'_> {
    fn drop(&mut self) {
        let progress = self.progress.take().unwrap_or_else(|| Progress::Failed {
            error: "preparing the rule panicked, which is a defect of Stagedoor".to_owned(),
            help: Some("please report it".to_owned()),
            passing: false,
        });
        let mut state = self.work.state();
        // Not wanted any more if it is not there.
        if let Some(place) = state.components.get_mut(&self.digest) {
            *place = progress;
        }
        if state.missed.remove(&self.digest) {
            self.work.version.fetch_add(1, Ordering::Release);
        }
        drop(state);
        self.work.done.notify_all();
    }
}
