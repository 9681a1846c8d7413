//! A watch for one object: hints that it has changed.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::Instant;

use super::version_of;
use crate::store::{Hint, Version};

/// How long one watch takes, in seconds, until it begins anew: a connection that is dead without
/// having been closed is found so.
const WATCH: u32 = 120;

/// A watch for one object, which begins again by itself whatever ends it.
pub(super) struct ObjectWatch {
    name: String,
    events: BoxStream<'static, watcher::Result<Event<DynamicObject>>>,
    seen: Option<Version>,
}

impl ObjectWatch {
    pub(super) fn new(api: Api<DynamicObject>, name: &str) -> Self {
        let config =
            watcher::Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH);
        // INVARIANT: without the backoff, a server that refuses is asked without a pause.
        let events = watcher(api, config).default_backoff().boxed();
        Self { name: name.to_owned(), events, seen: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the object is another one, and no longer than a time.
    pub(super) async fn wait(&mut self, timeout: Duration) -> Hint {
        let until = Instant::now() + timeout;
        loop {
            match tokio::time::timeout_at(until, self.events.next()).await {
                Err(_) => return Hint::TimedOut,
                Ok(None) => return Hint::NotGiven,
                Ok(Some(Ok(Event::Apply(object) | Event::InitApply(object)))) => {
                    let version = version_of(&object);
                    if version.is_none() || self.seen != version {
                        self.seen = version;
                        return Hint::Given;
                    }
                }
                Ok(Some(Ok(Event::Delete(_)))) => {
                    self.seen = None;
                    return Hint::Given;
                }
                Ok(Some(Ok(Event::Init | Event::InitDone))) => {}
                // Polling tells what is wrong.
                Ok(Some(Err(error))) => tracing::debug!(%error, "the watch begins anew"),
            }
        }
    }
}
