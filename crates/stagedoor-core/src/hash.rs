//! Hash maps that are fast on short keys and seeded at random, since keys come from outside.

use foldhash::fast::RandomState;

pub(crate) type FastMap<K, V> = hashbrown::HashMap<K, V, RandomState>;
pub(crate) type FastSet<K> = hashbrown::HashSet<K, RandomState>;
