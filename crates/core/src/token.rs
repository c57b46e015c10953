//! What a token kind is: how it's minted and what a touch of it means. Channels (HTTP, DNS, ...) find
//! the token and call [`TokenKind::trip`]; they know no kind by name.

mod asks;
mod cloud;
mod places;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::event::{Field, Logtype, Shape};
use crate::settings::Fault;
use crate::{EventKind, Seed, Timestamp};

pub use asks::{MAX_FILE, MAX_FILE_NAME, MAX_URL};
pub use cloud::{CONNECTED, CloudError, CloudProvider, CloudTouch, INTEGRATION, Looked};
pub use places::{HostPort, KubernetesPlace, Places, WireguardPlace};

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
        "How it was touched: `http`, `dns`, `wireguard`, `mysql`, `smtp` or `kubernetes`.",
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
        "Headers of the request or mail, as sent; HTTP, Kubernetes and mail only.",
        || json!({"User-Agent": "curl/8.5.0"}),
    ),
    field(
        "url",
        Shape::String,
        true,
        "The URL asked for; HTTP and Kubernetes only.",
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
        "ip_blocklist",
        Shape::Object,
        true,
        "Whether the source is on a list of Tor exits, VPNs or proxies, if such lists are configured.",
        || json!({"is_proxy": false, "is_tor": true, "is_vpn": false}),
    ),
    field(
        "additional_info",
        Shape::Object,
        true,
        "What the channel learnt beyond that: method, query parameters, size of the body; type of \
         the query and transport; the user name and database of a login; the size of a mail and \
         whether it came over TLS (`tls`). Where a browser told of itself, what it said (`browser`) \
         and when the visit was that it belongs to (`visited`, seconds since 1970).",
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
    /// Among what people look for it.
    pub group: Group,
    /// How to trip it on purpose, one sentence, commands between backticks. `{url}`, `{hostname}`
    /// and other names in braces stand for the token's own fields and renders, `{file}` for the
    /// name of its file.
    pub trial: &'static str,
    /// Number of its incidents, e.g. 17000.
    pub logtype: u32,
    /// Through which channels it can be tripped.
    pub channels: &'static [TokenChannel],
    /// How far it reaches.
    pub reach: Reach,
    /// What it asks for beyond the memo.
    pub asks: &'static [Ask],
    /// Fields that it adds to the event.
    pub event: &'static [Field],
    /// Makes the artefact; the same input gives the same artefact. Called by [`TokenKind::make`],
    /// which has checked what it asks for.
    pub mint: fn(&Mint<'_>) -> Result<Artefact, Vec<Fault>>,
    /// What a touch means.
    pub trip: fn(&Token, &Hit<'_>) -> Trip,
}

impl fmt::Debug for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKind({})", self.id)
    }
}

/// What people look for when they look for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Files and folders.
    Files,
    /// Addresses, pages and pictures on the web.
    Web,
    /// Mail, and documents that are shared online.
    Mail,
    /// Keys, clusters and payment.
    Cloud,
    /// Names, machines and networks.
    Systems,
}

impl Group {
    /// One word: `files`, `web`, `mail`, `cloud` or `systems`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Web => "web",
            Self::Mail => "mail",
            Self::Cloud => "cloud",
            Self::Systems => "systems",
        }
    }
}

/// How far a kind of token reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It alerts wherever it's used, by itself.
    Direct,
    /// It works without an account at the cloud that it seems to belong to; the text says where it
    /// does not reach.
    Local(&'static str),
}

impl Reach {
    /// `direct` or `local`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Local(_) => "local",
        }
    }

    /// Where it does not reach; empty where it reaches everywhere.
    pub const fn limits(self) -> &'static str {
        match self {
            Self::Direct => "",
            Self::Local(text) => text,
        }
    }
}

/// How a token can be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenChannel {
    /// A web request.
    Http,
    /// A DNS query.
    Dns,
    /// A WireGuard handshake.
    Wireguard,
    /// A login to a MySQL server.
    Mysql,
    /// A mail.
    Smtp,
    /// A request to a Kubernetes API server.
    Kubernetes,
}

impl TokenChannel {
    /// As in the event's `channel`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Dns => "dns",
            Self::Wireguard => "wireguard",
            Self::Mysql => "mysql",
            Self::Smtp => "smtp",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The channel of this name.
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::Http,
            Self::Dns,
            Self::Wireguard,
            Self::Mysql,
            Self::Smtp,
            Self::Kubernetes,
        ]
        .into_iter()
        .find(|channel| channel.name() == name)
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
    /// A whole `http://` or `https://` URL.
    Url,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An uploaded file.
    File {
        /// Its greatest size in bytes, at most [`MAX_FILE`].
        max: usize,
        /// Extensions that it may have, in lower case and without the dot; empty for any.
        accepts: &'static [&'static str],
    },
}

/// A file that somebody uploaded for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its name as the uploader calls it, without folders; at most [`MAX_FILE_NAME`] characters.
    pub name: String,
    /// Its MIME type as the uploader states it; empty where it doesn't.
    pub mime: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a token is minted from.
#[derive(Clone, Debug)]
pub struct Mint<'a> {
    /// The new token's id.
    pub id: &'a TokenId,
    /// The parameters given, by wire name; only those that [`TokenKind::asks`] lists.
    pub params: &'a BTreeMap<String, String>,
    /// The files given, by wire name; only those that [`TokenKind::asks`] lists.
    pub files: &'a BTreeMap<String, Upload>,
    /// Randomness of this token alone, the same at every call.
    pub seed: Seed,
    /// When it was created.
    pub now: Timestamp,
    /// Where the channels are.
    pub places: &'a Places,
    /// What the operator's own account at a cloud gave for it, where it lives there.
    pub cloud: Option<&'a Map<String, Value>>,
}

