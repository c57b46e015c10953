//! Ping, licence, the API's own description.

use serde_json::{Value, json};

use super::table::{Endpoint, Needs, Verb};
use super::{Answer, ApiError, Ask, openapi};

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "ping",
        doc: "Checks the credential.",
        params: &[],
        needs: Needs::Credential,
        tier: 1,
        run: |_| Box::pin(async { Ok(Answer::done()) }),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: openapi::PATH,
        doc: "This description of the API.",
        params: &[],
        needs: Needs::Nothing,
        tier: 1,
        run: |ask| Box::pin(describe(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "license",
        doc: "How many birds there are.\nThere is nothing to buy, so no total limits them.",
        params: &[],
        needs: Needs::Read,
        tier: 4,
        run: |ask| Box::pin(license(ask)),
    },
];

async fn describe(ask: Ask) -> Result<Answer, ApiError> {
    match openapi(&ask.console.catalogue, ask.console.config.version) {
        Value::Object(document) => Ok(Answer::json(document)),
        _ => Err(ApiError::internal()),
    }
}

async fn license(ask: Ask) -> Result<Answer, ApiError> {
    let used = super::devices::visible(&ask).await?.len();
    // `total` is a number in every client that reads it.
    let total = i32::MAX;
    Ok(Answer::success(json!({
        "cloud": {"total": total, "used": 0},
        "devices": {"total": total, "used": used},
        "vm": {"total": total, "used": 0},
        "message": "Open source: nothing is licensed and no total applies.",
    })))
}
