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
    stopping: watch::Receiver<bool>,
    started: bool,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

/// The stream: an event with the newest update number after each change, `ping` now and then,
/// `bye` when the session is over. It ends when the Console does.
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
        let first = Event::default().event("ping").data("").retry(RETRY);
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
    match tokio::time::timeout(HEARTBEAT, live.changes.changed()).await {
        Ok(Ok(())) => {
            tokio::time::sleep(COALESCE).await;
            let newest = *live.changes.borrow_and_update();
            Some(Event::default().data(newest.to_string()))
        }
        Ok(Err(_)) => None,
        Err(_) => match session::of(&live.at, &live.headers).await {
            Ok(None) => {
                live.over = true;
                Some(Event::default().event("bye").data(""))
            }
            _ => Some(Event::default().event("ping").data("")),
        },
    }
}
