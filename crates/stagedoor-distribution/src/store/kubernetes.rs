//! Kubernetes: releases as objects of a cluster's own API, read and watched by `kube`.
//!
//! A channel is a `PolicySet`, whose bundle lies in `PolicySetPart`s that nobody changes. A watch is a
//! hint that there is something new, and polling finds what no hint came for. Replicas write into
//! the status of the object how they are. As every store, the cluster is not trusted.

mod object;
mod review;
mod status;
mod watch;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde::de::DeserializeOwned;

pub use review::{PolicySetRefusal, PolicySetReview};

use super::blocking::{Blocking, reason_of};
use super::{Head, Hint, PolicyStore, Publication, StoreError, Version};
use crate::channel::Channel;
use crate::digest::Digest;
use crate::status::ReplicaStatus;
use crate::store::http::HttpOptions;
use crate::time::Timestamp;
use object::{GROUP, PartSpec, PolicySetSpec, VERSION, object_name, part_name, spec_of};
use status::{HEARTBEAT, OfferedRelease, PolicySetStatus, ReplicaEntry};
use watch::ObjectWatch;

/// How often a status is written anew that somebody else has written meanwhile.
const ATTEMPTS: usize = 5;

/// Releases in a namespace of a cluster.
pub struct KubernetesStore {
    namespace: String,
    /// An API server that asks nobody who they are, instead of the one that the environment names.
    api: Option<String>,
    timeout: Duration,
    blocking: Blocking,
    client: Mutex<Option<Client>>,
    watching: Mutex<Option<ObjectWatch>>,
    /// What this replica is called.
    replica: String,
    /// What the object was when it was last looked at.
    seen: Mutex<Option<Version>>,
    told: Mutex<Option<ToldStatus>>,
}

/// What was last written into a status.
struct ToldStatus {
    own: ReplicaEntry,
    /// About which release it was said.
    about: Option<Version>,
    at: Instant,
}

impl fmt::Debug for KubernetesStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KubernetesStore({})", self.name())
    }
}

/// Why a namespace of a cluster cannot be a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KubernetesError {
    /// It has no such name.
    #[error("`{0}` is not a namespace: write kubernetes://NAMESPACE/SET:CHANNEL")]
    Namespace(String),
    /// The system gives no thread.
    #[error("no thread can be had: {0}")]
    Thread(String),
}

impl KubernetesStore {
    /// Returns the store in a namespace of the cluster that `KUBECONFIG`, `~/.kube/config` or the
    /// service account of the pod names, without asking it yet.
    ///
    /// # Errors
    ///
    /// [`KubernetesError`].
    pub fn new(namespace: &str, options: &HttpOptions) -> Result<Self, KubernetesError> {
        Self::with(namespace, None, options)
    }

    /// Returns the store in a namespace behind an API server that asks nobody who they are, such as
    /// `kubectl proxy`.
    ///
    /// # Errors
    ///
    /// [`KubernetesError`].
    pub fn at(api: &str, namespace: &str, options: &HttpOptions) -> Result<Self, KubernetesError> {
        Self::with(namespace, Some(api.to_owned()), options)
    }

    /// Sets what this replica is called in statuses, instead of `HOSTNAME`: the name of its pod.
    #[must_use]
    pub fn called(mut self, name: impl Into<String>) -> Self {
        self.replica = name.into();
        self
    }

