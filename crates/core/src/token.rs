//! What a token kind is: how it's minted and what a touch of it means. Channels (HTTP, DNS) find
//! the token and call [`TokenKind::trip`]; they know no kind by name.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::event::{Field, Logtype, Shape};
use crate::settings::Fault;
use crate::{EventKind, Seed, Timestamp};

/// Catalogue key of the event that every touched token raises.
pub const EVENT_KEY: &str = "canarytoken";

/// The event kind of touched tokens. `logtypes` are those of the token kinds, which this room
/// doesn't know.
pub const fn event_kind(logtypes: &'static [Logtype]) -> EventKind {
    EventKind {
        key: EVENT_KEY,
        title: "Canarytoken triggered",
        doc: "Somebody touched a token.\nThe token's kind may add fields of its own.\n",
        logtypes,
        fields: EVENT_FIELDS,
        timestamps: true,
    }
}

/// The fields that the channels give every such event.
const EVENT_FIELDS: &[Field] = &[
    field("type", Shape::String, false, "The token's kind.", || {
        json!("http")
    }),
    field("kind", Shape::String, false, "The token's kind.", || {
        json!("http")
    }),
    field(
        "channel",
        Shape::String,
        false,
        "How it was touched: `http` or `dns`.",
        || json!("http"),
    ),
    field(
        "canarytoken",
        Shape::String,
        false,
        "The token's unique string.",
        || json!("4ylq9w1xk0d3v5m7s2b8n6c1z"),
    ),
    field(
        "headers",
        Shape::Object,
        true,
        "Headers of the request, as sent; HTTP only.",
        || json!({"User-Agent": "curl/8.5.0"}),
    ),
    field(
        "url",
        Shape::String,
        true,
        "The URL asked for; HTTP only.",
        || json!("http://tokens.example.com/4ylq9w1xk0d3v5m7s2b8n6c1z/index.html"),
    ),
    field(
        "hostname",
        Shape::String,
        true,
        "The name asked for; DNS only.",
        || json!("4ylq9w1xk0d3v5m7s2b8n6c1z.tokens.example.com"),
    ),
    field(
        "description",
        Shape::String,
        false,
        "The token's kind, for people.",
        || json!("Canarytoken triggered"),
    ),
    field(
        "logtype",
        Shape::String,
        false,
        "The incident's number.",
        || json!("17000"),
    ),
    field(
        "geoip",
        Shape::Object,
        true,
        "Where the source is, if a database is configured.",
        || json!({"country": "NL"}),
    ),
    field(
        "additional_info",
        Shape::Object,
        true,
        "What the channel learnt beyond that: method, query parameters, size of the body; type of \
         the query and transport.",
        || json!({"method": "GET", "request_args": {}, "body_size": 0}),
    ),
];

const fn field(
    name: &'static str,
    shape: Shape,
    optional: bool,
    doc: &'static str,
    sample: fn() -> Value,
) -> Field {
    Field {
        name,
        shape,
        optional,
        doc,
        sample,
    }
}

/// A token's unique string: 25 characters of `0-9a-z`, about 129 bits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

impl TokenId {
    /// Length in characters.
    pub const LEN: usize = 25;
    const ALPHABET: &'static [u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

    /// A fresh id from real randomness.
    pub fn from_seed(seed: &Seed) -> Self {
        let mut id = String::with_capacity(Self::LEN);
        // Bytes of 252 and more would make the first four characters likelier.
        for byte in seed
            .take::<256>("token id")
            .into_iter()
            .filter(|b| *b < 252)
        {
            if id.len() == Self::LEN {
                break;
            }
            id.push(char::from(Self::ALPHABET[usize::from(byte % 36)]));
        }
        Self(id)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({})", self.0)
    }
}

impl FromStr for TokenId {
    type Err = String;

