//! From a touch to a sighting: find the token, ask its kind, remember it.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use coalmine_core::sighting::SightingId;
use coalmine_core::text;
use coalmine_core::token::{
    Alias, Answer, DnsHit, EVENT_KEY, Hit, HttpHit, MysqlHit, SmtpAttachment, SmtpHit, Token,
    TokenChannel, TokenKind, Trip, Upload, WireguardHit,
};
use coalmine_core::{Endpoint, Sighting, Subject, Timestamp, TokenId};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::lookups::{Lookup, Lookups, Told};
use super::scanner::{Findings, Scanner, Visit};
use super::{Arrival, PATIENCE, Probes, Sources, ignore};

/// Touches being remembered at once, both channels together.
const MAX_PENDING: usize = 4096;

/// What finds tokens and remembers touches.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// The token that `candidate` names, unless it's disabled.
    fn find(&self, candidate: &Candidate) -> impl Future<Output = Option<Token>> + Send;
    /// The file that was uploaded for a token as `param`.
    fn upload(&self, id: &TokenId, param: &str) -> impl Future<Output = Option<Upload>> + Send;
    /// Domains of tokens beside the configured zone.
    fn domains(&self) -> impl Future<Output = Vec<String>> + Send;
    /// Names by which the zones are tested.
    fn probes(&self) -> Option<&Probes>;
    /// What stands at the root of token URLs, where that isn't the usual image.
    fn root(&self) -> impl Future<Output = Option<String>> + Send;
    /// Remembers; returns when it's committed. Whether it is: the failure is logged.
    fn record(&self, sighting: Sighting) -> impl Future<Output = bool> + Send;
    /// Gives an event the fields of `sighting`; returns when it's committed. Whether there was such
    /// an event, which nobody had dealt with yet.
    fn amend(&self, event: SightingId, sighting: &Sighting) -> impl Future<Output = bool> + Send;
}

/// What may name a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// Its id.
    Id(TokenId),
    /// Another key of it.
    Alias(Alias),
}

/// What may have been a touch.
#[derive(Clone, Debug)]
pub(super) struct Touch {
    pub at: Timestamp,
    pub src: Endpoint,
    pub dst: Endpoint,
    pub what: What,
}

/// The request itself.
#[derive(Clone, Debug)]
pub(super) enum What {
    Http {
        /// HTTP, or Kubernetes, which speaks it too.
        channel: TokenChannel,
        tls: bool,
        /// SHA-1 in hex.
        client_certificate: Option<String>,
        method: String,
        url: String,
        path: String,
        headers: Vec<(String, String)>,
        query: Vec<(String, String)>,
        /// As much of it as is kept.
        body: Vec<u8>,
        /// All of it.
        body_size: u64,
    },
    Dns {
        name: String,
        labels: Vec<String>,
        query_type: String,
        transport: &'static str,
    },
    Wireguard {
        /// Base64.
        client_public_key: String,
        session_index: u32,
    },
    Mysql {
        user: String,
        database: String,
        attributes: Vec<(String, String)>,
    },
    Smtp {
        tls: bool,
        helo: String,
        from: String,
        recipient: String,
        mail: Arc<Mail>,
    },
}

/// What a mail says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    /// In the order sent, unfolded.
    pub headers: Vec<(String, String)>,
    /// URLs in the text.
    pub links: Vec<String>,
    pub attachments: Vec<SmtpAttachment>,
    /// All of it, in bytes.
    pub size: u64,
}

/// Both channels' way to the tokens.
pub(super) struct Touches<K> {
    keeper: K,
    kinds: &'static [&'static TokenKind],
    sources: Arc<Sources>,
    pending: Semaphore,
    scanner: Scanner,
    lookups: Lookups,
}

