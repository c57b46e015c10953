//! How many connections at once: in all, and from one source.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};

use super::ACCEPT_BACK_OFF;

/// Places for connections.
pub(super) struct Slots {
    total: usize,
    per_source: usize,
    taken: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// One connection's place; free again when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    source: IpAddr,
}

/// Accepts until stopped: whom `place` has a place for, each on a task of its own that keeps the
/// place until `serve`, told who connects and to where, is done.
pub(super) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    place: impl Fn(IpAddr) -> Option<Slot>,
    serve: impl Fn(TcpStream, SocketAddr, SocketAddr) -> F,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_BACK_OFF).await;
            continue;
        };
        let Some(slot) = place(peer.ip().to_canonical()) else {
            continue;
        };
        let Ok(local) = stream.local_addr() else {
            continue;
        };
        let served = serve(stream, peer, local);
        tokio::spawn(async move {
            served.await;
            drop(slot);
        });
    }
}

impl Slots {
    /// `total` places, of which one source may take `per_source`.
    pub fn new(total: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_source,
            taken: Mutex::default(),
        })
    }

    /// A place for `source`, if there is one.
    pub fn take(self: &Arc<Self>, source: IpAddr) -> Option<Slot> {
        self.take_up_to(self.per_source, source)
    }

    /// The same where many are behind `source`.
    pub fn take_for_many(self: &Arc<Self>, source: IpAddr) -> Option<Slot> {
        self.take_up_to(self.total, source)
    }

    fn take_up_to(self: &Arc<Self>, most: usize, source: IpAddr) -> Option<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, sources) = &mut *taken;
        let own = sources.get(&source).copied().unwrap_or(0);
        if *all >= self.total || own >= most {
            return None;
        }
        *all = all.saturating_add(1);
        sources.insert(source, own.saturating_add(1));
        Some(Slot {
            slots: Arc::clone(self),
            source,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self
            .slots
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (all, sources) = &mut *taken;
        *all = all.saturating_sub(1);
        match sources.get_mut(&self.source) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            _ => drop(sources.remove(&self.source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_source_and_come_back() {
        let (a, b): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let slots = Slots::new(3, 2);
        let first = slots.take(a).unwrap();
        let _second = slots.take(a).unwrap();
        assert!(slots.take(a).is_none(), "two of one source");
        let _third = slots.take(b).unwrap();
        assert!(slots.take(b).is_none(), "three in all");
        assert!(slots.take_for_many(a).is_none(), "three in all");
        drop(first);
        assert!(slots.take(b).is_some());
        let many = slots.take_for_many(b).unwrap();
        assert!(slots.take_for_many(b).is_none(), "three in all");
        drop(many);
        assert_eq!(slots.taken.lock().unwrap().1.len(), 2);
    }
}
