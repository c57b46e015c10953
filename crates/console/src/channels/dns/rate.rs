//! How many datagrams one network gets, so that forged sources cannot make us shout at somebody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;

use lru::LruCache;
use tokio::time::Instant;

/// Networks remembered.
const MAX_NETWORKS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Answers a second for one network, in the long run.
const MAX_RATE: f64 = 100.0;
/// Answers at once for one network.
const MAX_BURST: f64 = 200.0;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Answer,
    /// Send it empty and truncated: who really asked comes back over TCP.
    Truncate,
    /// Send nothing.
    Silence,
}

/// Token buckets by network: /24 for IPv4, /56 for IPv6.
pub(super) struct RateLimit(LruCache<IpAddr, Bucket>);

struct Bucket {
    left: f64,
    at: Instant,
    slipped: bool,
}

impl RateLimit {
    pub fn new() -> Self {
        Self(LruCache::new(MAX_NETWORKS))
    }

    /// What becomes of an answer to `source`. Of those over the limit every second is truncated.
    pub fn verdict(&mut self, source: IpAddr, now: Instant) -> Verdict {
        let bucket = self.0.get_or_insert_mut(network(source), || Bucket {
            left: MAX_BURST,
            at: now,
            slipped: false,
        });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * MAX_RATE).min(MAX_BURST);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Verdict::Answer;
        }
        bucket.slipped = !bucket.slipped;
        match bucket.slipped {
            true => Verdict::Truncate,
            false => Verdict::Silence,
        }
    }
}

/// What counts as one asker: resolvers come in farms.
pub fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !((1 << 72) - 1)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_network_over_its_limit_is_truncated_and_silenced_by_turns_until_time_passes() {
        let (mut limit, start) = (RateLimit::new(), Instant::now());
        let ask = |limit: &mut RateLimit, host: u8, at| limit.verdict([192, 0, 2, host].into(), at);
        for i in 0..200 {
            assert_eq!(ask(&mut limit, i, start), Verdict::Answer);
        }
        assert_eq!(ask(&mut limit, 1, start), Verdict::Truncate);
        assert_eq!(ask(&mut limit, 2, start), Verdict::Silence);
        assert_eq!(ask(&mut limit, 3, start), Verdict::Truncate);
        let elsewhere = "2001:db8::1".parse().unwrap();
        assert_eq!(limit.verdict(elsewhere, start), Verdict::Answer);
        let later = start + Duration::from_millis(20);
        assert_eq!(ask(&mut limit, 1, later), Verdict::Answer);
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut limit, now) = (RateLimit::new(), Instant::now());
        for i in 0..10_000_u32 {
            limit.verdict(Ipv4Addr::from_bits(i << 8).into(), now);
        }
        assert_eq!(limit.0.len(), MAX_NETWORKS.get());
    }

    #[test]
    fn ipv6_sources_count_by_56_bits() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(ip("2001:db8:1:2ff::1")), ip("2001:db8:1:200::"));
        assert_eq!(network(ip("::ffff:192.0.2.9")), ip("192.0.2.0"));
    }
}
