//! NTP (RFC 5905) as ntpsec of Debian 12 answers strangers: the time of day and nothing else.
//!
//! Requests that were turned into floods (mode 7 `monlist`, mode 6) are never answered. A Debian
//! server doesn't answer them either, so silence is also the faithful choice.

use std::time::Duration;

use coalmine_core::decoy::{Datagrams, Limits, Poke, Step, Transport};
use coalmine_core::{Bird, Context, DecoyKind, Event, Out, Seed, Service, Timestamp};

/// The only length that is answered, and the length of the answer, in bytes.
const PACKET: usize = 48;
/// Seconds from 1900, where NTP begins, to 1970.
const NTP_EPOCH: i64 = 2_208_988_800;
/// Time between two measurements of the pretended upstream server: 2^10 s, the usual longest.
const POLL: Duration = Duration::from_secs(1024);
/// Implementation numbers don't matter: these two codes ask for the list under each of them.
const MON_GETLIST: [u8; 2] = [20, 42];

/// NTP server.
pub static KIND: DecoyKind = DecoyKind {
    id: "ntp",
    title: "NTP server",
    doc: "Pretends to be ntpsec on Debian and tells the time.\nNotices requests for the list of clients, which attackers use to amplify floods; never answers them.",
    transports: &[Transport::Udp],
    port: 123,
    instances: false,
    tls: None,
    events: &[NtpMonlist::KIND],
    settings: NtpSettings::declared,
    build: |given, bird| {
        NtpSettings::parse(given)?;
        Ok(Service::datagrams(Ntp::new(bird)))
    },
    limits: Limits::LOGIN.input(2048),
    poke: Poke::Script(&[Step::Send(b"\x17\x00\x03\x2a\0\0\0\0"), Step::Drain]),
};

coalmine_core::settings! {
    /// Settings of the NTP decoy: there are none.
    pub struct NtpSettings {}
}

coalmine_core::event! {
    /// Somebody asked the NTP server for its list of clients.
    pub struct NtpMonlist: "ntpmonlist", "NTP Monlist Request", [11001 ""] {
        /// `monlist`.
        ntp_cmd: &'static str => "NTP_CMD" = "monlist",
    }
}

/// The pretended clock: its upstream server and how well it follows.
struct Ntp {
    seed: Seed,
    /// Of the first measurement.
    synchronised: Timestamp,
    stratum: u8,
    precision: u8,
    upstream: [u8; 4],
    /// Usual delay to the primary server, in 1/65536 s.
    delay: u64,
    /// Usual dispersion after a measurement, in 1/65536 s.
    dispersion: u64,
}

impl Ntp {
    fn new(bird: &Bird) -> Self {
        let seed = bird.seed.derive("ntp");
        let [a, b, c, d] = seed.take("upstream");
        Self {
            synchronised: bird.booted.plus(Duration::from_micros(seed.number(
                "phase",
                8_000_000,
                1_032_000_000,
            ))),
            stratum: if seed.number("stratum", 0, 3) == 0 {
                3
            } else {
                2
            },
            // 2^-23 or 2^-24 s, as ntpsec measures on today's machines.
            precision: if seed.number("precision", 0, 2) == 0 {
                0xe8
            } else {
                0xe9
            },
            // An address that a public server may have.
            upstream: [
                // 128 to 195: all of it public but what the next byte leaves out.
                128_u8.saturating_add(a % 68),
                // Neither 169.254, 172.16 to 172.31 nor 192.168.
                32_u8.saturating_add(b % 128),
                c,
                1_u8.saturating_add(d % 254),
            ],
            delay: seed.number("delay", 400, 2_200),
            dispersion: seed.number("dispersion", 900, 2_600),
            seed,
        }
    }

    /// What the server says of itself at `now`: root delay, root dispersion (both in 1/65536 s) and
    /// the time of the last measurement.
    fn follows(&self, now: Timestamp) -> (u32, u32, Timestamp) {
        let polls = now.since(self.synchronised).as_secs() / POLL.as_secs();
        let label = |what: &str| format!("{what} {polls}");
        let since_first = Duration::from_secs(polls.saturating_mul(POLL.as_secs()));
        // Polls are a little early or late.
        let early = Duration::from_micros(self.seed.number(&label("early"), 0, 7_000_000));
        let measured = self
            .synchronised
            .plus(since_first.saturating_sub(early))
            .min(now);
        let delay = self
            .delay
            .saturating_add(self.seed.number(&label("delay"), 0, 60));
        // Clocks are taken to drift by 15 millionths.
        let drift = now.since(measured).as_secs().saturating_mul(15 * 65_536) / 1_000_000;
        let dispersion = self
            .dispersion
            .saturating_add(self.seed.number(&label("dispersion"), 0, 200))
            .saturating_add(drift);
        (saturated(delay), saturated(dispersion), measured)
    }

