//! The audit trail: who changed what.

use coalmine_core::Timestamp;
use coalmine_store::audit::AuditFilter;
use serde_json::{Value, json};

use super::table::{Endpoint, Needs, TEXT, Takes, Verb, optional};
use super::{Answer, ApiError, Ask, cursor, times};

/// Most records on a page.
const MAX_PAGE: i64 = 10_000;
const DEFAULT_PAGE: i64 = 100;

pub const ENDPOINTS: &[Endpoint] = &[Endpoint {
    methods: &[Verb::Get],
    path: "audit_trail/fetch",
    doc: "Records of the audit trail, the newest first.",
    params: &[
        optional(
            "limit",
            Takes::Number,
            "At most so many; the rest by cursor.",
        )
        .or("100"),
        optional("cursor", TEXT, "The next page of an earlier answer."),
        optional("action_filter", TEXT, "Only of this type."),
        optional("search_term", TEXT, "Only with this text."),
        optional("after_id", Takes::Number, "Only with a greater id."),
        optional(
            "start_date",
            TEXT,
            "Only from this day (`yyyy-mm-dd`) or instant on.",
        ),
        optional(
            "end_date",
            TEXT,
            "Only until the end of this day, or before this instant.",
        ),
        optional("tz", Takes::Zone, "Time zone of `timestamp`.").or("UTC"),
    ],
    needs: Needs::Read,
    tier: 1,
    run: |ask| Box::pin(fetch(ask)),
}];

async fn fetch(ask: Ask) -> Result<Answer, ApiError> {
    let filter = AuditFilter {
        action: ask.text("action_filter").map(str::to_owned),
        search: ask.text("search_term").map(str::to_owned),
        after_id: ask.number("after_id"),
        from: date(&ask, "start_date", 0)?,
        to: date(&ask, "end_date", 86_400)?,
        flocks: ask.caller.flocks.clone(),
    };
    // Direction, newest id on the page, page size, page to fetch, 2, pages; as documented, the form
    // of the page before starts with 1.
    let (start, size, number) = match ask.text("cursor") {
        Some(text) => match cursor::decode::<6>(text) {
            Some([_, start, size, number, _, _]) if size > 0 && number > 0 => {
                (Some(start), size, number)
            }
            _ => return Err(ApiError::invalid("cursor")),
        },
        None => match ask.number("limit") {
            Some(0) => return Err(ApiError::invalid("limit")),
            limit => (None, limit.unwrap_or(DEFAULT_PAGE), 1),
        },
    };
    let size = size.min(MAX_PAGE);
    let limit = usize::try_from(size).unwrap_or(1);
    let audit = ask.console.store.audit();
    let (mut records, total) = audit
        .page(filter.clone(), start, limit.saturating_add(1))
        .await?;
    let pages = pages(total, size);
    let next = records
        .get(limit)
        .map(|record| cursor::encode(&[0, record.id, size, number.saturating_add(1), 2, pages]));
    records.truncate(limit);
    let prev = match records.first() {
        Some(first) if number > 1 => {
            // The records just above, of which the last on that page is the one after `first`.
            let above = AuditFilter {
                after_id: Some(first.id),
                ..filter
            };
            let (above, count) = audit.page(above, None, 1).await?;
            let skipped = count.saturating_sub(limit as u64);
            above.first().map(|newest| {
                let start = newest
                    .id
                    .saturating_sub(i64::try_from(skipped).unwrap_or(0));
                cursor::encode(&[1, start, size, number - 1, 2, pages])
            })
        }
        _ => None,
    };
    let shown: Vec<Value> = records
        .iter()
        .map(|record| {
            json!({
                "action_type": record.action,
                "additional_information": record.details,
                "flock_id": record.flock_id,
                "id": record.id,
                "message": record.message,
                "timestamp": times::std_in(record.at, &ask.zone),
                "user": record.user,
                "user_browser_agent": record.user_agent.as_deref().unwrap_or_default(),
                "user_browser_language": record.user_language.as_deref().unwrap_or_default(),
                "user_ip": record.user_ip.as_deref().unwrap_or_default(),
            })
        })
        .collect();
    Ok(Answer::success(json!({
        "audit_trail": shown,
        "cursor": {"next": next, "prev": prev},
        "page_count": pages,
        "page_number": number,
    })))
}

/// How many pages of `size`; at least one.
fn pages(total: u64, size: i64) -> i64 {
    let size = u64::try_from(size).unwrap_or(1).max(1);
    i64::try_from(total.div_ceil(size))
        .unwrap_or(i64::MAX)
        .max(1)
}

/// A day or an instant; a day counts `plus` seconds later.
fn date(ask: &Ask, name: &str, plus: i64) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = ask.text(name) else {
        return Ok(None);
    };
    if let Some(at) = times::parse_instant(text) {
        return Ok(Some(at));
    }
    let at =
        times::parse_instant(&format!("{text}-00:00:00")).ok_or_else(|| ApiError::invalid(name))?;
    Ok(Some(Timestamp::from_secs(at.secs().saturating_add(plus))))
}
