//! A domain controller's Active Directory as it answers those who aren't logged in: the root of the
//! directory is everybody's, everything else wants a bind, and no bind succeeds (MS-ADTS).
//!
//! Constructed lengths are written in four bytes, and every text ends with a zero.

use std::sync::Arc;

use coalmine_core::decoy::{Broken, Channel, Session};
use coalmine_core::text::printable;
use coalmine_core::{Bird, Context, Out, Seed, Timestamp};
use coalmine_wire::accept::{Acceptor, Login, Step};
use coalmine_wire::ntlmssp::{Target, Version};
use coalmine_wire::spnego::Mech;

use super::filter::{self, Entry};
use super::message::{self, Bind, Message, Method, Rename, Search};
use super::reply::{self, Attr, Reply, code};
use super::sasl::{Answer, Searches, directives};
use super::{Host, LdapBind, Serve, answer_to, front, listed};

const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const WHO_AM_I: &[u8] = b"1.3.6.1.4.1.4203.1.11.3";
/// Without a domain the machine names one of these its own.
const DOMAINS: &[&str] = &[
    "corp.local",
    "ad.local",
    "office.local",
    "hq.local",
    "intra.local",
];
static MECHS: &[Mech] = &[Mech::MsKerberos, Mech::Kerberos, Mech::NegoEx, Mech::Ntlm];

/// Where a version's `ntdsa.dll` raises its errors, from published messages.
struct Places {
    simple: &'static str,
    sasl: &'static str,
    token: &'static str,
    unbound: &'static str,
    method: &'static str,
    extended: &'static str,
}

impl Places {
    fn of(build: u16) -> Self {
        let (simple, sasl, token, unbound) = match build {
            ..=9_600 => ("0C09042F", "0C090605", "0C0905FE", "0C0907C2"),
            9_601..=14_393 => ("0C090447", "0C0905D5", "0C0905D0", "0C090A71"),
            14_394..=17_763 => ("0C090436", "0C090569", "0C09089F", "0C090A5C"),
            _ => ("0C090434", "0C090587", "0C09058D", "0C090A5A"),
        };
        Self {
            simple,
            sasl,
            token,
            unbound,
            method: "0C0905F0",
            extended: "0C090C7F",
        }
    }
}

/// What connections share.
pub(super) struct Server {
    /// Name of the machine in capitals.
    netbios: String,
    domain: String,
    netbios_domain: String,
    full_name: String,
    version: (u8, u8, u16),
    places: Places,
    /// `DC=corp,DC=example,DC=net`.
    base: String,
    first_usn: u64,
    booted: Timestamp,
    searches: Searches,
}

impl Server {
    pub fn new(bird: &Bird, host: &Host) -> Self {
        let pick = bird.seed.number("ldap domain", 0, 4);
        let pick = usize::try_from(pick).ok().and_then(|n| DOMAINS.get(n));
        let fallback = || pick.copied().unwrap_or("corp.local").to_owned();
        let domain = host.domain.clone().unwrap_or_else(fallback);
        let label = domain.split('.').next().unwrap_or_default();
        let short = |name: &str| {
            name.chars()
                .take(15)
                .collect::<String>()
                .to_ascii_uppercase()
        };
        let parts: Vec<_> = domain.split('.').map(|part| format!("DC={part}")).collect();
        let version = host.version;
        Self {
            netbios: host.netbios_name.clone(),
            netbios_domain: host.netbios_domain.clone().unwrap_or_else(|| short(label)),
            full_name: format!("{}.{domain}", host.name),
            places: Places::of(version.2),
            version,
            base: parts.join(","),
            first_usn: bird.seed.number("ldap usn", 40_000, 400_000),
            booted: bird.booted,
            searches: Searches::default(),
            domain,
        }
    }

    /// An error's text: `number: LdapErr: DSID-place, comment: …, data …, v4563` and a zero.
    fn text(&self, number: &str, place: &str, comment: &str, data: &str) -> Vec<u8> {
        let (_, _, build) = self.version;
        let text = format!(
            "{number}: LdapErr: DSID-{place}, comment: {comment}, data {data}, v{build:x}\0"
        );
        text.into_bytes()
    }

