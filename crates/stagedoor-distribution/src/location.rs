//! A store and a channel in one text.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::channel::{Channel, NameError};
use crate::store::directory::DirectoryStore;
use crate::store::http::{HttpOptionsError, HttpStore};
#[cfg(feature = "objects")]
use crate::store::objects::{ObjectService, ObjectsStore};
use crate::store::oci::OciStore;
use crate::store::{PolicyStore, StoreOptions};

/// Where a channel of a policy set is: a store, and `SET:CHANNEL`.
///
/// | text | store |
/// |---|---|
/// | `ghcr.io/acme/payments:production`, `oci://…` | an OCI registry, by TLS |
/// | `oci+http://127.0.0.1:5000/acme/payments:production` | one without TLS |
/// | `https://policies.acme.example/payments:production` | a web server |
/// | `postgres://USER@HOST/DATABASE/payments:production` | a database of PostgreSQL |
/// | `kubernetes://NAMESPACE/payments:production` | objects of the cluster that `KUBECONFIG` or the pod names |
/// | `kubernetes+http://127.0.0.1:8001/NAMESPACE/payments:production` | the same behind `kubectl proxy` |
/// | `s3://BUCKET/payments:production`, `gs://…`, `az://…` | a bucket of an object store, or a prefix in it |
/// | `./published/payments:production`, `/srv/…`, `file:///srv/…` | a directory |
///
/// # Examples
///
/// ```
/// use stagedoor_distribution::Location;
///
/// let location: Location = "ghcr.io/acme/payments:production".parse()?;
/// assert_eq!(location.channel().to_string(), "payments:production");
/// assert!("payments".parse::<Location>().is_err());
/// # Ok::<(), stagedoor_distribution::LocationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    place: Address,
    channel: Channel,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Directory(PathBuf),
    Http(String),
    Oci {
        scheme: &'static str,
        host: String,
        repository: String,
    },
    #[cfg(feature = "kubernetes")]
    Kubernetes {
        /// An API server that asks nobody who they are.
        api: Option<String>,
        namespace: String,
    },
    #[cfg(feature = "objects")]
    Objects {
        service: ObjectService,
        bucket: String,
        prefix: String,
    },
    #[cfg(feature = "postgres")]
    Postgres(String),
}

/// Why text names no store and channel, or the store cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// It is not of the form.
    #[error(
        "`{0}` names no channel: write STORE/SET:CHANNEL, as in `ghcr.io/acme/payments:production`"
    )]
    Form(String),
    /// The set or the channel has no such name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It could be a registry or a directory.
    #[error("`{0}` may be a registry or a directory: write `oci://{0}` or `./{0}`")]
    Ambiguous(String),
    /// There is no such kind of store.
    #[error(
        "this build has no store of the kind `{0}`: there are oci, oci+http, https, http and file, and postgres, kubernetes, and s3, gs and az with the features `postgres`, `kubernetes` and `objects`"
    )]
    Scheme(String),
    /// A password in an address would stand in logs and on the health page.
    #[error("an address has no name or password before `@`")]
    UserInfo,
    /// The repository has no such name.
    #[error(
        "`{0}` is not a repository: registries take small letters, digits, `.`, `_`, `-` and `/`"
    )]
    Repository(String),
    /// The options cannot be used.
    #[error(transparent)]
    Options(#[from] HttpOptionsError),
    /// The object store cannot be used.
    #[cfg(feature = "objects")]
    #[error(transparent)]
    Objects(#[from] crate::store::objects::ObjectsError),
    /// The cluster cannot be used.
    #[cfg(feature = "kubernetes")]
    #[error(transparent)]
    Cluster(#[from] crate::store::kubernetes::KubernetesError),
    /// The database cannot be used.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Database(#[from] crate::store::postgres::PostgresError),
}

impl Location {
    /// Returns the set and the channel.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Returns whether other machines reach it: it is no directory.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self.place, Address::Directory(_))
    }

    /// Returns the namespace of the cluster whose objects it is, if it is that.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        #[cfg(feature = "kubernetes")]
        if let Address::Kubernetes { namespace, .. } = &self.place {
            return Some(namespace);
        }
        None
    }

    /// Returns the port at which it is asked, if that is known.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let (authority, default) = match &self.place {
            Address::Directory(_) => return None,
            Address::Oci { scheme, host, .. } => {
                (host.as_str(), if *scheme == "http" { 80 } else { 443 })
            }
            #[cfg(feature = "objects")]
            Address::Objects { .. } => return Some(443),
            #[cfg(feature = "kubernetes")]
            Address::Kubernetes { api: None, .. } => return Some(443),
            #[cfg(feature = "kubernetes")]
            Address::Kubernetes { api: Some(base), .. } => (base.strip_prefix("http://")?, 80),
            Address::Http(base) => {
                let (scheme, rest) = base.split_once("://")?;
                (rest.split('/').next()?, if scheme == "http" { 80 } else { 443 })
            }
            #[cfg(feature = "postgres")]
            Address::Postgres(address) => {
                let authority = address.strip_prefix("postgres://")?.split('/').next()?;
                (authority.rsplit('@').next()?, 5432)
            }
        };
        // What is left of the last colon may be an address of IPv6 in brackets.
        match authority.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => port.parse().ok(),
            _ => Some(default),
        }
    }

    /// Opens the store. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`LocationError`] if the options cannot be used.
    pub fn open(&self, options: &StoreOptions) -> Result<Box<dyn PolicyStore>, LocationError> {
        Ok(match &self.place {
            Address::Directory(path) => Box::new(DirectoryStore::new(path)),
            #[cfg(feature = "objects")]
            Address::Objects { service, bucket, prefix } => {
                Box::new(ObjectsStore::new(*service, bucket, prefix, &options.http)?)
            }
            #[cfg(feature = "kubernetes")]
            Address::Kubernetes { .. } => Box::new(self.cluster(options)?),
            Address::Http(base) => Box::new(HttpStore::new(base, &options.http)?),
            Address::Oci { scheme, host, repository } => {
                Box::new(OciStore::new(scheme, host, repository, options)?)
            }
            #[cfg(feature = "postgres")]
            Address::Postgres(address) => {
                Box::new(crate::store::postgres::PostgresStore::new(address, &options.http)?)
            }
        })
    }
}

