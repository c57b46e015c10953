//! Live updates: one stream a page that tells when something changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{At, SignedIn, answer, session};

/// Streams open at once.
pub const MAX_STREAMS: usize = 64;
/// Changes within this time are told together.
const COALESCE: Duration = Duration::from_millis(250);
/// A sign of life this often; also when a session is looked at again.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long a browser waits before it connects again. Every connection ends after a while; so soon,
/// nobody notices.
const RETRY: Duration = Duration::from_millis(500);

struct Live {
    at: At,
    headers: HeaderMap,
    changes: watch::Receiver<i64>,
    tokens: watch::Receiver<()>,
    stopping: watch::Receiver<bool>,
    started: bool,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// The stream: an event with the newest update number after each change of incidents, `tokens`
/// after each change of tokens, `ping` now and then, `bye` when the session is over. It ends when
/// the Console does.
pub(super) async fn stream(
    State(at): State<At>,
    _: SignedIn,
    headers: HeaderMap,
) -> Response<Body> {
    let Ok(permit) = Arc::clone(&at.streams).try_acquire_owned() else {
        return answer::refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many pages are open. Close some.",
        );
    };
    let live = Live {
        changes: at.console.changes.subscribe(),
        tokens: at.console.store.tokens().changes(),
        stopping: at.console.stop.subscribe(),
        at,
        headers,
        started: false,
        over: false,
        _permit: permit,
    };
    answer::secure(Sse::new(stream::unfold(live, next)).into_response())
}

async fn next(mut live: Live) -> Option<(Result<Event, Infallible>, Live)> {
    if live.over {
        return None;
    }
    if !live.started {
        live.started = true;
        let first = named("ping").retry(RETRY);
        return Some((Ok(first), live));
    }
    let mut stopping = live.stopping.clone();
    let event = tokio::select! {
        event = news(&mut live) => event?,
        // The browser waits and connects again by itself.
        _ = stopping.wait_for(|stop| *stop) => return None,
    };
    Some((Ok(event), live))
}

async fn news(live: &mut Live) -> Option<Event> {
    let changed = async {
        tokio::select! {
            told = live.changes.changed() => told.map(|()| true),
            told = live.tokens.changed() => told.map(|()| false),
        }
    };
    match tokio::time::timeout(HEARTBEAT, changed).await {
        Ok(Ok(incidents)) => {
            tokio::time::sleep(COALESCE).await;
            Some(if incidents {
                let newest = *live.changes.borrow_and_update();
                Event::default().data(newest.to_string())
            } else {
                live.tokens.mark_unchanged();
                named("tokens")
            })
        }
        Ok(Err(_)) => None,
        Err(_) => match session::of(&live.at, &live.headers).await {
            Ok(None) => {
                live.over = true;
                Some(named("bye"))
            }
            _ => Some(named("ping")),
        },
    }
}

/// An event that says all by its name. It carries a character: browsers drop events without data.
fn named(name: &str) -> Event {
    Event::default().event(name).data(".")
}