    fn unbound(&self) -> Reply {
        let comment = "In order to perform this operation a successful bind must be completed on \
                       the connection.";
        let text = self.text("000004DC", self.places.unbound, comment, "0");
        Reply::new(code::OPERATIONS_ERROR, text)
    }

    /// The refusal of a password: unknown users get the same, as from current versions.
    fn refused(&self, number: &str, place: &str, data: &str) -> Reply {
        let text = self.text(number, place, "AcceptSecurityContext error", data);
        Reply::new(code::INVALID_CREDENTIALS, text)
    }

    fn unknown_method(&self) -> Reply {
        let text = self.text(
            "00002027",
            self.places.method,
            "Invalid Authentication method",
            "0",
        );
        Reply::new(code::AUTH_METHOD_NOT_SUPPORTED, text)
    }

    fn target(&self) -> Target {
        let version = Version::from(self.version);
        let domain = (self.netbios_domain.as_str(), self.domain.as_str());

        Target::windows(&self.netbios, &self.full_name, Some(domain), version)
    }

    fn root(&self, now: Timestamp) -> Root {
        let Self { base, netbios, .. } = self;
        let (_, _, build) = self.version;
        let level = match build {
            ..=9_600 => "6",
            _ => "7",
        };
        let one = |name, value: String| attr(name, vec![value]);
        let some =
            |name, values: &str| attr(name, values.split_whitespace().map(str::to_owned).collect());
        let configuration = format!("CN=Configuration,{base}");
        let schema = format!("CN=Schema,{configuration}");
        let server =
            format!("CN={netbios},CN=Servers,CN=Default-First-Site-Name,CN=Sites,{configuration}");
        let usn = now.since(self.booted).as_secs() / 37;
        let controls = if build > 9_600 {
            format!("{CONTROLS} 1.2.840.113556.1.4.2330 1.2.840.113556.1.4.2354")
        } else {
            CONTROLS.to_owned()
        };
        let contexts = vec![
            base.clone(),
            configuration.clone(),
            schema.clone(),
            format!("DC=DomainDnsZones,{base}"),
            format!("DC=ForestDnsZones,{base}"),
        ];
        let mut attributes = vec![
            one("domainFunctionality", level.to_owned()),
            one("forestFunctionality", level.to_owned()),
            one("domainControllerFunctionality", level.to_owned()),
            one("rootDomainNamingContext", base.clone()),
            one(
                "ldapServiceName",
                format!(
                    "{}:{}$@{}",
                    self.domain,
                    netbios.to_ascii_lowercase(),
                    self.domain.to_ascii_uppercase()
                ),
            ),
            one("isGlobalCatalogReady", "TRUE".to_owned()),
            some(
                "supportedSASLMechanisms",
                "GSSAPI GSS-SPNEGO EXTERNAL DIGEST-MD5",
            ),
            some("supportedLDAPVersion", "3 2"),
            some("supportedLDAPPolicies", POLICIES),
            some("supportedControl", &controls),
            some("supportedCapabilities", CAPABILITIES),
            one("subschemaSubentry", format!("CN=Aggregate,{schema}")),
            one("serverName", server.clone()),
            one("schemaNamingContext", schema),
            attr("namingContexts", contexts),
            one("isSynchronized", "TRUE".to_owned()),
            one(
                "highestCommittedUSN",
                self.first_usn.saturating_add(usn).to_string(),
            ),
            one("dsServiceName", format!("CN=NTDS Settings,{server}")),
            one("dnsHostName", self.full_name.clone()),
            one("defaultNamingContext", base.clone()),
            one("currentTime", now.format("%Y%m%d%H%M%S.0Z")),
            one("configurationNamingContext", configuration),
        ];
        if build <= 9_600 {
            let place = |attr: &Attr| OLD_ORDER.split_whitespace().position(|n| n == attr.name);
            attributes.sort_by_key(place);
        }
        Root(attributes)
    }
}

