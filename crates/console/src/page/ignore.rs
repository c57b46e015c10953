//! What an ignore rule would have hidden, before it is saved.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Response, StatusCode};
use coalmine_core::Timestamp;
use coalmine_store::incidents::Filter;
use serde::Deserialize;

use super::{At, SignedIn, answer, failed, scope};
use crate::now;

/// How far back is looked.
const MAX_BACK: Duration = Duration::from_hours(30 * 24);

/// A rule, as the API takes it.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    src_ip: String,
    #[serde(default)]
    dst_port: String,
}

/// `{"result": "success", "hidden": N}`: incidents of the last 30 days that the rule would have
/// hidden. Which port an incident touched is its first event's.
pub(super) async fn would_hide(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let Ok(source) = asked.src_ip.trim().parse::<IpAddr>() else {
        return wrong("Write an address such as 10.1.4.7.");
    };
    let port = match asked.dst_port.trim() {
        "" => None,
        text => match text.parse::<u16>() {
            Ok(port @ 1..) => Some(port),
            _ => {
                return wrong("A port is a number from 1 to 65535; leave it empty for every port.");
            }
        },
    };
    let hidden = async {
        let filter = Filter {
            src_host: Some(source.to_canonical().to_string()),
            dst_port: port,
            newer_than: Some(ago(MAX_BACK)),
            flocks: scope(&at, &session).await?,
            with_deleted: true,
            ..Filter::default()
        };
        at.console.store.incidents().source_counts(filter).await
    };
    match hidden.await {
        Ok(counts) => {
            let hidden = counts.first().map_or(0, |(_, count)| *count);
            answer::json(&serde_json::json!({"result": "success", "hidden": hidden}))
        }
        Err(error) => failed(&error),
    }
}

fn ago(time: Duration) -> Timestamp {
    let back = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now().micros().saturating_sub(back))
}

fn wrong(message: &str) -> Response<Body> {
    answer::refusal(StatusCode::BAD_REQUEST, message)
}
