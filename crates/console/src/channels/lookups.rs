//! Which DNS queries are one look-up, so that it becomes one event.
//!
//! Who looks a name up asks several times: for each address family and more, and again where an
//! answer is late; resolvers stand in farms, and those that minimise what they tell (RFC 9156) ask
//! for the name's endings first, shortest first, as if for addresses. So queries from one network
//! belong together for [`WINDOW`] when they ask for the same name or for an ending of it that still
//! holds the token. The first is an event before it is answered; a longer name amends that event,
//! and nothing is held back (`docs/decisions/dns-lookups.md`).

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coalmine_core::sighting::SightingId;
use lru::LruCache;
use tokio::time::Instant;

use super::dns::network;

/// How long after a query others count as part of its look-up.
pub(super) const WINDOW: Duration = Duration::from_secs(2);
/// Names remembered; what is forgotten too early costs a second event.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// What its queries share: the event, once it's stored. Who tells it holds the lock until then.
pub(super) type Lookup = Arc<tokio::sync::Mutex<Option<Told>>>;

/// The event of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Its sighting.
    pub event: SightingId,
    /// Length of the name that it names.
    pub length: usize,
}

/// The look-ups of late.
pub(super) struct Lookups(Mutex<LruCache<(IpAddr, String), Name>>);

struct Name {
    at: Instant,
    lookup: Lookup,
    /// Whether nobody has asked for more than this.
    whole: bool,
}

impl Lookups {
    pub fn new() -> Self {
        Self(Mutex::new(LruCache::new(MAX_NAMES)))
    }

    /// The look-up that a query from `source` is part of, perhaps its first. `labels` are those of
    /// `name` that stand left of the token.
    pub fn of(&self, source: IpAddr, name: &str, labels: &[String], now: Instant) -> Lookup {
        let network = network(source);
        let name = name.to_ascii_lowercase();
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = |name: &str| {
            let known = names.get(&(network, name.to_owned()))?;
            (now.saturating_duration_since(known.at) < WINDOW)
                .then(|| (Arc::clone(&known.lookup), known.whole))
        };
        if let Some((lookup, _)) = known(&name) {
            return lookup;
        }
        let endings: Vec<&str> = labels
            .iter()
            .scan(&*name, |rest, label| {
                *rest = rest.get(label.len().checked_add(1)?..)?;
                Some(*rest)
            })
            .collect();
        let lookup = endings
            .iter()
            .find_map(|ending| known(ending).filter(|(_, whole)| *whole))
            .map(|(lookup, _)| lookup)
            .unwrap_or_default();
        let mut keep = |name: &str, whole| {
            let lookup = Arc::clone(&lookup);
            let name = (network, name.to_owned());
            names.put(
                name,
                Name {
                    at: now,
                    lookup,
                    whole,
                },
            );
        };
        // The shortest last, so that it's the last to be forgotten.
        keep(&name, true);
        endings.iter().for_each(|ending| keep(ending, false));
        lookup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench(Lookups, Instant);

    impl Bench {
        fn new() -> Self {
            Self(Lookups::new(), Instant::now())
        }

        /// Asks for `left` of a token, some milliseconds after the start.
        fn ask(&self, source: &str, left: &str, millis: u64) -> Lookup {
            let labels: Vec<String> = left.split('.').map(str::to_owned).collect();
            let name = format!("{left}.token.example.com");
            let labels = if left.is_empty() { &[] } else { &*labels };
            let name = name.trim_start_matches('.');
            let now = self.1 + Duration::from_millis(millis);
            self.0.of(source.parse().unwrap(), name, labels, now)
        }
    }

    #[test]
    fn a_walk_to_a_longer_name_is_one_lookup_whatever_comes_again() {
        let bench = Bench::new();
        let first = bench.ask("192.0.2.1", "", 0);
        for (left, millis) in [
            ("G42", 10),
            ("Y3DP.g42", 20),
            ("NBSW.y3dp.G42", 30),
            ("nbsw.Y3DP.G42", 1_900),
            ("", 1_950),
            ("G42", 1_960),
        ] {
            let next = bench.ask("192.0.2.99", left, millis);
            assert!(Arc::ptr_eq(&first, &next), "{left} {millis}");
        }
    }

    #[test]
    fn other_names_networks_and_times_are_lookups_of_their_own() {
        let bench = Bench::new();
        let first = bench.ask("192.0.2.1", "a.G42", 0);
        for (source, left, millis) in [
            ("192.0.2.1", "b.G42", 1),
            ("192.0.2.1", "xa.G42", 1),
            ("192.0.3.1", "a.G42", 1),
            ("2001:db8::1", "a.G42", 1),
            ("192.0.2.1", "a.G42", 2_000),
            ("192.0.2.1", "c.a.G42", 4_000),
        ] {
            let next = bench.ask(source, left, millis);
            assert!(!Arc::ptr_eq(&first, &next), "{source} {left} {millis}");
        }
        // The ending was gone further from already.
        let (bare, long) = (bench.ask("192.0.2.1", "", 9_000), "a.G43");
        assert!(Arc::ptr_eq(&bare, &bench.ask("192.0.2.1", long, 9_001)));
        assert!(!Arc::ptr_eq(&bare, &bench.ask("192.0.2.1", "b.G43", 9_002)));
    }

    #[test]
    fn names_that_come_again_and_again_are_told_again_and_memory_is_bounded() {
        let bench = Bench::new();
        let lookups: Vec<Lookup> = (0..10)
            .map(|n| bench.ask("192.0.2.1", "", n * 500))
            .collect();
        let told = lookups
            .windows(2)
            .filter(|w| !Arc::ptr_eq(&w[0], &w[1]))
            .count();
        assert_eq!(told, 2, "three in five seconds");
        for n in 0..20_000 {
            bench.ask("192.0.2.1", &format!("n{n}"), 9_000);
        }
        assert_eq!(bench.0.0.lock().unwrap().len(), MAX_NAMES.get());
    }

    #[test]
    fn labels_that_do_not_fit_their_name_are_no_harm() {
        let lookups = Lookups::new();
        let labels = ["é".to_owned(), "far too long for it".to_owned()];
        for name in ["", "é", "aé.b", "a.é"] {
            lookups.of([192, 0, 2, 1].into(), name, &labels, Instant::now());
        }
    }
}