/// Since Windows 2012; two more since 2016.
const CONTROLS: &str = "1.2.840.113556.1.4.319 1.2.840.113556.1.4.801 1.2.840.113556.1.4.473 \
    1.2.840.113556.1.4.528 1.2.840.113556.1.4.417 1.2.840.113556.1.4.619 1.2.840.113556.1.4.841 \
    1.2.840.113556.1.4.529 1.2.840.113556.1.4.805 1.2.840.113556.1.4.521 1.2.840.113556.1.4.970 \
    1.2.840.113556.1.4.1338 1.2.840.113556.1.4.474 1.2.840.113556.1.4.1339 \
    1.2.840.113556.1.4.1340 1.2.840.113556.1.4.1413 2.16.840.1.113730.3.4.9 \
    2.16.840.1.113730.3.4.10 1.2.840.113556.1.4.1504 1.2.840.113556.1.4.1852 \
    1.2.840.113556.1.4.802 1.2.840.113556.1.4.1907 1.2.840.113556.1.4.1948 \
    1.2.840.113556.1.4.1974 1.2.840.113556.1.4.1341 1.2.840.113556.1.4.2026 \
    1.2.840.113556.1.4.2064 1.2.840.113556.1.4.2065 1.2.840.113556.1.4.2066 \
    1.2.840.113556.1.4.2090 1.2.840.113556.1.4.2205 1.2.840.113556.1.4.2204 \
    1.2.840.113556.1.4.2206 1.2.840.113556.1.4.2211 1.2.840.113556.1.4.2239 \
    1.2.840.113556.1.4.2255 1.2.840.113556.1.4.2256 1.2.840.113556.1.4.2309";

const CAPABILITIES: &str = "1.2.840.113556.1.4.800 1.2.840.113556.1.4.1670 \
    1.2.840.113556.1.4.1791 1.2.840.113556.1.4.1935 1.2.840.113556.1.4.2080 \
    1.2.840.113556.1.4.2237";

const POLICIES: &str = "MaxPoolThreads MaxPercentDirSyncRequests MaxDatagramRecv MaxReceiveBuffer \
    InitRecvTimeout MaxConnections MaxConnIdleTime MaxPageSize MaxBatchReturnMessages \
    MaxQueryDuration MaxDirSyncDuration MaxTempTableSize MaxResultSetSize MinResultSets \
    MaxResultSetsPerConn MaxNotificationPerConn MaxValRange MaxValRangeTransitive \
    ThreadMemoryLimit SystemMemoryLimitPercent";

/// How versions before 2016 order the root's attributes.
const OLD_ORDER: &str = "currentTime subschemaSubentry dsServiceName namingContexts \
    defaultNamingContext schemaNamingContext configurationNamingContext rootDomainNamingContext \
    supportedControl supportedLDAPVersion supportedLDAPPolicies highestCommittedUSN \
    supportedSASLMechanisms dnsHostName ldapServiceName serverName supportedCapabilities \
    isSynchronized isGlobalCatalogReady domainFunctionality forestFunctionality \
    domainControllerFunctionality";

fn attr(name: &'static str, values: Vec<String>) -> Attr {
    Attr {
        name,
        values,
        operational: false,
    }
}

struct Root(Vec<Attr>);

impl Entry for Root {
    fn has(&self, attribute: &[u8]) -> Option<bool> {
        let is = |name: &str| name.as_bytes().eq_ignore_ascii_case(attribute);
        Some(is("objectClass") || self.0.iter().any(|attr| is(attr.name)))
    }

    fn equals(&self, attribute: &[u8], value: &[u8]) -> Option<bool> {
        let is = |name: &str| name.as_bytes().eq_ignore_ascii_case(attribute);
        let attr = self.0.iter().find(|attr| is(attr.name))?;
        let mut values = attr.values.iter();
        Some(values.any(|known| known.as_bytes().eq_ignore_ascii_case(value)))
    }
}

impl Serve for Server {
    fn session(self: Arc<Self>, context: &Context) -> Box<dyn Session> {
        Box::new(AdSession {
            server: self,
            seed: context.seed.clone(),
            channel: context.channel,
            version: 3,
            exchange: None,
            exchanges: 0,
        })
    }
}

struct AdSession {
    server: Arc<Server>,
    seed: Seed,
    channel: Channel,
    version: i64,
    exchange: Option<Exchange>,
    exchanges: u32,
}

