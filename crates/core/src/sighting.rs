//! One thing that happened, as a sensor reports it.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::token::TokenId;
use crate::{Event, Timestamp};

/// Kind of the sightings that tell of touched ports: no alert in themselves and never an incident.
pub const PORT_CONTACT: &str = "portcontact";

/// A sighting's own id: made at the sensor, sorted by time, the same in every copy.
pub type SightingId = ulid::Ulid;

/// One thing that happened. What it means is the incident engine's business.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sighting {
    /// Unique; a second copy with the same id changes nothing.
    pub id: SightingId,
    /// When it happened, by the sensor's clock.
    pub at: Timestamp,
    /// Where it happened.
    pub subject: Subject,
    /// Key of the event kind, e.g. `sshlogin`.
    pub kind: Cow<'static, str>,
    /// Number under which the kind appears in the API, e.g. 4002.
    pub logtype: u32,
    /// Who did it.
    pub src: Endpoint,
    /// What was touched.
    pub dst: Endpoint,
    /// The event's own fields: a JSON object with the catalogue's names.
    pub fields: Box<RawValue>,
}

impl Sighting {
    /// What `event` says, with the circumstances.
    pub fn new<E: Event>(
        id: SightingId,
        at: Timestamp,
        subject: Subject,
        (src, dst): (Endpoint, Endpoint),
        event: &E,
    ) -> Self {
        Self {
            id,
            at,
            subject,
            kind: Cow::Borrowed(E::KIND.key),
            logtype: E::KIND.logtype(),
            src,
            dst,
            fields: event.fields(),
        }
    }
}

/// The pretended thing that was touched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A bird's service.
    Bird(NodeId),
    /// A token.
    Token(TokenId),
    /// The Console itself, e.g. its settings.
    Console,
}

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address; IPv4 in IPv6 is unwrapped.
    pub ip: IpAddr,
    /// Port, 0 where there is none.
    pub port: u16,
}

impl Endpoint {
    /// Nobody: where an incident has no source.
    pub const NONE: Self = Self {
        ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: 0,
    };
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip().to_canonical(),
            port: address.port(),
        }
    }
}

/// A bird's id: 16 lower-case hex digits, random, kept for life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId([u8; 8]);

impl NodeId {
    /// From 8 random bytes.
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 16
            && text.bytes().all(|b| b.is_ascii_hexdigit())
            && let Ok(number) = u64::from_str_radix(text, 16)
        {
            return Ok(Self(number.to_be_bytes()));
        }
        Err(format!("a node id is 16 hex digits, not {text:?}"))
    }
}

impl TryFrom<String> for NodeId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_round_trips_and_refuses_others() {
        let id: NodeId = "000246ec65ef9476".parse().unwrap();
        assert_eq!(id.to_string(), "000246ec65ef9476");
        assert!("000246ec65ef947".parse::<NodeId>().is_err());
        assert!("+00246ec65ef9476".parse::<NodeId>().is_err());
    }

    #[test]
    fn mapped_ipv4_is_unwrapped() {
        let address: SocketAddr = "[::ffff:192.0.2.1]:80".parse().unwrap();
        assert_eq!(Endpoint::from(address).ip.to_string(), "192.0.2.1");
    }
}
