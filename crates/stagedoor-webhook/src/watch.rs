//! Looking at policies and certificates for changes.
//!
//! By polling: it sees ConfigMaps and Secrets that are mounted, where a link is swapped, as
//! well as files that an editor replaces, on every file system.

use std::sync::Arc;
use std::time::Duration;

use stagedoor_core::Severity;

use crate::app::App;
use crate::error::{PoliciesError, TlsError};
use crate::files::Fingerprint;
use crate::metrics::{CERTIFICATES, POLICIES};
use crate::policies::{Loaded, Reload};
use crate::tls::Tls;

/// What was last taken up, and what the last look saw.
struct Seen {
    taken_up: Fingerprint,
    last: Fingerprint,
}

impl Seen {
    fn new(now: Fingerprint) -> Self {
        Self { taken_up: now.clone(), last: now }
    }

    /// Returns whether there is a change, and the files have come to rest since.
    fn has_settled_change(&mut self, now: Fingerprint) -> bool {
        let settled = now == self.last;
        self.last = now;
        settled && self.last != self.taken_up
    }

    fn take_up(&mut self) {
        self.taken_up = self.last.clone();
    }
}

/// Loads the policies for the first time.
///
/// # Errors
///
/// [`PoliciesError`] if they do not load.
pub(crate) fn load(app: &App) -> Result<(), PoliciesError> {
    while app.policies.reload()? == Reload::Unsettled {
        std::thread::sleep(Duration::from_millis(100));
    }
    if let Some(loaded) = app.policies.current() {
        in_force(app, &loaded);
    }
    Ok(())
}

/// Reloads policies and certificates whenever their files change, for ever.
pub(crate) async fn watch(app: Arc<App>, tls: Arc<Tls>, interval: Duration) {
    let policies = Watched::new(&app);
    let mut policies = policies;
    let mut certificates = Seen::new(tls.fingerprint());
    // What was replaced is dropped at the next look, when requests have let go of it: freeing
    // a large policy set would hold up the request that happened to be its last user.
    let mut replaced = None;
    loop {
        tokio::time::sleep(interval).await;
        let (app, tls) = (Arc::clone(&app), Arc::clone(&tls));
        let looked = tokio::task::spawn_blocking(move || {
            drop(replaced);
            let replaced = policies.look(&app);
            if certificates.has_settled_change(tls.fingerprint()) {
                certificates.take_up();
                certificates_reloaded(&app, tls.reload());
            }
            (policies, certificates, replaced)
        });
        let Ok(looked) = looked.await else {
            tracing::error!("the watch of policies and certificates has ended");
            return;
        };
        (policies, certificates, replaced) = looked;
    }
}

/// The files of the policies.
struct Watched {
    seen: Option<Seen>,
}

impl Watched {
    fn new(app: &App) -> Self {
        Self { seen: app.policies.current().map(|_| Seen::new(app.policies.fingerprint())) }
    }

    /// Takes up a change, if there is one, and returns what was in force before.
    fn look(&mut self, app: &App) -> Option<Arc<Loaded>> {
        let now = app.policies.fingerprint();
        let seen = self.seen.get_or_insert_with(|| Seen::new(now.clone()));
        if !seen.has_settled_change(now) {
            return None;
        }
        let before = app.policies.current();
        match app.policies.reload() {
            // Looked at again next time.
            Ok(Reload::Unsettled) => return None,
            Ok(Reload::Same) => app.metrics.settled(POLICIES, true),
            Ok(Reload::Replaced) => {
                app.metrics.reloaded(POLICIES, true);
                if let Some(loaded) = app.policies.current() {
                    in_force(app, &loaded);
                }
            }
            Err(error) => {
                app.metrics.reloaded(POLICIES, false);
                report(&error);
            }
        }
        seen.take_up();
        before
    }
}

fn in_force(app: &App, loaded: &Loaded) {
    let engine = loaded.reviewer.engine();
    let policies = engine.policies().len();
    app.metrics.in_force(engine.revision(), policies);
    tracing::info!(policies, revision = engine.revision(), "policies in force");
    for warning in engine.warnings() {
        tracing::warn!(
            code = warning.code(),
            file = warning.file(),
            line = warning.line(),
            "{}",
            warning.message()
        );
    }
}

fn report(error: &PoliciesError) {
    match error {
        PoliciesError::Load(error) => {
            let problems = error.problems();
            let errors = problems.iter().filter(|p| p.severity() == Severity::Error);
            for problem in errors {
                tracing::error!(
                    code = problem.code(),
                    file = problem.file(),
                    line = problem.line(),
                    column = problem.column(),
                    help = problem.help(),
                    "{}",
                    problem.message()
                );
            }
            tracing::error!(
                problems = problems.len() + error.unreported(),
                "the policies as they are now do not load; those before stay in force"
            );
        }
        error => tracing::error!("{error}; the policies before stay in force"),
    }
}

fn certificates_reloaded(app: &App, result: Result<bool, TlsError>) {
    app.certificates_settled(result.is_ok());
    match result {
        Ok(false) => app.metrics.settled(CERTIFICATES, true),
        Ok(true) => {
            app.metrics.reloaded(CERTIFICATES, true);
            tracing::info!("certificates in force for new connections");
        }
        Err(error) => {
            app.metrics.reloaded(CERTIFICATES, false);
            tracing::error!("{error}; the certificates before stay in force");
        }
    }
}