/// A bind in progress.
enum Exchange {
    /// By NTLM or Kerberos, inside SPNEGO or not.
    Tokens(Box<Acceptor>, String),
    /// In Microsoft's own way, whose packages were asked for.
    Packages,
    /// By DIGEST-MD5, with this nonce.
    Digest(String),
}

impl Session for AdSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        if self.channel == Channel::ClearOnTls {
            return Err(Broken);
        }
        let whole = front(input).and_then(|bytes| {
            let Some(bytes) = bytes else {
                return Ok(None);
            };
            let message = Message::read(bytes).map_err(|_| Broken)?;
            Ok(Some((message, bytes.len())))
        });
        let result = match whole {
            Ok(None) => return Ok(0),
            Ok(Some((message, size))) => self.request(&message, now, out).map(|()| size),
            Err(Broken) => Err(Broken),
        };
        if result.is_err() {
            let comment = "Error decoding ldap message";
            let text = self.server.text("00000057", "0C0C0068", comment, "0");
            out.send(reply::notice(true, code::PROTOCOL_ERROR, &text));
        }
        result
    }

    fn secured(&mut self, _now: Timestamp, out: &mut Out) {
        self.channel = Channel::Tls;
        out.read();
    }

    fn end(&mut self, _now: Timestamp, out: &mut Out) {
        self.abandon(out);
        out.close();
    }
}

impl AdSession {
    fn request(&mut self, message: &Message, now: Timestamp, out: &mut Out) -> Result<(), Broken> {
        match message.op {
            0x42 => {
                self.abandon(out);
                out.close();
                return Ok(());
            }
            0x50 => return Ok(()),
            _ => {}
        }
        let (op, kind) = answer_to(message.op).ok_or(Broken)?;
        let mut event = LdapBind::new(kind, self.version);
        let reply = match message.op {
            0x60 => {
                let bind = Bind::read(message.body).map_err(|_| Broken)?;
                let reply = self.bind(&bind, now, out);
                out.send(reply.message(true, message.id, op));
                return Ok(());
            }
            0x63 => {
                let search = Search::read(message.body).map_err(|_| Broken)?;
                self.search(message, search, &mut event, now, out)?
            }
            0x77 => {
                let (oid, _) = message::extended(message.body).map_err(|_| Broken)?;
                if oid == START_TLS && self.channel != Channel::Tls {
                    out.send(Reply::success().message(true, message.id, op));
                    out.start_tls();
                    return Ok(());
                }
                event.req = Some(printable(oid));
                self.extended(oid)
            }
            0x66 | 0x68 => {
                let added = message.op == 0x68;
                let (name, changes) = message::changes(message.body, added).map_err(|_| Broken)?;
                event.dn = printable(name);
                let names: Vec<_> = changes.iter().map(|change| change.attribute).collect();
                event.req = listed(&names);
                self.server.unbound()
            }
            0x4a => {
                event.dn = printable(message.body);
                self.server.unbound()
            }
            0x6c => {
                let rename = Rename::read(message.body).map_err(|_| Broken)?;
                event.dn = printable(rename.name);
                event.req = Some(printable(rename.new));
                self.server.unbound()
            }
            _ => {
                let [name, attribute, value] =
                    message::compare(message.body).map_err(|_| Broken)?;
                event.dn = printable(name);
                event.req = Some(format!("{}={}", printable(attribute), printable(value)));
                self.server.unbound()
            }
        };
        event.report(out);
        out.send(reply.message(true, message.id, op));
        Ok(())
    }

    fn extended(&self, oid: &[u8]) -> Reply {
        let server = &self.server;
        match oid {
            START_TLS => {
                let comment = "TLS or SSL already in effect";
                let text = server.text("00000000", server.places.extended, comment, "0");
                Reply::new(code::OPERATIONS_ERROR, text)
            }
            WHO_AM_I => Reply {
                value: Some(Vec::new()),
                ..Reply::success()
            },
            _ => {
                let comment = "Unknown extended request OID";
                let text = server.text("0000203D", server.places.extended, comment, "0");
                Reply::new(code::PROTOCOL_ERROR, text)
            }
        }
    }

