//! Hash maps that are fast on short keys. Where keys come from outside, hashes are seeded at
//! random; where they are numbers that were given out here, one multiplication does.

use std::hash::Hasher;

use foldhash::fast::RandomState;

pub(crate) type FastMap<K, V> = hashbrown::HashMap<K, V, RandomState>;
pub(crate) type FastSet<K> = hashbrown::HashSet<K, RandomState>;

/// A map whose copies share what they have in common: copying costs nothing, and a change what the
/// logarithm of its size does.
pub(crate) type PersistentMap<K, V> =
    imbl::GenericHashMap<K, V, RandomState, imbl::shared_ptr::DefaultSharedPtr>;

/// Hashes one number.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The table takes its places from the lower bits, which the upper half tells apart best.
        self.0 = (self.0 ^ number).wrapping_mul(0xF135_7AEA_2E62_A9C5).rotate_left(26);
    }
}
