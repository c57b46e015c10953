//! slapd 2.5 as it answers those who aren't logged in, with access rules that show them nothing but
//! the root and the schema's entry.

use std::sync::Arc;

use coalmine_core::decoy::{Broken, Channel, Session};
use coalmine_core::text::printable;
use coalmine_core::{Context, Out, Seed, Timestamp};

use super::controls;
use super::dn::{Attribute, Name};
use super::filter::{self, BadFilter, Entry};
use super::message::{self, BadControls, Bind, Control, Message, Method, Rename, Search};
use super::reply::{self, Attr, Reply, code};
use super::sasl::{self, Exchange, Sasl, Searches};
use super::{Host, LdapBind, Serve, answer_to, front, listed};

const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const WHO_AM_I: &[u8] = b"1.3.6.1.4.1.4203.1.11.3";
const PASSWORD: &[u8] = b"1.3.6.1.4.1.4203.1.11.1";
const CANCEL: &[u8] = b"1.3.6.1.1.8";
const TRANSACTION: &[u8] = b"1.3.6.1.1.21.1";
const TRANSACTION_END: &[u8] = b"1.3.6.1.1.21.3";

const AUTHENTICATE: &str = "modifications require authentication";
const ELSEWHERE: &str = "no global superior knowledge";

/// What connections share.
pub(super) struct Server {
    /// Full name of the host.
    host: String,
    /// Names that exist, as they're shown and as they're compared; the first is the suffix.
    tree: Vec<(String, Name)>,
    config: Name,
    schema: Name,
    searches: Searches,
}

impl Server {
    pub fn new(host: &Host) -> Self {
        let domain = host.domain.as_deref().unwrap_or("nodomain");
        let parts: Vec<_> = domain.split('.').map(|part| format!("dc={part}")).collect();
        let suffix = parts.join(",");
        let below = ["ou=people", "ou=groups"].map(|unit| format!("{unit},{suffix}"));
        let name = |text: &str| Name::read(text.as_bytes()).unwrap_or_default();
        let tree = std::iter::once(suffix).chain(below);
        Self {
            host: host.full_name(),
            tree: tree.map(|text| (text.clone(), name(&text))).collect(),
            config: name("cn=config"),
            schema: name("cn=Subschema"),
            searches: Searches::default(),
        }
    }

    fn suffix(&self) -> Option<&(String, Name)> {
        self.tree.first()
    }

    fn holds(&self, name: &Name) -> bool {
        self.suffix()
            .is_some_and(|(_, suffix)| name.is_within(suffix))
    }

    fn root(&self, tls: bool) -> Vec<Attr> {
        let user = |name, values: &[&str]| attr(name, values, false);
        let operational = |name, values: &[&str]| attr(name, values, true);
        let suffix = self.suffix().map_or("", |(text, _)| text);
        vec![
            user("objectClass", &["top", "OpenLDAProotDSE"]),
            operational("structuralObjectClass", &["OpenLDAProotDSE"]),
            operational("configContext", &["cn=config"]),
            operational("namingContexts", &[suffix]),
            operational(
                "supportedControl",
                &[
                    "2.16.840.1.113730.3.4.18",
                    "2.16.840.1.113730.3.4.2",
                    "1.3.6.1.4.1.4203.1.10.1",
                    "1.3.6.1.1.22",
                    "1.2.840.113556.1.4.319",
                    "1.2.826.0.1.3344810.2.3",
                    "1.3.6.1.1.13.2",
                    "1.3.6.1.1.13.1",
                    "1.3.6.1.1.12",
                ],
            ),
            operational(
                "supportedExtension",
                &[
                    "1.3.6.1.4.1.1466.20037",
                    "1.3.6.1.4.1.4203.1.11.1",
                    "1.3.6.1.4.1.4203.1.11.3",
                    "1.3.6.1.1.8",
                    "1.3.6.1.1.21.3",
                    "1.3.6.1.1.21.1",
                ],
            ),
            operational(
                "supportedFeatures",
                &[
                    "1.3.6.1.1.14",
                    "1.3.6.1.4.1.4203.1.5.1",
                    "1.3.6.1.4.1.4203.1.5.2",
                    "1.3.6.1.4.1.4203.1.5.3",
                    "1.3.6.1.4.1.4203.1.5.4",
                    "1.3.6.1.4.1.4203.1.5.5",
                ],
            ),
            operational("supportedLDAPVersion", &["3"]),
            Attr {
                name: "supportedSASLMechanisms",
                values: sasl::mechanisms(tls),
                operational: true,
            },
            operational("entryDN", &[""]),
            operational("subschemaSubentry", &["cn=Subschema"]),
        ]
    }

