//! Tokens: the list of those that are placed, and all about the touches of one.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use coalmine_core::token::{ArtefactFile, EVENT_KEY};
use coalmine_core::{Timestamp, TokenId};
use coalmine_store::Store;
use coalmine_store::incidents::{Filter, Incident, Page, StoredEvent};
use coalmine_store::tokens::{TokenFilter, TokenOrder, TokenRow};
use coalmine_store::users::Session;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{At, SignedIn, answer, failed, incident, scope};
use crate::channels::ignore::Style;
use crate::{channels, now};

/// Tokens of one answer.
const MAX_TOKENS: usize = 50;
/// Tokens of one answer to who has many before them already.
const MAX_MANY: usize = 1_000;
/// Touches of one answer.
const MAX_HITS: usize = 100;
/// Incidents that the touches of one answer are read from.
const MAX_INCIDENTS: usize = 50;
/// Bars of the timeline.
const BARS: u32 = 120;
/// What a bar of it stands for at least.
const MIN_BAR: Duration = Duration::from_millis(100);
/// Fields of the event that every kind has; a touch tells the others by name.
const COMMON: &[&str] = &[
    "additional_info",
    "canarytoken",
    "channel",
    "description",
    "geoip",
    "headers",
    "hostname",
    "ip_blocklist",
    "kind",
    "logtype",
    "type",
    "url",
];

const GONE: &str = "This token is not there any more: somebody deleted it.";

#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    skip: usize,
    #[serde(default)]
    many: usize,
    #[serde(default)]
    id: String,
    /// A part of the timeline to look closer at, in milliseconds.
    from: Option<i64>,
    to: Option<i64>,
}

/// A token in the list.
#[derive(Serialize)]
struct Listed {
    id: TokenId,
    kind: String,
    memo: String,
    enabled: bool,
    created: i64,
    hits: u64,
    /// Its incidents that nobody has acknowledged.
    open: u64,
    last: Option<i64>,
}

impl Listed {
    fn new(token: TokenRow) -> Self {
        Self {
            id: token.id,
            kind: token.kind,
            memo: token.memo,
            enabled: token.enabled,
            created: token.created.millis(),
            hits: token.triggered_count,
            open: token.unacknowledged,
            last: token.last_hit.map(Timestamp::millis),
        }
    }
}

/// `{"tokens": [...], "total": N, "skip": N or null}`: tokens that match `q` (words), `kind` and
/// `state` (`on`, `off`), ordered by `sort` (`changed`, `last`, `hits`), from number `skip` on, up
/// to `many` at once.
pub(super) async fn list(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let order = match asked.sort.as_str() {
        "hits" => TokenOrder::Hits,
        "last" => TokenOrder::LastHit,
        _ => TokenOrder::Changed,
    };
    let found = async {
        let filter = TokenFilter {
            flocks: scope(&at, &session).await?,
            kind: some(asked.kind),
            enabled: some(asked.state).map(|state| state == "on"),
            search: some(asked.q),
        };
        let tokens = at.console.store.tokens();
        let many = asked.many.clamp(MAX_TOKENS, MAX_MANY);
        tokens.list(filter, order, asked.skip, many).await
    };
    match found.await {
        Ok(page) => {
            let next = asked.skip.saturating_add(page.tokens.len());
            let more = u64::try_from(next).is_ok_and(|next| next < page.total);
            let tokens: Vec<Listed> = page.tokens.into_iter().map(Listed::new).collect();
            answer::json(&serde_json::json!({
                "tokens": tokens,
                "total": page.total,
                "skip": (more && !tokens.is_empty()).then_some(next),
            }))
        }
        Err(error) => failed(&error),
    }
}

/// One touch.
#[derive(Debug, Serialize)]
struct Touch {
    at: i64,
    source: String,
    /// Reverse name of the source; captured text.
    reverse: String,
    /// Its incident.
    hash: String,
    channel: String,
    /// The program that told of itself; captured text.
    agent: String,
    /// Where the source is, as far as a database says.
    place: String,
    /// What lists say of the source, e.g. `Tor exit`.
    lists: Vec<&'static str>,
    /// The kind's own fields; captured text.
    told: Map<String, Value>,
}