    fn answer(&self, context: &Context, request: &Request<'_>) -> Vec<u8> {
        let (delay, dispersion, measured) = self.follows(context.now);
        // The sensor's clock counts microseconds; a server's counts finer.
        let fine = context.seed.number("ntp fine", 0, 4_294);
        let received = ntp_time(context.now).saturating_add(fine);
        let work = context.seed.number("ntp work", 18_000, 95_000); // 18 to 95 µs in ns
        let sent = received.saturating_add(work.saturating_mul(4_295) / 1_000);
        let reference = ntp_time(measured).saturating_add(self.seed.number("fine", 0, 4_294));
        let mut answer = Vec::with_capacity(PACKET);
        // No leap second, the asker's version, mode "server".
        answer.extend([
            request.version << 3 | 4,
            self.stratum,
            request.poll,
            self.precision,
        ]);
        answer.extend(delay.to_be_bytes());
        answer.extend(dispersion.to_be_bytes());
        answer.extend(self.upstream);
        answer.extend(reference.to_be_bytes());
        answer.extend(request.transmitted);
        answer.extend(received.to_be_bytes());
        answer.extend(sent.to_be_bytes());
        answer
    }
}

impl Datagrams for Ntp {
    fn datagram(&self, context: &Context, input: &[u8], out: &mut Out) {
        if is_monlist(input) {
            out.see(&NtpMonlist { ntp_cmd: "monlist" });
        } else if let Some(request) = Request::parse(input) {
            out.send(self.answer(context, &request));
        }
    }
}

/// A question for the time.
struct Request<'a> {
    version: u8,
    poll: u8,
    transmitted: &'a [u8],
}

impl<'a> Request<'a> {
    /// Only bare packets of clients: the real server drops everything with something behind it
    /// that it can't authenticate. Version 1 had no modes, and ntpsec takes three for a client.
    fn parse(input: &'a [u8]) -> Option<Self> {
        let packet: &[u8; PACKET] = input.try_into().ok()?;
        let [first, _, poll, ..] = *packet;
        let version = first >> 3 & 7;
        match (version, first & 7) {
            (1, 0 | 1 | 3) | (2..=4, 3) => Some(Self {
                version,
                poll,
                transmitted: packet.get(40..)?,
            }),
            _ => None,
        }
    }
}

/// Whether `input` is a private (mode 7) request for the monitor list.
fn is_monlist(input: &[u8]) -> bool {
    let Some([first, _, _, code]) = input.first_chunk::<4>() else {
        return false;
    };
    let is_response = first & 0x80 != 0;
    first & 7 == 7 && !is_response && MON_GETLIST.contains(code)
}

/// Seconds since 1900 and their fraction, 32 bits each.
fn ntp_time(at: Timestamp) -> u64 {
    let seconds = at.secs().saturating_add(NTP_EPOCH);
    let micros = at
        .micros()
        .saturating_sub(at.secs().saturating_mul(1_000_000));
    let seconds = u64::try_from(seconds & 0xffff_ffff).unwrap_or_default();
    let fraction = (u64::try_from(micros).unwrap_or_default() << 32) / 1_000_000;
    seconds << 32 | fraction
}

fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::suite;
    use serde_json::json;

    fn ask(input: &[u8]) -> (Vec<u8>, Vec<serde_json::Value>) {
        ask_at(&Context::sample(), input)
    }

    fn ask_at(context: &Context, input: &[u8]) -> (Vec<u8>, Vec<serde_json::Value>) {
        let service = (KIND.build)(&serde_json::Map::new(), &Bird::sample()).unwrap();
        let mut out = Out::new();
        service.udp.unwrap().datagram(context, input, &mut out);
        let events = out.take_seen();
        let events = events
            .iter()
            .map(|s| serde_json::from_str(s.fields.get()).unwrap());
        (out.take_bytes(), events.collect())
    }

    fn request(first: u8) -> Vec<u8> {
        let mut packet = vec![first, 0, 6, 0xec];
        packet.resize(40, 0);
        packet.extend([0xe5, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07]);
        packet
    }

    fn number(bytes: &[u8]) -> u64 {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    #[test]
    fn holds_what_every_decoy_must() {
        suite::check(&KIND);
    }

    #[test]
    fn clients_of_versions_one_to_four_are_told_the_time() {
        for (first, answered) in [
            (0x0b, 0x0c),
            (0x13, 0x14),
            (0x1b, 0x1c),
            (0x23, 0x24),
            (0xe3, 0x24),
            (0x08, 0x0c),
            (0x09, 0x0c),
        ] {
            let (answer, events) = ask(&request(first));
            assert_eq!((answer.len(), answer[0]), (48, answered), "{first:#x}");
            assert_eq!(events, [] as [serde_json::Value; 0]);
        }
    }

    /// As recorded: other versions and modes, and every other length.
    #[test]
    fn everything_else_is_met_with_silence() {
        let good = [0x0b, 0x13, 0x1b, 0x23, 0x08, 0x09];
        for first in (0..0x40).filter(|first| !good.contains(first)) {
            assert_eq!(ask(&request(first)).0, b"", "{first:#x}");
        }
        for length in [0, 1, 12, 47, 49, 52, 56, 60, 64, 68, 72, 1000] {
            let mut packet = request(0x23);
            packet.resize(length, 0);
            assert_eq!(ask(&packet).0, b"", "{length}");
        }
    }

    #[test]
    fn the_answer_is_that_of_a_synchronised_secondary_server() {
        let context = Context::sample();
        let (answer, _) = ask(&request(0x23));
        assert!((2..=3).contains(&answer[1]));
        assert_eq!(answer[2], 6, "the poll interval is repeated");
        assert!((0xe8..=0xe9).contains(&answer[3]));
        let (delay, dispersion) = (number(&answer[4..8]), number(&answer[8..12]));
        assert!((400..3_000).contains(&delay) && (900..5_000).contains(&dispersion));
        assert_eq!(answer[24..32], request(0x23)[40..]);
        let seconds = |at: usize| number(&answer[at..at + 4]);
        let now = u64::try_from(context.now.secs() + NTP_EPOCH).unwrap();
        assert_eq!((seconds(32), seconds(40)), (now, now));
        assert!(now - seconds(16) < 1_040, "measured not long ago");
        let work = number(&answer[40..48]) - number(&answer[32..40]);
        assert!((75_000..415_000).contains(&work), "18 to 95 µs: {work}");
    }

    #[test]
    fn fractions_of_a_second_are_right() {
        let now = Timestamp::from_micros(1_760_100_000_250_000);
        let (answer, _) = ask_at(
            &Context {
                now,
                ..Context::sample()
            },
            &request(0x23),
        );
        assert_eq!(number(&answer[36..40]) >> 20, 0x4000_0000 >> 20);
    }

    #[test]
    fn the_clock_follows_its_upstream_and_drifts_in_between() {
        let bird = Bird::sample();
        let ntp = Ntp::new(&bird);
        let at = |secs| ntp.follows(bird.booted.plus(Duration::from_secs(secs)));
        let (first, later) = (at(100_000), at(100_100));
        if first.2 == later.2 {
            assert!(later.1 > first.1, "dispersion grows");
        }
        let measured: std::collections::BTreeSet<_> =
            (0..10).map(|n| at(100_000 + n * 1024).2).collect();
        assert_eq!(measured.len(), 10);
        let past = ntp.follows(Timestamp::from_secs(1));
        assert_eq!(
            past.2,
            Timestamp::from_secs(1),
            "never measured in the future"
        );
    }

    #[test]
    fn two_birds_have_their_own_upstream() {
        let other = Bird {
            node_id: Bird::sample().node_id,
            name: "b".to_owned(),
            machine: coalmine_core::Machine::default(),
            seed: Seed::new([8; 32]),
            booted: Bird::sample().booted,
            vault: Bird::sample().vault.clone(),
        };
        let (one, two) = (Ntp::new(&Bird::sample()), Ntp::new(&other));
        assert_ne!(one.upstream, two.upstream);
        assert_ne!((one.delay, one.synchronised), (two.delay, two.synchronised));
    }

    #[test]
    fn monlist_is_seen_and_never_answered() {
        for packet in [
            &b"\x17\x00\x03\x2a"[..],
            b"\x17\x00\x03\x2a\0\0\0\0",
            b"\x17\x00\x02\x2a\0\0\0\0",
            b"\x17\x00\x00\x14\0\0\0\0",
            b"\x27\x00\x03\x14\0\0\0\0",
            &[&b"\x17\x00\x03\x2a"[..], &[0; 188]].concat(),
            &[&b"\x17\x00\x03\x2a"[..], &[0; 44]].concat(),
        ] {
            let (answer, events) = ask(packet);
            assert_eq!(answer, b"");
            assert_eq!(events, [json!({"NTP_CMD": "monlist"})]);
        }
    }

    #[test]
    fn other_control_requests_are_neither_seen_nor_answered() {
        for packet in [
            &b"\x17\x00\x03\x00\0\0\0\0"[..],  // peer list
            b"\x97\x00\x03\x2a\0\0\0\0",       // an answer
            b"\x17\x00\x03",                   // too short
            b"\x16\x02\0\x01\0\0\0\0\0\0\0\0", // readvar
            b"\x16\x01\0\x01\0\0\0\0\0\0\0\0", // readstat
        ] {
            assert_eq!(ask(packet), (Vec::new(), Vec::new()), "{packet:?}");
        }
    }

    #[test]
    fn nothing_is_amplified() {
        for first in 0..=255 {
            assert!(ask(&request(first)).0.len() <= PACKET);
        }
    }
}
