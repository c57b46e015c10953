//! Frames as the rules want them: addresses, the IP header's facts and the transport's.

use std::net::IpAddr;

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};

/// IP protocol numbers (IANA).
pub(crate) const TCP: u8 = 6;

/// One IP packet.
pub(crate) struct Packet<'a> {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ip: Ip,
    pub(crate) body: Body<'a>,
}

/// What the IP header says.
#[derive(Clone, Copy)]
pub(crate) struct Ip {
    /// Of the packet, in bytes, by its header.
    pub(crate) length: u32,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// Time to live or hop limit.
    pub(crate) ttl: u8,
    /// Identification or flow label.
    pub(crate) id: u32,
}

/// What an IP packet carries.
pub(crate) enum Body<'a> {
    Tcp(Tcp<'a>),
    Udp(Udp<'a>),
    /// An echo request: its code and the bytes of its payload.
    Echo {
        code: u8,
        length: usize,
    },
    /// Part of a TCP segment.
    Fragment {
        offset: usize,
        more: bool,
        bytes: &'a [u8],
    },
    Other,
}

/// A TCP header (RFC 9293 section 3.1).
pub(crate) struct Tcp<'a> {
    pub(crate) src: u16,
    pub(crate) dst: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    /// The four bits between data offset and flags.
    pub(crate) reserved: u8,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: &'a [u8],
}

/// A UDP header and what follows.
pub(crate) struct Udp<'a> {
    pub(crate) src: u16,
    pub(crate) dst: u16,
    /// By its header, in bytes, the header's 8 included.
    pub(crate) length: u16,
    /// As much as was captured.
    pub(crate) payload: &'a [u8],
}

/// The control bits of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
    pub(crate) const URG: u8 = 0x20;
    pub(crate) const ECE: u8 = 0x40;
    pub(crate) const CWR: u8 = 0x80;

    pub(crate) const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Without those of ECN (RFC 3168), which anybody may add.
    pub(crate) const fn plain(self) -> u8 {
        self.0 & 0x3f
    }
}

impl<'a> Packet<'a> {
    /// The packet behind the link layer's header; `ether_type` names its protocol. VLAN tags and
    /// IPv6's extension headers are walked through.
    pub(crate) fn parse(ether_type: u16, bytes: &'a [u8]) -> Option<Self> {
        let sliced = LaxSlicedPacket::from_ether_type(EtherType(ether_type), bytes);
        let (src, dst, ip, fragment) = match sliced.net.as_ref()? {
            LaxNetSlice::Ipv4(v4) => {
                let header = v4.header();
                let ip = Ip {
                    length: header.total_len().into(),
                    tos: header.slice().get(1).copied().unwrap_or(0),
                    ttl: header.ttl(),
                    id: header.identification().into(),
                };
                let fragment = header.is_fragmenting_payload().then(|| {
                    let offset = usize::from(header.fragments_offset().value()).saturating_mul(8);
                    (offset, header.more_fragments())
                });
                let (src, dst) = (header.source_addr(), header.destination_addr());
                (IpAddr::V4(src), IpAddr::V4(dst), ip, fragment)
            }
            LaxNetSlice::Ipv6(v6) => {
                let header = v6.header();
                let ip = Ip {
                    length: u32::from(header.payload_length()).saturating_add(40),
                    tos: header.traffic_class(),
                    ttl: header.hop_limit(),
                    id: header.flow_label().value(),
                };
                let (src, dst) = (header.source_addr(), header.destination_addr());
                // A fragmented IPv6 packet's transport isn't looked at: no scanner sends them.
                (IpAddr::V6(src), IpAddr::V6(dst), ip, None)
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let payload = sliced.ip_payload()?;
        let body = match (fragment, &sliced.transport) {
            (Some((offset, more)), _) if payload.ip_number.0 == TCP => Body::Fragment {
                offset,
                more,
                bytes: payload.payload,
            },
            (None, Some(TransportSlice::Tcp(tcp))) => {
                Tcp::parse(tcp.header_slice()).map_or(Body::Other, Body::Tcp)
            }
            (None, Some(TransportSlice::Udp(udp))) => Body::Udp(Udp {
                src: udp.source_port(),
                dst: udp.destination_port(),
                length: udp.length(),
                payload: udp.payload(),
            }),
            (None, Some(TransportSlice::Icmpv4(icmp))) if icmp.type_u8() == 8 => Body::Echo {
                code: icmp.code_u8(),
                length: usize::try_from(ip.length).unwrap_or(0).saturating_sub(28),
            },
            (None, Some(TransportSlice::Icmpv6(icmp))) if icmp.type_u8() == 128 => Body::Echo {
                code: icmp.code_u8(),
                length: usize::try_from(ip.length).unwrap_or(0).saturating_sub(48),
            },
            _ => Body::Other,
        };
        Some(Self {
            src: src.to_canonical(),
            dst: dst.to_canonical(),
            ip,
            body,
        })
    }
}

impl<'a> Tcp<'a> {
    /// From a header with all its options.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = TcpSlice::from_slice(bytes).ok()?.header_slice();
        let fixed = header.first_chunk::<20>()?;
        let [
            s1,
            s2,
            d1,
            d2,
            q1,
            q2,
            q3,
            q4,
            a1,
            a2,
            a3,
            a4,
            offset,
            flags,
            w1,
            w2,
            _,
            _,
            u1,
            u2,
        ] = *fixed;
        Some(Self {
            src: u16::from_be_bytes([s1, s2]),
            dst: u16::from_be_bytes([d1, d2]),
            sequence: u32::from_be_bytes([q1, q2, q3, q4]),
            acknowledgment: u32::from_be_bytes([a1, a2, a3, a4]),
            reserved: offset & 0x0f,
            flags: Flags(flags),
            window: u16::from_be_bytes([w1, w2]),
            urgent: u16::from_be_bytes([u1, u2]),
            options: header.get(20..)?,
        })
    }
}