#[cfg(feature = "kubernetes")]
impl Location {
    /// Returns the namespace of a cluster that it is in, if it is in one.
    ///
    /// # Errors
    ///
    /// [`LocationError::Cluster`].
    pub fn open_cluster(
        &self,
        options: &StoreOptions,
    ) -> Result<Option<crate::store::kubernetes::KubernetesStore>, LocationError> {
        let is_cluster = matches!(self.place, Address::Kubernetes { .. });
        is_cluster.then(|| self.cluster(options)).transpose()
    }

    fn cluster(
        &self,
        options: &StoreOptions,
    ) -> Result<crate::store::kubernetes::KubernetesStore, LocationError> {
        use crate::store::kubernetes::{KubernetesError, KubernetesStore};

        let Address::Kubernetes { api, namespace } = &self.place else {
            return Err(KubernetesError::Namespace(self.to_string()).into());
        };
        Ok(match api {
            Some(api) => KubernetesStore::at(api, namespace, &options.http)?,
            None => KubernetesStore::new(namespace, &options.http)?,
        })
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let form = || LocationError::Form(text.to_owned());
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let is_database = matches!(scheme, Some("postgres" | "postgresql"));
        let settings = rest.split_once('?').filter(|_| is_database);
        let rest = settings.map_or(rest, |(rest, _)| rest);
        // Databases have a user there, and are told without what stands before `@`.
        let is_web = !is_database && scheme != Some("file");
        if is_web && rest.split('/').next().is_some_and(|host| host.contains('@')) {
            return Err(LocationError::UserInfo);
        }
        let (above, last) = rest.rsplit_once('/').ok_or_else(form)?;
        let channel: Channel = last.parse().map_err(|error| match last.contains(':') {
            true => LocationError::Name(error),
            false => form(),
        })?;
        let oci = |scheme| {
            let (host, path) = rest.split_once('/').ok_or_else(form)?;
            let repository = path.rsplit_once(':').map_or(path, |(path, _)| path).to_owned();
            let is_part = |part: &str| part.parse::<crate::channel::Name>().is_ok();
            if host.is_empty() || !repository.split('/').all(is_part) {
                return Err(LocationError::Repository(repository));
            }
            Ok(Address::Oci { scheme, host: host.to_owned(), repository })
        };
        let is_path = ["/", "./", "../"].iter().any(|lead| rest.starts_with(lead));
        let place = match scheme {
            Some("oci") => oci("https")?,
            Some("oci+http") => oci("http")?,
            Some(scheme @ ("http" | "https")) if !above.is_empty() => {
                Address::Http(format!("{scheme}://{above}"))
            }
            Some("http" | "https") => return Err(form()),
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => {
                let settings = settings.map(|(_, settings)| format!("?{settings}"));
                Address::Postgres(format!("postgres://{above}{}", settings.unwrap_or_default()))
            }
            #[cfg(feature = "kubernetes")]
            Some("kubernetes") => Address::Kubernetes { api: None, namespace: above.to_owned() },
            #[cfg(feature = "kubernetes")]
            Some("kubernetes+http") => {
                let (host, namespace) = above.split_once('/').ok_or_else(form)?;
                let (api, namespace) = (Some(format!("http://{host}")), namespace.to_owned());
                Address::Kubernetes { api, namespace }
            }
            #[cfg(feature = "objects")]
            Some(scheme @ ("s3" | "gs" | "az")) => {
                let service = match scheme {
                    "s3" => ObjectService::S3,
                    "gs" => ObjectService::Gcs,
                    _ => ObjectService::Azure,
                };
                let (bucket, prefix) = above.split_once('/').unwrap_or((above, ""));
                if bucket.is_empty() {
                    return Err(form());
                }
                let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
                Address::Objects { service, bucket, prefix }
            }
            Some("file") if rest.starts_with('/') => Address::Directory(directory(above)),
            Some("file") => return Err(form()),
            Some(other) => return Err(LocationError::Scheme(other.to_owned())),
            None if is_path => Address::Directory(directory(above)),
            None => {
                // As of images: a host has a dot or a port, or is `localhost`.
                let host = rest.split('/').next().unwrap_or_default();
                if !host.contains(['.', ':']) && host != "localhost" {
                    return Err(LocationError::Ambiguous(text.to_owned()));
                }
                oci("https")?
            }
        };
        Ok(Self { place, channel })
    }
}

