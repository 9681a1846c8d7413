//! An OCI registry: artifacts by digest, tags as channels.
//!
//! The repository of a set has one tag for each channel. The tag's manifest has two layers, the
//! bundle and its signature, so that both change at once. Written on `ureq` by the
//! [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md):
//! every read has a limit, and asks whether there is anything new.

mod credentials;
mod login;
mod manifest;
mod referrers;

use std::sync::Mutex;

use ureq::Agent;
use ureq::http::{HeaderValue, Method, Request, Response, StatusCode};
use ureq::{Body, SendBody};

pub use credentials::{Credentials, CredentialsError};
use login::Login;
use manifest::{EMPTY, MANIFEST, Manifest};

use super::http::{HttpOptionsError, body, refused, unreachable};
use super::{Attachments, Head, PolicyStore, Publication, StoreError, StoreOptions, Version};
use crate::channel::Channel;
use crate::digest::Digest;
use crate::envelope::ENVELOPE_BYTES;

/// Registries take manifests up to 4 MiB.
const MANIFEST_BYTES: u64 = 4 << 20;

/// A repository of a registry.
#[derive(Debug)]
pub struct OciStore {
    scheme: String,
    host: String,
    repository: String,
    agent: Agent,
    login: Mutex<Login>,
}

/// What a request is made of.
struct Call<'a> {
    method: Method,
    url: String,
    accept: Option<&'a str>,
    content_type: Option<&'a str>,
    etag: Option<&'a str>,
    body: &'a [u8],
}

impl Call<'_> {
    fn new(method: Method, url: String) -> Self {
        Self { method, url, accept: None, content_type: None, etag: None, body: &[] }
    }
}

impl OciStore {
    /// Returns a repository, without asking its registry yet.
    ///
    /// # Errors
    ///
    /// [`HttpOptionsError`].
    pub fn new(
        scheme: &str,
        host: &str,
        repository: &str,
        options: &StoreOptions,
    ) -> Result<Self, HttpOptionsError> {
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            repository: repository.to_owned(),
            agent: options.http.agent()?,
            login: Mutex::new(Login::new(options.credentials.of(host))),
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}://{}/v2/{}/{path}", self.scheme, self.host, self.repository)
    }

    fn is_own(&self, url: &str) -> bool {
        url.starts_with(&format!("{}://{}/", self.scheme, self.host))
    }

    /// Asks the registry; where it wants to know who asks, once more.
    fn call(&self, call: &Call<'_>) -> Result<Response<Body>, StoreError> {
        let mut login = self.login.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = self.send(call, login.authorization())?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        let challenges = first.headers().get_all("www-authenticate").iter();
        let challenges: Vec<String> =
            challenges.filter_map(|value| value.to_str().ok().map(str::to_owned)).collect();
        login.answer(&challenges, &self.agent, &self.scheme, &self.name())?;
        self.send(call, login.authorization())
    }

    fn send(
        &self,
        call: &Call<'_>,
        authorization: Option<&str>,
    ) -> Result<Response<Body>, StoreError> {
        let mut request = Request::builder().method(call.method.clone()).uri(&call.url);
        let headers = [
            ("accept", call.accept),
            ("content-type", call.content_type),
            ("if-none-match", call.etag),
            // INVARIANT: who the caller is goes to the registry alone.
            ("authorization", authorization.filter(|_| self.is_own(&call.url))),
        ];
        for (name, value) in headers {
            let Some(value) = value else { continue };
            let value =
                HeaderValue::from_str(value).map_err(|error| self.odd(error.to_string()))?;
            request = request.header(name, value);
        }
        let failed = |error: &ureq::Error| unreachable(&self.name(), error);
        let odd = |error: ureq::http::Error| self.odd(error.to_string());
        let has_body = !matches!(call.method, Method::GET | Method::HEAD);
        match has_body {
            true => {
                let mut bytes = call.body;
                let body = SendBody::from_reader(&mut bytes);
                let length = call.body.len().to_string();
                let request = request.header("content-length", length).body(body).map_err(odd)?;
                self.agent.run(request).map_err(|error| failed(&error))
            }
            false => {
                let request = request.body(()).map_err(odd)?;
                self.agent.run(request).map_err(|error| failed(&error))
            }
        }
    }

    fn odd(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Answer { store: self.name(), reason: reason.into() }
    }

    fn blob(&self, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let what = format!("the blob `{digest}`");
        let response = self.call(&Call::new(Method::GET, self.url(&format!("blobs/{digest}"))))?;
        match response.status() {
            StatusCode::OK => body(response, limit, &what, &self.name()),
            status => Err(refused(&self.name(), &what, status)),
        }
    }

    /// Returns the manifest that a channel's tag leads to, unless it is the one of a version.
    fn tagged(
        &self,
        channel: &Channel,
        known: Option<&Version>,
    ) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let tag = &channel.channel;
        let what = format!("the tag `{tag}`");
        let etag = known.map(|version| format!("\"{}\"", version.0));
        let call = Call {
            accept: Some(MANIFEST),
            etag: etag.as_deref(),
            ..Call::new(Method::GET, self.url(&format!("manifests/{tag}")))
        };
        let response = self.call(&call)?;
        let bytes = match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(None),
            StatusCode::OK => body(response, MANIFEST_BYTES, &what, &self.name())?,
            status => return Err(refused(&self.name(), &what, status)),
        };
        let version = Version(Digest::of(&bytes).to_string());
        Ok((known != Some(&version)).then_some((bytes, version)))
    }

    /// Writes a manifest under a tag or its digest, and returns the answer.
    fn put_manifest(
        &self,
        reference: &str,
        manifest: &Manifest,
    ) -> Result<Response<Body>, StoreError> {
        let json = manifest.to_json();
        let call = Call {
            content_type: Some(MANIFEST),
            body: json.as_bytes(),
            ..Call::new(Method::PUT, self.url(&format!("manifests/{reference}")))
        };
        let answer = self.call(&call)?;
        match answer.status() {
            StatusCode::CREATED => Ok(answer),
            status => Err(refused(&self.name(), "the manifest", status)),
        }
    }

    /// Uploads a blob, unless it is there.
    fn upload(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let digest = Digest::of(bytes);
        let url = self.url(&format!("blobs/{digest}"));
        if self.call(&Call::new(Method::HEAD, url))?.status() == StatusCode::OK {
            return Ok(());
        }
        let begun = self.call(&Call::new(Method::POST, self.url("blobs/uploads/")))?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(refused(&self.name(), "the repository", begun.status()));
        }
        let location = begun.headers().get("location").and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| self.odd("no place to upload to"))?;
        let absolute = match location.strip_prefix('/') {
            Some(path) => format!("{}://{}/{path}", self.scheme, self.host),
            None => location.to_owned(),
        };
        let sign = if absolute.contains('?') { '&' } else { '?' };
        let call = Call {
            content_type: Some("application/octet-stream"),
            body: bytes,
            ..Call::new(Method::PUT, format!("{absolute}{sign}digest={digest}"))
        };
        match self.call(&call)?.status() {
            StatusCode::CREATED => Ok(()),
            status => Err(refused(&self.name(), &format!("the upload of `{digest}`"), status)),
        }
    }
}

