//! Names of images, as container runtimes read them.
//!
//! See the [reference grammar](https://github.com/distribution/reference).

/// An image's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image<'n> {
    host: &'n str,
    /// Below the host, with `library/` where Docker Hub adds it.
    path: Path<'n>,
    pub(crate) tag: Option<&'n str>,
    pub(crate) digest: Option<&'n str>,
}

#[derive(Debug, PartialEq, Eq)]
enum Path<'n> {
    Written(&'n str),
    /// `nginx` is `docker.io/library/nginx`.
    Library(&'n str),
}

const DOCKER_HUB: &str = "docker.io";

impl<'n> Image<'n> {
    pub(crate) fn parse(name: &'n str) -> Option<Self> {
        let (rest, digest) = match name.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (name, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return None;
        }
        // A colon in the first part is a port's.
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (rest, tag) = match rest.get(last..)?.find(':') {
            Some(colon) => {
                let (rest, tag) = rest.split_at_checked(last + colon)?;
                (rest, Some(tag.strip_prefix(':')?))
            }
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return None;
        }
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) if is_host(host) => (host, Path::Written(path)),
            Some(_) => (DOCKER_HUB, Path::Written(rest)),
            None => (DOCKER_HUB, Path::Library(rest)),
        };
        let host = if host == "index.docker.io" { DOCKER_HUB } else { host };
        let (Path::Written(text) | Path::Library(text)) = path;
        let path = match path {
            Path::Written(text) if host == DOCKER_HUB && !text.contains('/') => Path::Library(text),
            path => path,
        };
        text.split('/').all(is_component).then_some(Self { host, path, tag, digest })
    }

    /// Returns whether the image is in a registry: its host, and the whole parts of its path.
    pub(crate) fn is_below(&self, registry: &str) -> bool {
        let registry = registry.strip_suffix('/').unwrap_or(registry);
        let (host, path) = match registry.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (registry, None),
        };
        if !host.eq_ignore_ascii_case(self.host) {
            return false;
        }
        let Some(path) = path else { return true };
        let below = |whole: &str| {
            whole.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match self.path {
            Path::Written(whole) => below(whole),
            Path::Library(name) => below(&format!("library/{name}")),
        }
    }
}

/// The first part is a host if it could be nothing else.
fn is_host(part: &str) -> bool {
    let host = part.contains(['.', ':']) || part == "localhost";
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    host && part.bytes().all(allowed)
}

fn is_component(part: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(inner)
}

fn is_tag(tag: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(allowed)
}

fn is_digest(digest: &str) -> bool {
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    match digest.split_once(':') {
        Some(("sha256", text)) => hex(text, 64),
        Some(("sha512", text)) => hex(text, 128),
        _ => false,
    }
}
