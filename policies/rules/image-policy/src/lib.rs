//! `image-policy`: which images the containers of a pod may run.
//!
//! ```cedar
//! @guard("image-policy")
//! @guard_args("
//!   registries: ['registry.example.com/platform']
//!   digests: true
//! ")
//! permit (principal, action, resource is k8s::admission::Resource);
//! ```
//!
//! It says yes if each image of the admitted object comes from one of the `registries` (a host
//! with any path below it), is pinned by digest where `digests` is set, and has none of the
//! `forbiddenTags`. It looks at the tags `/spec/containers/*/image` and so on, as Stagedoor's
//! admission webhook gives them, of pods and of what makes pods. An object without images is
//! none of its business: it says yes.

mod image;

use std::fmt::{self, Formatter};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
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

/// A tag of the admitted object, by its path.
#[derive(Deserialize)]
#[serde(field_identifier)]
enum Tag {
    /// The list is in the path, so that each of its elements has an image, or none has.
    #[serde(
        rename = "/spec/containers/*/image",
        alias = "/spec/initContainers/*/image",
        alias = "/spec/ephemeralContainers/*/image",
        alias = "/spec/template/spec/containers/*/image",
        alias = "/spec/template/spec/initContainers/*/image",
        alias = "/spec/template/spec/ephemeralContainers/*/image",
        alias = "/spec/jobTemplate/spec/template/spec/containers/*/image",
        alias = "/spec/jobTemplate/spec/template/spec/initContainers/*/image",
        alias = "/spec/jobTemplate/spec/template/spec/ephemeralContainers/*/image"
    )]
    Images,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Admitted {
    object: Option<EntityUid>,
}

/// The images among an object's tags.
struct Images(Vec<String>);

impl Rule for ImagePolicy {
    const INPUTS: Inputs = Inputs::NONE.and_resource();
    const ARGUMENTS: &'static str = include_str!("arguments.schema.json");
    type Arguments = Arguments;

    fn evaluate(request: &Request, arguments: Arguments) -> Result<Verdict, Error> {
        let Admitted { object } = request.resource()?.attributes()?;
        let Some(object) = object else { return Ok(Verdict::yes()) };
        let object = request.related(&object).ok_or("the admitted object is not known")?;
        let Images(images) = object.tags()?;
        for name in &images {
            if let Err(reason) = arguments.check(name) {
                return Ok(Verdict::no(format!("image `{name}` {reason}")));
            }
        }
        Ok(Verdict::yes())
    }
}

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tags;

        impl<'de> Visitor<'de> for Tags {
            type Value = Images;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an object's tags")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut tags: A) -> Result<Images, A::Error> {
                let mut images = Vec::new();
                while let Some(tag) = tags.next_key()? {
                    match tag {
                        Tag::Images => images.append(&mut tags.next_value()?),
                        Tag::Other => drop(tags.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Images(images))
            }
        }

        deserializer.deserialize_map(Tags)
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
