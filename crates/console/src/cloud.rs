//! Tokens that live in an operator's account at a cloud: making, switching and taking back their
//! credentials, and asking from time to time what was done with them.
//!
//! A use is recorded before the mark that says it was seen, and always with the same sighting id:
//! a stop in between tells it twice to the store, which keeps it once.

use std::collections::BTreeMap;
use std::sync::Arc;

use coalmine_core::token::{
    CONNECTED, CloudError, CloudProvider, CloudTouch, EVENT_KEY, INTEGRATION, Looked, Token,
    TokenKind,
};
use coalmine_core::{Endpoint, Sighting, SightingId, Subject, TokenId};
use coalmine_store::StoreError;
use coalmine_store::tokens::{TokenFilter, TokenRow};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::channels::touch_fields;
use crate::{Console, Shared, ingest, now};

/// Most tokens of one account that are looked after.
const MAX_TOKENS: usize = 10_000;
/// Held while a token is switched: of two switches at once, the one that ends last at the cloud must
/// be the one that ends last here, or an enabled token would have a dead key.
static SWITCH: Mutex<()> = Mutex::const_new(());

/// Looks after the tokens of one account until the store is closed.
pub async fn run(console: Shared, provider: Arc<dyn CloudProvider>) {
    let mut ticks = tokio::time::interval(provider.pause());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        ticks.tick().await;
        match round(&console, &provider).await {
            Ok(()) => told = false,
            Err(StoreError::Closed) => return,
            Err(error) if !told => {
                tracing::error!(kind = provider.kind(), %error, "can't keep what a cloud tells; trying again");
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// One look at all tokens, and a word where the account stands otherwise than before. How it stood
/// is in the store, so that a problem from before a restart ends too.
async fn round(console: &Shared, provider: &Arc<dyn CloudProvider>) -> Result<(), StoreError> {
    let problem = look(console, provider).await?;
    let problem = problem.map(|problem| problem.0).unwrap_or_default();
    let settings = console.store.settings();
    let name = state(provider.kind());
    let told: String = settings.get(&name).await?.unwrap_or_default();
    if problem == told {
        return Ok(());
    }
    match problem.as_str() {
        "" => tracing::info!(kind = provider.kind(), "the cloud answers again"),
        problem => tracing::warn!(
            kind = provider.kind(),
            problem,
            "a cloud can't be asked about tokens; trying again"
        ),
    }
    settings.put(&name, &problem).await
}

/// One look at all tokens, until the cloud can't be reached; what was wrong with the last that
/// failed.
async fn look(
    console: &Shared,
    provider: &Arc<dyn CloudProvider>,
) -> Result<Option<CloudError>, StoreError> {
    let Some(kind) = console.catalogue.token(provider.kind()) else {
        return Ok(None);
    };
    let filter = TokenFilter {
        kind: Some(kind.id.to_owned()),
        ..TokenFilter::default()
    };
    let rows = console
        .store
        .tokens()
        .page(filter, None, MAX_TOKENS)
        .await?;
    let settings = console.store.settings();
    let marks = format!("cloud_marks:{}", kind.id);
    let mut known: BTreeMap<String, Value> = settings.get(&marks).await?.unwrap_or_default();
    let mut problem = None;
    let rows: Vec<TokenRow> = rows
        .tokens
        .into_iter()
        .filter(|row| is_connected(&row.fields))
        .collect();
    // Disabled tokens keep their marks: what was told once isn't told again when they're enabled.
    known.retain(|id, _| rows.iter().any(|row| row.id.as_str() == id));
    for row in rows.into_iter().filter(|row| row.enabled) {
        let id = row.id.clone();
        let mark = known.get(id.as_str()).cloned().unwrap_or_default();
        let (asked, token) = (Arc::clone(provider), token(row));
        let looked = tokio::task::spawn_blocking(move || asked.look(&token, &mark, now())).await;
        let Ok(Looked {
            touches,
            mark,
            problem: failed,
            is_unreachable,
        }) = looked
        else {
            problem = Some(CloudError("the look ended before its time".to_owned()));
            continue;
        };
        let sightings: Vec<Sighting> = touches
            .into_iter()
            .map(|touch| sighting(kind, &id, touch))
            .collect();
        problem = failed.or(problem);
        known.insert(id.to_string(), mark);
        if !sightings.is_empty() {
            ingest::record_now(console, sightings).await?;
            settings.put(&marks, &known).await?;
        }
        if is_unreachable {
            break;
        }
    }
    settings.put(&marks, &known).await?;
    Ok(problem)
}

/// Whether a token with these fields lives in an account.
pub fn is_connected(fields: &Map<String, Value>) -> bool {
    fields.get(INTEGRATION).and_then(Value::as_str) == Some(CONNECTED)
}

/// The account that tokens of this kind live in.
pub fn provider<'a>(console: &'a Console, kind: &str) -> Option<&'a Arc<dyn CloudProvider>> {
    let clouds = &console.config.token_others.clouds;
    clouds.iter().find(|cloud| cloud.kind() == kind)
}

/// Makes credentials for a new token, where its kind has an account.
///
/// # Errors
/// What the cloud says.
pub async fn create(
    console: &Console,
    kind: &str,
    id: &TokenId,
) -> Result<Option<Map<String, Value>>, CloudError> {
    let Some(provider) = provider(console, kind).map(Arc::clone) else {
        return Ok(None);
    };
    let id = id.clone();
    blocking(move || provider.create(&id)).await.map(Some)
}

/// Takes a token's credentials back, where it lives in an account.
///
/// # Errors
/// What the cloud says; also where the account isn't configured any more.
pub async fn delete(
    console: &Console,
    kind: &str,
    fields: &Map<String, Value>,
) -> Result<(), CloudError> {
    if !is_connected(fields) {
        return Ok(());
    }
    let provider = account(console, kind)
        .map_err(|problem| CloudError(format!("{problem} and disable the token")))?;
    let fields = fields.clone();
    blocking(move || provider.delete(&fields)).await
}

/// Lets a token alert or not, and its credentials be valid or not, where it lives in an account;
/// what the cloud didn't do of that. A token whose credentials can't be made valid stays disabled,
/// one whose credentials stay valid is disabled nevertheless.
///
/// A token that is shown as enabled must alert, and a cloud needn't record what is tried with dead
/// credentials. So a token is enabled after its credentials and disabled before them: wherever that
/// ends halfway, enabled tokens have valid ones. A disabled token whose key is still valid is the
/// smaller harm, since its user may do nothing; and it must be possible to silence a token while
/// the cloud is away or refuses.
///
/// # Errors
/// The store's.
pub async fn set_enabled(
    console: &Console,
    token: &TokenRow,
    enabled: bool,
) -> Result<Option<CloudError>, StoreError> {
    let tokens = console.store.tokens();
    if !is_connected(&token.fields) {
        tokens.set_enabled(&token.id, enabled).await?;
        return Ok(None);
    }
    if !enabled {
        // Nobody is told from now on, however long other switches take.
        tokens.set_enabled(&token.id, false).await?;
    }
    let held = SWITCH.lock().await;
    if !enabled {
        // Another switch may have enabled it meanwhile.
        tokens.set_enabled(&token.id, false).await?;
    }
    let switched = match account(console, &token.kind) {
        Ok(provider) => {
            let fields = token.fields.clone();
            // The lock goes along: the cloud is asked to the end even where nobody waits for it any more.
            blocking(move || provider.set_enabled(&fields, enabled).map(|()| held)).await
        }
        Err(problem) => Err(problem),
    };
    if enabled && switched.is_ok() {
        tokens.set_enabled(&token.id, true).await?;
    }
    Ok(switched.err())
}

/// How a kind stands: `connected` or `local`, how far its tokens then reach, and what is wrong with
/// its account (empty for nothing).
pub async fn standing(console: &Console, kind: &TokenKind) -> (&'static str, &'static str, String) {
    let Some(provider) = provider(console, kind.id) else {
        return ("local", kind.reach.limits(), String::new());
    };
    let problem = console
        .store
        .settings()
        .get::<String>(&state(kind.id))
        .await;
    let problem = problem.ok().flatten().unwrap_or_default();
    (CONNECTED, provider.reach(), problem)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CloudError> + Send + 'static,
) -> Result<T, CloudError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(CloudError("the request ended before its time".to_owned())))
}