impl PolicyStore for OciStore {
    fn name(&self) -> String {
        format!("`{}/{}`", self.host, self.repository)
    }

    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let Some((bytes, version)) = self.tagged(channel, known)? else {
            return Ok(Head::Unchanged);
        };
        let manifest = Manifest::from_json(&bytes).map_err(|reason| self.odd(reason))?;
        let signature = manifest.signature().map_err(|reason| self.odd(reason))?;
        let envelope = self.blob(signature, ENVELOPE_BYTES)?;
        if Digest::of(&envelope) != signature {
            return Err(self.odd(format!("another blob than `{signature}`")));
        }
        Ok(Head::Found { version: Some(version), envelope })
    }

    fn bundle(&self, _: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.blob(digest, limit)
    }

    fn publish(&self, channel: &Channel, publication: &Publication<'_>) -> Result<(), StoreError> {
        // A registry cannot compare before it writes. So it is looked at just before, and whoever
        // publishes looks again afterwards.
        let before = match self.head(channel, None) {
            Ok(Head::Found { envelope, .. }) => Some(envelope),
            Ok(Head::Unchanged) | Err(StoreError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        if before.as_deref() != publication.after {
            return Err(StoreError::Changed(self.name()));
        }
        for blob in [publication.bundle, publication.envelope, EMPTY] {
            self.upload(blob)?;
        }
        let manifest = Manifest::of(channel, publication);
        if let Some(signer) = publication.signer {
            // Some registries want to have what others are to be about.
            self.put_manifest(&manifest.subject().digest.to_string(), &manifest)?;
            self.attach(&manifest, publication.envelope, signer)?;
        }
        self.put_manifest(channel.channel.as_str(), &manifest).map(drop)
    }

    fn attachments(&self, channel: &Channel) -> Result<Option<Attachments>, StoreError> {
        let (bytes, _) = self.tagged(channel, None)?.ok_or_else(|| self.odd("`unchanged`"))?;
        self.attached(Digest::of(&bytes)).map(Some)
    }
}
