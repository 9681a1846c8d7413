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
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
            _ => (rest, None),
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
        are_components(text).then_some(Self { host, path, tag, digest })
    }

    /// Returns whether the image is in a registry: its host, and the whole parts of its path.
    pub(crate) fn is_below(&self, registry: &str) -> bool {
        let registry = registry.strip_suffix('/').unwrap_or(registry);
        let (host, path) = match registry.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (registry, None),
        };
        if host != self.host && !host.eq_ignore_ascii_case(self.host) {
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
    let host = part.bytes().any(|b| matches!(b, b'.' | b':')) || part == "localhost";
    host && part.bytes().all(|b| is(b, HOST))
}

/// Parts of a path begin and end with a letter or digit.
fn are_components(path: &str) -> bool {
    let mut before = b'/';
    for byte in path.bytes().chain([b'/']) {
        let allowed = if before == b'/' { ALPHANUMERIC } else { COMPONENT };
        let ends = byte == b'/' && is(before, ALPHANUMERIC);
        if !ends && !is(byte, allowed) {
            return false;
        }
        before = byte;
    }
    true
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(|b| is(b, TAG))
}

/// What a byte may be part of.
const ALPHANUMERIC: u8 = 1;
const COMPONENT: u8 = 1 << 1;
const TAG: u8 = 1 << 2;
const HOST: u8 = 1 << 3;

fn is(byte: u8, part: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "at compile time")]
    const OF: [u8; 256] = {
        let mut of = [0; 256];
        let mut byte = 0_u8;
        while byte < 0x80 {
            of[byte as usize] = match byte {
                b'a'..=b'z' | b'0'..=b'9' => ALPHANUMERIC | COMPONENT | TAG | HOST,
                b'A'..=b'Z' => TAG | HOST,
                b'.' | b'-' => COMPONENT | TAG | HOST,
                b'_' => COMPONENT | TAG,
                b':' | b'[' | b']' => HOST,
                _ => 0,
            };
            byte += 1;
        }
        of
    };
    OF.get(usize::from(byte)).is_some_and(|parts| parts & part != 0)
}

fn is_digest(digest: &str) -> bool {
    let (hex, length) = match digest.split_at_checked("sha256:".len()) {
        Some(("sha256:", hex)) => (hex, 64),
        Some(("sha512:", hex)) => (hex, 128),
        _ => return false,
    };
    let (words, _) = hex.as_bytes().as_chunks();
    hex.len() == length && words.iter().all(|word| are_hex(u64::from_le_bytes(*word)))
}

/// Returns whether eight bytes are `0-9a-f`, at once: most of a name is its digest.
const fn are_hex(word: u64) -> bool {
    const EACH: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = EACH << 7;
    /// Sets the high bit of each byte that is not below, if none has it yet.
    const fn from(word: u64, byte: u8) -> u64 {
        word.wrapping_add(EACH * (0x80 - byte as u64))
    }
    let digits = from(word, b'0') & !from(word, b'9' + 1);
    let letters = from(word, b'a') & !from(word, b'f' + 1);
    word & HIGH == 0 && (digits | letters) & HIGH == HIGH
}