    /// Upper case counts as lower case, since DNS resolvers change it.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == Self::LEN && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!("a token is {} letters and digits", Self::LEN))
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

/// One kind of token. The binary's registry is a list of these.
pub struct TokenKind {
    /// Wire name, e.g. `http`.
    pub id: &'static str,
    /// For people, e.g. `Web Bug`.
    pub title: &'static str,
    /// The event's `description`.
    pub description: &'static str,
    /// What it is and where to put it, one sentence a line.
    pub doc: &'static str,
    /// Number of its incidents, e.g. 17000.
    pub logtype: u32,
    /// Through which channels it can be tripped.
    pub channels: &'static [TokenChannel],
    /// What it asks for beyond the memo.
    pub asks: &'static [Ask],
    /// Fields that it adds to the event.
    pub event: &'static [Field],
    /// Makes the artefact; the same input gives the same artefact.
    pub mint: fn(&Mint<'_>) -> Result<Artefact, Vec<Fault>>,
    /// What a touch means.
    pub trip: fn(&Token, &Hit<'_>) -> Trip,
}

impl fmt::Debug for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKind({})", self.id)
    }
}

/// How a token can be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenChannel {
    /// A web request.
    Http,
    /// A DNS query.
    Dns,
}

impl TokenChannel {
    /// `http` or `dns`, as in the event's `channel`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Dns => "dns",
        }
    }
}

/// One thing that minting asks for.
#[derive(Debug)]
pub struct Ask {
    /// Parameter name on the wire.
    pub name: &'static str,
    /// What it is, for the form.
    pub doc: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it takes.
    pub takes: Takes,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Text of at most this many characters.
    Text(usize),
    /// True or false, with this default.
    Bool(bool),
}

/// What a token is minted from.
#[derive(Debug)]
pub struct Mint<'a> {
    /// The new token's id.
    pub id: &'a TokenId,
    /// The parameters given, by wire name; only those that [`TokenKind::asks`] lists.
    pub params: &'a BTreeMap<String, String>,
    /// The token's own URL.
    pub url: &'a str,
    /// The token's own host name.
    pub hostname: &'a str,
    /// Randomness of this token alone, the same at every call.
    pub seed: Seed,
    /// When it was created.
    pub now: Timestamp,
}

/// What minting gives.
#[derive(Clone, Debug, Default)]
pub struct Artefact {
    /// The kind's own fields of the token object.
    pub fields: Map<String, Value>,
    /// A file to place, if there is one.
    pub file: Option<ArtefactFile>,
}

/// A file to place.
#[derive(Clone, Debug)]
pub struct ArtefactFile {
    /// Name without spaces or quotes.
    pub name: String,
    /// MIME type.
    pub mime: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A token as a touch finds it.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Its kind's id.
    pub kind: String,
    /// The reminder that its owner wrote.
    pub memo: String,
    /// The kind's own fields, as minted.
    pub fields: Map<String, Value>,
}

/// One touch.
#[derive(Debug)]
pub enum Hit<'a> {
    /// Over HTTP or HTTPS.
    Http(HttpHit<'a>),
    /// Over DNS.
    Dns(DnsHit<'a>),
}

/// A web request that named a token.
#[derive(Debug)]
pub struct HttpHit<'a> {
    /// Who asked.
    pub client: IpAddr,
    /// E.g. `GET`.
    pub method: &'a str,
    /// As asked for, absolute.
    pub url: &'a str,
    /// In the order sent, names as sent.
    pub headers: &'a [(String, String)],
    /// Query parameters in the order sent.
    pub query: &'a [(String, String)],
    /// The body, bounded by the channel.
    pub body: &'a [u8],
}

impl HttpHit<'_> {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

/// A DNS query that named a token.
#[derive(Debug)]
pub struct DnsHit<'a> {
    /// The resolver.
    pub client: IpAddr,
    /// The whole name as asked for, without the last dot.
    pub name: &'a str,
    /// Labels left of the token, leftmost first, as asked for.
    pub labels: &'a [String],
    /// E.g. `A`.
    pub query_type: &'a str,
}

/// What a touch means.
#[derive(Clone, Debug)]
pub struct Trip {
    /// The kind's own event fields; the channel adds the common ones.
    pub fields: Map<String, Value>,
    /// What the toucher gets.
    pub answer: Answer,
}

/// What the toucher gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What an unknown token gets: nobody learns anything.
    Plain,
    /// A page or file.
    Body {
        /// MIME type.
        mime: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// 302 to this URL.
    Redirect(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_25_characters_and_case_does_not_matter() {
        let id = TokenId::from_seed(&Seed::new([3; 32]));
        assert_eq!(id.as_str().len(), TokenId::LEN);
        assert_eq!(id.as_str().to_ascii_uppercase().parse(), Ok(id));
        assert!("short".parse::<TokenId>().is_err());
        assert!("é23456789012345678901234".parse::<TokenId>().is_err());
    }
}
