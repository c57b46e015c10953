//! Incident feeds, single incidents, and what can be done to them.

use coalmine_core::Timestamp;
use coalmine_store::incidents::{Action, Filter, Incident, Page, StoredEvent, Which};
use serde_json::{Value, json};

use super::render::Look;
use super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask, cursor, times};

/// Most events shown of one incident in a feed.
pub const MAX_EVENTS: usize = 2_000;
/// Most events shown of one incident alone.
pub const MAX_EVENTS_SINGLE: usize = 10_000;
/// Most events in one answer; once they're used up, each further incident shows one.
const MAX_EVENTS_ANSWER: usize = 100_000;
/// Most incidents in one answer; `incidents_since` gets the rest.
pub const MAX_INCIDENTS: usize = 10_000;

const FEED_PARAMS: &[Param] = &[
    optional("node_id", TEXT, "Only of this bird or token."),
    optional("flock_id", TEXT, "Only of this flock."),
    optional(
        "incidents_since",
        Takes::Number,
        "Only with a greater `updated_id`.",
    ),
    optional("newer_than", Takes::Instant, "Only created after."),
    optional("older_than", Takes::Instant, "Only created before."),
    optional(
        "event_limit",
        Takes::Number,
        "At most so many events of each incident.",
    ),
    optional(
        "limit",
        Takes::Number,
        "At most so many incidents; the rest by cursor.",
    ),
    optional("cursor", TEXT, "The next page of an earlier answer."),
    optional("shrink", Takes::Flag, "Accepted for compatibility.").or("true"),
    optional("tz", Takes::Zone, "Time zone of `*_std` fields.").or("UTC"),
];

const BULK_PARAMS: &[Param] = &[
    optional("flock_id", TEXT, "Only of this flock."),
    optional("node_id", TEXT, "Only of this bird or token."),
    optional(
        "src_host",
        TEXT,
        "Only from this address; not together with `node_id`.",
    ),
    optional(
        "older_than",
        Takes::Span,
        "Only created longer ago than this, e.g. `4h`, `2d`, `1w`.",
    ),
    optional("filter_str", TEXT, "Only with this text."),
    optional(
        "filter_logtypes",
        TEXT,
        "Only of these numbers, with commas between them.",
    ),
];

const DELETE_PARAMS: &[Param] = &[
    optional("flock_id", TEXT, "Only of this flock."),
    optional("node_id", TEXT, "Only of this bird or token."),
    optional(
        "src_host",
        TEXT,
        "Only from this address; not together with `node_id`.",
    ),
    optional(
        "older_than",
        Takes::Span,
        "Only created longer ago than this, e.g. `4h`, `2d`, `1w`.",
    ),
    optional("filter_str", TEXT, "Only with this text."),
    optional(
        "filter_logtypes",
        TEXT,
        "Only of these numbers, with commas between them.",
    ),
    optional(
        "include_unacknowledged",
        Takes::Flag,
        "Also those that nobody has acknowledged.",
    )
    .or("false"),
];