    fn schema_entry() -> Vec<Attr> {
        vec![
            attr("structuralObjectClass", &["subentry"], true),
            attr(
                "objectClass",
                &["top", "subentry", "subschema", "extensibleObject"],
                false,
            ),
            attr("cn", &["Subschema"], false),
            attr("entryDN", &["cn=Subschema"], true),
            attr("subschemaSubentry", &["cn=Subschema"], true),
        ]
    }

    /// The entry of this name, if strangers may read it, and its name as it's shown.
    fn readable(&self, name: &Name, tls: bool) -> Option<(&'static str, Shown)> {
        if name.is_root() {
            return Some(("", Shown(self.root(tls))));
        }
        (*name == self.schema).then(|| ("cn=Subschema", Shown(Self::schema_entry())))
    }

    /// The refusal to show the entry of this name, or that there is none.
    fn hidden(&self, name: &Name) -> Reply {
        let above = self.tree.iter().filter(|(_, known)| name.is_within(known));
        match above.max_by_key(|(text, _)| text.len()) {
            Some((_, known)) if known == name => Reply::new(code::INSUFFICIENT_ACCESS, ""),
            Some((text, _)) => Reply {
                matched: text.clone().into_bytes(),
                ..Reply::new(code::NO_SUCH_OBJECT, "")
            },
            None => Reply::new(code::NO_SUCH_OBJECT, ""),
        }
    }
}

impl Serve for Server {
    fn session(self: Arc<Self>, context: &Context) -> Box<dyn Session> {
        Box::new(LdapSession {
            server: self,
            seed: context.seed.clone(),
            channel: context.channel,
            version: 3,
            exchange: None,
            exchanges: 0,
        })
    }
}

fn attr(name: &'static str, values: &[&str], operational: bool) -> Attr {
    Attr {
        name,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        operational,
    }
}

/// An entry that strangers may read.
struct Shown(Vec<Attr>);

impl Shown {
    fn find(&self, attribute: &[u8]) -> Option<(Attribute, Option<&Attr>)> {
        let attribute = Attribute::find(attribute)?;
        let found = self
            .0
            .iter()
            .find(|a| a.name.eq_ignore_ascii_case(attribute.name));
        Some((attribute, found))
    }

    /// The attributes that a search wants, in the entry's order.
    fn selected(&self, wanted: &[&[u8]]) -> Vec<&Attr> {
        let everything = wanted.is_empty() || wanted.contains(&&b"*"[..]);
        let operational = wanted.contains(&&b"+"[..]);
        let named = |attr: &Attr| {
            wanted.iter().any(|name| {
                if matches!(name.first(), Some(b'@')) {
                    // All attributes of an object class: here only the class itself.
                    return attr.name == "objectClass";
                }
                !name.contains(&b';')
                    && Attribute::find(name)
                        .is_some_and(|known| known.name.eq_ignore_ascii_case(attr.name))
            })
        };
        let all = self.0.iter();
        all.filter(|attr| {
            (if attr.operational {
                operational
            } else {
                everything
            }) || named(attr)
        })
        .collect()
    }
}

impl Entry for Shown {
    fn has(&self, attribute: &[u8]) -> Option<bool> {
        self.find(attribute).map(|(_, found)| found.is_some())
    }

    fn equals(&self, attribute: &[u8], value: &[u8]) -> Option<bool> {
        let (attribute, found) = self.find(attribute)?;
        if !attribute.is_comparable() || !attribute.accepts(value) {
            return None;
        }
        Some(found.is_some_and(|attr| holds(attribute, attr, value)))
    }
}

fn holds(attribute: Attribute, attr: &Attr, value: &[u8]) -> bool {
    // The only class that is asked for by its number.
    let value = if value == b"2.5.6.0" { b"top" } else { value };
    let folded = attribute.fold(value, 0);
    attr.values
        .iter()
        .any(|known| attribute.fold(known.as_bytes(), 0) == folded)
}

