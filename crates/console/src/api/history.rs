//! What a source has done before, deleted incidents included.

use coalmine_store::incidents::node_id_text;
use serde_json::json;

use super::render::{CONSOLE_ID, host};
use super::table::{Endpoint, Needs, TEXT, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask};

/// Most incidents in one answer, the newest first.
const MAX_HISTORY: usize = 1_000;

pub const ENDPOINTS: &[Endpoint] = &[Endpoint {
    methods: &[Verb::Get],
    path: "incidents/history/source",
    doc: "Incidents of one source, the newest first, also deleted ones.",
    params: &[
        required("src_ip", Takes::Address, "The source's address."),
        optional("flock_id", TEXT, "Only of this flock."),
    ],
    needs: Needs::Read,
    tier: 2,
    run: |ask| Box::pin(source(ask)),
}];

async fn source(ask: Ask) -> Result<Answer, ApiError> {
    let source = ask.owned("src_ip");
    let source = source
        .trim()
        .parse::<std::net::IpAddr>()
        .map_err(|_| ApiError::invalid("src_ip"))?
        .to_canonical()
        .to_string();
    let incidents = ask.console.store.incidents();
    let incidents = incidents
        .history(&source, ask.scope().await?, MAX_HISTORY)
        .await?;
    let shown: Vec<_> = incidents
        .iter()
        .map(|incident| {
            json!({
                "created": incident.created.secs(),
                "deleted": incident.deleted,
                "description": incident.title,
                "dst_port": incident.dst.port,
                "flock_id": incident.flock_id,
                "key": incident.key,
                "node_id": node_id_text(&incident.subject, CONSOLE_ID),
                "src_host": host(incident.src),
            })
        })
        .collect();
    Ok(Answer::success(json!({"incidents": shown})))
}