    fn search(
        &self,
        message: &Message,
        search: Search,
        event: &mut LdapBind,
        now: Timestamp,
        out: &mut Out,
    ) -> Result<Reply, Broken> {
        event.dn = printable(search.base);
        let root = self.server.root(now);
        let mut rest = search.rest;
        let filter = filter::read(&mut rest, &root).map_err(|_| Broken)?;
        let wanted = message::attributes(rest).map_err(|_| Broken)?;
        event.req = Some(filter.text);
        event.search_attribute = listed(&wanted);
        if !search.base.is_empty() || search.scope != 0 {
            return Ok(self.server.unbound());
        }
        if filter.matches == Some(true) {
            let all = wanted.is_empty() || wanted.contains(&&b"*"[..]);
            let selected = root.0.iter().filter(|attr| {
                let named = |name: &&[u8]| name.eq_ignore_ascii_case(attr.name.as_bytes());
                all || wanted.iter().any(named)
            });
            let selected: Vec<_> = selected.collect();
            out.send(reply::entry(
                true,
                message.id,
                "",
                &selected,
                search.types_only,
            ));
        }
        Ok(Reply::success())
    }

    fn bind(&mut self, bind: &Bind, now: Timestamp, out: &mut Out) -> Reply {
        let mut event = LdapBind::new("bind", bind.version);
        event.dn = printable(bind.name);
        self.version = bind.version;
        match &bind.method {
            Method::Simple(secret) => {
                self.abandon(out);
                event.mech = Some("simple".to_owned());
                event.password = Some(printable(secret)).filter(|text| !text.is_empty());
                event.report(out);
                // A name without a password is a stranger's bind (MS-ADTS section 5.1.1.1.1).
                if secret.is_empty() {
                    Reply::success()
                } else {
                    self.server
                        .refused("80090308", self.server.places.simple, "52e")
                }
            }
            Method::Sasl {
                mechanism,
                credentials,
            } => self.sasl(mechanism, credentials.unwrap_or_default(), event, now, out),
            // Sicily (MS-ADTS section 5.1.1.1.3): which packages there are.
            Method::Other(0x89, _) => {
                self.abandon(out);
                self.exchange = Some(Exchange::Packages);
                Reply {
                    matched: b"NTLM".to_vec(),
                    ..Reply::success()
                }
            }
            Method::Other(0x8a | 0x8b, token) => {
                event.mech = Some("NTLM".to_owned());
                let reply = self.tokens(token, event, now, out);
                // The challenge takes the place of the name.
                match reply.credentials {
                    Some(challenge) => Reply {
                        matched: challenge,
                        ..Reply::success()
                    },
                    None => reply,
                }
            }
            Method::Other(tag, _) => {
                self.abandon(out);
                event.mech = Some(format!("0x{tag:02x}"));
                event.report(out);
                self.server.unknown_method()
            }
        }
    }

    fn sasl(
        &mut self,
        mechanism: &[u8],
        credentials: &[u8],
        mut event: LdapBind,
        now: Timestamp,
        out: &mut Out,
    ) -> Reply {
        event.mech = Some(printable(mechanism));
        let is = |name: &str| mechanism.eq_ignore_ascii_case(name.as_bytes());
        if is("GSS-SPNEGO") || is("GSSAPI") {
            return self.tokens(credentials, event, now, out);
        }
        if is("DIGEST-MD5") {
            return self.digest(credentials, event, now, out);
        }
        self.abandon(out);
        event.report(out);
        self.server.unknown_method()
    }

