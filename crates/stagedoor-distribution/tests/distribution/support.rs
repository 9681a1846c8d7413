//! Keys, sets, a store in memory and a clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use stagedoor_core::{Engine, Limits};
use stagedoor_distribution::{
    Channel, Clock, Digest, Envelope, Head, PolicyStore, Publication, Release, SignedSet,
    SigningKey, StoreError, Timestamp, Version,
};
use stagedoor_source::PolicySet;

pub const NOW: Duration = Duration::from_secs(1_772_366_400);

pub fn now() -> Timestamp {
    Timestamp::of(SystemTime::UNIX_EPOCH + NOW)
}

pub fn channel() -> Result<Channel> {
    Ok("payments:production".parse()?)
}

pub fn key() -> Result<SigningKey> {
    Ok(SigningKey::from_pem(SigningKey::generate()?.as_bytes())?)
}

/// Returns a bundle of `number` policies.
pub fn bundle(number: u64) -> String {
    let policies: String = (0..number)
        .map(|n| format!("@id(\"p{n}\") permit (principal == User::\"u{n}\", action, resource);\n"))
        .collect();
    let schema = "entity User, Doc; action read appliesTo { principal: User, resource: Doc };";
    serde_json::json!({"files": {"app.cedarschema": schema, "p.cedar": policies}}).to_string()
}

/// A release with its signature and bundle.
#[derive(Debug, Clone)]
pub struct SignedFixture {
    pub release: Release,
    pub envelope: Vec<u8>,
    pub bundle: Vec<u8>,
}

impl SignedFixture {
    /// Signs release `counter` of a bundle with so many policies.
    pub fn new(counter: u64, policies: u64, key: &SigningKey) -> Result<Self> {
        Self::of(
            Release::new(channel()?, counter, bundle(policies).as_bytes(), now()),
            policies,
            key,
        )
    }

    pub fn of(release: Release, policies: u64, key: &SigningKey) -> Result<Self> {
        let envelope = Envelope::sign(&release.to_json(), key).to_json().into_bytes();
        Ok(Self { release, envelope, bundle: bundle(policies).into_bytes() })
    }

    pub fn publication(&self) -> Publication<'_> {
        let (envelope, digest) = (self.envelope.as_slice(), self.release.digest);
        Publication { envelope, digest, bundle: &self.bundle, after: None, signer: None }
    }
}

/// Loads a set as a server does.
pub fn load(set: &SignedSet) -> Result<Engine> {
    let limits = Limits::default();
    Ok(PolicySet::of(set.sources(), &[], &[], &limits).builder().build()?)
}

#[derive(Debug, Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW.as_secs())))
    }

    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// What a source does wrong.
#[derive(Debug, Clone, Default)]
pub enum Fault {
    #[default]
    None,
    /// The link is cut.
    Cut,
    /// The link is cut when the bundle is fetched: a source that is too slow for its time.
    CutWithin,
    /// A byte of the bundle is another one.
    TamperedBundle,
    /// The bundle ends early.
    Truncated,
    /// A byte of the signature is another one.
    TamperedSignature,
    /// It offers another release.
    Offers(Box<SignedFixture>),
    /// It says that nothing has changed, whatever there is.
    Frozen,
}

#[derive(Debug, Default)]
pub struct PublishedRelease {
    pub head: Option<SignedFixture>,
    pub bundles: BTreeMap<Digest, Vec<u8>>,
}

/// One replica's view of what is published.
#[derive(Debug, Clone, Default)]
pub struct Link {
    pub published: Arc<Mutex<PublishedRelease>>,
    pub fault: Arc<Mutex<Fault>>,
    /// How often bundles were fetched.
    pub fetched: Arc<AtomicU64>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Returns another replica's view of the same.
    pub fn beside(&self) -> Self {
        Self { published: Arc::clone(&self.published), ..Self::default() }
    }

    pub fn set(&self, fault: Fault) {
        *lock(&self.fault) = fault;
    }

    pub fn put(&self, signed: &SignedFixture) {
        let mut published = lock(&self.published);
        published.bundles.insert(signed.release.digest, signed.bundle.clone());
        published.head = Some(signed.clone());
    }

    fn cut(&self) -> StoreError {
        StoreError::Unreachable { store: self.name(), reason: "the link is cut".to_owned() }
    }
}

fn missing(what: &str) -> StoreError {
    StoreError::Missing { what: what.to_owned(), store: "memory".to_owned() }
}

impl PolicyStore for Link {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn head(&self, _: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let published = lock(&self.published);
        let head = published.head.as_ref();
        let mut envelope = match &*lock(&self.fault) {
            Fault::Cut => return Err(self.cut()),
            Fault::Frozen if known.is_some() => return Ok(Head::Unchanged),
            Fault::Offers(signed) => signed.envelope.clone(),
            _ => head.ok_or_else(|| missing("head"))?.envelope.clone(),
        };
        let version = Version(Digest::of(&envelope).to_string());
        if known == Some(&version) {
            return Ok(Head::Unchanged);
        }
        if matches!(&*lock(&self.fault), Fault::TamperedSignature) {
            let middle = envelope.len() / 2;
            if let Some(byte) = envelope.get_mut(middle) {
                *byte = if *byte == b'A' { b'B' } else { b'A' };
            }
        }
        Ok(Head::Found { version: Some(version), envelope })
    }

    fn bundle(&self, _: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let offered = match &*lock(&self.fault) {
            Fault::Offers(signed) if signed.release.digest == digest => Some(signed.bundle.clone()),
            _ => None,
        };
        let known = lock(&self.published).bundles.get(&digest).cloned();
        let mut bundle = offered.or(known).ok_or_else(|| missing("bundle"))?;
        match &*lock(&self.fault) {
            Fault::Cut | Fault::CutWithin => return Err(self.cut()),
            Fault::TamperedBundle => {
                let last = bundle.len().saturating_sub(10);
                bundle.get_mut(last..).into_iter().flatten().for_each(|byte| *byte ^= 1);
            }
            Fault::Truncated => bundle.truncate(bundle.len() / 2),
            _ => {}
        }
        bundle.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(bundle)
    }

    fn publish(&self, _: &Channel, _: &Publication<'_>) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly(self.name()))
    }
}

/// Returns the number of policies in force, by asking them.
pub fn policies(set: &SignedSet) -> Result<usize> {
    Ok(load(set).context("the set does not load")?.policies().len())
}