struct LdapSession {
    server: Arc<Server>,
    seed: Seed,
    channel: Channel,
    version: i64,
    /// A SASL bind in progress, and who it's for.
    exchange: Option<(Exchange, String)>,
    exchanges: u32,
}

/// Why the connection ends, as the server says it.
struct Notice(&'static str);

impl Session for LdapSession {
    fn feed(&mut self, input: &[u8], now: Timestamp, out: &mut Out) -> Result<usize, Broken> {
        if self.channel == Channel::ClearOnTls {
            return Err(Broken);
        }
        let Some(bytes) = front(input)? else {
            return Ok(0);
        };
        let message = Message::read(bytes).map_err(|_| Broken)?;
        let more = input.len() > bytes.len();
        match self.request(&message, more, now, out) {
            Ok(()) => Ok(bytes.len()),
            Err(Notice(text)) => {
                out.send(reply::notice(false, code::PROTOCOL_ERROR, text.as_bytes()));
                Err(Broken)
            }
        }
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

impl LdapSession {
    fn tls(&self) -> bool {
        self.channel == Channel::Tls
    }

    fn request(
        &mut self,
        message: &Message,
        more: bool,
        now: Timestamp,
        out: &mut Out,
    ) -> Result<(), Notice> {
        match message.op {
            0x42 => {
                self.abandon(out);
                out.close();
                return Ok(());
            }
            0x50 => return Ok(()),
            _ => {}
        }
        let (op, kind) = answer_to(message.op).ok_or(Notice("unknown LDAP request"))?;
        if self.exchange.is_some() && message.op != 0x60 {
            let reply = Reply::new(code::OPERATIONS_ERROR, "SASL bind in progress");
            out.send(reply.message(false, message.id, op));
            return Ok(());
        }
        let mut event = LdapBind::new(kind, self.version);
        let undecodable = |_| Notice("decoding error");
        let reply = match message.op {
            0x60 => {
                let bind = Bind::read(message.body).map_err(undecodable)?;
                let refusal = refusal(message)?;
                let reply = self.bind(&bind, refusal, now, out);
                out.send(reply.message(false, message.id, op));
                return Ok(());
            }
            0x63 => {
                let search = Search::read(message.body).map_err(undecodable)?;
                self.search(message, search, &mut event, out)?
            }
            0x77 => {
                let (oid, value) = message::extended(message.body).map_err(undecodable)?;
                let refusal = refusal(message)?;
                if oid == START_TLS {
                    let reply = refusal.unwrap_or_else(|| self.start_tls(value, more));
                    let agreed = reply.code == code::SUCCESS;
                    out.send(reply.message(false, message.id, op));
                    if agreed {
                        out.start_tls();
                    }
                    return Ok(());
                }
                event.req = Some(printable(oid));
                refusal.unwrap_or_else(|| extended(oid, value, message.id))
            }
            0x66 | 0x68 => {
                let added = message.op == 0x68;
                let (name, changes) = message::changes(message.body, added).map_err(undecodable)?;
                let refusal = refusal(message)?;
                event.dn = printable(name);
                let names: Vec<_> = changes.iter().map(|change| change.attribute).collect();
                event.req = listed(&names);
                refusal.unwrap_or_else(|| self.server.change(name, &changes, added))
            }
            0x4a => {
                event.dn = printable(message.body);
                refusal(message)?.unwrap_or_else(|| self.server.delete(message.body))
            }
            0x6c => {
                let rename = Rename::read(message.body).map_err(undecodable)?;
                event.dn = printable(rename.name);
                event.req = Some(printable(rename.new));
                refusal(message)?.unwrap_or_else(|| self.server.rename(&rename))
            }
            _ => {
                let [name, attribute, value] =
                    message::compare(message.body).map_err(undecodable)?;
                event.dn = printable(name);
                event.req = Some(format!("{}={}", printable(attribute), printable(value)));
                let refusal = refusal(message)?;
                refusal.unwrap_or_else(|| self.server.compare(name, attribute, value, self.tls()))
            }
        };
        event.report(out);
        out.send(reply.message(false, message.id, op));
        Ok(())
    }

    fn bind(
        &mut self,
        bind: &Bind,
        refusal: Option<Reply>,
        now: Timestamp,
        out: &mut Out,
    ) -> Reply {
        let mut event = LdapBind::new("bind", bind.version);
        event.dn = printable(bind.name);
        let secret = match &bind.method {
            Method::Simple(secret) => {
                event.mech = Some("simple".to_owned());
                event.password = Some(printable(secret)).filter(|text| !text.is_empty());
                *secret
            }
            Method::Sasl { mechanism, .. } => {
                event.mech = Some(printable(mechanism));
                &[]
            }
            Method::Other(tag, _) => {
                event.mech = Some(format!("0x{tag:02x}"));
                &[]
            }
        };
        let early = refusal.or_else(|| early_refusal(bind));
        if let (
            None,
            Method::Sasl {
                mechanism,
                credentials,
            },
        ) = (&early, &bind.method)
            && !mechanism.is_empty()
        {
            self.version = bind.version;
            return self.sasl(mechanism, *credentials, event, now, out);
        }
        self.abandon(out);
        event.report(out);
        if let Some(early) = early {
            return early;
        }
        self.version = bind.version;
        match bind.method {
            Method::Simple(_) if secret.is_empty() && bind.name.is_empty() => Reply::success(),
            Method::Simple(b"") => Reply::new(
                code::UNWILLING,
                "unauthenticated bind (DN with no password) disallowed",
            ),
            Method::Simple(_) => Reply::new(code::INVALID_CREDENTIALS, ""),
            Method::Sasl { .. } => Reply::new(
                code::AUTH_METHOD_NOT_SUPPORTED,
                "no SASL mechanism provided",
            ),
            Method::Other(..) => Reply::new(
                code::AUTH_METHOD_NOT_SUPPORTED,
                "unknown authentication method",
            ),
        }
    }

    fn sasl(
        &mut self,
        mechanism: &[u8],
        credentials: Option<&[u8]>,
        mut event: LdapBind,
        now: Timestamp,
        out: &mut Out,
    ) -> Reply {
        self.exchanges = self.exchanges.saturating_add(1);
        let sasl = Sasl {
            host: &self.server.host,
            tls: self.tls(),
            seed: self.seed.derive(&format!("sasl {}", self.exchanges)),
            now,
            searches: &self.server.searches,
        };
        // A conversation goes on by its own mechanism, whatever the client calls it now.
        let outcome = match self.exchange.take() {
            Some((exchange, name)) => {
                event.mech = Some(exchange.mechanism.name().to_owned());
                event.dn = name;
                sasl.go_on(exchange, credentials.unwrap_or_default())
            }
            None => sasl.start(mechanism, credentials),
        };
        if let Some(next) = outcome.next {
            self.exchange = Some((next, event.dn));
            return outcome.reply;
        }
        if let Some(login) = outcome.login {
            event.mech = Some(login.mechanism.to_owned());
            event.dn = login.user;
            event.password = login.password;
            event.req = login.line;
            event.ntlm_hash = login.ntlm_hash;
        }
        event.report(out);
        outcome.reply
    }

    /// A SASL bind in progress that comes to nothing is told all the same.
    fn abandon(&mut self, out: &mut Out) {
        if let Some((exchange, name)) = self.exchange.take() {
            let mut event = LdapBind::new("bind", self.version);
            event.mech = Some(exchange.mechanism.name().to_owned());
            event.dn = name;
            event.report(out);
        }
    }

    fn start_tls(&self, value: Option<&[u8]>, more: bool) -> Reply {
        let (code, text) = if value.is_some() {
            (code::PROTOCOL_ERROR, "no request data expected")
        } else if self.tls() {
            (code::OPERATIONS_ERROR, "TLS already started")
        } else if more {
            let text = "cannot start TLS when operations are outstanding";
            (code::OPERATIONS_ERROR, text)
        } else {
            (code::SUCCESS, "")
        };
        Reply::new(code, text)
    }

    fn search(
        &self,
        message: &Message,
        search: Search,
        event: &mut LdapBind,
        out: &mut Out,
    ) -> Result<Reply, Notice> {
        event.dn = printable(search.base);
        let invalid = match &search {
            Search { scope, .. } if !(0..=3).contains(scope) => Some("invalid scope"),
            Search { deref, .. } if !(0..=3).contains(deref) => Some("invalid deref"),
            Search { size_limit, .. } if *size_limit < 0 => Some("invalid size limit"),
            Search { time_limit, .. } if *time_limit < 0 => Some("invalid time limit"),
            _ => None,
        };
        if let Some(text) = invalid {
            return Ok(Reply::new(code::PROTOCOL_ERROR, text));
        }
        let Some(base) = Name::read(search.base) else {
            return Ok(invalid_name());
        };
        let found = self.server.readable(&base, self.tls());
        let nothing = Shown(Vec::new());
        let entry = found.as_ref().map_or(&nothing, |(_, shown)| shown);
        let mut rest = search.rest;
        let filter = filter::read(&mut rest, entry).map_err(|bad| match bad {
            BadFilter::TooDeep => Notice("filter nested too deeply"),
            BadFilter::Malformed => Notice("decoding attrs error"),
        })?;
        let wanted = message::attributes(rest).map_err(|_| Notice("decoding attrs error"))?;
        event.req = Some(filter.text);
        event.search_attribute = listed(&wanted);
        if let Some(refusal) = refusal(message)? {
            return Ok(refusal);
        }
        match found {
            // Only the entries themselves, not what would be below them.
            Some((name, shown)) if search.scope == 0 => {
                if filter.matches == Some(true) {
                    let selected = shown.selected(&wanted);
                    let types_only = search.types_only;
                    out.send(reply::entry(false, message.id, name, &selected, types_only));
                }
                Ok(Reply::success())
            }
            Some(_) => Ok(Reply::new(code::NO_SUCH_OBJECT, "")),
            None => Ok(self.server.hidden(&base)),
        }
    }
}

/// What the controls of a message come to.
fn refusal(message: &Message) -> Result<Option<Reply>, Notice> {
    let controls: Vec<Control> = message::controls(message.rest).map_err(|bad| match bad {
        BadControls::Unexpected => Notice("unexpected data in PDU"),
        BadControls::Malformed => Notice("decoding controls error"),
    })?;
    Ok(controls::refusal(message.op, &controls))
}

/// What is refused before the method is looked at.
fn early_refusal(bind: &Bind) -> Option<Reply> {
    if Name::read(bind.name).is_none() {
        return Some(invalid_name());
    }
    let text = match bind.version {
        2 => "historical protocol version requested, use LDAPv3 instead",
        3 => return None,
        _ => "requested protocol version not supported",
    };
    Some(Reply::new(code::PROTOCOL_ERROR, text))
}

fn invalid_name() -> Reply {
    Reply::new(code::INVALID_DN, "invalid DN")
}

fn extended(oid: &[u8], value: Option<&[u8]>, id: i64) -> Reply {
    let protocol = |text: &str| Reply::new(code::PROTOCOL_ERROR, text);
    match (oid, value) {
        (WHO_AM_I | TRANSACTION, Some(_)) => protocol("no request data expected"),
        (WHO_AM_I, None) => Reply {
            value: Some(Vec::new()),
            ..Reply::success()
        },
        (PASSWORD, _) => Reply::new(
            code::STRONGER_AUTH_REQUIRED,
            "only authenticated users may change passwords",
        ),
        (CANCEL, None) => protocol("no message ID supplied"),
        (CANCEL, Some(b"")) => protocol("empty request data field"),
        (CANCEL, Some(value)) => {
            let list = coalmine_wire::ber::Reader::new(value);
            let number = list
                .clone()
                .reader(0x30)
                .and_then(|mut list| list.integer());
            match number {
                Err(_) => protocol("message ID parse failed"),
                Ok(number) if number == id => Reply::success(),
                Ok(_) => Reply::new(code::NO_SUCH_OPERATION, "message ID not found"),
            }
        }
        (TRANSACTION_END, None) => protocol("request data expected"),
        (TRANSACTION_END, Some(b"")) => protocol("empty request data"),
        (TRANSACTION | TRANSACTION_END, _) => {
            Reply::new(code::STRONGER_AUTH_REQUIRED, AUTHENTICATE)
        }
        _ => protocol("unsupported extended operation"),
    }
}

impl Server {
    /// The refusal of every change that is well-formed.
    fn unchanged(&self, name: &Name) -> Reply {
        if self.holds(name) || name.is_within(&self.config) {
            Reply::new(code::STRONGER_AUTH_REQUIRED, AUTHENTICATE)
        } else {
            Reply::new(code::UNWILLING, ELSEWHERE)
        }
    }

    fn change(&self, name: &[u8], changes: &[message::Change], added: bool) -> Reply {
        let Some(name) = Name::read(name) else {
            return invalid_name();
        };
        if added && changes.is_empty() {
            return Reply::new(code::PROTOCOL_ERROR, "no attributes provided");
        }
        if added && name.is_root() {
            return Reply::new(code::ALREADY_EXISTS, "root DSE already exists");
        }
        for change in changes {
            let problem = match change.operation {
                0 if change.values.is_empty() && added => "no values for attribute type",
                0 if change.values.is_empty() => "modify/add operation requires values",
                0..=3 => continue,
                _ => "unrecognized modify operation",
            };
            return Reply::new(code::PROTOCOL_ERROR, problem);
        }
        if name.is_root() {
            return Reply::new(code::UNWILLING, "modify upon the root DSE not supported");
        }
        if name == self.schema {
            let text = "modification of subschema subentry not supported";
            return Reply::new(code::UNWILLING, text);
        }
        for change in changes {
            let mut text = change.attribute.to_vec();
            match Attribute::find(change.attribute) {
                Some(_) if change.operation == 3 => {
                    text.extend(b": attribute syntax inappropriate for increment");
                    return Reply::new(code::CONSTRAINT_VIOLATION, text);
                }
                Some(_) => continue,
                None if text.is_empty() => text.extend(b": empty AttributeDescription"),
                None => text.extend(b": attribute type undefined"),
            }
            return Reply::new(code::UNDEFINED_ATTRIBUTE, text);
        }
        self.unchanged(&name)
    }

    fn delete(&self, name: &[u8]) -> Reply {
        match Name::read(name) {
            None => invalid_name(),
            Some(name) if name.is_root() || name == self.schema => {
                Reply::new(code::UNWILLING, "cannot delete the root DSE")
            }
            Some(name) => self.unchanged(&name),
        }
    }

    fn rename(&self, rename: &Rename) -> Reply {
        let invalid = |text: &str| Reply::new(code::INVALID_DN, text);
        let Some(name) = Name::read(rename.name) else {
            return invalid("invalid DN");
        };
        if !Name::read(rename.new).is_some_and(|new| new.is_relative()) {
            return invalid("invalid new RDN");
        }
        if rename
            .superior
            .is_some_and(|above| Name::read(above).is_none())
        {
            return invalid("invalid newSuperior");
        }
        if name.is_root() {
            return Reply::new(code::UNWILLING, "cannot rename the root DSE");
        }
        if name == self.schema {
            return Reply::new(code::UNWILLING, "cannot rename subschema subentry");
        }
        self.unchanged(&name)
    }

    fn compare(&self, name: &[u8], attribute: &[u8], value: &[u8], tls: bool) -> Reply {
        let Some(name) = Name::read(name) else {
            return invalid_name();
        };
        if attribute.is_empty() {
            return Reply::new(code::UNDEFINED_ATTRIBUTE, "empty AttributeDescription");
        }
        let Some(attribute) = Attribute::find(attribute) else {
            return Reply::new(code::UNDEFINED_ATTRIBUTE, "");
        };
        if !attribute.is_comparable() {
            return Reply::new(
                code::INAPPROPRIATE_MATCHING,
                "inappropriate matching request",
            );
        }
        if !attribute.accepts(value) {
            let text = "value does not conform to assertion syntax";
            return Reply::new(code::INVALID_SYNTAX, text);
        }
        let Some((_, shown)) = self.readable(&name, tls) else {
            return self.hidden(&name);
        };
        match shown.0.iter().find(|attr| attr.name == attribute.name) {
            None => Reply::new(code::NO_SUCH_ATTRIBUTE, ""),
            Some(attr) if holds(attribute, attr, value) => Reply::new(code::COMPARE_TRUE, ""),
            Some(_) => Reply::new(code::COMPARE_FALSE, ""),
        }
    }
}