/// Returns a directory, which may be the root.
fn directory(path: &str) -> PathBuf {
    PathBuf::from(if path.is_empty() { "/" } else { path })
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = &self.channel;
        match &self.place {
            Address::Directory(path) => write!(f, "{}/{channel}", path.display()),
            #[cfg(feature = "objects")]
            Address::Objects { service, bucket, prefix } => {
                let scheme = service.scheme();
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "{scheme}://{bucket}{slash}{prefix}/{channel}")
            }
            #[cfg(feature = "kubernetes")]
            Address::Kubernetes { api: None, namespace } => {
                write!(f, "kubernetes://{namespace}/{channel}")
            }
            #[cfg(feature = "kubernetes")]
            Address::Kubernetes { api: Some(api), namespace } => {
                let host = api.strip_prefix("http://").unwrap_or(api);
                write!(f, "kubernetes+http://{host}/{namespace}/{channel}")
            }
            Address::Http(base) => write!(f, "{base}/{channel}"),
            #[cfg(feature = "postgres")]
            Address::Postgres(address) => {
                // Neither a password nor settings.
                let plain = address.split('?').next().unwrap_or_default();
                let host = plain.rsplit(['@', '/']).nth(1).unwrap_or_default();
                write!(f, "postgres://{host}/{channel}")
            }
            Address::Oci { scheme, host, repository } => {
                let scheme = if *scheme == "http" { "oci+http" } else { "oci" };
                write!(f, "{scheme}://{host}/{repository}:{}", channel.channel)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_told_apart() -> Result<(), LocationError> {
        for (text, shown) in [
            ("ghcr.io/acme/p:prod", "oci://ghcr.io/acme/p:prod"),
            ("localhost/p:prod", "oci://localhost/p:prod"),
            ("127.0.0.1:5000/p:prod", "oci://127.0.0.1:5000/p:prod"),
            ("oci+http://h:1/a/b/p:prod", "oci+http://h:1/a/b/p:prod"),
            ("https://h/a/p:prod", "https://h/a/p:prod"),
            ("./a/p:prod", "./a/p:prod"),
            ("../p:prod", "../p:prod"),
            ("/p:prod", "//p:prod"),
            ("file:///a/p:prod", "/a/p:prod"),
        ] {
            let location: Location = text.parse()?;
            assert_eq!(location.to_string(), shown, "{text}");
            assert_eq!(location.channel().to_string(), "p:prod", "{text}");
        }
        for text in [
            "",
            "p",
            "p:prod",
            "a/p:prod",
            "./p",
            "./p:",
            "./:x",
            "./P:x",
            "./p:a b",
            "oci:///p:x",
            "oci://h/A/p:x",
            "oci://h/a//p:x",
            "oci://h/../p:x",
            "ftp://b/p:x",
            "https:///p:x",
            "file://p:x",
            "https://p:x",
            "./a/..:x",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
        for text in
            ["https://u:secret@h/a/p:prod", "oci://u:secret@h/a/p:prod", "https://u:secret@h"]
        {
            let refused = text.parse::<Location>().map_err(|error| error.to_string());
            assert!(refused.is_err_and(|reason| !reason.contains("secret")), "{text}");
        }
        Ok(())
    }
}
