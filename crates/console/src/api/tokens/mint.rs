//! Making tokens and their files.

use std::collections::BTreeMap;

use coalmine_core::token::{Artefact, Mint};
use coalmine_core::{Seed, TokenId};
use coalmine_store::flocks::DEFAULT;
use coalmine_store::tokens::{NewToken, TokenRow};
use serde_json::json;

use super::super::table::{Param, TEXT, Takes, optional, required};
use super::super::{Answer, ApiError, Ask, keys};
use super::{MEMO, find, memo, show};
use crate::{channels, setup};

/// Parameters of every kind.
pub const PARAMS: &[Param] = &[
    required(
        "kind",
        TEXT,
        "The token's kind; `canarytokens/list` has them.",
    )
    .else_say("Supplied kind is not valid."),
    MEMO,
    optional("flock_id", TEXT, "The flock it belongs to.").or("flock:default"),
    optional(
        "browser_scanner_enabled",
        Takes::Flag,
        "Whether a browser may be asked about itself (kind `http`).",
    )
    .or("true"),
];

/// Name under which the store keeps the secret that token URLs are derived from.
const SEED: &str = "token_seed";

/// Makes a token.
pub async fn create(ask: Ask) -> Result<Answer, ApiError> {
    make(ask, None).await
}

/// Makes a token, for a factory if there is one.
pub async fn make(ask: Ask, factory_auth: Option<String>) -> Result<Answer, ApiError> {
    let Some(kind) = ask.console.catalogue.token(&ask.owned("kind")) else {
        return Err(ApiError::bad("Supplied kind is not valid."));
    };
    let memo = memo(&ask)?;
    let flock_id = match (ask.text("flock_id"), &ask.caller.flocks) {
        (Some(id), _) => id.to_owned(),
        (None, None) => DEFAULT.to_owned(),
        (None, Some(own)) => own.first().cloned().unwrap_or_default(),
    };
    let flock = ask.flock(&flock_id).await?;
    let params: BTreeMap<String, String> = kind
        .asks
        .iter()
        .filter_map(|asked| Some((asked.name.to_owned(), ask.text(asked.name)?.to_owned())))
        .collect();
    let random = setup::random().map_err(|_| ApiError::internal())?;
    let id = TokenId::from_seed(&Seed::new(random));
    let seed = seed(&ask, &id).await?;
    let url = channels::url_for(&ask.console.config, &id, &seed);
    let hostname = channels::hostname_for(&ask.console.config, &id);
    let artefact = (kind.mint)(&Mint {
        id: &id,
        params: &params,
        url: &url,
        hostname: &hostname,
        seed,
        now: ask.now,
    })
    .map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        ApiError::bad(format!(
            "Could not process the parameters. {}",
            faults.join("; ")
        ))
    })?;
    let mut fields = artefact.fields;
    // What was placed somewhere stays as it was, whatever the operator configures later.
    fields.insert("url".to_owned(), url.into());
    fields.insert("hostname".to_owned(), hostname.into());
    let tokens = ask.console.store.tokens();
    tokens
        .create(NewToken {
            id: id.clone(),
            kind: kind.id.to_owned(),
            memo,
            flock_id: flock.id.clone(),
            created: ask.now,
            params,
            fields,
            factory_auth,
        })
        .await?;
    ask.audit(
        "canarytoken_create",
        &format!("created Canarytoken {id} ({})", kind.id),
        Some(&flock.id),
    )
    .await?;
    let Some(token) = tokens.get(&id).await? else {
        return Err(ApiError::internal());
    };
    Ok(Answer::success(json!({"canarytoken": show(&ask, &token)})))
}

/// The file to place.
pub async fn download(ask: Ask) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    match again(&ask, &token).await?.file {
        Some(file) => Ok(Answer::file(&file.name, file.mime, file.bytes)),
        None => Err(ApiError::bad("File generation not supported.")),
    }
}

/// The artefact of a token that is there: minting is pure, so it comes out the same.
async fn again(ask: &Ask, token: &TokenRow) -> Result<Artefact, ApiError> {
    let unsupported = || ApiError::bad("File generation not supported.");
    let kind = ask
        .console
        .catalogue
        .token(&token.kind)
        .ok_or_else(unsupported)?;
    let text = |name: &str| {
        let value = token.fields.get(name).and_then(|value| value.as_str());
        value.unwrap_or_default().to_owned()
    };
    (kind.mint)(&Mint {
        id: &token.id,
        params: &token.params,
        url: &text("url"),
        hostname: &text("hostname"),
        seed: seed(ask, &token.id).await?,
        now: token.created,
    })
    .map_err(|_| unsupported())
}

/// The randomness of one token, from this installation's secret.
async fn seed(ask: &Ask, id: &TokenId) -> Result<Seed, ApiError> {
    let settings = ask.console.store.settings();
    let secret = match settings.get::<String>(SEED).await? {
        Some(secret) => secret,
        None => {
            let secret = format!("{}{}", keys::secret()?, keys::secret()?);
            settings.put(SEED, &secret).await?;
            secret
        }
    };
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(secret.as_bytes())
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or_else(ApiError::internal)?;
    Ok(Seed::new(bytes).derive(id.as_str()))
}
