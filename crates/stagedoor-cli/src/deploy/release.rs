//! A Deployment that follows a channel of signed releases, in place of a ConfigMap with policies:
//! what is larger than one may be, custom rules among it, comes so.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use stagedoor_distribution::Location;
use stagedoor_kubernetes::POLICY_SET_MANIFESTS;

use crate::distribution::trust;
use crate::failure::Failure;
use crate::input::Input;

/// Trust is said in fewer bytes.
const TRUST_BYTES: usize = 64 << 10;

/// What is followed, and whom to trust.
#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    /// Have the webhook follow a channel instead of carrying policies in a ConfigMap, such as
    /// `ghcr.io/acme/cluster:production`: releases that `stagedoor push` has signed, custom rules
    /// among them. POLICIES are what was published, and are checked here.
    #[arg(long, value_name = "STORE/SET:CHANNEL", requires = "trust")]
    source: Option<Location>,

    /// Whom the webhook is to trust: keys in YAML, or one public key in PEM. A ConfigMap carries it.
    #[arg(long, value_name = "FILE", requires = "source")]
    trust: Option<PathBuf>,

    /// A secret of the type `kubernetes.io/dockerconfigjson`, for a registry that lets nobody in
    /// without.
    #[arg(long, value_name = "NAME", requires = "source")]
    registry_secret: Option<String>,
}

/// What a Deployment follows.
pub(super) struct FollowedRelease {
    source: Location,
    registry_secret: Option<String>,
    /// Whom to trust, as it stands in the file.
    pub(super) trust: String,
}

impl ReleaseArgs {
    /// Returns what is followed, if a channel is.
    pub(super) fn read(&self) -> Result<Option<FollowedRelease>, Failure> {
        let (Some(source), Some(path)) = (&self.source, &self.trust) else { return Ok(None) };
        if !source.is_remote() {
            let message = format!("`{source}` is a directory, which pods do not have");
            return Err(Failure::input(message)
                .with_help("name a registry, as in `ghcr.io/acme/cluster:production`"));
        }
        // A file that says nothing to a server would keep every pod from starting.
        trust(path)?;
        let trust = Input::default().text(path, TRUST_BYTES)?;
        let registry_secret = self.registry_secret.clone();
        Ok(Some(FollowedRelease { source: source.clone(), registry_secret, trust }))
    }
}

impl fmt::Display for FollowedRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl FollowedRelease {
    /// Returns which manifests of the cluster's own objects are applied: the one that reviews them
    /// needs the authority of a certificate before.
    pub(super) fn applied(&self) -> &'static [&'static str] {
        match self.source.namespace() {
            Some(_) => &["policysets.yaml", "policysets-access.yaml"],
            None => &[],
        }
    }

    /// Returns the manifests of the cluster's own objects, if it is these that are followed.
    pub(super) fn cluster_manifests(&self) -> Vec<(PathBuf, String)> {
        let Some(namespace) = self.source.namespace() else { return Vec::new() };
        let manifests = POLICY_SET_MANIFESTS.iter();
        manifests.map(|(name, text)| (PathBuf::from(name), in_namespace(text, namespace))).collect()
    }

    /// Returns what has a pod show who it is: the API of the cluster asks for that.
    fn access(&self) -> Option<(&'static str, String)> {
        self.source.namespace()?;
        let place =
            "      serviceAccountName: stagedoor\n      automountServiceAccountToken: false\n";
        Some((place, place.replace("false", "true")))
    }

    /// Returns the shipped Deployment with what follows the channel in place of policies.
    pub(super) fn deployment(&self, shipped: &str) -> Result<String, Failure> {
        let mut text = shipped.to_owned();
        let registry = self.registry_secret.as_deref();
        let if_registry = |part: String| registry.map(|_| part).unwrap_or_default();
        let quoted = |value: &str| serde_json::Value::from(value).to_string();
        let mut places = vec![
            (
                "            - --policies=/etc/stagedoor/policies\n",
                format!(
                    "            - {}\n            - --trust=/etc/stagedoor/trust/trust.yaml\n            \
                     - --state=/var/lib/stagedoor\n{}",
                    quoted(&format!("--source={}", self.source)),
                    if_registry(
                        "            - --registry-config=/etc/stagedoor/registry/config.json\n"
                            .to_owned()
                    )
                ),
            ),
            (
                "            - name: policies\n              mountPath: /etc/stagedoor/policies\n              \
                 readOnly: true\n",
                format!(
                    "            - name: trust\n              mountPath: /etc/stagedoor/trust\n              \
                     readOnly: true\n            # The last good sets: with them it starts without the \
                     registry.\n            - name: state\n              mountPath: /var/lib/stagedoor\n{}",
                    if_registry(
                        "            - name: registry\n              mountPath: \
                         /etc/stagedoor/registry\n              readOnly: true\n"
                            .to_owned()
                    )
                ),
            ),
            (
                super::MOUNT,
                format!(
                    "        - name: trust\n          configMap:\n            name: stagedoor-trust\n        \
                     - name: state\n          emptyDir: {{}}\n{}",
                    registry
                        .map(|name| format!(
                            "        - name: registry\n          secret:\n            secretName: {}\n            \
                             defaultMode: 0440\n            items:\n              - key: \
                             .dockerconfigjson\n                path: config.json\n",
                            quoted(name)
                        ))
                        .unwrap_or_default()
                ),
            ),
            (
                "# Nothing is asked of anybody: no traffic goes out.\n",
                "# Nothing is asked of anybody but for releases, and for the address of where they are.\n"
                    .to_owned(),
            ),
            (
                "  egress: []\n",
                format!(
                    "  egress:\n    - ports:\n        - port: {}\n{}        - port: 53\n        - port: \
                     53\n          protocol: UDP\n",
                    self.source.port().unwrap_or(443),
                    // Where the service of the API leads.
                    self.source.namespace().map_or("", |_| "        - port: 6443\n")
                ),
            ),
        ];
        places.extend(self.access());
        for (place, what) in places {
            if text.matches(place).count() != 1 {
                let place = place.trim();
                let message = format!("the shipped Deployment has not one place like `{place}`");
                return Err(Failure::input(message));
            }
            text = text.replacen(place, &what, 1);
        }
        Ok(text)
    }
}

/// Returns a manifest for sets in a namespace. Roles and what reviews are where the sets are; the account
/// is where the server is.
fn in_namespace(manifest: &str, namespace: &str) -> String {
    let places = ["replica\n  namespace: ", "publisher\n  namespace: ", "metadata.name: "];
    places.iter().fold(manifest.to_owned(), |text, place| {
        text.replace(&format!("{place}stagedoor\n"), &format!("{place}{namespace}\n"))
    })
}

#[cfg(test)]
mod tests {
    use stagedoor_kubernetes::POLICY_SET_MANIFESTS;

    use super::in_namespace;

    #[test]
    fn roles_are_where_the_sets_are_and_the_account_where_the_server_is() {
        let counts = POLICY_SET_MANIFESTS.iter().map(|(name, text)| {
            let text = in_namespace(text, "gate");
            let count = |what: &str| text.lines().filter(|line| line.trim() == what).count();
            let reviewed = count("kubernetes.io/metadata.name: gate");
            (*name, count("namespace: gate"), count("namespace: stagedoor"), reviewed)
        });
        let expected = [
            ("policysets.yaml", 0, 0, 0),
            ("policysets-access.yaml", 3, 1, 0),
            ("policysets-webhook.yaml", 0, 1, 1),
        ];
        assert_eq!(counts.collect::<Vec<_>>(), expected);
    }
}
