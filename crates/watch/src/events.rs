//! What can be seen on the wire, as the catalogue names it.

use coalmine_core::decoy::Seen;
pub use coalmine_core::scan::HostPortScan;
use coalmine_core::{Event, EventKind};

use crate::packet::{Flags, Ip, Tcp};

/// Every kind of event that this room reports.
pub static KINDS: &[&EventKind] = &[
    HostPortScan::KIND,
    NmapOsScan::KIND,
    NmapNullScan::KIND,
    NmapXmasScan::KIND,
    NmapFinScan::KIND,
];

coalmine_core::event! {
    /// A source touched TCP ports of a bird. No alert in itself and never an incident: the Console
    /// puts those of several birds together.
    pub struct PortContact: "portcontact", "Port Contact", [5001 ""] {
        /// The ports in the order in which they were touched, joined by commas.
        ports: String => "ports" = "22,443",
    }
}

/// Declares one of the kinds that show a packet, in the spelling of netfilter's LOG target.
macro_rules! probe {
    ($(#[doc = $doc:literal])+ $name:ident: $key:literal, $title:literal, $code:literal) => {
        coalmine_core::event! {
            $(#[doc = $doc])+
            pub struct $name: $key, $title, [$code ""] {
                /// IP packet ID; of IPv6, which has none, the flow label.
                id: String => "ID" = "54321",
                /// Length of the IP packet in bytes.
                len: String => "LEN" = "40",
                /// First 14 bytes of the frame, hex with colons: destination, source, EtherType.
                mac: String => "MAC" = "02:77:00:00:00:0b:02:77:00:00:00:02:08:00",
                /// IP precedence bits.
                prec: String => "PREC" = "0x00",
                /// Always `TCP`.
                proto: &'static str => "PROTO" = "TCP",
                /// Reserved TCP bits.
                res: String => "RES" = "0x00",
                /// IP type of service.
                tos: String => "TOS" = "0x00",
                /// Time to live, or hop limit.
                ttl: String => "TTL" = "47",
                /// Urgent pointer.
                urgp: String => "URGP" = "0",
                /// TCP window.
                window: String => "WINDOW" = "1024",
                /// There, and empty, if the flag is set.
                syn: Option<&'static str> => "SYN" = "",
                /// There, and empty, if the flag is set.
                ack: Option<&'static str> => "ACK" = "",
            }
        }

        impl $name {
            fn of(mac: &[u8], ip: &Ip, tcp: &Tcp<'_>) -> Self {
                Self {
                    id: ip.id.to_string(),
                    len: ip.length.to_string(),
                    mac: hex(mac),
                    prec: format!("0x{:02X}", ip.tos & 0xe0),
                    proto: "TCP",
                    res: format!("0x{:02x}", tcp.reserved << 2),
                    tos: format!("0x{:02X}", ip.tos & 0x1e),
                    ttl: ip.ttl.to_string(),
                    urgp: tcp.urgent.to_string(),
                    window: tcp.window.to_string(),
                    syn: tcp.flags.has(Flags::SYN).then_some(""),
                    ack: tcp.flags.has(Flags::ACK).then_some(""),
                }
            }
        }
    };
}

probe! {
    /// A packet that only a detection of operating systems sends.
    NmapOsScan: "nmaposscan", "NMAP OS Scan Detected", 5004
}
probe! {
    /// A TCP segment without any flag.
    NmapNullScan: "nmapnullscan", "NMAP NULL Scan Detected", 5005
}
probe! {
    /// A TCP segment with FIN, PSH or URG as no connection has them.
    NmapXmasScan: "nmapxmasscan", "NMAP XMAS Scan Detected", 5006
}
probe! {
    /// A TCP segment with FIN alone.
    NmapFinScan: "nmapfinscan", "NMAP FIN Scan Detected", 5008
}

/// Which of the packets that give a scan away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Os,
    Null,
    Xmas,
    Fin,
}

impl Probe {
    /// Position in an array of four.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The event that shows this packet.
    pub(crate) fn seen(self, mac: &[u8], ip: &Ip, tcp: &Tcp<'_>) -> Seen {
        match self {
            Self::Os => Seen::new(&NmapOsScan::of(mac, ip, tcp)),
            Self::Null => Seen::new(&NmapNullScan::of(mac, ip, tcp)),
            Self::Xmas => Seen::new(&NmapXmasScan::of(mac, ip, tcp)),
            Self::Fin => Seen::new(&NmapFinScan::of(mac, ip, tcp)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}
