//! Object stores: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! The objects are the files of a [directory](super::directory), so that a web server may serve them as
//! well. Releases are written on condition that nobody has written since, which all three can tell.
//! Who asks is what the environment says (`AWS_…`, `GOOGLE_…`, `AZURE_…`), or the machine itself.

mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetResult, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig,
    UpdateVersion,
};

use super::blocking::{Blocking, reason_of};
use super::directory::{bundle_name, head_name};
use super::http::{HttpOptions, HttpOptionsError};
use super::{Head, PolicyStore, Publication, StoreError, Version};
use crate::channel::Channel;
use crate::digest::Digest;
use crate::envelope::ENVELOPE_BYTES;
use transport::{AnswerLimit, Transport};

/// How often what failed by chance is asked again.
const RETRIES: usize = 2;

/// Whose object store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectService {
    /// Amazon's, or one that speaks as it does: `AWS_ENDPOINT` says where.
    S3,
    /// Google's.
    Gcs,
    /// Microsoft's.
    Azure,
}

/// Releases in a bucket, or below a prefix of one.
pub struct ObjectsStore {
    name: String,
    prefix: String,
    store: Arc<dyn ObjectStore>,
    blocking: Blocking,
}

impl fmt::Debug for ObjectsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectsStore({})", self.name)
    }
}

/// Why a bucket cannot be a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// The environment does not say enough, or what there is not.
    #[error("the object store cannot be used: {0}")]
    Settings(String),
    /// The options cannot be used.
    #[error(transparent)]
    Options(#[from] HttpOptionsError),
    /// The system gives no thread.
    #[error("no thread can be had: {0}")]
    Thread(String),
}

impl ObjectService {
    /// Returns the scheme of its addresses.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl ObjectsStore {
    /// Returns the store below a prefix of a bucket, as the environment says, without asking it yet.
    ///
    /// # Errors
    ///
    /// [`ObjectsError`].
    pub fn new(
        service: ObjectService,
        bucket: &str,
        prefix: &str,
        options: &HttpOptions,
    ) -> Result<Self, ObjectsError> {
        Self::with_settings(service, bucket, prefix, &[], options)
    }

