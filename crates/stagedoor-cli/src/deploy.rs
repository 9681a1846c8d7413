//! `stagedoor deploy`: what is applied to a cluster, policies included.

mod release;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use stagedoor_core::Engine;
use stagedoor_kubernetes::admission::{AdmissionRequest, ManifestOperation, reviews_of_manifests};
use stagedoor_kubernetes::{DEPLOY_MANIFESTS, Reviewer, Subject};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::Output;
use crate::platform::Platform;

use release::{FollowedRelease, ReleaseArgs};

/// The most that a ConfigMap holds, in bytes, with some room for its own fields.
const CONFIG_MAP_BYTES: usize = (1 << 20) - (16 << 10);
/// What the shipped Deployment mounts, to be replaced by the files by name.
const MOUNT: &str =
    "        - name: policies\n          configMap:\n            name: stagedoor-policies\n";
/// Where the shipped kustomization lists what is applied.
const RESOURCES: &str = "resources:\n";
/// An object that everybody has to be able to write, or nothing in the cluster works.
const PLAIN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: probe, namespace: default }\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: probe, namespace: default }\nspec: { replicas: 1 }\n---\napiVersion: v1\nkind: Pod\nmetadata: { name: probe, namespace: default }\nspec: { containers: [{ name: a, image: a }] }\n";

/// Write what puts policies in front of a platform.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    #[command(subcommand)]
    platform: DeployPlatform,
}

#[derive(Debug, Subcommand)]
enum DeployPlatform {
    Kubernetes(KubernetesArgs),
}

/// Write the manifests of the webhook for Kubernetes, with a directory of policies in them.
///
/// Sub-directories are carried. The policies are loaded as `serve kubernetes` loads them, and
/// are refused if with them nobody could write anything: admission lets through only what a
/// policy permits. `kubectl apply -k DIR` applies the webhook with its policies; the files
/// for kube-apiserver lie below `kube-apiserver/`.
#[derive(Debug, Args)]
struct KubernetesArgs {
    /// The directory of policies.
    #[arg(value_name = "POLICIES")]
    policies: PathBuf,

    #[command(flatten)]
    load: LoadArgs,

    /// The directory to write to, which is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// The image of the webhook, best by digest.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    #[command(flatten)]
    release: ReleaseArgs,
}

/// Where the webhook has its policies from.
enum PolicyVolume {
    /// A ConfigMap with these files.
    Carried(Vec<ConfigMapFile>),
    /// A channel, policies and rules alike.
    Followed(FollowedRelease),
}

/// A ConfigMap whose keys are the paths of files, with what a key cannot hold replaced.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    data: std::collections::BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Metadata {
    name: &'static str,
    namespace: &'static str,
}

/// A file of policies as it is carried.
struct ConfigMapFile {
    /// The path below the directory.
    path: String,
    /// The key of the ConfigMap.
    key: String,
    text: String,
}

pub(crate) fn run(args: &DeployArgs, output: &mut Output) -> Result<Ending, Failure> {
    let DeployPlatform::Kubernetes(args) = &args.platform;
    if !args.policies.is_dir() {
        let name = args.policies.display();
        return Err(Failure::input(format!("`{name}` is not a directory of policies")));
    }
    let paths = [args.policies.clone()];
    let engine = args.load.load(&paths, Some(Platform::Kubernetes), output)?.engine;
    let volume = match args.release.read()? {
        Some(release) => PolicyVolume::Followed(release),
        None => {
            check_guards(&engine)?;
            PolicyVolume::Carried(carried(&engine, &args.policies)?)
        }
    };
    let reviewer = Reviewer::new(engine).map_err(|e| Failure::input(e.to_string()))?;
    check_admission(&reviewer)?;

    let failed = |path: &Path, error: &std::io::Error| {
        Failure::input(format!("`{}` cannot be written: {error}", path.display()))
    };
    let (name, map) = volume.config_map()?;
    let mut files: Vec<(PathBuf, String)> = vec![(name.into(), map)];
    for (manifest, text) in DEPLOY_MANIFESTS {
        let text = match *manifest {
            "stagedoor.yaml" => with_image(&volume.deployment(text)?, args.image.as_deref()),
            "kustomization.yaml" => text.replace(RESOURCES, &resources(name, &volume)),
            _ => (*text).to_owned(),
        };
        // These are no objects of the cluster.
        let is_for_server =
            matches!(*manifest, "authorization-configuration.yaml" | "webhook-kubeconfig.yaml");
        let place = match is_for_server {
            true => Path::new("kube-apiserver").join(manifest),
            false => manifest.into(),
        };
        files.push((place, text));
    }
    files.extend(volume.cluster_manifests());
    for (name, text) in &files {
        let path = args.out.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| failed(parent, &e))?;
        }
        fs::write(&path, text).map_err(|e| failed(&path, &e))?;
    }
    let (count, place) = (files.len(), args.out.display());
    match &volume {
        PolicyVolume::Carried(carried) => {
            let policies = carried.len();
            output.line(format_args!(
                "{policies} files of policies in {count} manifests at {place}"
            ))?;
        }
        PolicyVolume::Followed(release) => {
            output.line(format_args!("{count} manifests at {place}, which follow {release}"))?;
        }
    }
    if args.image.is_none() {
        output.remark("`stagedoor.yaml` names an image of `registry.example.com`: give `--image`");
    }
    output.remark(
        "`validating-webhook-configuration.yaml` needs the authority of the webhook's certificate \
         as `caBundle`; read the README of the shipped `deploy` before you apply it",
    );
    Ok(Ending::Done)
}

