//! What tells compiled code of this host's from any other bytes.
//!
//! Compiled code is run as it stands. An entry begins with a code over its name and content (BLAKE3
//! with a key), then comes what was found out about the rule, then the compiled code.

use std::io::{self, Read, Write};

use blake3::{Hash, Hasher, KEY_LEN, OUT_LEN};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is known of a rule is no longer, in bytes.
const KNOWN_BYTES: usize = 1 << 20;
/// What is read at a time: it stays in the processor's cache while it is hashed and written.
const CHUNK_BYTES: usize = 128 << 10;
/// How many bytes tell the length of what is known of a rule.
const LENGTH_BYTES: usize = 4;

/// Makes and checks the codes of entries.
pub(crate) struct Seal {
    key: [u8; KEY_LEN],
}

impl Seal {
    /// Returns the seal of a secret key: who lacks the key cannot make an entry.
    pub(crate) fn new(key: [u8; KEY_LEN]) -> Self {
        Self { key }
    }

    /// Returns a seal that tells damage, and nothing else: who can write may make an entry.
    pub(crate) fn against_damage() -> Self {
        Self { key: blake3::derive_key("stagedoor precompiled rules v1", &[]) }
    }

    /// Returns what stands before compiled code in an entry.
    pub(crate) fn head(
        &self,
        name: &str,
        known: &impl Serialize,
        compiled: &[u8],
    ) -> Option<Vec<u8>> {
        let known = serde_json::to_vec(known).ok().filter(|known| known.len() <= KNOWN_BYTES)?;
        let length = u32::try_from(known.len()).ok()?.to_le_bytes();
        let code = self.code(name, &[&length, &known, compiled]);
        Some([code.as_bytes().as_slice(), &length, &known].concat())
    }

    /// Reads an entry, and writes its compiled code. Returns that with what is known of the rule, if the
    /// entry is whole, of this name, and of somebody who has the key.
    ///
    /// INVARIANT: each byte is read once, and what is hashed is what is kept: a file may change
    /// meanwhile.
    pub(crate) fn open<K: DeserializeOwned, W: Write>(
        &self,
        name: &str,
        mut entry: impl Read,
        mut compiled: W,
    ) -> io::Result<Option<(K, W)>> {
        let (mut code, mut length) = ([0; OUT_LEN], [0; LENGTH_BYTES]);
        entry.read_exact(&mut code)?;
        entry.read_exact(&mut length)?;
        let known_length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if known_length > KNOWN_BYTES {
            return Ok(None);
        }
        let mut known = vec![0; known_length];
        entry.read_exact(&mut known)?;
        let mut hasher = self.hasher(name);
        hasher.update(&length).update(&known);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match entry.read(&mut chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let Some(bytes @ [_, ..]) = chunk.get(..read) else { break };
            hasher.update(bytes);
            compiled.write_all(bytes)?;
        }
        // Compares in constant time.
        if hasher.finalize() != Hash::from_bytes(code) {
            return Ok(None);
        }
        Ok(serde_json::from_slice(&known).ok().map(|known| (known, compiled)))
    }

    fn hasher(&self, name: &str) -> Hasher {
        let mut hasher = Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher
    }

    fn code(&self, name: &str, parts: &[&[u8]]) -> Hash {
        let mut hasher = self.hasher(name);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(seal: &Seal, name: &str, entry: &[u8]) -> Option<(String, Vec<u8>)> {
        seal.open(name, entry, Vec::new()).ok().flatten()
    }

    #[test]
    fn only_what_was_sealed_opens() -> Result<(), Box<dyn std::error::Error>> {
        let (seal, known) = (Seal::new([7; KEY_LEN]), "known".to_owned());
        let compiled: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let head = seal.head("rule", &known, &compiled).ok_or("a head")?;
        let entry = [head.as_slice(), &compiled].concat();
        assert_eq!(open(&seal, "rule", &entry), Some((known, compiled)));
        assert_eq!(open(&seal, "other", &entry), None);
        assert_eq!(open(&Seal::new([8; KEY_LEN]), "rule", &entry), None);
        assert_eq!(open(&Seal::against_damage(), "rule", &entry), None);
        // Cut short, longer, or with another byte in the code, the length, what is known, the rest.
        let shorter = entry.get(..entry.len() - 1).unwrap_or_default();
        assert_eq!(open(&seal, "rule", shorter), None);
        assert_eq!(open(&seal, "rule", &[entry.as_slice(), &[0]].concat()), None);
        for place in [0, OUT_LEN, OUT_LEN + LENGTH_BYTES, head.len(), entry.len() - 1] {
            let mut damaged = entry.clone();
            damaged.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1);
            assert_eq!(open(&seal, "rule", &damaged), None, "{place}");
        }
        Ok(())
    }

    #[test]
    fn what_is_known_has_a_bound() {
        let seal = Seal::against_damage();
        // With its quotation marks.
        let most = "x".repeat(KNOWN_BYTES - 2);
        let head = seal.head("rule", &most, &[]).unwrap_or_default();
        assert_eq!(open(&seal, "rule", &head), Some((most.clone(), Vec::new())));
        assert_eq!(seal.head("rule", &(most + "x"), &[]), None);
    }
}