/// What minting gives.
#[derive(Clone, Debug, Default)]
pub struct Artefact {
    /// The kind's own fields of the token object. `url` and `hostname` are the token's unless the
    /// kind gives its own.
    pub fields: Map<String, Value>,
    /// A file to place, if there is one.
    pub file: Option<ArtefactFile>,
    /// Texts to copy and place, by name, e.g. `web` or `credentials`.
    pub renders: BTreeMap<String, String>,
    /// Other keys by which channels find the token.
    pub aliases: Vec<Alias>,
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

/// Another key by which a channel finds a token: the id of an AWS access key, the SHA-1 of a
/// client's certificate in hex, a WireGuard public key, a bearer's secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias {
    /// The channel that looks for it.
    pub channel: TokenChannel,
    /// The key, exactly as that channel sees it.
    pub key: String,
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
    /// What it was minted from, without files.
    pub params: BTreeMap<String, String>,
}

/// One touch.
#[derive(Debug)]
pub enum Hit<'a> {
    /// Over HTTP or HTTPS; a Kubernetes API server speaks that too.
    Http(HttpHit<'a>),
    /// Over DNS.
    Dns(DnsHit<'a>),
    /// A WireGuard handshake.
    Wireguard(WireguardHit<'a>),
    /// A login to a MySQL server.
    Mysql(MysqlHit<'a>),
    /// A mail.
    Smtp(SmtpHit<'a>),
}

/// A web request that named a token.
#[derive(Debug)]
pub struct HttpHit<'a> {
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub client: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
    /// SHA-1 of the certificate that the client showed, in lower-case hex.
    pub client_certificate: Option<&'a str>,
    /// E.g. `GET`.
    pub method: &'a str,
    /// As asked for, absolute.
    pub url: &'a str,
    /// The path's segments after the one that holds the token, as sent and without a leading
    /// slash, e.g. `manifest.json`; the whole path where the token stands elsewhere.
    pub rest: &'a str,
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

    /// The first query parameter of this name.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(n, _)| n == name)
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

/// A WireGuard handshake with a token's peer.
#[derive(Debug)]
pub struct WireguardHit<'a> {
    /// Who sent it.
    pub client: IpAddr,
    /// The initiator's static public key, base64.
    pub client_public_key: &'a str,
    /// The initiator's index of the session.
    pub session_index: u32,
}

/// A login to a MySQL server.
#[derive(Debug)]
pub struct MysqlHit<'a> {
    /// Who connected.
    pub client: IpAddr,
    /// The whole user name, of which the token is the beginning.
    pub user: &'a str,
    /// The schema asked for; empty for none.
    pub database: &'a str,
    /// The client's attributes, e.g. `_client_name`, in the order sent.
    pub attributes: &'a [(String, String)],
}

/// A mail.
#[derive(Debug)]
pub struct SmtpHit<'a> {
    /// Who delivered it.
    pub client: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
    /// What the client calls itself.
    pub helo: &'a str,
    /// The envelope's sender; empty for bounces.
    pub from: &'a str,
    /// The envelope's recipient that holds the token.
    pub recipient: &'a str,
    /// Headers in the order sent, unfolded.
    pub headers: &'a [(String, String)],
    /// URLs in the text, bounded by the channel.
    pub links: &'a [String],
    /// Attached files, bounded by the channel.
    pub attachments: &'a [SmtpAttachment],
}

/// A file that came with a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpAttachment {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its type as stated.
    pub mime: String,
    /// Its size in bytes, decoded.
    pub size: usize,
}

/// What a touch means.
#[derive(Clone, Debug)]
pub struct Trip {
    /// The kind's own event fields; the channel adds the common ones.
    pub fields: Map<String, Value>,
    /// What the toucher gets.
    pub answer: Answer,
    /// Whether it is an event at all.
    pub alert: bool,
}

impl Trip {
    /// [`TokenKind::trip`] of kinds whose touches the channel's own fields say all of.
    pub fn plain(_: &Token, _: &Hit<'_>) -> Self {
        Self::alert(Map::new(), Answer::Plain)
    }

    /// A touch that is an event.
    pub fn alert(fields: Map<String, Value>, answer: Answer) -> Self {
        Self {
            fields,
            answer,
            alert: true,
        }
    }

    /// One that is part of the bait's ordinary life, and no event: a browser asks whether it may
    /// ask, an app loads its manifest, a name lacks the data that its kind needs.
    pub fn silent(answer: Answer) -> Self {
        Self {
            fields: Map::new(),
            answer,
            alert: false,
        }
    }
}

/// What the toucher gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What an unknown token gets: nobody learns anything. A browser that shows it gets a page that
    /// asks the browser about itself.
    Plain,
    /// The same for everybody, browsers too: they aren't asked.
    Pixel,
    /// A page or file.
    Body {
        /// MIME type.
        mime: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// 302 to this URL.
    Redirect(String),
    /// A page that asks the browser about itself and then leads to this URL.
    SlowRedirect(String),
    /// The file that was uploaded as this parameter.
    Upload(&'static str),
    /// A whole answer of HTTP. Length and connection are the channel's; `Server` too, unless it's
    /// given.
    Full {
        /// E.g. 403.
        status: u16,
        /// In the order to be sent.
        headers: Vec<(String, String)>,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// Over DNS: there is no such name.
    NxDomain,
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
