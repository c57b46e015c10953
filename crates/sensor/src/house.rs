//! What every driver needs: the clock, randomness, the way to the spool, the sign to stop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coalmine_core::decoy::Seen;
use coalmine_core::{Endpoint, Seed, Sighting, Subject, Timestamp};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use std::borrow::Cow;
use tokio::sync::watch;

use crate::spool::{Full, Spool, Ticket};

/// A reply waits so long for a stalled disk, then it goes anyway and a counter says so.
const MAX_DISK_WAIT: Duration = Duration::from_millis(250);

/// Shared by all drivers of a sensor.
pub(crate) struct House {
    spool: Spool,
    rng: Mutex<ChaCha12Rng>,
    late: AtomicU64,
    stopping: watch::Receiver<bool>,
}

impl House {
    pub(crate) fn new(spool: Spool, seed: [u8; 32], stopping: watch::Receiver<bool>) -> Self {
        Self {
            spool,
            rng: Mutex::new(ChaCha12Rng::from_seed(seed)),
            late: AtomicU64::new(0),
            stopping,
        }
    }

    /// Randomness for one session.
    pub(crate) fn session_seed(&self) -> Seed {
        let mut bytes = [0; 32];
        self.rng().fill_bytes(&mut bytes);
        Seed::new(bytes)
    }

    /// Puts what was seen on the way to the disk; the ticket of the last one stands for all.
    pub(crate) fn see(
        &self,
        seen: Vec<Seen>,
        at: Timestamp,
        subject: &Subject,
        (src, dst): (Endpoint, Endpoint),
    ) -> Result<Option<Ticket>, Full> {
        let mut last = None;
        for seen in seen {
            let sighting = Sighting {
                id: self.sighting_id(at),
                at,
                subject: subject.clone(),
                kind: Cow::Borrowed(seen.kind.key),
                logtype: seen.logtype,
                src,
                dst,
                fields: seen.fields,
            };
            last = Some(self.spool.push(&sighting)?);
        }
        Ok(last)
    }

    /// Waits for `ticket`, but not longer than [`MAX_DISK_WAIT`].
    pub(crate) async fn on_disk(&self, ticket: Ticket) {
        if tokio::time::timeout(MAX_DISK_WAIT, ticket).await.is_err() {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replies that left before what they answer was on disk.
    pub(crate) fn late_replies(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Resolves when the sensor stops.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        let _ = stopping.wait_for(|stop| *stop).await;
    }

    fn sighting_id(&self, at: Timestamp) -> ulid::Ulid {
        let mut random = [0; 16];
        self.rng().fill_bytes(&mut random);
        let millis = u64::try_from(at.millis()).unwrap_or(0);
        ulid::Ulid::from_parts(millis, u128::from_le_bytes(random))
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, ChaCha12Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sensor's clock; the only place in this crate that reads one.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
