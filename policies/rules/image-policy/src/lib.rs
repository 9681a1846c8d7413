//! `image-policy`: which images the containers of a pod may run.
//!
//! ```cedar
//! @guard("image-policy")
//! @guard_args("{\"registries\": [\"registry.example.com/platform\"], \"digests\": true}")
//! permit (principal, action, resource is k8s::admission::Resource);
//! ```
//!
//! It says yes if each image of the admitted object comes from one of the `registries` (a host
//! with any path below it), is pinned by digest where `digests` is set, and has none of the
//! `forbiddenTags`. It looks at the tags `/spec/containers/*/image` and so on, as Stagedoor's
//! admission webhook gives them, of pods and of what makes pods. An object without images is
//! none of its business: it says yes.

mod image;

use std::collections::BTreeMap;

use serde::Deserialize;
use stagedoor_rule_sdk::{EntityUid, Error, Inputs, Request, Rule, Verdict, export};

use image::Image;

/// The rule.
#[derive(Debug)]
pub struct ImagePolicy;

/// What images must be.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arguments {
    registries: Vec<String>,
    #[serde(default)]
    digests: bool,
    #[serde(default)]
    forbidden_tags: Vec<String>,
}

/// Kinds of containers, and where pods and what makes pods keep them.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
const POD_SPECS: [&str; 3] =
    ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];

#[derive(Deserialize)]
struct Admitted {
    object: Option<EntityUid>,
}

impl Rule for ImagePolicy {
    const INPUTS: Inputs = Inputs::NONE.and_resource();
    const ARGUMENTS: &'static str = include_str!("arguments.schema.json");
    type Arguments = Arguments;

    fn evaluate(request: &Request, arguments: Arguments) -> Result<Verdict, Error> {
        let Admitted { object } = request.resource()?.attributes()?;
        let Some(object) = object else { return Ok(Verdict::yes()) };
        let object = request.related(&object).ok_or("the admitted object is not known")?;
        let fields: BTreeMap<String, Vec<String>> = object.tags()?;
        for spec in POD_SPECS {
            for containers in CONTAINERS {
                // The list is there, so that each of its elements has an image, or none has.
                let path = format!("{spec}/{containers}/*/image");
                for name in fields.get(&path).into_iter().flatten() {
                    if let Err(reason) = arguments.check(name) {
                        return Ok(Verdict::no(format!("image `{name}` {reason}")));
                    }
                }
            }
        }
        Ok(Verdict::yes())
    }
}

impl Arguments {
    fn check(&self, name: &str) -> Result<(), String> {
        // Of a name too long to be told there is its hash, which reads like a name with a tag.
        let is_told = !name.starts_with("sha256:");
        let image =
            is_told.then(|| Image::parse(name)).flatten().ok_or("is no name of an image")?;
        if !self.registries.iter().any(|registry| image.is_below(registry)) {
            return Err("comes from none of the registries".to_owned());
        }
        if self.digests && image.digest.is_none() {
            return Err("is not pinned by digest".to_owned());
        }
        // Without a tag or digest, `latest` is what runs.
        let tag = image.tag.or(image.digest.is_none().then_some("latest"));
        match tag.filter(|tag| self.forbidden_tags.iter().any(|forbidden| forbidden == tag)) {
            Some(tag) => Err(format!("has the tag `{tag}`")),
            None => Ok(()),
        }
    }
}

export!(ImagePolicy);
