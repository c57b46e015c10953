//! Memory for long answers, shared by all connections: a crowd that reads large files and takes
//! nothing off the wire can't make the sensor hold more than this.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of file contents that wait to leave, in all.
const MAX_WAITING: usize = 96 * 1024 * 1024;
/// And of one connection: one read of the longest kind.
const MAX_TENANT: usize = 9 * 1024 * 1024;

/// The room.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: AtomicUsize,
}

impl Room {
    /// A connection that takes none yet.
    pub(super) fn tenant(room: &Arc<Self>) -> Tenant {
        Tenant {
            room: Arc::clone(room),
            taken: 0,
        }
    }
}

/// What one connection takes of it.
#[derive(Debug)]
pub(super) struct Tenant {
    room: Arc<Room>,
    taken: usize,
}

impl Tenant {
    /// Whether there was room for `bytes` more; then they are taken.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let mine = self.taken.saturating_add(bytes);
        if mine > MAX_TENANT {
            return false;
        }
        let taken = self
            .room
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                let all = taken.saturating_add(bytes);
                (all <= MAX_WAITING).then_some(all)
            });
        if taken.is_ok() {
            self.taken = mine;
        }
        taken.is_ok()
    }

    /// All that was said has left.
    pub(super) fn leave(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            self.room.taken.fetch_sub(taken, Ordering::Relaxed);
        }
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_shared_and_comes_back() {
        let room = Arc::new(Room::default());
        let mut crowd: Vec<_> = (0..12).map(|_| Room::tenant(&room)).collect();
        let eight = 8 * 1024 * 1024;
        assert!(crowd.iter_mut().all(|tenant| tenant.take(eight)));
        assert!(!crowd[0].take(eight), "one connection");
        let mut late = Room::tenant(&room);
        assert!(!late.take(1), "all of them");
        crowd.pop();
        assert!(late.take(eight));
        crowd[0].leave();
        assert!(crowd[0].take(eight));
    }
}
