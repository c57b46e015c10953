//! Lists of tokens.

use coalmine_store::tokens::{TokenFilter, TokenRow};
use serde_json::{Map, Value, json};

use super::super::{Answer, ApiError, Ask, cursor, times};
use super::show;

/// Most tokens in one answer.
const MAX_TOKENS: usize = 10_000;
const DEFAULT_PAGE: i64 = 10;
/// Holds the next page's cursor for clients that send the cursor object back in place of a cursor.
const COOKIE: &str = "coalmine_tokens_cursor";

/// All tokens at once.
pub async fn all(ask: Ask) -> Result<Answer, ApiError> {
    let filter = filter(&ask).await?;
    let tokens = ask.console.store.tokens();
    let page = tokens.page(filter, None, MAX_TOKENS).await?;
    let shown: Vec<_> = page.tokens.iter().map(|token| show(&ask, token)).collect();
    Ok(Answer::success(json!({"tokens": shown})))
}

/// By page. The Python client puts the whole cursor object into its next request, so that `cursor`
/// arrives as the word `next`; the real cursor is then in a cookie, and the last page's cursor is
/// an empty object, for it stops at nothing else.
pub async fn paginate(mut ask: Ask) -> Result<Answer, ApiError> {
    if ask.text("cursor") == Some("next") {
        let kept = ask.cookie(COOKIE).unwrap_or_default().to_owned();
        if kept.is_empty() {
            // Its cookie is gone: an end is better than the first page for ever.
            return Ok(Answer::success(json!({
                "canarytokens": [], "cursor": {}, "page_num": 1, "page_total": 1,
            })));
        }
        ask.params.set("cursor", &kept);
    }
    let filter = filter(&ask).await?;
    let page = page(&ask, filter).await?;
    let shown: Vec<_> = page.tokens.iter().map(|token| show(&ask, token)).collect();
    let link = |cursor: &str| ask.page_link("canarytokens/paginate", cursor);
    let cursor = match &page.next {
        None => json!({}),
        next => cursor::object(next.as_deref(), page.prev.as_deref(), link),
    };
    let kept = page.next.as_deref().unwrap_or_default();
    let cookie = format!("{COOKIE}={kept}; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Strict");
    Ok(Answer::success(json!({
        "canarytokens": shown,
        "cursor": cursor,
        "page_num": page.number,
        "page_total": page.pages,
    }))
    .with_cookie(cookie))
}

/// Those that fit.
pub async fn search(ask: Ask) -> Result<Answer, ApiError> {
    let active = ask.text("active").map(|_| ask.flag("active", true));
    let filter = TokenFilter {
        kind: ask.text("kind").map(str::to_owned),
        enabled: active,
        search: ask.text("search_string").map(str::to_owned),
        ..filter(&ask).await?
    };
    let page = page(&ask, filter).await?;
    let shown: Vec<Map<String, Value>> = page
        .tokens
        .iter()
        .map(|token| {
            let mut object = show(&ask, token);
            object.insert(
                "unacked_alert_count".to_owned(),
                token.unacknowledged.into(),
            );
            object.insert(
                "last_triggered".to_owned(),
                token
                    .last_hit
                    .map_or(String::new(), times::plain_utc)
                    .into(),
            );
            object
        })
        .collect();
    let link = |cursor: &str| ask.page_link("canarytokens/search", cursor);
    Ok(Answer::success(json!({
        "canarytokens": shown,
        "cursor": cursor::object(page.next.as_deref(), page.prev.as_deref(), link),
        "page_number": page.number,
        "total_pages": page.pages,
        "total_results": page.total,
    })))
}

struct Paged {
    tokens: Vec<TokenRow>,
    next: Option<String>,
    prev: Option<String>,
    number: i64,
    pages: i64,
    total: u64,
}

/// A cursor is: 1, start, start of the page before (0 for the first), page size, page to fetch,
/// pages.
async fn page(ask: &Ask, filter: TokenFilter) -> Result<Paged, ApiError> {
    let (start, before, size, number) = match ask.text("cursor") {
        Some(text) => match cursor::decode::<6>(text) {
            Some([_, start, before, size, number, _]) if size > 0 && number > 0 => {
                (Some(start), before, size, number)
            }
            _ => return Err(ApiError::invalid("cursor")),
        },
        None => match ask.number("limit") {
            Some(0) => return Err(ApiError::invalid("limit")),
            limit => (None, 0, limit.unwrap_or(DEFAULT_PAGE), 1),
        },
    };
    let limit = usize::try_from(size).unwrap_or(MAX_TOKENS).min(MAX_TOKENS);
    let size = i64::try_from(limit).unwrap_or(DEFAULT_PAGE);
    let tokens = ask.console.store.tokens();
    let found = tokens.page(filter, start, limit.saturating_add(1)).await?;
    let pages = i64::try_from(found.total.div_ceil(limit.max(1) as u64))
        .unwrap_or(i64::MAX)
        .max(1);
    let mut rows = found.tokens;
    let first = rows.first().map_or(0, |token| token.updated_id);
    let next = rows.get(limit).map(|token| {
        let number = number.saturating_add(1);
        cursor::encode(&[1, token.updated_id, first, size, number, pages])
    });
    rows.truncate(limit);
    let prev = (number > 1 && before > 0)
        .then(|| cursor::encode(&[1, before, 0, size, number - 1, pages]));
    Ok(Paged {
        tokens: rows,
        next,
        prev,
        number,
        pages,
        total: found.total,
    })
}

async fn filter(ask: &Ask) -> Result<TokenFilter, ApiError> {
    Ok(TokenFilter {
        flocks: ask.scope().await?,
        ..TokenFilter::default()
    })
}
