//! Making tokens and their files.

use std::collections::BTreeMap;

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, Mint, Places, Takes as Wants, Upload};
use coalmine_core::{Seed, TokenId, TokenKind};
use coalmine_store::flocks::DEFAULT;
use coalmine_store::tokens::{NewToken, TokenRow};
use serde_json::{Map, Value, json};

use super::super::table::{Param, TEXT, Takes, optional, required};
use super::super::{Answer, ApiError, Ask, keys};
use super::{MEMO, find, memo, show};
use crate::{Shared, channels, cloud, setup};

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
        "custom_domain",
        TEXT,
        "A domain of your own that it lives in; see `settings/canarytokens/user_domains/list`.",
    ),
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
        // The Python client sends a file's path too.
        .filter(|asked| !matches!(asked.takes, Wants::File { .. }))
        .filter_map(|asked| Some((asked.name.to_owned(), ask.text(asked.name)?.to_owned())))
        .collect();
    let files: BTreeMap<String, Upload> = kind
        .asks
        .iter()
        .filter(|asked| matches!(asked.takes, Wants::File { .. }))
        .filter_map(|asked| {
            let file = ask.params.file(asked.name)?.clone();
            Some((asked.name.to_owned(), file))
        })
        .collect();
    let token = remember(&ask, kind, memo, &flock.id, params, files, factory_auth).await?;
    Ok(Answer::success(json!({"canarytoken": show(&ask, &token)})))
}

/// Mints a token and keeps it.
///
/// # Errors
/// What is wrong with the parameters; the store's.
pub async fn remember(
    ask: &Ask,
    kind: &TokenKind,
    memo: String,
    flock_id: &str,
    params: BTreeMap<String, String>,
    files: BTreeMap<String, Upload>,
    factory_auth: Option<String>,
) -> Result<TokenRow, ApiError> {
    let random = setup::random().map_err(|_| ApiError::internal())?;
    let id = TokenId::from_seed(&Seed::new(random));
    let places = places(ask).await?;
    let mint = Mint {
        id: &id,
        params: &params,
        files: &files,
        seed: seed(&ask.console, &id).await?,
        now: ask.now,
        places: &places,
        cloud: None,
    };
    // What is asked for wrongly makes nothing at a cloud.
    let nothing = cloud::provider(&ask.console, kind.id).map(|_| Map::new());
    let checked = kind.make(&Mint {
        cloud: nothing.as_ref(),
        ..mint.clone()
    });
    let mut artefact = checked.map_err(|faults| refused(&faults))?;
    let account = cloud::create(&ask.console, kind.id, &id)
        .await
        .map_err(|problem| ApiError::bad(problem.0))?;
    if account.is_some() {
        let made = kind.make(&Mint {
            cloud: account.as_ref(),
            ..mint.clone()
        });
        artefact = made.map_err(|faults| refused(&faults))?;
    }
    let fields = own_fields(&mint, &artefact);
    let tokens = ask.console.store.tokens();
    let kept = tokens
        .create(NewToken {
            id: id.clone(),
            kind: kind.id.to_owned(),
            memo,
            flock_id: flock_id.to_owned(),
            created: ask.now,
            params,
            fields,
            factory_auth,
            places,
            files,
            aliases: artefact.aliases,
        })
        .await;
    if let (Err(_), Some(account)) = (&kept, &account)
        && let Err(problem) = cloud::delete(&ask.console, kind.id, account).await
    {
        tracing::error!(%problem, "credentials of a token that could not be kept are left over");
    }
    kept?;
    ask.audit(
        "canarytoken_create",
        &format!("created Canarytoken {id} ({})", kind.id),
        Some(flock_id),
    )
    .await?;
    tokens.get(&id).await?.ok_or_else(ApiError::internal)
}

/// The file to place.
pub async fn download(ask: Ask) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    match again(&ask.console, &token).await?.file {
        Some(file) => Ok(Answer::file(&file.name, file.mime, file.bytes)),
        None => Err(ApiError::bad("File generation not supported.")),
    }
}

/// Where the channels are; in a domain of the operator's own where one is asked for.
async fn places(ask: &Ask) -> Result<Places, ApiError> {
    let mut places = channels::places(&ask.console.config);
    let Some(domain) = ask.text("custom_domain") else {
        return Ok(places);
    };
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let settings = ask.console.store.settings().console().await?;
    if !settings.token_domains_enabled || !settings.token_domains.contains(&domain) {
        return Err(ApiError::invalid("custom_domain"));
    }
    if let Some(web) = &mut places.http {
        web.host.clone_from(&domain);
    }
    places.https = channels::https_place(&ask.console.config, &domain);
    if places.dns.is_some() {
        places.dns = Some(domain);
    }
    Ok(places)
}

/// A token's own fields as they would be with other parameters; what isn't minted stays.
///
/// # Errors
/// What is wrong with the parameters.
pub async fn fields_with(
    ask: &Ask,
    token: &TokenRow,
    params: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, Vec<Fault>> {
    let unknown = |_: ApiError| vec![Fault::new("kind", "can't be minted now")];
    let Some(kind) = ask.console.catalogue.token(&token.kind) else {
        return Err(vec![Fault::new("kind", "isn't known")]);
    };
    let files = ask.console.store.tokens().uploads(&token.id).await;
    let places = token.places.clone();
    let mint = Mint {
        id: &token.id,
        params,
        files: &files.map_err(|error| unknown(error.into()))?,
        seed: seed(&ask.console, &token.id).await.map_err(unknown)?,
        now: token.created,
        places: &places.unwrap_or_else(|| channels::places(&ask.console.config)),
        cloud: cloud::is_connected(&token.fields).then_some(&token.fields),
    };
    let artefact = kind.make(&mint)?;
    let mut fields = token.fields.clone();
    fields.extend(own_fields(&mint, &artefact));
    Ok(fields)
}

/// The artefact of a token that is there: minting is pure, so it comes out the same.
pub(crate) async fn again(console: &Shared, token: &TokenRow) -> Result<Artefact, ApiError> {
    let unsupported = || ApiError::bad("File generation not supported.");
    let kind = console
        .catalogue
        .token(&token.kind)
        .ok_or_else(unsupported)?;
    let places = token.places.clone();
    kind.make(&Mint {
        id: &token.id,
        params: &token.params,
        files: &console.store.tokens().uploads(&token.id).await?,
        seed: seed(console, &token.id).await?,
        now: token.created,
        places: &places.unwrap_or_else(|| channels::places(&console.config)),
        cloud: cloud::is_connected(&token.fields).then_some(&token.fields),
    })
    .map_err(|_| unsupported())
}

/// The kind's own fields of the token object. What was placed somewhere stays as it was, whatever
/// the operator configures later.
fn own_fields(mint: &Mint<'_>, artefact: &Artefact) -> Map<String, Value> {
    let mut fields = artefact.fields.clone();
    for (name, own) in [("url", mint.url("")), ("hostname", mint.hostname())] {
        fields.entry(name).or_insert_with(|| own.into());
    }
    if !artefact.renders.is_empty() {
        fields.insert("renders".to_owned(), json!(artefact.renders));
    }
    fields
}

/// What is wrong with the parameters, all at once.
pub fn refused(faults: &[Fault]) -> ApiError {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    ApiError::bad(format!(
        "Could not process the parameters. {}",
        faults.join("; ")
    ))
}

/// The randomness of one token, from this installation's secret.
async fn seed(console: &Shared, id: &TokenId) -> Result<Seed, ApiError> {
    let settings = console.store.settings();
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
