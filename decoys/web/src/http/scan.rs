//! Who asks for many pages that don't exist.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use coalmine_core::Timestamp;

/// Sources that are remembered; the one quiet longest is forgotten first.
const MAX_SOURCES: usize = 1024;
/// Different missing pages that make a scan.
const SCAN_PATHS: usize = 10;
/// The time within which they come.
const SCAN_WINDOW: Duration = Duration::from_secs(30);
/// Silence after which a source that goes on is a new scan.
const QUIET: Duration = Duration::from_secs(300);

/// Missing pages asked for, by source.
#[derive(Debug, Default)]
pub(super) struct Scans {
    sources: HashMap<IpAddr, Source>,
}

#[derive(Debug)]
struct Source {
    since: Timestamp,
    last: Timestamp,
    paths: Vec<u64>,
    told: bool,
}

impl Scans {
    /// A page is missing; whether with it a scan shows.
    pub(super) fn missed(&mut self, source: IpAddr, path: &[u8], now: Timestamp) -> bool {
        if !self.sources.contains_key(&source) && self.sources.len() >= MAX_SOURCES {
            let oldest = self.sources.iter().min_by_key(|(_, s)| s.last);
            if let Some(oldest) = oldest.map(|(ip, _)| *ip) {
                self.sources.remove(&oldest);
            }
        }
        let seen = self.sources.entry(source).or_insert_with(|| Source {
            since: now,
            last: now,
            paths: Vec::new(),
            told: false,
        });
        if seen.told && now.since(seen.last) > QUIET {
            seen.told = false;
        }
        seen.last = now;
        if seen.told {
            return false;
        }
        if now.since(seen.since) > SCAN_WINDOW {
            seen.paths.clear();
            seen.since = now;
        }
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let hash = hasher.finish();
        if !seen.paths.contains(&hash) {
            seen.paths.push(hash);
        }
        seen.told = seen.paths.len() >= SCAN_PATHS;
        if seen.told {
            seen.paths = Vec::new();
        }
        seen.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn the_tenth_path_tells_once_until_quiet() {
        let mut scans = Scans::default();
        let now = Timestamp::from_secs(1_000);
        let told = (0..100_u32)
            .filter(|n| scans.missed(ip(1), &n.to_be_bytes(), now))
            .collect::<Vec<_>>();
        assert_eq!(told, [9]);
        let later = now.plus(QUIET).plus(Duration::from_secs(1));
        let told = (0..100_u32)
            .filter(|n| scans.missed(ip(1), &n.to_be_bytes(), later))
            .count();
        assert_eq!(told, 1);
    }

    #[test]
    fn one_path_again_and_again_or_slowly_is_no_scan() {
        let mut scans = Scans::default();
        let now = Timestamp::from_secs(1_000);
        assert!((0..100).all(|_| !scans.missed(ip(1), b"/favicon.ico", now)));
        let slow = |n: u32| now.plus(Duration::from_secs(u64::from(n) * 10));
        assert!((0..100_u32).all(|n| !scans.missed(ip(2), &n.to_be_bytes(), slow(n))));
    }

    #[test]
    fn memory_is_bounded() {
        let mut scans = Scans::default();
        for n in 0..5_000 {
            scans.missed(ip(n), b"/x", Timestamp::from_secs(n.into()));
        }
        assert_eq!(scans.sources.len(), MAX_SOURCES);
    }
}
