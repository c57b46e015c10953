//! The tokens' zones: what the DNS must be told of them, and probes by which they are tested.

use coalmine_core::{Seed, TokenId};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::table::{Endpoint, Needs, TEXT, Verb, required};
use super::super::{Answer, ApiError, Ask};
use crate::channels::{Arrival, NAME_SERVER};
use crate::setup;

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/dns",
        doc: "The zones of tokens, the address that their names resolve to, and where the DNS channel listens.\nNot part of the documented contract.",
        params: &[],
        needs: Needs::Read,
        tier: 3,
        run: |ask| Box::pin(plan(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/dns/probe",
        doc: "Makes a label; queries for names with it directly left of a zone are told by `canarytokens/dns/arrivals` for two minutes, and are no incidents.\nNot part of the documented contract.",
        params: &[],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| Box::pin(probe(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/dns/arrivals",
        doc: "Queries for a probe that have arrived so far.\nNot part of the documented contract.",
        params: &[required("probe", TEXT, "The label.")],
        needs: Needs::Read,
        tier: 3,
        run: |ask| Box::pin(arrivals(ask)),
    },
];

async fn plan(ask: Ask) -> Result<Answer, ApiError> {
    let settings = ask.console.store.settings().console().await?;
    let config = &ask.console.config;
    Ok(Answer::success(json!({"dns": {
        "zone": config.zone.trim_end_matches('.'),
        "nx_zone": config.nx_zone.as_deref().map(|zone| zone.trim_end_matches('.')),
        "domains": settings.token_domains,
        "public_address": config.public_address,
        "name_server": NAME_SERVER,
        "listens": config.token_dns,
    }})))
}

async fn probe(ask: Ask) -> Result<Answer, ApiError> {
    let random = setup::random().map_err(|_| ApiError::internal())?;
    let id = TokenId::from_seed(&Seed::new(random));
    ask.console.probes.add(id.clone(), Instant::now());
    Ok(Answer::success(json!({"probe": id.as_str()})))
}

async fn arrivals(ask: Ask) -> Result<Answer, ApiError> {
    let missing = || ApiError::not_found("Could not find the probe");
    let id: TokenId = ask.owned("probe").parse().map_err(|_| missing())?;
    let probes = &ask.console.probes;
    let arrivals = probes.arrivals(&id, Instant::now()).ok_or_else(missing)?;
    let shown: Vec<Value> = arrivals.iter().map(arrival).collect();
    Ok(Answer::success(json!({"arrivals": shown})))
}

fn arrival(arrival: &Arrival) -> Value {
    json!({
        "name": arrival.name,
        "query_type": arrival.query_type,
        "src_host": arrival.client,
        "transport": arrival.transport,
    })
}