const ONE: &[Param] = &[required("incident", TEXT, "The incident's id.")];

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "incidents/all",
        doc: "All incidents, the one that changed longest ago first.",
        params: FEED_PARAMS,
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(feed(ask, Feed::All)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "incidents/unacknowledged",
        doc: "Incidents that nobody has acknowledged, the one that changed longest ago first.",
        params: FEED_PARAMS,
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(feed(ask, Feed::Unacknowledged)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "incidents/acknowledged",
        doc: "Acknowledged incidents, the one that changed longest ago first.",
        params: FEED_PARAMS,
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(feed(ask, Feed::Acknowledged)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "incident/fetch",
        doc: "One incident.\nEither `incident` or `hash_id` is needed.",
        params: &[
            optional("incident", TEXT, "The incident's id."),
            optional("hash_id", TEXT, "The incident's hash id."),
            optional(
                "extended_details",
                Takes::Flag,
                "In the shape of the search.",
            )
            .or("false"),
            optional("tz", Takes::Zone, "Time zone of `*_std` fields.").or("UTC"),
        ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(fetch(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "incident/acknowledge",
        doc: "Acknowledges an incident: no event joins it any more.",
        params: ONE,
        needs: Needs::Act,
        tier: 1,
        run: |ask| Box::pin(one(ask, Action::Acknowledge)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "incident/unacknowledge",
        doc: "Takes back that an incident is acknowledged.",
        params: ONE,
        needs: Needs::Act,
        tier: 1,
        run: |ask| Box::pin(one(ask, Action::Unacknowledge)),
    },
    Endpoint {
        methods: &[Verb::Delete],
        path: "incident/delete",
        doc: "Deletes an acknowledged incident.",
        params: ONE,
        needs: Needs::Act,
        tier: 1,
        run: |ask| Box::pin(one(ask, Action::Delete)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "incidents/acknowledge",
        doc: "Acknowledges every incident that fits; without a filter all that the key may see.",
        params: BULK_PARAMS,
        needs: Needs::Act,
        tier: 1,
        run: |ask| Box::pin(bulk(ask, Action::Acknowledge)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "incidents/unacknowledge",
        doc: "Takes back that incidents are acknowledged; without a filter all that the key may see.",
        params: BULK_PARAMS,
        needs: Needs::Act,
        tier: 1,
        run: |ask| Box::pin(bulk(ask, Action::Unacknowledge)),
    },
    Endpoint {
        methods: &[Verb::Delete, Verb::Post],
        path: "incidents/delete",
        doc: "Deletes every acknowledged incident that fits; without a filter all that the key may see.",
        params: DELETE_PARAMS,
        needs: Needs::Act,
        tier: 1,
        run: |ask| Box::pin(bulk(ask, Action::Delete)),
    },
];

/// Which incidents a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Nobody has looked at them.
    Unacknowledged,
    /// Somebody has.
    Acknowledged,
    /// Both.
    All,
}

impl Feed {
    /// The filter's value.
    pub fn acknowledged(self) -> Option<bool> {
        match self {
            Self::Unacknowledged => Some(false),
            Self::Acknowledged => Some(true),
            Self::All => None,
        }
    }

    /// Its number in cursors.
    pub fn number(self) -> i64 {
        match self {
            Self::Unacknowledged => 0,
            Self::Acknowledged => 1,
            Self::All => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unacknowledged => "Unacknowledged Incidents",
            Self::Acknowledged => "Acknowledged Incidents",
            Self::All => "All Incidents",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Unacknowledged => "incidents/unacknowledged",
            Self::Acknowledged => "incidents/acknowledged",
            Self::All => "incidents/all",
        }
    }
}

/// One page of a list and how to go on.
pub struct Paged {
    /// What it shows.
    pub incidents: Vec<Incident>,
    /// Cursor of the page after.
    pub next: Option<String>,
    /// Cursor of the page before.
    pub prev: Option<String>,
    /// Its number, from 1.
    pub number: i64,
    /// How many pages there are.
    pub pages: i64,
    /// How many incidents fit, on all pages.
    pub total: u64,
}

/// Reads the page that `limit` and `cursor` ask for. A cursor is: next start, first id of this
/// page, newest id when the listing began, page size, feed, direction, page to fetch, pages.
pub async fn page(
    ask: &Ask,
    filter: &Filter,
    feed: Feed,
    descending: bool,
) -> Result<Paged, ApiError> {
    let store = ask.console.store.incidents();
    let direction = i64::from(descending);
    let (start, size, number, bound) = match ask.text("cursor") {
        Some(text) => match cursor::decode::<8>(text) {
            Some([start, _, bound, size, kind, way, number, _])
                if kind == feed.number() && way == direction && size > 0 && number > 0 =>
            {
                (Some(start), size, number, Some(bound))
            }
            _ => return Err(ApiError::invalid("cursor")),
        },
        None => match ask.number("limit") {
            Some(0) => return Err(ApiError::invalid("limit")),
            limit => (None, limit.unwrap_or(i64::MAX), 1, None),
        },
    };
    let size = usize::try_from(size)
        .unwrap_or(MAX_INCIDENTS)
        .min(MAX_INCIDENTS);
    let wanted = Page {
        descending,
        start,
        limit: size.saturating_add(1),
    };
    let found = store.page(filter.clone(), wanted).await?;
    // What changes while a client pages doesn't come twice: the listing ends where it began.
    let bound = bound.unwrap_or(found.bound);
    let within = |incident: &Incident| incident.updated_id <= bound;
    let mut incidents = found.incidents;
    incidents.retain(within);
    let next_start = incidents.get(size).map(|incident| incident.updated_id);
    incidents.truncate(size);
    let first = incidents.first().map(|incident| incident.updated_id);
    let pages = i64::try_from(found.total.div_ceil(size.max(1) as u64))
        .unwrap_or(i64::MAX)
        .max(1);
    let encode = |start: i64, first: i64, number: i64| {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let feed = feed.number();
        cursor::encode(&[start, first, bound, size, feed, direction, number, pages])
    };
    // The page before starts `size` incidents before the first one here.
    let mut prev = None;
    if let (Some(first), true) = (first, number > 1) {
        let before = if descending {
            first.saturating_add(1)
        } else {
            first.saturating_sub(1)
        };
        let wanted = Page {
            descending: !descending,
            start: Some(before),
            limit: size,
        };
        let mut earlier = store.page(filter.clone(), wanted).await?.incidents;
        earlier.retain(within);
        prev = earlier
            .last()
            .map(|incident| encode(incident.updated_id, incident.updated_id, number - 1));
    }
    let next =
        next_start.map(|start| encode(start, first.unwrap_or(start), number.saturating_add(1)));
    Ok(Paged {
        incidents,
        next,
        prev,
        number,
        pages,
        total: found.total,
    })
}

/// What an answer shows of an incident beyond its own fields.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Events, oldest first.
    pub events: Vec<StoredEvent>,
    /// When its events happened, also of those not shown.
    pub times: Vec<Timestamp>,
}

/// The details of `incidents`, in the same order, with at most `each` events.
pub async fn details(
    ask: &Ask,
    incidents: &[Incident],
    each: usize,
) -> Result<Vec<Detail>, ApiError> {
    let store = ask.console.store.incidents();
    let mut left = MAX_EVENTS_ANSWER;
    let mut details = Vec::with_capacity(incidents.len());
    for some in incidents.chunks(50) {
        let rows: Vec<i64> = some.iter().map(|incident| incident.row).collect();
        let share = each.min(left.max(1));
        let mut events = if share == 0 {
            std::collections::HashMap::new()
        } else {
            store.events_of(&rows, share).await?
        };
        let mut times = store.event_times(&rows, each.max(MAX_EVENTS)).await?;
        for row in rows {
            let events = events.remove(&row).unwrap_or_default();
            left = left.saturating_sub(events.len());
            details.push(Detail {
                events,
                times: times.remove(&row).unwrap_or_default(),
            });
        }
    }
    Ok(details)
}

/// Which incidents the caller may see and has asked for.
pub async fn filter(ask: &Ask) -> Result<Filter, ApiError> {
    Ok(Filter {
        node_id: ask.text("node_id").map(str::to_owned),
        flocks: ask.scope().await?,
        updated_after: ask.number("incidents_since"),
        newer_than: ask.instant("newer_than"),
        older_than: ask.instant("older_than"),
        text: ask.text("filter_str").map(str::to_owned),
        logtypes: logtypes(ask)?,
        ..Filter::default()
    })
}

async fn feed(ask: Ask, feed: Feed) -> Result<Answer, ApiError> {
    let filter = Filter {
        acknowledged: feed.acknowledged(),
        ..filter(&ask).await?
    };
    let paged = page(&ask, &filter, feed, false).await?;
    let each = ask
        .number("event_limit")
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(MAX_EVENTS)
        .min(MAX_EVENTS);
    let details = details(&ask, &paged.incidents, each).await?;
    let look = Look::of(&ask);
    let newest = paged.incidents.iter().map(|i| i.updated).max();
    let entries: Vec<Value> = paged
        .incidents
        .iter()
        .zip(&details)
        .map(|(incident, detail)| look.entry(incident, detail))
        .collect();
    let updated = newest.unwrap_or(ask.now);
    let mut answer = json!({
        "feed": feed.name(),
        "incidents": entries,
        "updated": times::rfc1123(updated),
        "updated_std": times::std_in(updated, &ask.zone),
        "updated_timestamp": updated.secs(),
    });
    if let Some(object) = answer.as_object_mut() {
        if let Some(max) = paged.incidents.iter().map(|i| i.updated_id).max() {
            object.insert("max_updated_id".to_owned(), max.into());
        }
        if ask.text("limit").is_some() || ask.text("cursor").is_some() {
            let link = |cursor: &str| ask.page_link(feed.path(), cursor);
            object.insert(
                "cursor".to_owned(),
                cursor::object(paged.next.as_deref(), paged.prev.as_deref(), link),
            );
        }
    }
    Ok(Answer::success(answer))
}

async fn fetch(ask: Ask) -> Result<Answer, ApiError> {
    let Some(key) = ask.text("incident").or(ask.text("hash_id")) else {
        return Err(ApiError::bad("Parameter incident is required."));
    };
    let incident = find(&ask, key).await?;
    let extended = ask.flag("extended_details", false);
    let incidents = vec![incident];
    let details = details(&ask, &incidents, MAX_EVENTS_SINGLE).await?;
    let (Some(incident), Some(detail)) = (incidents.first(), details.first()) else {
        return Err(ApiError::internal());
    };
    let shown = if extended {
        super::search::found(&ask, incident, detail).await?
    } else {
        Look::of(&ask).single(incident, detail)
    };
    Ok(Answer::success(json!({"incident": shown})))
}

async fn one(ask: Ask, action: Action) -> Result<Answer, ApiError> {
    let key = ask.owned("incident");
    let incident = find(&ask, &key).await?;
    if action == Action::Delete && !incident.acknowledged {
        return Err(ApiError::conflict(
            "An incident must be acknowledged before it's deleted",
        ));
    }
    let which = Which::from(incident.key.as_str());
    act(&ask, which, action, false, Some(&incident)).await?;
    Ok(Answer::success(
        json!({"action": past(action), "key": incident.key}),
    ))
}

async fn bulk(ask: Ask, action: Action) -> Result<Answer, ApiError> {
    if ask.text("node_id").is_some() && ask.text("src_host").is_some() {
        return Err(ApiError::bad("Cannot use src_host and node_id together"));
    }
    let older_than = ask
        .text("older_than")
        .and_then(times::parse_span)
        .map(|span| before(ask.now, span));
    let unacknowledged = ask.flag("include_unacknowledged", false);
    let filter = Filter {
        acknowledged: match action {
            Action::Acknowledge => Some(false),
            Action::Unacknowledge => Some(true),
            Action::Delete => (!unacknowledged).then_some(true),
        },
        src_host: ask.text("src_host").map(str::to_owned),
        older_than,
        ..filter(&ask).await?
    };
    let keys = act(&ask, filter.into(), action, unacknowledged, None).await?;
    Ok(Answer::success(
        json!({"action": past(action), "keys": keys}),
    ))
}

async fn act(
    ask: &Ask,
    which: Which,
    action: Action,
    delete_unacknowledged: bool,
    single: Option<&Incident>,
) -> Result<Vec<String>, ApiError> {
    let store = ask.console.store.incidents();
    let keys = store
        .act(
            which,
            action,
            delete_unacknowledged,
            &ask.caller.who,
            ask.now,
        )
        .await?;
    if !keys.is_empty() {
        ask.incidents_changed().await?;
        let what = match (single, keys.len()) {
            (Some(incident), _) => format!("incident {}", incident.key),
            (None, 1) => "1 incident".to_owned(),
            (None, count) => format!("{count} incidents"),
        };
        let kind = match action {
            Action::Acknowledge => "incident_acknowledge",
            Action::Unacknowledge => "incident_unacknowledge",
            Action::Delete => "incident_delete",
        };
        ask.audit(
            kind,
            &format!("{} {what}", past(action)),
            single.map(|incident| incident.flock_id.as_str()),
        )
        .await?;
    }
    Ok(keys)
}

/// The incident of this id or hash id, if the caller may see it.
async fn find(ask: &Ask, key: &str) -> Result<Incident, ApiError> {
    ask.console
        .store
        .incidents()
        .get(key)
        .await?
        .filter(|incident| !incident.deleted && ask.caller.sees(&incident.flock_id))
        .ok_or_else(|| ApiError::not_found("Incident not found"))
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Acknowledge => "acknowledged",
        Action::Unacknowledge => "unacknowledged",
        Action::Delete => "deleted",
    }
}

fn before(now: Timestamp, span: std::time::Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.micros().saturating_sub(micros))
}

fn logtypes(ask: &Ask) -> Result<Option<Vec<u32>>, ApiError> {
    let Some(text) = ask.text("filter_logtypes") else {
        return Ok(None);
    };
    let mut numbers = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let number = part
            .parse()
            .map_err(|_| ApiError::invalid("filter_logtypes"))?;
        numbers.push(number);
        // The Word document has had both numbers.
        if number == 17_004 {
            numbers.push(17_002);
        }
    }
    Ok(Some(numbers))
}