    /// A token of NTLM, Kerberos or SPNEGO.
    fn tokens(
        &mut self,
        token: &[u8],
        mut event: LdapBind,
        now: Timestamp,
        out: &mut Out,
    ) -> Reply {
        let server = Arc::clone(&self.server);
        let places = &server.places;
        let mut acceptor = match self.exchange.take() {
            Some(Exchange::Tokens(acceptor, _)) => acceptor,
            _ => {
                self.exchanges = self.exchanges.saturating_add(1);
                let challenge = self.seed.take::<8>(&format!("ntlm {}", self.exchanges));
                Box::new(Acceptor::new(server.target(), challenge, MECHS))
            }
        };
        let step = acceptor.token(token, now.filetime());
        let (login, reply) = match step {
            Ok(Step::Continue(answer)) => {
                let mech = event.mech.unwrap_or_default();
                self.exchange = Some(Exchange::Tokens(acceptor, mech));
                return Reply {
                    credentials: Some(answer),
                    ..Reply::new(code::SASL_BIND_IN_PROGRESS, "")
                };
            }
            Ok(Step::Login(login)) => (Some(login), server.refused("8009030C", places.sasl, "52e")),
            Ok(Step::Kerberos(request)) => {
                event.dn = format!("{}@{}", request.service, request.realm);
                event.mech = Some("Kerberos".to_owned());
                (None, server.refused("8009030C", places.sasl, "52e"))
            }
            Err(_) => (None, server.refused("80090308", places.token, "57")),
        };
        if let Some(login) = login {
            self.tell(&login, &mut event, now);
        }
        event.report(out);
        reply
    }

    fn tell(&self, login: &Login, event: &mut LdapBind, now: Timestamp) {
        let user = match login.domain.as_str() {
            "" => login.user.clone(),
            domain => format!("{domain}\\{}", login.user),
        };
        event.dn = printable(user.as_bytes());
        event.ntlm_hash.clone_from(&login.hash);
        if login.hash.is_some() {
            let searches = &self.server.searches;
            event.password = searches.find(&login.user, now, |password| {
                login.verify(password).is_some()
            });
        }
    }

    fn digest(
        &mut self,
        credentials: &[u8],
        mut event: LdapBind,
        now: Timestamp,
        out: &mut Out,
    ) -> Reply {
        let server = Arc::clone(&self.server);
        let Some(Exchange::Digest(nonce)) = self.exchange.take() else {
            self.exchanges = self.exchanges.saturating_add(1);
            let seed = self.seed.derive(&format!("digest {}", self.exchanges));
            let nonce = format!(
                "+Upgraded+v1{}{}",
                hex::encode(seed.take::<32>("nonce")),
                hex::encode(now.filetime().to_le_bytes())
            );
            let challenge = format!(
                "qop=\"auth,auth-int,auth-conf\",cipher=\"3des,rc4\",algorithm=md5-sess,\
                 nonce=\"{nonce}\",charset=utf-8,realm=\"{}\"",
                server.domain
            );
            self.exchange = Some(Exchange::Digest(nonce));
            return Reply {
                credentials: Some(challenge.into_bytes()),
                ..Reply::new(code::SASL_BIND_IN_PROGRESS, "")
            };
        };
        let Some(fields) = directives(credentials) else {
            event.report(out);
            return server.refused("80090308", server.places.token, "57");
        };
        let get = |name: &str| {
            let field = fields
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
            field.map(|(_, value)| value.as_slice())
        };
        let answer = Answer {
            user: get("username").unwrap_or_default(),
            realm: get("realm").unwrap_or_default(),
            nonce: nonce.as_bytes(),
            cnonce: get("cnonce").unwrap_or_default(),
            count: get("nc").unwrap_or_default(),
            qop: get("qop").unwrap_or(b"auth"),
            uri: get("digest-uri").unwrap_or_default(),
            response: get("response").unwrap_or_default(),
            authorize: get("authzid"),
        };
        event.dn = printable(answer.user);
        event.req = Some(answer.line());
        event.password = server.searches.find(&event.dn, now, answer.fits());
        event.report(out);
        server.refused("8009030C", server.places.sasl, "52e")
    }

    /// A bind in progress that comes to nothing is told all the same.
    fn abandon(&mut self, out: &mut Out) {
        if let Some(exchange) = self.exchange.take() {
            let mut event = LdapBind::new("bind", self.version);
            event.mech = Some(match exchange {
                Exchange::Tokens(_, mech) => mech,
                Exchange::Packages => "NTLM".to_owned(),
                Exchange::Digest(_) => "DIGEST-MD5".to_owned(),
            });
            event.report(out);
        }
    }
}
