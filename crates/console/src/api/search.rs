//! Search over incidents, in the flat shape.

use std::collections::{BTreeMap, HashMap};

use coalmine_core::Subject;
use coalmine_store::incidents::{Filter, Incident};
use serde_json::{Value, json};

use super::incidents::{Detail, Feed, MAX_EVENTS, details, filter, page};
use super::render::{Look, host};
use super::table::{Endpoint, Needs, TEXT, Takes, Verb, optional};
use super::{Answer, ApiError, Ask, cursor};

/// Incidents on a page where the caller doesn't say how many.
const DEFAULT_LIMIT: &str = "1000";

pub const ENDPOINTS: &[Endpoint] = &[Endpoint {
    methods: &[Verb::Get],
    path: "incidents/search",
    doc: "Incidents that fit, the one that changed last first.",
    params: &[
        optional("node_id", TEXT, "Only of this bird or token."),
        optional("flock_id", TEXT, "Only of this flock."),
        optional(
            "filter_str",
            TEXT,
            "Only with this text in title, name, node id, addresses, reverse name or memo.",
        ),
        optional(
            "filter_logtypes",
            TEXT,
            "Only of these numbers, with commas between them.",
        ),
        optional("newer_than", Takes::Instant, "Only created after."),
        optional("older_than", Takes::Instant, "Only created before."),
        optional(
            "filter_incident_state",
            Takes::Word(&["all", "unacknowledged", "acknowledged"]),
            "Only in this state.",
        )
        .or("unacknowledged"),
        optional(
            "limit",
            Takes::Number,
            "At most so many; the rest by cursor.",
        )
        .or(DEFAULT_LIMIT),
        optional("cursor", TEXT, "The next page of an earlier answer."),
        optional("tz", Takes::Zone, "Time zone of `*_std` fields.").or("UTC"),
    ],
    needs: Needs::Read,
    tier: 1,
    run: |ask| Box::pin(search(ask)),
}];

async fn search(mut ask: Ask) -> Result<Answer, ApiError> {
    let feed = match ask.text("filter_incident_state") {
        Some("all") => Feed::All,
        Some("acknowledged") => Feed::Acknowledged,
        _ => Feed::Unacknowledged,
    };
    ask.params.fall_back("limit", DEFAULT_LIMIT);
    let filter = Filter {
        acknowledged: feed.acknowledged(),
        ..filter(&ask).await?
    };
    let paged = page(&ask, &filter, feed, true).await?;
    let details = details(&ask, &paged.incidents, MAX_EVENTS).await?;
    let seen = seen(&ask, &paged.incidents).await?;
    let mut entries = Vec::with_capacity(paged.incidents.len());
    let mut sources: BTreeMap<String, u64> = BTreeMap::new();
    for (incident, detail) in paged.incidents.iter().zip(&details) {
        entries.push(shown(&ask, incident, detail, &seen).await?);
        let source = host(incident.src);
        if !source.is_empty() {
            *sources.entry(source).or_default() += 1;
        }
    }
    let link = |cursor: &str| ask.page_link("incidents/search", cursor);
    Ok(Answer::success(json!({
        "cursor": cursor::object(paged.next.as_deref(), paged.prev.as_deref(), link),
        "incident_source_counts": sources,
        "incidents": entries,
        "page_number": paged.number,
        "total_pages": paged.pages,
        "total_results": paged.total,
    })))
}

/// One incident in the shape of the search.
pub async fn found(ask: &Ask, incident: &Incident, detail: &Detail) -> Result<Value, ApiError> {
    let seen = seen(ask, std::slice::from_ref(incident)).await?;
    shown(ask, incident, detail, &seen).await
}

async fn shown(
    ask: &Ask,
    incident: &Incident,
    detail: &Detail,
    seen: &HashMap<String, u64>,
) -> Result<Value, ApiError> {
    let device = match &incident.subject {
        Subject::Bird(id) => ask.console.store.devices().get(*id).await?,
        _ => None,
    };
    let count = seen.get(&incident.src.ip.to_string()).copied().unwrap_or(0);
    Ok(Look::of(ask).found(incident, detail, device.as_ref(), count))
}

/// How many incidents each source has made.
async fn seen(ask: &Ask, incidents: &[Incident]) -> Result<HashMap<String, u64>, ApiError> {
    let mut sources: Vec<String> = incidents.iter().map(|i| i.src.ip.to_string()).collect();
    sources.sort();
    sources.dedup();
    let incidents = ask.console.store.incidents();
    Ok(incidents.previously_seen(&sources).await?)
}