impl<K: Keeper> Touches<K> {
    pub fn new(keeper: K, kinds: &'static [&'static TokenKind], sources: Arc<Sources>) -> Self {
        Self {
            keeper,
            kinds,
            sources,
            pending: Semaphore::new(MAX_PENDING),
            scanner: Scanner::new(),
            lookups: Lookups::new(),
        }
    }

    /// Looks for the first of `candidates` that is a token, remembers that it was touched, and
    /// says what to answer. `None` where that couldn't be written down within [`PATIENCE`]: then
    /// nothing may be answered. What is under way goes on.
    pub async fn touch(
        self: &Arc<Self>,
        candidates: Vec<Candidate>,
        touch: Touch,
    ) -> Option<Answer> {
        if candidates.is_empty() {
            return Some(Answer::Plain);
        }
        let visit = Visit::of(&touch);
        let this = Arc::clone(self);
        let work = Unfailing::new(async move {
            let permit = this.pending.acquire().await.ok()?;
            let kept = this.remember(&candidates, touch).await;
            drop(permit);
            kept
        });
        let Ok(kept) = timeout(PATIENCE, work).await else {
            tracing::error!("the store does not keep up with touched tokens");
            return None;
        };
        let (answer, alerted) = kept?;
        Some(match visit {
            Some(visit) => self.scanner.page(&visit, answer, alerted),
            None => answer,
        })
    }

    /// Domains of tokens beside the configured zone.
    pub async fn domains(&self) -> Vec<String> {
        self.keeper.domains().await
    }

    /// Takes note of a query for `id` if the zones are tested by that name.
    pub fn note_probe(&self, id: &TokenId, arrival: impl FnOnce() -> Arrival) {
        if let Some(probes) = self.keeper.probes() {
            probes.note(id, Instant::now(), arrival);
        }
    }

    /// What stands at the root of token URLs, where that isn't the usual image.
    pub async fn root(&self) -> Option<String> {
        self.keeper.root().await
    }

    /// The answer, and whether there is an event, which is committed then; `None` where it can't be.
    async fn remember(&self, candidates: &[Candidate], touch: Touch) -> Option<(Answer, bool)> {
        let findings = self.scanner.findings(&touch);
        for candidate in candidates {
            let Some(token) = self.keeper.find(candidate).await else {
                continue;
            };
            let Some(kind) = self.kind_of(&token, touch.what.channel()) else {
                continue;
            };
            let mut trip = touch.what.trip(kind, &token, touch.src.ip, touch.at);
            if let Some(findings) = &findings {
                trip.alert = findings.alerted;
                trip.answer = Answer::Plain;
            }
            let told = self.file_of(&token, trip.answer.clone()).await;
            let alert = trip.alert && !ignore::is_harmless(&token, &trip.fields);
            if alert {
                let about = self.sources.fields(touch.src.ip);
                let lookup = self.lookup_of(&touch);
                let sighting = sighting(kind, token, trip, touch, about, findings);
                let kept = match lookup {
                    Some((lookup, length)) => self.tell(&lookup, length, sighting).await,
                    None => self.keeper.record(sighting).await,
                };
                if !kept {
                    return None;
                }
            }
            return Some((told, alert));
        }
        Some((Answer::Plain, false))
    }

    /// The look-up of which a DNS query is part, and the length of the name it asks for.
    fn lookup_of(&self, touch: &Touch) -> Option<(Lookup, usize)> {
        let What::Dns { name, labels, .. } = &touch.what else {
            return None;
        };
        let source = touch.src.ip;
        let lookup = self.lookups.of(source, name, labels, Instant::now());
        Some((lookup, name.len()))
    }

    /// One event of all queries of a look-up, which names the longest name asked for. Returns when
    /// it's committed, whichever of the queries told it; false where it can't be.
    async fn tell(&self, lookup: &Lookup, length: usize, sighting: Sighting) -> bool {
        let mut told = lookup.lock().await;
        let event = match *told {
            Some(told) if told.length >= length => return true,
            Some(told) if self.keeper.amend(told.event, &sighting).await => told.event,
            _ => {
                let event = sighting.id;
                if !self.keeper.record(sighting).await {
                    return false;
                }
                event
            }
        };
        *told = Some(Told { event, length });
        true
    }

    /// The uploaded file itself, where it is the answer.
    async fn file_of(&self, token: &Token, answer: Answer) -> Answer {
        let Answer::Upload(param) = answer else {
            return answer;
        };
        match self.keeper.upload(&token.id, param).await {
            Some(file) => Answer::Body {
                mime: match file.mime.is_empty() {
                    true => "application/octet-stream".to_owned(),
                    false => file.mime,
                },
                bytes: file.bytes,
            },
            None => Answer::Plain,
        }
    }

    fn kind_of(&self, token: &Token, channel: TokenChannel) -> Option<&'static TokenKind> {
        self.kinds
            .iter()
            .copied()
            .find(|kind| kind.id == token.kind && kind.channels.contains(&channel))
    }
}

/// Work that is done also when whoever waits for it goes away: then it goes on by itself. A task of
/// its own from the start would cost every touch another wake.
struct Unfailing<F: Future<Output: Send> + Send + 'static>(Option<Pin<Box<F>>>);

