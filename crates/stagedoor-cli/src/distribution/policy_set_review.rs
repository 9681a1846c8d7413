//! Whether a policy set may be written as an object of a cluster: what `serve kubernetes` answers to
//! `POST /policysets`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use stagedoor_core::Limits;
use stagedoor_distribution::store::kubernetes::{KubernetesStore, PolicySetReview};
use stagedoor_distribution::{Location, Timestamp, read_trust};
use stagedoor_webhook::PolicySetReviewer;

use super::StoreArgs;
use super::changes::engine_of;
use crate::failure::Failure;

/// Admits sets that somebody trusted has signed, that are newer than what they replace, and that load.
#[derive(Debug)]
struct SignedSetReviewer {
    store: KubernetesStore,
    /// Whom to trust. It is read for each review.
    trust: PathBuf,
    limits: Limits,
}

/// Returns who reviews the sets of a location, if it is in a cluster.
pub(super) fn reviewer(
    location: &Location,
    trust: &Path,
    store: &StoreArgs,
    limits: Limits,
) -> Result<Option<Arc<dyn PolicySetReviewer>>, Failure> {
    let store = location.open_cluster(&store.options()?);
    let store = store.map_err(|error| Failure::input(error.to_string()))?;
    Ok(store.map(|store| -> Arc<dyn PolicySetReviewer> {
        Arc::new(SignedSetReviewer { store, trust: trust.to_owned(), limits })
    }))
}

impl PolicySetReviewer for SignedSetReviewer {
    fn review(&self, object: &Value, old: Option<&Value>) -> Result<(), String> {
        let trust = read_trust(&self.trust)?;
        let review = PolicySetReview::new(object, old).map_err(|error| error.to_string())?;
        let now = Timestamp::of(SystemTime::now());
        let bytes = self.limits.file_bytes as u64;
        let set = self.store.review(&review, &trust, now, bytes).map_err(|e| e.to_string())?;
        let loaded = engine_of(set.bundle(), &self.limits);
        loaded.map(drop).map_err(|failure| format!("it does not load: {failure}"))
    }
}
