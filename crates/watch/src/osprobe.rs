//! The packets with which nmap tells operating systems apart, as its book describes them
//! (<https://nmap.org/book/osdetect-methods.html>) and captures confirm. No other program sends
//! their option strings.

use crate::packet::{Flags, Tcp, Udp};

/// Window scale 10, NOP, MSS 265, timestamp ffffffff, SACK permitted: probes T2 to T6.
const T2_TO_T6: [u8; 20] =
    *b"\x03\x03\x0a\x01\x02\x04\x01\x09\x08\x0a\xff\xff\xff\xff\0\0\0\0\x04\x02";
/// The same with window scale 15: probe T7.
const T7: [u8; 20] = *b"\x03\x03\x0f\x01\x02\x04\x01\x09\x08\x0a\xff\xff\xff\xff\0\0\0\0\x04\x02";
/// Window scale 10, NOP, MSS 1460, SACK permitted, NOP, NOP: the ECN probe.
const ECN: [u8; 12] = *b"\x03\x03\x0a\x01\x02\x04\x05\xb4\x04\x02\x01\x01";
/// Windows and options of the sequence generation probes.
const SEQ: [(u16, &[u8]); 6] = [
    (
        1,
        b"\x03\x03\x0a\x01\x02\x04\x05\xb4\x08\x0a\xff\xff\xff\xff\0\0\0\0\x04\x02",
    ),
    (
        63,
        b"\x02\x04\x05\x78\x03\x03\0\x04\x02\x08\x0a\xff\xff\xff\xff\0\0\0\0\0",
    ),
    (
        4,
        b"\x08\x0a\xff\xff\xff\xff\0\0\0\0\x01\x01\x03\x03\x05\x01\x02\x04\x02\x80",
    ),
    (4, b"\x04\x02\x08\x0a\xff\xff\xff\xff\0\0\0\0\x03\x03\x0a\0"),
    (
        16,
        b"\x02\x04\x02\x18\x04\x02\x08\x0a\xff\xff\xff\xff\0\0\0\0\x03\x03\x0a\0",
    ),
    (
        512,
        b"\x02\x04\x01\x09\x04\x02\x08\x0a\xff\xff\xff\xff\0\0\0\0",
    ),
];
/// The ECN probe's urgent pointer, which has no URG beside it.
const ECN_URGENT: u16 = 0xf7f5;
/// Length of the U1 probe's payload and the byte that fills it.
const U1: (u16, u8) = (300, b'C');
/// How many bytes of it must have been captured.
const MIN_U1: usize = 16;

/// One probe of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OsProbe {
    /// One of the six sequence generation probes.
    Seq(u8),
    /// An echo request.
    Echo(u8),
    /// The UDP probe to a closed port.
    U1,
    /// The ECN probe.
    Ecn,
    /// T2 to T7.
    T(u8),
}

impl OsProbe {
    /// What this segment is, if anything.
    pub(crate) fn of_tcp(tcp: &Tcp<'_>) -> Option<Self> {
        let flags = tcp.flags.plain();
        if tcp.options == T7 && flags == Flags::FIN | Flags::PSH | Flags::URG {
            return Some(Self::T(7));
        }
        if tcp.options == T2_TO_T6 {
            let number = match (flags, tcp.window) {
                (0, _) => 2,
                (f, _) if f == Flags::FIN | Flags::SYN | Flags::PSH | Flags::URG => 3,
                (Flags::ACK, 1024) => 4,
                (Flags::SYN, _) => 5,
                (Flags::ACK, _) => 6,
                _ => return None,
            };
            return Some(Self::T(number));
        }
        if flags != Flags::SYN {
            return None;
        }
        let ecn = tcp.flags.has(Flags::ECE) && tcp.flags.has(Flags::CWR);
        if ecn && tcp.urgent == ECN_URGENT && tcp.options == ECN {
            return Some(Self::Ecn);
        }
        let number = SEQ
            .iter()
            .position(|(window, options)| tcp.window == *window && tcp.options == *options)?;
        (tcp.acknowledgment != 0).then_some(Self::Seq(u8::try_from(number).ok()?))
    }

    /// What this datagram is, if anything.
    pub(crate) fn of_udp(udp: &Udp<'_>) -> Option<Self> {
        let (length, filling) = U1;
        let fits = udp.length == length.saturating_add(8)
            && udp.payload.len() >= MIN_U1
            && udp.payload.iter().all(|byte| *byte == filling);
        fits.then_some(Self::U1)
    }

    /// What this echo request is, if anything: nmap's have no code or 9, and 120 or 150 bytes.
    pub(crate) fn of_echo(code: u8, length: usize) -> Option<Self> {
        match (code, length) {
            (9, 120) => Some(Self::Echo(1)),
            (0, 150) => Some(Self::Echo(2)),
            _ => None,
        }
    }

    /// Whether this one alone is proof.
    pub(crate) const fn is_proof(self) -> bool {
        matches!(self, Self::T(_) | Self::Ecn)
    }

    /// How well it shows a detection to a person: the incident shows the highest. T3 has the flags
    /// that everybody knows it by.
    pub(crate) const fn rank(self) -> u8 {
        match self {
            Self::T(3) => 7,
            Self::T(7) => 6,
            Self::T(5) => 5,
            Self::T(2) => 4,
            Self::T(4) => 3,
            Self::T(_) => 2,
            Self::Ecn => 1,
            Self::Seq(_) | Self::Echo(_) | Self::U1 => 0,
        }
    }

    /// A bit of its own.
    pub(crate) const fn bit(self) -> u32 {
        match self {
            Self::Seq(n) => 1 << n,
            Self::Echo(n) => 1 << (8 + n),
            Self::U1 => 1 << 12,
            Self::Ecn => 1 << 13,
            Self::T(n) => 1 << (14 + n),
        }
    }
}