/// Returns the beginning of what is applied, with what is added.
fn resources(config_map: &str, volume: &PolicyVolume) -> String {
    let of_cluster = match volume {
        PolicyVolume::Followed(release) => release.applied(),
        PolicyVolume::Carried(_) => &[],
    };
    let added = std::iter::once(&config_map).chain(of_cluster);
    added.fold(RESOURCES.to_owned(), |text, name| format!("{text}  - {name}\n"))
}

/// Returns the files that the policies were loaded from, with their keys.
fn carried(engine: &Engine, directory: &Path) -> Result<Vec<ConfigMapFile>, Failure> {
    let mut carried: Vec<ConfigMapFile> = Vec::new();
    let mut bytes = 0;
    for (name, text) in engine.sources() {
        let Ok(below) = Path::new(name).strip_prefix(directory) else { continue };
        let path = below.to_string_lossy().replace('\\', "/");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let key: String =
            path.replace('/', "__").chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        if carried.iter().any(|other| other.key == key) {
            let message = format!("`{path}` and another file come to the one key `{key}`");
            return Err(Failure::input(message).with_help("rename one of them"));
        }
        bytes += key.len() + text.len();
        carried.push(ConfigMapFile { path, key, text: text.to_owned() });
    }
    if carried.is_empty() {
        let name = directory.display();
        return Err(Failure::input(format!("there are no policies in `{name}`")));
    }
    if bytes > CONFIG_MAP_BYTES {
        let message = format!(
            "the policies have {bytes} bytes, and a ConfigMap holds {CONFIG_MAP_BYTES} of them"
        );
        return Err(Failure::input(message).with_help(
            "publish them with `stagedoor push`, and name the channel with `--source`",
        ));
    }
    carried.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(carried)
}

/// Fails for policies that rules guard: a ConfigMap carries no modules.
fn check_guards(engine: &Engine) -> Result<(), Failure> {
    match engine.policies().find(|policy| policy.guards().len() > 0) {
        None => Ok(()),
        Some(policy) => {
            let message = format!("policy `{}` is guarded by a custom rule", policy.id());
            Err(Failure::input(message).with_help(
                "a ConfigMap carries no modules: publish policies and rules with `stagedoor push`, \
                 and name the channel with `--source`",
            ))
        }
    }
}

/// Fails if administrators could write nothing: no policy of admission permits it.
fn check_admission(reviewer: &Reviewer) -> Result<(), Failure> {
    let admin = Subject::new("kubernetes-admin")
        .with_group("system:masters")
        .with_group("system:authenticated");
    let probes = reviews_of_manifests(PLAIN, ManifestOperation::Create, &admin)
        .map_err(|e| Failure::input(e.to_string()))?;
    for probe in probes {
        let request = AdmissionRequest::from_review(&probe.json)
            .map_err(|e| Failure::input(e.to_string()))?;
        let ruling = reviewer.admission_ruling(&request);
        if !ruling.allowed {
            let message = format!(
                "with these policies a member of system:masters could not {}: {}",
                probe.question, ruling.reason
            );
            return Err(Failure::input(message).with_help(
                "permit in `k8s::admission::Action::\"all\"` what authorization has let through, \
                 as the shipped `admission/admission.cedar` does",
            ));
        }
    }
    Ok(())
}

impl PolicyVolume {
    /// Returns the ConfigMap that the Deployment mounts, and the name of its file.
    fn config_map(&self) -> Result<(&'static str, String), Failure> {
        let (file, name, data) = match self {
            Self::Carried(carried) => {
                let data = carried.iter().map(|file| (file.key.as_str(), file.text.as_str()));
                ("policies.yaml", "stagedoor-policies", data.collect())
            }
            Self::Followed(release) => {
                let data = std::iter::once(("trust.yaml", release.trust.as_str()));
                ("trust.yaml", "stagedoor-trust", data.collect())
            }
        };
        let metadata = Metadata { name, namespace: "stagedoor" };
        let map = ConfigMap { api_version: "v1", kind: "ConfigMap", metadata, data };
        // JSON is YAML, and leaves no doubt about any text.
        let text = serde_json::to_string_pretty(&map).map_err(|e| Failure::input(e.to_string()))?;
        Ok((file, format!("{text}\n")))
    }

    /// Returns the manifests of what is followed, where that is in the cluster itself.
    fn cluster_manifests(&self) -> Vec<(PathBuf, String)> {
        match self {
            Self::Carried(_) => Vec::new(),
            Self::Followed(release) => release.cluster_manifests(),
        }
    }

    /// Returns the shipped Deployment with this.
    fn deployment(&self, shipped: &str) -> Result<String, Failure> {
        match self {
            Self::Carried(carried) => mounting(shipped, carried),
            Self::Followed(release) => release.deployment(shipped),
        }
    }
}

/// Returns the shipped Deployment with each file at its path.
fn mounting(shipped: &str, carried: &[ConfigMapFile]) -> Result<String, Failure> {
    let mut items = format!("{MOUNT}            items:\n");
    for ConfigMapFile { path, key, .. } in carried {
        let path = serde_json::Value::from(path.as_str());
        items.push_str(&format!("              - key: {key}\n                path: {path}\n"));
    }
    if !shipped.contains(MOUNT) {
        return Err(Failure::input("the shipped Deployment mounts no policies"));
    }
    Ok(shipped.replacen(MOUNT, &items, 1))
}

/// Returns a Deployment with an image in place of the one that is an example.
fn with_image(deployment: &str, image: Option<&str>) -> String {
    match image {
        Some(image) => {
            let image = serde_json::Value::from(image);
            let example = "image: registry.example.com/stagedoor:0.1.0";
            deployment.replace(example, &format!("image: {image}"))
        }
        None => deployment.to_owned(),
    }
}
