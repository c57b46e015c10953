//! Probes: fresh names by which the zones' owner tests whether queries arrive. To everybody else a
//! probe is an unknown token, and a query for one is no event.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coalmine_core::TokenId;
use lru::LruCache;
use tokio::time::Instant;

/// Most probes remembered at once; older ones are forgotten.
const MAX_PROBES: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");
/// Most queries remembered of one.
const MAX_ARRIVALS: usize = 32;
/// How long a probe is looked for.
const MAX_AGE: Duration = Duration::from_secs(120);

/// A query for a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The name as asked for.
    pub name: String,
    /// E.g. `A`.
    pub query_type: String,
    /// Who asked.
    pub client: IpAddr,
    /// `udp` or `tcp`.
    pub transport: &'static str,
}

/// The probes being looked for.
#[derive(Debug)]
pub struct Probes(Mutex<LruCache<TokenId, Probe>>);

#[derive(Debug)]
struct Probe {
    made: Instant,
    arrivals: Vec<Arrival>,
}

impl Default for Probes {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_PROBES)))
    }
}

impl Probes {
    /// Looks for queries for `id` from `now` on.
    pub fn add(&self, id: TokenId, now: Instant) {
        let probe = Probe {
            made: now,
            arrivals: Vec::new(),
        };
        self.lock().put(id, probe);
    }

    /// Takes note of a query for `id` if that is a probe.
    pub fn note(&self, id: &TokenId, now: Instant, arrival: impl FnOnce() -> Arrival) {
        let mut probes = self.lock();
        if let Some(probe) = probes.peek_mut(id)
            && now.duration_since(probe.made) < MAX_AGE
            && probe.arrivals.len() < MAX_ARRIVALS
        {
            probe.arrivals.push(arrival());
        }
    }

    /// Queries for `id` so far; `None` where that is no probe, or one that was made too long ago.
    pub fn arrivals(&self, id: &TokenId, now: Instant) -> Option<Vec<Arrival>> {
        let probes = self.lock();
        let probe = probes.peek(id)?;
        (now.duration_since(probe.made) < MAX_AGE).then(|| probe.arrivals.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<TokenId, Probe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use coalmine_core::Seed;

    use super::*;

    fn arrival() -> Arrival {
        Arrival {
            name: "x.example".to_owned(),
            query_type: "A".to_owned(),
            client: IpAddr::from([192, 0, 2, 1]),
            transport: "udp",
        }
    }

    #[test]
    fn probes_are_looked_for_for_a_while_and_others_never() {
        let (one, other) = (
            TokenId::from_seed(&Seed::new([1; 32])),
            TokenId::from_seed(&Seed::new([2; 32])),
        );
        let (probes, now) = (Probes::default(), Instant::now());
        probes.add(one.clone(), now);
        probes.note(&other, now, || panic!("no probe"));
        assert_eq!(probes.arrivals(&other, now), None);
        assert_eq!(probes.arrivals(&one, now), Some(Vec::new()));
        for _ in 0..MAX_ARRIVALS + 1 {
            probes.note(&one, now, arrival);
        }
        assert_eq!(
            probes.arrivals(&one, now),
            Some(vec![arrival(); MAX_ARRIVALS])
        );
        assert_eq!(probes.arrivals(&one, now + MAX_AGE), None);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (probes, now) = (Probes::default(), Instant::now());
        let ids: Vec<TokenId> = (0..=MAX_PROBES.get())
            .map(|n| {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&n.to_be_bytes());
                TokenId::from_seed(&Seed::new(bytes))
            })
            .collect();
        for id in &ids {
            probes.add(id.clone(), now);
        }
        assert_eq!(probes.arrivals(&ids[0], now), None);
        assert_eq!(probes.arrivals(&ids[1], now), Some(Vec::new()));
    }
}
