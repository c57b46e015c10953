//! API keys: for all flocks, and for one.

use coalmine_store::keys::{ApiKey, NewKey, Role};
use coalmine_store::{Refusal, StoreError};
use serde_json::{Value, json};

use super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask};
use crate::setup;

const NOTE: Param = required("note", Takes::Text(255), "What it's for.");
const FLOCK: Param = required("flock_id", TEXT, "The flock's id.");

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Post],
        path: "auth_token/add",
        doc: "Makes a key for all flocks.\nIts secret is shown this once: only a hash of it is kept.",
        params: &[
            required(
                "auth_token_type",
                Takes::Word(&["read-only", "analyst", "admin"]),
                "What it may do.",
            ),
            NOTE,
        ],
        needs: Needs::GlobalAdmin,
        tier: 2,
        run: |ask| Box::pin(add(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "auth_token/list",
        doc: "Keys for all flocks.\nSecrets aren't kept, so `auth_token` is masked.",
        params: &[],
        needs: Needs::GlobalAdmin,
        tier: 2,
        run: |ask| Box::pin(list(ask)),
    },
    Endpoint {
        methods: &[Verb::Delete],
        path: "auth_token/remove",
        doc: "Removes a key.",
        params: &[required("key_id", TEXT, "The key's id.")],
        needs: Needs::GlobalAdmin,
        tier: 2,
        run: |ask| Box::pin(remove(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "auth_token/download",
        doc: "The configuration file for API clients, with the key that asks.\nThe key must come as a header or parameter: others aren't kept.",
        params: &[],
        needs: Needs::GlobalAdmin,
        tier: 2,
        run: |ask| Box::pin(download(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/auth_token/add",
        doc: "Makes a key for one flock.\nIts secret is shown this once: only a hash of it is kept.",
        params: &[
            optional(
                "auth_token_type",
                Takes::Word(&[
                    "read-only",
                    "analyst",
                    "admin",
                    "canarytoken-deploy",
                    "breadcrumb-deploy",
                ]),
                "What it may do.",
            )
            .or("read-only"),
            FLOCK,
            NOTE,
        ],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(flock_add(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "flock/auth_token/list",
        doc: "Keys for one flock.\nSecrets aren't kept, so `auth_token` is masked.",
        params: &[FLOCK],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(flock_list(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/auth_token/remove",
        doc: "Removes a flock's key by its secret.",
        params: &[required("remove_auth_token", TEXT, "The key's secret.")],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(flock_remove(ask)),
    },
];

/// 32 random hex digits.
pub fn secret() -> Result<String, ApiError> {
    setup::api_key().map_err(|error| {
        tracing::error!(error = %error, "no randomness for a secret");
        ApiError::internal()
    })
}

async fn add(ask: Ask) -> Result<Answer, ApiError> {
    let key = make(&ask, None).await?;
    Ok(Answer::success(json!({"global_api_key": key})))
}

async fn flock_add(ask: Ask) -> Result<Answer, ApiError> {
    let flock = ask.flock(&ask.owned("flock_id")).await?;
    let key = make(&ask, Some(flock.id)).await?;
    Ok(Answer::success(json!({"flock_api_key": key})))
}

async fn make(ask: &Ask, flock_id: Option<String>) -> Result<Value, ApiError> {
    let role: Role = ask
        .text("auth_token_type")
        .unwrap_or("read-only")
        .parse()
        .map_err(|_| ApiError::invalid("auth_token_type"))?;
    let secret = secret()?;
    let key = ApiKey {
        key_id: self::secret()?.chars().take(8).collect(),
        role,
        flock_id,
        note: ask.owned("note"),
        created: ask.now,
        created_by: ask.caller.who.clone(),
        last_used: None,
    };
    let new = NewKey {
        key_id: key.key_id.clone(),
        role,
        flock_id: key.flock_id.clone(),
        note: key.note.clone(),
        created: key.created,
        created_by: key.created_by.clone(),
    };
    ask.console.store.keys().create(new, &secret).await?;
    ask.audit(
        "auth_token_add",
        &format!("made the API key {} ({role})", key.key_id),
        key.flock_id.as_deref(),
    )
    .await?;
    Ok(show(&key, &secret))
}

async fn list(ask: Ask) -> Result<Answer, ApiError> {
    let keys = ask.console.store.keys().list(Some(None)).await?;
    let shown: Vec<Value> = keys.iter().map(|key| show(key, MASK)).collect();
    Ok(Answer::success(json!({"global_api_keys": shown})))
}

async fn flock_list(ask: Ask) -> Result<Answer, ApiError> {
    let flock = ask.flock(&ask.owned("flock_id")).await?;
    let keys = ask.console.store.keys();
    let keys = keys.list(Some(Some(&flock.id))).await?;
    let shown: Vec<Value> = keys.iter().map(|key| show(key, MASK)).collect();
    Ok(Answer::success(json!({"flock_api_keys": shown})))
}

async fn remove(ask: Ask) -> Result<Answer, ApiError> {
    let id = ask.owned("key_id");
    let keys = ask.console.store.keys();
    // The global endpoint removes global keys alone.
    if !keys
        .list(Some(None))
        .await?
        .iter()
        .any(|key| key.key_id == id)
    {
        return Err(missing());
    }
    keys.remove(&id).await?;
    ask.audit(
        "auth_token_remove",
        &format!("removed the API key {id}"),
        None,
    )
    .await?;
    Ok(Answer::done())
}

async fn flock_remove(ask: Ask) -> Result<Answer, ApiError> {
    let keys = ask.console.store.keys();
    let secret = ask.owned("remove_auth_token");
    let Some(key) = keys.authenticate(&secret, ask.now).await? else {
        return Err(missing());
    };
    let Some(flock_id) = key.flock_id.clone().filter(|id| ask.caller.sees(id)) else {
        return Err(missing());
    };
    keys.remove_secret(&secret)
        .await
        .map_err(|error| match error {
            StoreError::Refused(Refusal::Missing) => missing(),
            other => other.into(),
        })?;
    let message = format!("removed the API key {}", key.key_id);
    ask.audit("auth_token_remove", &message, Some(&flock_id))
        .await?;
    Ok(Answer::done())
}

async fn download(ask: Ask) -> Result<Answer, ApiError> {
    let Some(key) = ask.caller.key.as_deref() else {
        return Err(ApiError::bad(
            "Keys aren't kept; authenticate with the key that the file shall hold",
        ));
    };
    let domain = ask.origin.trim_start_matches("https://");
    let text = setup::client_config(key, domain);
    ask.audit(
        "auth_token_download",
        "downloaded the API configuration",
        None,
    )
    .await?;
    Ok(Answer::file(
        "canarytools.config",
        "text/plain",
        text.into_bytes(),
    ))
}

fn missing() -> ApiError {
    ApiError::not_found("There is no such API key")
}

/// What stands in place of a secret that isn't kept.
const MASK: &str = "********************************";

fn show(key: &ApiKey, secret: &str) -> Value {
    let role = key.role.to_string();
    let mut shown = json!({
        "auth_token": secret,
        "created": key.created.std(),
        "created_by": key.created_by,
        "key_id": key.key_id,
        "note": key.note,
    });
    if let Some(object) = shown.as_object_mut() {
        match &key.flock_id {
            // Global answers show the type capitalised.
            None => {
                let mut chars = role.chars();
                let first = chars.next().map(|c| c.to_ascii_uppercase());
                let role: String = first.into_iter().chain(chars).collect();
                object.insert("auth_token_type".to_owned(), role.into());
            }
            Some(flock_id) => {
                object.insert("auth_token_type".to_owned(), role.into());
                object.insert("managed_flocks".to_owned(), json!([flock_id]));
                object.insert("watched_flocks".to_owned(), json!([]));
                object.insert(
                    "last_used".to_owned(),
                    key.last_used.map(|at| at.std()).into(),
                );
            }
        }
    }
    shown
}
