//! Small caches in front of look-ups that every request or hit makes.
//!
//! *Invariant:* a cache never answers with what a committed write has replaced: a value read
//! before a write ends isn't kept after it.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use coalmine_core::TokenId;
use coalmine_core::token::Alias;
use lru::LruCache;

use crate::engine::lock;
use crate::keys::ApiKey;
use crate::settings::ConsoleSettings;
use crate::tokens::TokenRow;

/// Entries of each cache but that of tokens.
const MAX_ENTRIES: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Tokens kept, about a kilobyte each: a flood over all tokens of a large installation shouldn't
/// read each of them again for every touch.
const MAX_TOKENS: NonZeroUsize = NonZeroUsize::new(20_480).expect("not zero");

/// All caches of a store.
pub(crate) struct Caches {
    pub(crate) tokens: Cache<String, TokenRow>,
    pub(crate) aliases: Cache<Alias, TokenId>,
    pub(crate) keys: Cache<Vec<u8>, ApiKey>,
    pub(crate) settings: Cache<(), ConsoleSettings>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            tokens: Cache::new(MAX_TOKENS),
            aliases: Cache::new(MAX_ENTRIES),
            keys: Cache::new(MAX_ENTRIES),
            settings: Cache::new(MAX_ENTRIES),
        }
    }
}

/// One bounded cache of what exists; what doesn't exist is looked up each time.
pub(crate) struct Cache<K: Hash + Eq, V>(Mutex<Inner<K, V>>);

struct Inner<K: Hash + Eq, V> {
    entries: LruCache<K, Arc<V>>,
    generation: u64,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// At most so many entries.
    fn new(most: NonZeroUsize) -> Self {
        Self(Mutex::new(Inner {
            // Its table grows as it fills.
            entries: LruCache::sparse(most),
            generation: 0,
        }))
    }

    /// The entry, or the generation to give back to [`Cache::keep`] with what was read.
    pub(crate) fn get(&self, key: &K) -> Result<Arc<V>, u64> {
        let mut inner = lock(&self.0);
        let generation = inner.generation;
        inner.entries.get(key).cloned().ok_or(generation)
    }

    /// Keeps `value` unless something was written since `generation`.
    pub(crate) fn keep(&self, generation: u64, key: K, value: Arc<V>) {
        let mut inner = lock(&self.0);
        if inner.generation == generation {
            inner.entries.put(key, value);
        }
    }

    /// Something was written: forgets everything. Writes are rare against look-ups.
    pub(crate) fn forget(&self) {
        let mut inner = lock(&self.0);
        inner.generation = inner.generation.wrapping_add(1);
        inner.entries.clear();
    }
}
