//! Token factories: secrets that can make and download tokens of one flock and nothing else.

use coalmine_store::tokens::Factory;
use coalmine_store::{Refusal, StoreError};
use serde_json::{Value, json};

use super::super::table::{Endpoint, Needs, TEXT, Takes, Verb, optional, required};
use super::super::{Answer, ApiError, Ask, keys};
use super::mint;

/// Below which path a factory works.
const URL: &str = "/api/v1/canarytoken/factory";

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/create_factory",
        doc: "Makes a factory for one flock.",
        params: &[
            required("flock_id", TEXT, "The flock of its tokens."),
            required("memo", Takes::Text(10_000), "What it's for.").else_say("Empty memo"),
        ],
        needs: Needs::Admin,
        tier: 1,
        run: |ask| Box::pin(create(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/list_factories",
        doc: "Factories.",
        params: &[optional("flock_id", TEXT, "Only of this flock.")],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(list(ask)),
    },
    Endpoint {
        methods: &[Verb::Delete],
        path: "canarytoken/delete_factory",
        doc: "Deletes a factory; its tokens stay.",
        params: &[required("factory_auth", TEXT, "The factory's secret.")],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(delete(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/factory/list",
        doc: "Kinds of tokens that factories make: id to title.",
        params: &[],
        needs: Needs::Factory,
        tier: 2,
        run: |ask| {
            Box::pin(async move {
                let kinds = super::kinds(&ask);
                Ok(Answer::success(json!({"factory_canarytokens": kinds})))
            })
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/factory/create",
        doc: "Makes a token of the factory's flock.",
        params: mint::PARAMS,
        needs: Needs::Factory,
        tier: 1,
        run: |ask| {
            let auth = ask.text("factory_auth").map(str::to_owned);
            Box::pin(mint::make(ask, auth))
        },
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/factory/download",
        doc: "The file of a token of the factory's flock.",
        params: &[required("canarytoken", TEXT, "The token's unique string.")],
        needs: Needs::Factory,
        tier: 1,
        run: |ask| Box::pin(mint::download(ask)),
    },
];

async fn create(ask: Ask) -> Result<Answer, ApiError> {
    let flock = ask.flock(&ask.owned("flock_id")).await?;
    let memo = super::memo(&ask)?;
    let auth = keys::secret()?;
    let tokens = ask.console.store.tokens();
    tokens
        .create_factory(Factory {
            auth: auth.clone(),
            flock_id: flock.id.clone(),
            memo,
            created: ask.now,
        })
        .await?;
    ask.audit(
        "canarytoken_create_factory",
        &format!("made a token factory for flock {}", flock.name),
        Some(&flock.id),
    )
    .await?;
    Ok(Answer::success(
        json!({"factory_auth": auth, "factory_url": URL}),
    ))
}

async fn list(ask: Ask) -> Result<Answer, ApiError> {
    let scope = ask.scope().await?;
    let tokens = ask.console.store.tokens();
    let shown: Vec<Value> = tokens
        .factories(None)
        .await?
        .into_iter()
        .filter(|factory| {
            let visible = scope.as_ref();
            visible.is_none_or(|flocks| flocks.contains(&factory.flock_id))
        })
        .map(|factory| {
            json!({
                "factory_auth": factory.auth,
                "flock_id": factory.flock_id,
                "memo": factory.memo,
            })
        })
        .collect();
    Ok(Answer::success(json!({"factories": shown})))
}

async fn delete(ask: Ask) -> Result<Answer, ApiError> {
    let missing = || ApiError::not_found("There is no such factory");
    let auth = ask.owned("factory_auth");
    let tokens = ask.console.store.tokens();
    let factory = tokens
        .factory(&auth)
        .await?
        .filter(|factory| ask.caller.sees(&factory.flock_id))
        .ok_or_else(missing)?;
    tokens
        .delete_factory(&auth)
        .await
        .map_err(|error| match error {
            StoreError::Refused(Refusal::Missing) => missing(),
            other => other.into(),
        })?;
    ask.audit(
        "canarytoken_delete_factory",
        "deleted a token factory",
        Some(&factory.flock_id),
    )
    .await?;
    Ok(Answer::success(
        json!({"msg": "TokenFactory auth string deleted"}),
    ))
}