impl Touch {
    fn new(incident: &Incident, event: &StoredEvent) -> Self {
        let mut fields = incident::fields(event);
        let text = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str).unwrap_or_default();
            text.to_owned()
        };
        let agent = fields.get("headers").and_then(Value::as_object);
        let agent = agent.and_then(|headers| {
            let mut headers = headers.iter();
            headers.find(|(name, _)| name.eq_ignore_ascii_case("user-agent"))
        });
        let geoip = |name: &str| text(fields.get("geoip").and_then(|place| place.get(name)));
        let country = Some(geoip("country_name")).filter(|name| !name.is_empty());
        let place = [geoip("city"), country.unwrap_or_else(|| geoip("country"))];
        let place = place.map(|part| Some(part).filter(|part| !part.is_empty()));
        let lists = [
            ("is_tor", "Tor exit"),
            ("is_vpn", "VPN"),
            ("is_proxy", "proxy"),
        ];
        let listed = |name: &str| {
            let list = fields.get("ip_blocklist").and_then(|list| list.get(name));
            list == Some(&Value::Bool(true))
        };
        Self {
            at: event.at.millis(),
            source: incident.src.ip.to_string(),
            reverse: incident.src_reverse.clone(),
            hash: incident.hash_id.clone(),
            channel: text(fields.get("channel")),
            agent: text(agent.map(|(_, value)| value)),
            place: place.into_iter().flatten().collect::<Vec<_>>().join(", "),
            lists: lists
                .into_iter()
                .filter(|(name, _)| listed(name))
                .map(|(_, word)| word)
                .collect(),
            told: {
                fields.retain(|name, value| {
                    !COMMON.contains(&name.as_str()) && *value != Value::String(String::new())
                });
                fields
            },
        }
    }
}

/// All about the touches of a token.
#[derive(Debug, Serialize)]
struct Touches {
    /// How many there were ever, also those whose incidents are deleted.
    count: u64,
    /// Incidents that are there.
    incidents: u64,
    /// Of these, those that nobody has acknowledged.
    open: u64,
    /// The timeline: from, to, length of a bar, in milliseconds; bars by their start.
    from: i64,
    to: i64,
    step: i64,
    marks: BTreeMap<i64, u64>,
    /// The newest ones, newest first.
    hits: Vec<Touch>,
    flock: String,
    /// Where `dig` finds the DNS channel itself, as its arguments.
    dns: Option<String>,
}

/// The token of this id, if this user may see it.
async fn find(at: &At, session: &Session, id: &str) -> coalmine_store::Result<Option<TokenRow>> {
    let Ok(id) = id.parse::<TokenId>() else {
        return Ok(None);
    };
    let flocks = scope(at, session).await?;
    let token = at.console.store.tokens().get(&id).await?;
    Ok(token.filter(|token| {
        let seen = flocks.as_ref();
        seen.is_none_or(|flocks| flocks.contains(&token.flock_id))
    }))
}

/// The touches of the token `id`, and a timeline of all its time or from `from` to `to`.
pub(super) async fn touches(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let found = async {
        let Some(token) = find(&at, &session, &asked.id).await? else {
            return Ok(None);
        };
        let config = &at.console.config;
        let dns = config
            .token_dns
            .map(|dns| format!("@{} -p {}", config.public_address, dns.port()));
        let part = asked.from.zip(asked.to);
        let store = &at.console.store;
        read(store, &token, part, dns, now()).await.map(Some)
    };
    match found.await {
        Ok(Some(touches)) => answer::json(&touches),
        Ok(None) => answer::refusal(StatusCode::NOT_FOUND, GONE),
        Err(error) => failed(&error),
    }
}

/// The file of the token `id`, if there is such a token and its kind has one. The error is the
/// answer.
async fn artefact(
    at: &At,
    session: &Session,
    id: &str,
) -> Result<Option<ArtefactFile>, Box<Response<Body>>> {
    match find(at, session, id).await {
        Ok(Some(token)) => Ok(crate::api::file(&at.console, &token).await),
        Ok(None) => Err(Box::new(answer::refusal(StatusCode::NOT_FOUND, GONE))),
        Err(error) => Err(Box::new(failed(&error))),
    }
}

/// `{"name": ..., "bytes": N}`: the file of the token `id`; both are null for kinds without one.
pub(super) async fn about_file(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    match artefact(&at, &session, &asked.id).await {
        Ok(file) => {
            let (name, bytes) = file.map(|file| (file.name, file.bytes.len())).unzip();
            answer::json(&serde_json::json!({"name": name, "bytes": bytes}))
        }
        Err(response) => *response,
    }
}

