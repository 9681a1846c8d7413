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

/// Sees when files have come to rest.
#[derive(Default)]
struct Looks {
    last: Option<Fingerprint>,
}

impl Looks {
    /// Takes a look; returns whether the last one saw the same.
    fn same_again(&mut self, now: Fingerprint) -> bool {
        let same = self.last.as_ref() == Some(&now);
        self.last = Some(now);
        same
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
    let mut watching = Watching::default();
    loop {
        tokio::time::sleep(interval).await;
        let looking = (Arc::clone(&app), Arc::clone(&tls));
        let looked = tokio::task::spawn_blocking(move || {
            let (app, tls) = looking;
            watching.look(&app, &tls);
            watching
        });
        watching = looked.await.unwrap_or_else(|error| {
            app.metrics.reloaded(POLICIES, false);
            tracing::error!(%error, "looking at policies and certificates was broken off");
            Watching::default()
        });
    }
}

#[derive(Default)]
struct Watching {
    policies: Looks,
    certificates: Looks,
    /// What was replaced is dropped at the next look, when requests have let go of it: freeing
    /// a large policy set would hold up the request that happened to be its last user.
    replaced: Option<Arc<Loaded>>,
}

impl Watching {
    fn look(&mut self, app: &App, tls: &Tls) {
        self.replaced = None;
        let now = app.policies.fingerprint();
        let changed = !app.policies.are_read(&now);
        if self.policies.same_again(now) && changed {
            self.replaced = policies_changed(app);
        }
        let now = tls.fingerprint();
        let changed = !tls.are_read(&now);
        if self.certificates.same_again(now) && changed {
            certificates_reloaded(app, tls.reload());
        }
    }
}

/// Takes up a change of the policies, and returns what was in force before.
fn policies_changed(app: &App) -> Option<Arc<Loaded>> {
    let before = app.policies.current();
    match app.policies.reload() {
        // Looked at again next time.
        Ok(Reload::Unsettled) => {}
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
    before
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
