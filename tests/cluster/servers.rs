//! The binaries of Kubernetes.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Where envtest has them where nobody says otherwise.
const ENVTEST: &str = "/usr/local/kubebuilder/bin";

/// The servers that a cluster is made of.
pub(crate) struct Servers {
    pub(crate) kube_apiserver: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) kubectl: Option<PathBuf>,
    directory: PathBuf,
}

impl Servers {
    /// Returns the servers; `None`, said on the standard error, where there are none.
    pub(crate) fn find(test: &str) -> Result<Option<Self>> {
        // Empty is not set, as for `.ci/run`.
        let given = std::env::var_os("KUBEBUILDER_ASSETS").filter(|given| !given.is_empty());
        let given = given.map(PathBuf::from);
        if let Some(directory) = given {
            // Who names a directory wants the tests to run.
            let Some(servers) = Self::of(&directory) else {
                bail!(
                    "`KUBEBUILDER_ASSETS`: `{}` has no `kube-apiserver` and `etcd`",
                    directory.display()
                );
            };
            return Ok(Some(servers));
        }
        let places = [repository("target/kubernetes"), PathBuf::from(ENVTEST)];
        let found = places.iter().find_map(|place| Self::of(place));
        if found.is_none() {
            eprintln!(
                "skipped: {test}: no kube-apiserver (set `KUBEBUILDER_ASSETS`, or run \
                 `tests/cluster/servers/build`)"
            );
        }
        Ok(found)
    }

    fn of(directory: &Path) -> Option<Self> {
        let binary = |name: &str| Some(directory.join(name)).filter(|path| path.is_file());
        Some(Self {
            kube_apiserver: binary("kube-apiserver")?,
            etcd: binary("etcd")?,
            kubectl: binary("kubectl"),
            directory: directory.to_owned(),
        })
    }

    /// Returns manifests of Kubernetes' own source that the build has put beside the servers.
    pub(crate) fn manifests(&self) -> Option<PathBuf> {
        Some(self.directory.join("manifests")).filter(|path| path.is_dir())
    }
}

/// Returns a path below the root of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