impl<F: Future<Output: Send> + Send + 'static> Unfailing<F> {
    fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Unfailing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Work that panics is gone.
        let Some(mut work) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Unfailing<F> {
    fn drop(&mut self) {
        // Without a runtime the program is ending.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

impl What {
    fn channel(&self) -> TokenChannel {
        match self {
            Self::Http { channel, .. } => *channel,
            Self::Dns { .. } => TokenChannel::Dns,
            Self::Wireguard { .. } => TokenChannel::Wireguard,
            Self::Mysql { .. } => TokenChannel::Mysql,
            Self::Smtp { .. } => TokenChannel::Smtp,
        }
    }

    fn trip(&self, kind: &TokenKind, token: &Token, client: IpAddr, at: Timestamp) -> Trip {
        let hit = match self {
            Self::Http {
                tls,
                client_certificate,
                method,
                url,
                path,
                headers,
                query,
                body,
                ..
            } => Hit::Http(HttpHit {
                at,
                client,
                tls: *tls,
                client_certificate: client_certificate.as_deref(),
                method,
                url,
                rest: rest(path, &token.id),
                headers,
                query,
                body,
            }),
            Self::Dns {
                name,
                labels,
                query_type,
                ..
            } => Hit::Dns(DnsHit {
                client,
                name,
                labels,
                query_type,
            }),
            Self::Wireguard {
                client_public_key,
                session_index,
            } => Hit::Wireguard(WireguardHit {
                client,
                client_public_key,
                session_index: *session_index,
            }),
            Self::Mysql {
                user,
                database,
                attributes,
            } => Hit::Mysql(MysqlHit {
                client,
                user,
                database,
                attributes,
            }),
            Self::Smtp {
                tls,
                helo,
                from,
                recipient,
                mail,
            } => Hit::Smtp(SmtpHit {
                client,
                tls: *tls,
                helo,
                from,
                recipient,
                headers: &mail.headers,
                links: &mail.links,
                attachments: &mail.attachments,
            }),
        };
        (kind.trip)(token, &hit)
    }

    /// The channel's own event fields.
    fn fields(self) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut info = Map::new();
        match self {
            Self::Http {
                method,
                url,
                headers,
                query,
                body_size,
                ..
            } => {
                put(&mut info, "method", &method);
                let referer = headers
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case("referer"));
                if let Some((_, referer)) = referer {
                    put(&mut info, "referer", referer);
                }
                info.insert("request_args".to_owned(), object(&query));
                info.insert("body_size".to_owned(), Value::from(body_size));
                fields.insert("headers".to_owned(), object(&headers));
                put(&mut fields, "url", &url);
            }
            Self::Dns {
                name,
                query_type,
                transport,
                ..
            } => {
                put(&mut info, "query_type", &query_type);
                put(&mut info, "transport", transport);
                put(&mut fields, "hostname", &name);
            }
            Self::Wireguard { .. } => {}
            Self::Mysql {
                user,
                database,
                attributes,
            } => {
                put(&mut info, "user", &user);
                put(&mut info, "database", &database);
                info.insert("attributes".to_owned(), object(&attributes));
            }
            Self::Smtp { tls, mail, .. } => {
                info.insert("tls".to_owned(), Value::from(tls));
                info.insert("message_size".to_owned(), Value::from(mail.size));
                fields.insert("headers".to_owned(), object(&mail.headers));
            }
        }
        fields.insert("additional_info".to_owned(), Value::Object(info));
        fields
    }
}

/// What stands in `path` after the segment that holds the token; all of it where none does.
fn rest<'a>(path: &'a str, id: &TokenId) -> &'a str {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut after = path;
    loop {
        let (segment, rest) = after.split_once('/').unwrap_or((after, ""));
        let stem = segment.split('.').next().unwrap_or_default();
        if stem.eq_ignore_ascii_case(id.as_str()) {
            return rest;
        }
        if rest.is_empty() {
            return path;
        }
        after = rest;
    }
}

/// What the engine gets: the channel's fields, what is known of the source, the kind's, and those that every token event has.
fn sighting(
    kind: &'static TokenKind,
    token: Token,
    trip: Trip,
    touch: Touch,
    about: Map<String, Value>,
    findings: Option<Findings>,
) -> Sighting {
    let channel = touch.what.channel();
    let mut fields = touch.what.fields();
    if let (Some(findings), Some(Value::Object(info))) =
        (findings, fields.get_mut("additional_info"))
    {
        findings.tell(info);
    }
    fields.extend(about);
    fields.extend(trip.fields);
    common(kind, &token.id, channel.name(), &mut fields);
    Sighting {
        id: fresh_id(touch.at),
        at: touch.at,
        subject: Subject::Token(token.id),
        kind: EVENT_KEY.into(),
        logtype: kind.logtype,
        src: touch.src,
        dst: touch.dst,
        fields: coalmine_core::event::raw(&fields),
    }
}

/// Adds what every token event has.
pub(crate) fn common(
    kind: &TokenKind,
    id: &TokenId,
    channel: &str,
    fields: &mut Map<String, Value>,
) {
    put(fields, "type", kind.id);
    put(fields, "kind", kind.id);
    put(fields, "channel", channel);
    put(fields, "canarytoken", id.as_str());
    put(fields, "description", kind.description);
    put(fields, "logtype", &kind.logtype.to_string());
}

fn put(fields: &mut Map<String, Value>, name: &str, value: &str) {
    fields.insert(name.to_owned(), Value::String(text::cut(value)));
}

/// Pairs as an object; the values of a repeated name are joined by commas (RFC 9110 section 5.2).
fn object(pairs: &[(String, String)]) -> Value {
    let mut object = Map::new();
    for (name, value) in pairs {
        match object.get_mut(name) {
            Some(Value::String(before)) => {
                *before = text::cut(&format!("{before}, {value}"));
            }
            _ => put(&mut object, name, value),
        }
    }
    Value::Object(object)
}

fn fresh_id(at: Timestamp) -> SightingId {
    let mut random = [0; 16];
    #[expect(
        clippy::expect_used,
        reason = "a system without randomness cannot go on"
    )]
    getrandom::fill(&mut random).expect("the system has randomness");
    let millis = u64::try_from(at.millis()).unwrap_or(0);
    SightingId::from_parts(millis, u128::from_ne_bytes(random))
}