    /// As [`new`](Self::new), with settings before those of the environment, such as
    /// `aws_endpoint`.
    ///
    /// # Errors
    ///
    /// [`ObjectsError`].
    pub fn with_settings(
        service: ObjectService,
        bucket: &str,
        prefix: &str,
        settings: &[(&str, &str)],
        options: &HttpOptions,
    ) -> Result<Self, ObjectsError> {
        let transport = Transport::new(options)?;
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: options.timeout,
            ..RetryConfig::default()
        };
        let opened = match service {
            ObjectService::S3 => amazon(bucket, settings, transport, retry),
            ObjectService::Gcs => google(bucket, settings, transport, retry),
            ObjectService::Azure => azure(bucket, settings, transport, retry),
        };
        let store = opened.map_err(|error| ObjectsError::Settings(reason_of(&error)))?;
        let slash = if prefix.is_empty() { "" } else { "/" };
        let name = format!("`{}://{bucket}{slash}{prefix}`", service.scheme());
        Self::of(store, name, prefix, options.timeout)
    }

    /// Returns the store below a prefix of a bucket that is open already.
    ///
    /// # Errors
    ///
    /// [`ObjectsError::Thread`].
    pub fn of(
        store: Arc<dyn ObjectStore>,
        name: impl Into<String>,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Self, ObjectsError> {
        let blocking = Blocking::new("objects", timeout)
            .map_err(|error| ObjectsError::Thread(error.to_string()))?;
        Ok(Self { name: name.into(), prefix: prefix.to_owned(), store, blocking })
    }

    fn path(&self, name: &str) -> Path {
        Path::from_iter(
            self.prefix.split('/').chain(name.split('/')).filter(|part| !part.is_empty()),
        )
    }

    /// Reads an object of at most `limit` bytes.
    async fn read(
        &self,
        name: &str,
        limit: u64,
        known: Option<&Version>,
    ) -> Result<Option<(Vec<u8>, UpdateVersion)>, StoreError> {
        let if_none_match = known.map(|version| version.0.clone());
        let mut options = GetOptions { if_none_match, ..GetOptions::default() };
        options.extensions.insert(AnswerLimit(limit));
        let result = match self.store.get_opts(&self.path(name), options).await {
            Err(Error::NotModified { .. }) if known.is_some() => return Ok(None),
            result => result.map_err(|error| self.failed(name, &error))?,
        };
        let too_large = || {
            let (what, store) = (format!("`{name}`"), self.name.clone());
            StoreError::TooLarge { what, store, limit }
        };
        if result.meta.size > limit {
            return Err(too_large());
        }
        let version = UpdateVersion {
            e_tag: result.meta.e_tag.clone(),
            version: result.meta.version.clone(),
        };
        let bytes = read_stream(result, limit).await.map_err(|error| self.failed(name, &error))?;
        Ok(Some((bytes.ok_or_else(too_large)?, version)))
    }

    async fn write(
        &self,
        channel: &Channel,
        publication: &Publication<'_>,
    ) -> Result<(), StoreError> {
        let head = head_name(channel);
        let before = match self.read(&head, ENVELOPE_BYTES, None).await {
            Ok(before) => before,
            Err(StoreError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        if before.as_ref().map(|(envelope, _)| envelope.as_slice()) != publication.after {
            return Err(StoreError::Changed(self.name.clone()));
        }
        // INVARIANT: the bundle is there before the release that names it.
        let bundle = PutPayload::from(publication.bundle.to_vec());
        let name = bundle_name(channel, publication.digest);
        let written = self.store.put_opts(&self.path(&name), bundle, PutOptions::default()).await;
        written.map_err(|error| self.failed(&name, &error))?;
        let mode = match before {
            None => PutMode::Create,
            Some((_, version)) => PutMode::Update(version),
        };
        let options = PutOptions::from(mode);
        let envelope = PutPayload::from(publication.envelope.to_vec());
        match self.store.put_opts(&self.path(&head), envelope, options).await {
            Ok(_) => Ok(()),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {
                Err(StoreError::Changed(self.name.clone()))
            }
            Err(error) => Err(self.failed(&head, &error)),
        }
    }

    fn failed(&self, name: &str, error: &Error) -> StoreError {
        let (store, reason) = (self.name.clone(), reason_of(error));
        match error {
            Error::NotFound { .. } => StoreError::Missing { what: format!("`{name}`"), store },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                StoreError::Denied { store, reason }
            }
            Error::NotModified { .. } | Error::NotSupported { .. } | Error::InvalidPath { .. } => {
                StoreError::Answer { store, reason }
            }
            _ => StoreError::Unreachable { store, reason },
        }
    }
}

type StoreResult = Result<Arc<dyn ObjectStore>, Error>;

fn amazon(
    bucket: &str,
    settings: &[(&str, &str)],
    sent: Transport,
    retry: RetryConfig,
) -> StoreResult {
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let builder = settings.iter().try_fold(builder, |builder, (name, value)| {
        Ok::<_, Error>(builder.with_config(name.parse()?, *value))
    })?;
    Ok(Arc::new(builder.with_http_connector(sent).with_retry(retry).build()?))
}

fn google(
    bucket: &str,
    settings: &[(&str, &str)],
    sent: Transport,
    retry: RetryConfig,
) -> StoreResult {
    let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
    let builder = settings.iter().try_fold(builder, |builder, (name, value)| {
        Ok::<_, Error>(builder.with_config(name.parse()?, *value))
    })?;
    Ok(Arc::new(builder.with_http_connector(sent).with_retry(retry).build()?))
}

fn azure(
    bucket: &str,
    settings: &[(&str, &str)],
    sent: Transport,
    retry: RetryConfig,
) -> StoreResult {
    let builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket);
    let builder = settings.iter().try_fold(builder, |builder, (name, value)| {
        Ok::<_, Error>(builder.with_config(name.parse()?, *value))
    })?;
    Ok(Arc::new(builder.with_http_connector(sent).with_retry(retry).build()?))
}

/// Reads what comes; nothing, if there is more than `limit`.
async fn read_stream(result: GetResult, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let (mut bytes, mut parts) = (Vec::new(), result.into_stream());
    while let Some(part) = parts.next().await {
        bytes.extend_from_slice(&part?);
        if bytes.len() as u64 > limit {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

impl PolicyStore for ObjectsStore {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let name = head_name(channel);
        let read = self.blocking.answer(&self.name, self.read(&name, ENVELOPE_BYTES, known))?;
        let Some((envelope, version)) = read else { return Ok(Head::Unchanged) };
        let version = version.e_tag.map(Version);
        // A store may have no conditions.
        if version.is_some() && known == version.as_ref() {
            return Ok(Head::Unchanged);
        }
        Ok(Head::Found { version, envelope })
    }

    fn bundle(&self, channel: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let name = bundle_name(channel, digest);
        let read = self.blocking.answer(&self.name, self.read(&name, limit, None))?;
        let (bundle, _) = read.ok_or_else(|| StoreError::Answer {
            store: self.name.clone(),
            reason: "`unchanged`, which was not asked".to_owned(),
        })?;
        Ok(bundle)
    }

    fn publish(&self, channel: &Channel, publication: &Publication<'_>) -> Result<(), StoreError> {
        self.blocking.answer(&self.name, self.write(channel, publication))
    }
}