/// The account that tokens of this kind must live in.
fn account(console: &Console, kind: &str) -> Result<Arc<dyn CloudProvider>, CloudError> {
    provider(console, kind).map(Arc::clone).ok_or_else(|| {
        let problem = "its credentials are of an account that is not configured any more: configure \
                       it, or delete them there";
        CloudError(problem.to_owned())
    })
}

fn state(kind: &str) -> String {
    format!("cloud_problem:{kind}")
}

fn token(row: TokenRow) -> Token {
    Token {
        id: row.id,
        kind: row.kind,
        memo: row.memo,
        fields: row.fields,
        params: row.params,
    }
}

fn sighting(kind: &TokenKind, id: &TokenId, touch: CloudTouch) -> Sighting {
    let CloudTouch {
        id: event,
        at,
        source,
        mut fields,
    } = touch;
    touch_fields(kind, id, "http", &mut fields);
    let hash = Sha256::digest(format!("cloud {} {id} {event}", kind.id));
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash) {
        *byte = hashed;
    }
    Sighting {
        id: SightingId::from_parts(
            u64::try_from(at.millis()).unwrap_or(0),
            u128::from_be_bytes(bytes),
        ),
        at,
        subject: Subject::Token(id.clone()),
        kind: EVENT_KEY.into(),
        logtype: kind.logtype,
        src: source.map_or(Endpoint::NONE, |ip| Endpoint { ip, port: 0 }),
        dst: Endpoint::NONE,
        fields: coalmine_core::event::raw(&fields),
    }
}

#[cfg(test)]
mod tests;