    fn with(
        namespace: &str,
        api: Option<String>,
        options: &HttpOptions,
    ) -> Result<Self, KubernetesError> {
        if !is_namespace(namespace) {
            return Err(KubernetesError::Namespace(namespace.to_owned()));
        }
        let blocking = Blocking::new("kubernetes", options.timeout)
            .map_err(|error| KubernetesError::Thread(error.to_string()))?;
        let name = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        Ok(Self {
            namespace: namespace.to_owned(),
            api,
            timeout: options.timeout,
            blocking,
            client: Mutex::default(),
            watching: Mutex::default(),
            replica: name.unwrap_or_else(|| "stagedoor".to_owned()),
            seen: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// Waits for an answer, as long as one may take.
    fn wait_for<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.blocking.answer(&self.name(), answer)
    }

    /// Returns who asks. What the environment says is read once, and again when it lets nobody in.
    async fn client(&self) -> Result<Client, StoreError> {
        if let Some(client) = lock(&self.client).as_ref() {
            return Ok(client.clone());
        }
        let odd = |reason: String| self.unreachable(reason);
        let mut config = match &self.api {
            Some(api) => Config::new(
                api.parse::<ureq::http::Uri>().map_err(|e| odd(format!("`{api}`: {e}")))?,
            ),
            None => Config::infer().await.map_err(|e| odd(reason_of(&e)))?,
        };
        config.connect_timeout = Some(self.timeout);
        // Whoever polls asks again by itself.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| odd(reason_of(&error)))?;
        *lock(&self.client) = Some(client.clone());
        Ok(client)
    }

    async fn api(&self, kind: &Kind) -> Result<Api<DynamicObject>, StoreError> {
        Ok(Api::namespaced_with(self.client().await?, &self.namespace, &kind.resource()))
    }

    async fn get(&self, kind: &Kind, name: &str) -> Result<DynamicObject, StoreError> {
        let api = self.api(kind).await?;
        let found = api.get_opt(name).await.map_err(|error| self.failed(&error))?;
        found.ok_or_else(|| {
            let what = format!("{} `{name}`", kind.name);
            StoreError::Missing { what, store: self.name() }
        })
    }

    fn spec<T: DeserializeOwned>(&self, object: &DynamicObject) -> Result<T, StoreError> {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        spec_of(&object.data).map_err(|reason| self.odd(format!("`{name}`: {reason}")))
    }

    async fn policy_set(
        &self,
        channel: &Channel,
    ) -> Result<(DynamicObject, PolicySetSpec), StoreError> {
        let name = object_name(channel).map_err(|reason| self.odd(reason))?;
        let object = self.get(&POLICY_SET, &name).await?;
        let spec = self.spec(&object)?;
        Ok((object, spec))
    }

    async fn read_bundle(&self, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let odd = |reason: String| self.odd(reason);
        let (mut bundle, mut index, mut parts) = (Vec::new(), 0, 1);
        while index < parts {
            let object = self.get(&PART, &part_name(digest, index)).await?;
            let part: PartSpec = self.spec(&object)?;
            part.check(digest, index).map_err(odd)?;
            bundle.extend(part.bytes().map_err(odd)?);
            if part.bytes.max(bundle.len() as u64) > limit {
                let (what, store) = (format!("the bundle `{digest}`"), self.name());
                return Err(StoreError::TooLarge { what, store, limit });
            }
            (index, parts) = (index + 1, part.parts);
        }
        Ok(bundle)
    }

    async fn write_part(&self, part: &PartSpec) -> Result<(), StoreError> {
        let name = part_name(part.bundle, part.index);
        let object = DynamicObject::new(&name, &PART.resource()).data(part.to_json());
        match self.api(&PART).await?.create(&PostParams::default(), &object).await {
            Ok(_) => Ok(()),
            // A bundle that was published before is there. If it is another one, nobody reads it.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                let there: PartSpec = self.spec(&self.get(&PART, &name).await?)?;
                match there == *part {
                    true => Ok(()),
                    false => Err(self.odd(format!(
                        "another {} `{name}` than the one of that digest: delete it",
                        PART.name
                    ))),
                }
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn write(
        &self,
        channel: &Channel,
        publication: &Publication<'_>,
    ) -> Result<(), StoreError> {
        let odd = |reason: String| self.odd(reason);
        let spec =
            PolicySetSpec::of(channel, publication.envelope, publication.bundle).map_err(odd)?;
        // INVARIANT: the bundle is there before the release that names it.
        for part in PartSpec::all(publication.digest, publication.bundle).map_err(odd)? {
            self.write_part(&part).await?;
        }
        let name = object_name(channel).map_err(odd)?;
        let api = self.api(&POLICY_SET).await?;
        let parameters = PostParams::default();
        for _ in 0..ATTEMPTS {
            let before = match self.policy_set(channel).await {
                Ok(found) => Some(found),
                Err(StoreError::Missing { .. }) => None,
                Err(error) => return Err(error),
            };
            let envelope = before.as_ref().map(|(_, spec)| spec.signature.as_bytes());
            if envelope != publication.after {
                return Err(StoreError::Changed(self.name()));
            }
            let mut object = DynamicObject::new(&name, &POLICY_SET.resource()).data(spec.to_json());
            let written = match before {
                None => api.create(&parameters, &object).await,
                Some((before, _)) => {
                    // What else the object carries stays: labels, annotations, its status.
                    object.metadata = before.metadata;
                    object.metadata.managed_fields = None;
                    api.replace(&name, &parameters, &object).await
                }
            };
            match written {
                Ok(_) => return Ok(()),
                // Somebody has written it since: another release, or a replica how it is.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Err(StoreError::Changed(self.name()))
    }

    async fn write_status(
        &self,
        channel: &Channel,
        own: &ReplicaEntry,
        object: (DynamicObject, PolicySetSpec),
    ) -> Result<(), StoreError> {
        let api = self.api(&POLICY_SET).await?;
        let (mut object, mut spec) = object;
        for _ in 0..ATTEMPTS {
            let before = object.data.get("status").cloned().unwrap_or_default();
            // What somebody else has written there, and is no status, is replaced.
            let before: PolicySetStatus = serde_json::from_value(before).unwrap_or_default();
            let offered = OfferedRelease {
                counter: spec.release,
                digest: spec.bundle.digest,
                generation: object.metadata.generation.unwrap_or_default(),
            };
            let status = before.with(own.clone(), offered);
            let status = serde_json::to_value(status).map_err(|e| self.odd(e.to_string()))?;
            if let Some(fields) = object.data.as_object_mut() {
                fields.insert("status".to_owned(), status);
            }
            object.metadata.managed_fields = None;
            let name = object.metadata.name.clone().unwrap_or_default();
            match api.replace_status(&name, &PostParams::default(), &object).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    (object, spec) = self.policy_set(channel).await?;
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Err(StoreError::Changed(self.name()))
    }

    fn unreachable(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Unreachable { store: self.name(), reason: reason.into() }
    }

    fn odd(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Answer { store: self.name(), reason: reason.into() }
    }

    fn failed(&self, error: &kube::Error) -> StoreError {
        let (store, kube::Error::Api(status)) = (self.name(), error) else {
            return self.unreachable(reason_of(error));
        };
        let reason = format!("{} ({})", status.message, status.code);
        match status.code {
            401 => {
                // Credentials that were read may have run out: the next one reads them anew.
                *lock(&self.client) = None;
                StoreError::Denied { store, reason }
            }
            403 => StoreError::Denied { store, reason },
            // The objects themselves are asked for otherwise: this is the API.
            404 => StoreError::Missing {
                what: "API `stagedoor.dev/v1alpha1` (apply `policysets.yaml`, which `stagedoor \
                       deploy kubernetes` writes)"
                    .to_owned(),
                store,
            },
            code if code >= 500 || code == 429 => StoreError::Unreachable { store, reason },
            _ => StoreError::Answer { store, reason },
        }
    }
}

impl PolicyStore for KubernetesStore {
    fn name(&self) -> String {
        let namespace = &self.namespace;
        match &self.api {
            Some(api) => format!("the namespace `{namespace}` at `{api}`"),
            None => format!("the namespace `{namespace}`"),
        }
    }

    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let (object, spec) = self.wait_for(self.policy_set(channel))?;
        let version = version_of(&object);
        lock(&self.seen).clone_from(&version);
        if version.is_some() && known == version.as_ref() {
            return Ok(Head::Unchanged);
        }
        Ok(Head::Found { version, envelope: spec.signature.into_bytes() })
    }

    fn bundle(&self, _: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.wait_for(self.read_bundle(digest, limit))
    }

    fn publish(&self, channel: &Channel, publication: &Publication<'_>) -> Result<(), StoreError> {
        self.wait_for(self.write(channel, publication))
    }

    fn wait(&self, channel: &Channel, timeout: Duration) -> Hint {
        let Ok(name) = object_name(channel) else { return Hint::NotGiven };
        let mut watching = lock(&self.watching);
        let waited = self.blocking.wait(async {
            let is_other = |watching: &ObjectWatch| watching.name() != name;
            if watching.as_ref().is_none_or(is_other) {
                let Ok(api) = self.api(&POLICY_SET).await else { return Hint::NotGiven };
                *watching = Some(ObjectWatch::new(api, &name));
            }
            match watching.as_mut() {
                Some(watching) => watching.wait(timeout).await,
                None => Hint::NotGiven,
            }
        });
        waited.unwrap_or(Hint::NotGiven)
    }

    fn report(&self, channel: &Channel, status: &ReplicaStatus) -> Result<(), StoreError> {
        let own = ReplicaEntry::of(&self.replica, status, Timestamp::of(SystemTime::now()));
        let about = lock(&self.seen).clone();
        let is_told = |told: &ToldStatus| {
            own.says(&told.own) && about == told.about && told.at.elapsed() < HEARTBEAT
        };
        if lock(&self.told).as_ref().is_some_and(is_told) {
            return Ok(());
        }
        self.wait_for(async {
            let object = self.policy_set(channel).await?;
            self.write_status(channel, &own, object).await
        })?;
        *lock(&self.told) = Some(ToldStatus { own, about, at: Instant::now() });
        Ok(())
    }
}

/// A kind of objects.
struct Kind {
    name: &'static str,
    plural: &'static str,
}

const POLICY_SET: Kind = Kind { name: "PolicySet", plural: "policysets" };
const PART: Kind = Kind { name: "PolicySetPart", plural: "policysetparts" };

impl Kind {
    fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, self.name);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }
}

/// Returns what an object's spec is told apart by: a status that is written changes nothing of it.
fn version_of(object: &DynamicObject) -> Option<Version> {
    let metadata = &object.metadata;
    let (uid, generation) = (metadata.uid.as_ref()?, metadata.generation?);
    Some(Version(format!("{uid}/{generation}")))
}

fn is_namespace(name: &str) -> bool {
    name.parse::<crate::channel::Name>().is_ok() && name.len() <= 63 && !name.contains(['.', '_'])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
