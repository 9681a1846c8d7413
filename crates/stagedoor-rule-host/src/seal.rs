//! What tells compiled code of this host's from any other bytes.
//!
//! Compiled code is run as it stands. An entry begins with a code over its name and content (BLAKE3
//! with a key), then comes what was found out about the rule, then the compiled code.

use blake3::{Hash, Hasher, KEY_LEN, OUT_LEN};
use serde::Serialize;
use serde::de::DeserializeOwned;

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
        let known = serde_json::to_vec(known).ok()?;
        let length = u32::try_from(known.len()).ok()?.to_le_bytes();
        let code = self.code(name, &[&length, &known, compiled]);
        Some([code.as_bytes().as_slice(), &length, &known].concat())
    }

    /// Returns what is known of the rule and its compiled code, if the entry is whole, of this
    /// name, and of somebody who has the key.
    pub(crate) fn open<'e, K: DeserializeOwned>(
        &self,
        name: &str,
        entry: &'e [u8],
    ) -> Option<(K, &'e [u8])> {
        let (code, entry) = entry.split_first_chunk::<OUT_LEN>()?;
        // Compares in constant time.
        if self.code(name, &[entry]) != *code {
            return None;
        }
        let (length, entry) = entry.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (known, compiled) = entry.split_at_checked(length)?;
        Some((serde_json::from_slice(known).ok()?, compiled))
    }

    fn code(&self, name: &str, parts: &[&[u8]]) -> Hash {
        let mut hasher = Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}
