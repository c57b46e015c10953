//! A map of bounded size that forgets what has been left alone for longest.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// At most `capacity` entries.
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, (u64, V)>,
    /// Keys by the last time they were used.
    order: BTreeMap<u64, K>,
    clock: u64,
    capacity: usize,
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            clock: 0,
            capacity,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// The entry of `key`, which now counts as used.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.clock = self.clock.wrapping_add(1);
        let (stamp, value) = self.entries.get_mut(key)?;
        // Moving an entry to the end costs more than finding it, so what is near the end stays.
        if self.clock.wrapping_sub(*stamp) > (self.capacity as u64) / 8 {
            self.order.remove(stamp);
            *stamp = self.clock;
            self.order.insert(self.clock, *key);
        }
        Some(value)
    }

    /// The entry of `key`, made if there's none; the one left alone for longest makes room.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.get(&key).is_none() {
            self.make_room(key);
        }
        let clock = self.clock;
        let (_, value) = self.entries.entry(key).or_insert_with(|| (clock, make()));
        value
    }

    /// Puts `value` under `key`.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        self.make_room(key);
        self.entries.insert(key, (self.clock, value));
    }

    /// A stamp for `key`, which is about to come.
    fn make_room(&mut self, key: K) {
        if self.entries.len() >= self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.clock = self.clock.wrapping_add(1);
        self.order.insert(self.clock, key);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (stamp, value) = self.entries.remove(key)?;
        self.order.remove(&stamp);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_alone_longest_goes_first() {
        let mut lru = Lru::new(16);
        for n in 0..16 {
            lru.insert(n, n);
        }
        assert!(lru.get(&0).is_some());
        for n in 16..31 {
            *lru.get_or_insert_with(n, || n) += 1;
        }
        assert_eq!(lru.len(), 16);
        assert_eq!(lru.get(&0), Some(&mut 0), "it was used in between");
        assert_eq!(lru.get(&1), None);
        assert_eq!(lru.get(&30), Some(&mut 31));
        assert_eq!(lru.remove(&30), Some(31));
        assert_eq!(lru.order.len(), lru.entries.len());
    }
}