/// The file of the token `id` itself.
pub(super) async fn file(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let file = match artefact(&at, &session, &asked.id).await {
        Ok(Some(file)) => file,
        Ok(None) => return answer::refusal(StatusCode::NOT_FOUND, "This token has no file."),
        Err(response) => return *response,
    };
    let kind = [(header::CONTENT_TYPE, file.mime)];
    let mut response = answer::with(StatusCode::OK, &kind, Body::from(file.bytes));
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

async fn read(
    store: &Store,
    token: &TokenRow,
    part: Option<(i64, i64)>,
    dns: Option<String>,
    now: Timestamp,
) -> coalmine_store::Result<Touches> {
    let filter = Filter {
        node_id: Some(token.id.to_string()),
        ..Filter::default()
    };
    let newest = Page {
        descending: true,
        start: None,
        limit: MAX_INCIDENTS,
    };
    let found = store.incidents().page(filter.clone(), newest).await?;
    let hits = newest_hits(store, &found.incidents).await?;
    // Clocks differ: a touch may be older than the token.
    let oldest = found.incidents.iter().map(|incident| incident.created);
    let from = oldest
        .min()
        .map_or(token.created, |at| at.min(token.created));
    let to = now.plus(Duration::from_secs(1));
    let at = |millis: i64| Timestamp::from_micros(millis.saturating_mul(1000));
    let (from, to) = part
        .map(|part| (at(part.0).max(from), at(part.1).min(to)))
        .filter(|(from, to)| from < to)
        .unwrap_or((from, to));
    let step = (to.since(from) / BARS).max(MIN_BAR);
    let marks = store.incidents().histogram(from, to, step, filter).await?;
    let flock = store.flocks().get(&token.flock_id).await?;
    Ok(Touches {
        count: token.triggered_count,
        incidents: found.total,
        open: token.unacknowledged,
        from: from.millis(),
        to: to.millis(),
        step: i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
        marks: marks
            .into_iter()
            .map(|bucket| (bucket.at.millis(), bucket.events))
            .collect(),
        hits,
        flock: flock.map_or_else(|| token.flock_id.clone(), |flock| flock.name),
        dns,
    })
}

/// The newest touches of these incidents, newest first.
async fn newest_hits(store: &Store, incidents: &[Incident]) -> coalmine_store::Result<Vec<Touch>> {
    let mut hits: Vec<Touch> = Vec::new();
    for incident in incidents.iter().filter(|i| i.kind == EVENT_KEY) {
        let full = hits.get(MAX_HITS.saturating_sub(1));
        if full.is_some_and(|oldest| oldest.at > incident.last.millis()) {
            continue;
        }
        let events = store
            .incidents()
            .events(incident.row, MAX_HITS, true)
            .await?;
        hits.extend(events.iter().map(|event| Touch::new(incident, event)));
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.at));
        hits.truncate(MAX_HITS);
    }
    Ok(hits)
}

/// The kinds, for the gallery and its forms; `off` says what to configure where a kind cannot be
/// made now, `ignores` which list of harmless touches its tokens have.
pub(super) async fn kinds(State(at): State<At>, _: SignedIn) -> Response<Body> {
    let places = channels::places(&at.console.config);
    let mut kinds: Vec<Value> = Vec::new();
    for kind in at.console.catalogue.tokens {
        let mut shown = crate::api::kind(&at.console, kind).await;
        let faults: Vec<String> = kind
            .channels
            .iter()
            .filter_map(|channel| Some(places.has(*channel).err()?.problem))
            .collect();
        let list = [Style::Sites, Style::Arns];
        let list = list.into_iter().find(|style| style.fits(kind));
        if let (Some(shown), Some(list)) = (shown.as_object_mut(), list) {
            shown.insert("ignores".to_owned(), list.name().into());
        }
        // One channel of a kind is enough.
        if let (Some(shown), Some(fault)) = (shown.as_object_mut(), faults.first())
            && faults.len() == kind.channels.len()
        {
            shown.insert("off".to_owned(), fault.as_str().into());
        }
        kinds.push(shown);
    }
    answer::json(&serde_json::json!({"result": "success", "kinds": kinds}))
}
