//! Changing tokens beyond their memo: where they redirect to, whom they trust, whom they ignore,
//! and deleting many.

use std::collections::BTreeMap;

use coalmine_store::tokens::{TokenFilter, TokenRow};
use serde_json::{Map, Value, json};

use super::super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::super::{Answer, ApiError, Ask};
use super::{CLEAR, TOKEN, delete_all, find, mint, show};
use crate::channels::ignore::{self, Style};

/// The parameter of kinds that redirect.
const REDIRECT: &str = "browser_redirect_url";
/// Most tokens looked through by one deletion.
const MAX_TOKENS: usize = 100_000;
/// Longest metadata of an identity provider, in characters.
const MAX_METADATA: usize = 256 * 1024;

const UNUSED: &str = "Accepted for compatibility, neither used nor kept.";
const FLOCK: Param = required("flock_id", TEXT, "The flock's id.");
const IGNORES: Param = optional(
    "ignores",
    Takes::Text(ignore::MAX_LIST),
    "The whole list; without it, the list becomes empty.",
);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/update/redirect_url",
        doc: "Sends whoever opens a token elsewhere, for kinds that redirect.",
        params: &[
            TOKEN,
            required("redirect_url", Takes::Text(2_048), "A whole URL."),
        ],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| {
            let url = ask.owned("redirect_url");
            Box::pin(redirect(ask, Some(url)))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/remove/redirect_url",
        doc: "Sends nobody elsewhere any more, for kinds that may redirect.",
        params: &[TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(redirect(ask, None)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/remove/s3",
        doc: "Deletes a token of an S3 bucket. Its bucket is a decoy of this Console, so nothing is asked of AWS.",
        params: &[
            TOKEN,
            optional("aws_access_key", TEXT, UNUSED),
            optional("aws_secret_key", TEXT, UNUSED),
            optional("aws_session_token", Takes::Text(4_096), UNUSED),
            optional("aws_region", TEXT, UNUSED),
            optional(
                "s3_source_bucket",
                TEXT,
                "Must be the token's, where it's given.",
            ),
            optional(
                "delete_buckets",
                Takes::Flag,
                "Refused: buckets at AWS are not this Console's.",
            )
            .or("false"),
            CLEAR,
        ],
        needs: Needs::Admin,
        tier: 4,
        run: |ask| Box::pin(remove_bucket(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/delete",
        doc: "Deletes all tokens of some domains, or none of them where one has incidents.",
        params: &[
            required(
                "domains",
                Takes::Text(10_000),
                "Domains with commas or line breaks between them.",
            ),
            CLEAR,
        ],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(delete(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/clonedsite/ignorelist/enable",
        doc: "Lets a token's list of harmless sites count.",
        params: &[FLOCK, TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(switch(ask, Style::Sites, true)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/clonedsite/ignorelist/disable",
        doc: "Lets a token's list of harmless sites not count.",
        params: &[FLOCK, TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(switch(ask, Style::Sites, false)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/clonedsite/ignorelist/fetch",
        doc: "Sites that a token doesn't alert on: regular expressions with commas between them.",
        params: &[FLOCK, TOKEN],
        needs: Needs::Read,
        tier: 3,
        run: |ask| Box::pin(list(ask, Style::Sites)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/clonedsite/ignorelist/save",
        doc: "Replaces the sites that a token doesn't alert on: regular expressions with commas between them.",
        params: &[FLOCK, TOKEN, IGNORES],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(save(ask, Style::Sites)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/s3bucket/ignorelist/enable",
        doc: "Lets a token's list of trusted identities count.",
        params: &[FLOCK, TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(switch(ask, Style::Arns, true)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/s3bucket/ignorelist/disable",
        doc: "Lets a token's list of trusted identities not count.",
        params: &[FLOCK, TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(switch(ask, Style::Arns, false)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/s3bucket/ignorelist/fetch",
        doc: "Identities that a token doesn't alert on: ARNs with spaces between them, `*` for any text.",
        params: &[FLOCK, TOKEN],
        needs: Needs::Read,
        tier: 3,
        run: |ask| Box::pin(list(ask, Style::Arns)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/s3bucket/ignorelist/save",
        doc: "Replaces the identities that a token doesn't alert on: ARNs with spaces between them, `*` for any text.",
        params: &[FLOCK, TOKEN, IGNORES],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(save(ask, Style::Arns)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/idp-app/metadata/save",
        doc: "Keeps an identity provider's metadata (the uploaded file `metadata`) with a token; without a file, forgets it.",
        params: &[TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(metadata(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/idp-app/validation/enable",
        doc: "Lets a token alert on logins of its identity provider alone.",
        params: &[TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(validation(ask, true)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytokens/idp-app/validation/disable",
        doc: "Lets a token alert on every login.",
        params: &[TOKEN],
        needs: Needs::Admin,
        tier: 3,
        run: |ask| Box::pin(validation(ask, false)),
    },
];

async fn redirect(ask: Ask, to: Option<String>) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    let kind = ask.console.catalogue.token(&token.kind);
    let asked = kind.and_then(|kind| kind.asks.iter().find(|asked| asked.name == REDIRECT));
    let allowed = asked.is_some_and(|asked| to.is_some() || !asked.required);
    if !allowed {
        return Err(ApiError::bad(match asked {
            Some(_) => "This kind of Canarytoken cannot do without a redirect",
            None => "This kind of Canarytoken does not redirect",
        }));
    }
    let mut params = token.params.clone();
    match &to {
        Some(url) => params.insert(REDIRECT.to_owned(), url.clone()),
        None => params.remove(REDIRECT),
    };
    let mut fields = mint::fields_with(&ask, &token, &params)
        .await
        .map_err(|mut faults| {
            // The parameter has another name here.
            for fault in faults.iter_mut().filter(|fault| fault.key == REDIRECT) {
                "redirect_url".clone_into(&mut fault.key);
            }
            mint::refused(&faults)
        })?;
    fields.insert(REDIRECT.to_owned(), to.unwrap_or_default().into());
    keep(&ask, &token, &params, &fields, "changed the redirect of").await
}

async fn remove_bucket(ask: Ask) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    let Some(bucket) = token.params.get("s3_source_bucket") else {
        return Err(ApiError::bad("This kind of Canarytoken has no bucket"));
    };
    if ask.text("s3_source_bucket").is_some_and(|b| b != bucket) {
        return Err(ApiError::bad(format!(
            "Parameter s3_source_bucket was invalid. The bucket of this Canarytoken is {bucket}"
        )));
    }
    if ask.flag("delete_buckets", false) {
        return Err(ApiError::bad(
            "Parameter delete_buckets was invalid. This Console made no bucket at AWS and deletes none",
        ));
    }
    super::delete(ask).await
}

async fn switch(ask: Ask, style: Style, enabled: bool) -> Result<Answer, ApiError> {
    let token = listed(&ask, style).await?;
    let mut params = token.params.clone();
    params.insert(style.switch().to_owned(), enabled.to_string());
    keep_list(&ask, &token, &params, style).await
}

async fn save(ask: Ask, style: Style) -> Result<Answer, ApiError> {
    let token = listed(&ask, style).await?;
    let ignores = ask.owned("ignores");
    ignore::check(style, &ignores)
        .map_err(|problem| ApiError::bad(format!("Parameter ignores was invalid. {problem}")))?;
    let mut params = token.params.clone();
    params.insert(style.list().to_owned(), ignores);
    keep_list(&ask, &token, &params, style).await
}

async fn list(ask: Ask, style: Style) -> Result<Answer, ApiError> {
    let token = listed(&ask, style).await?;
    let text = |name: &str| token.params.get(name).cloned().unwrap_or_default();
    let enabled = text(style.switch()) == "true";
    Ok(Answer::success(json!({"ignore_lists": {
        "enabled": enabled.to_string(),
        "ignores": text(style.list()),
    }})))
}

/// The token, if it is in the flock named and of a kind that has such a list.
async fn listed(ask: &Ask, style: Style) -> Result<TokenRow, ApiError> {
    let token = find(ask).await?;
    if token.flock_id != ask.owned("flock_id") {
        return Err(ApiError::not_found("Could not find the Canarytoken"));
    }
    let kind = ask.console.catalogue.token(&token.kind);
    match kind.is_some_and(|kind| style.fits(kind)) {
        true => Ok(token),
        false => Err(ApiError::bad(
            "This kind of Canarytoken has no such ignore list",
        )),
    }
}

async fn keep_list(
    ask: &Ask,
    token: &TokenRow,
    params: &BTreeMap<String, String>,
    style: Style,
) -> Result<Answer, ApiError> {
    let tokens = ask.console.store.tokens();
    tokens.set_fields(&token.id, params, &token.fields).await?;
    let action = format!("canarytokens_{}_ignorelist", style.name());
    let message = format!("changed the ignore list of Canarytoken {}", token.id);
    ask.audit(&action, &message, Some(&token.flock_id)).await?;
    Ok(Answer::done())
}

async fn keep(
    ask: &Ask,
    token: &TokenRow,
    params: &BTreeMap<String, String>,
    fields: &Map<String, Value>,
    did: &str,
) -> Result<Answer, ApiError> {
    let tokens = ask.console.store.tokens();
    tokens.set_fields(&token.id, params, fields).await?;
    let message = format!("{did} Canarytoken {}", token.id);
    ask.audit("canarytoken_update", &message, Some(&token.flock_id))
        .await?;
    let token = find(ask).await?;
    Ok(Answer::success(json!({"token": show(ask, &token)})))
}

async fn metadata(ask: Ask) -> Result<Answer, ApiError> {
    let token = provider(&ask).await?;
    let (mut params, mut fields) = (token.params.clone(), token.fields.clone());
    let uploaded = ask
        .params
        .file("metadata")
        .map(|file| String::from_utf8_lossy(&file.bytes).into_owned());
    let text = uploaded.or_else(|| ask.text("metadata").map(str::to_owned));
    let entity = match &text {
        Some(text) => Some(entity_id(text).ok_or_else(|| {
            ApiError::bad(
                "Parameter metadata was invalid. It must be SAML 2.0 metadata with an entityID",
            )
        })?),
        None => None,
    };
    match text {
        Some(text) => params.insert("metadata".to_owned(), text),
        None => params.remove("metadata"),
    };
    match &entity {
        Some(id) => fields.insert("metadata_entity_id".to_owned(), id.as_str().into()),
        // Validated against nothing, no login would alert.
        None => {
            fields.insert("validation_enabled".to_owned(), false.into());
            fields.remove("metadata_entity_id")
        }
    };
    keep(&ask, &token, &params, &fields, "changed the metadata of").await?;
    Ok(Answer::success(json!({"metadata_entity_id": entity})))
}

async fn validation(ask: Ask, enabled: bool) -> Result<Answer, ApiError> {
    let token = provider(&ask).await?;
    if enabled && !token.params.contains_key("metadata") {
        return Err(ApiError::conflict(
            "The identity provider's metadata must be saved before",
        ));
    }
    let mut fields = token.fields.clone();
    fields.insert("validation_enabled".to_owned(), enabled.into());
    keep(
        &ask,
        &token,
        &token.params,
        &fields,
        "changed the validation of",
    )
    .await?;
    Ok(Answer::done())
}

/// The token, if its kind poses as an application of an identity provider.
async fn provider(ask: &Ask) -> Result<TokenRow, ApiError> {
    let token = find(ask).await?;
    let kind = ask.console.catalogue.token(&token.kind);
    let is = kind.is_some_and(|kind| kind.asks.iter().any(|asked| asked.name == "idp_app_type"));
    match is {
        true => Ok(token),
        false => Err(ApiError::bad(
            "This kind of Canarytoken has no identity provider",
        )),
    }
}

/// The `entityID` of an `EntityDescriptor`. Nothing else of the document is read here.
fn entity_id(metadata: &str) -> Option<String> {
    if metadata.len() > MAX_METADATA || metadata.contains("<!DOCTYPE") {
        return None;
    }
    let element = metadata.split_once("EntityDescriptor")?.1;
    let element = element.split('>').next()?;
    let value = element.split_once("entityID=")?.1;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let id = value.get(1..)?.split(quote).next()?;
    let sane = !id.is_empty() && id.chars().count() <= 1024 && !id.contains(['<', '\n']);
    sane.then(|| id.to_owned())
}

async fn delete(ask: Ask) -> Result<Answer, ApiError> {
    let domains: Vec<String> = ask
        .owned("domains")
        .split([',', '\n'])
        .map(|domain| domain.trim().trim_end_matches('.').to_ascii_lowercase())
        .filter(|domain| !domain.is_empty())
        .collect();
    if domains.is_empty() {
        return Err(ApiError::invalid("domains"));
    }
    let filter = TokenFilter {
        flocks: ask.scope().await?,
        ..TokenFilter::default()
    };
    let tokens = ask.console.store.tokens();
    let mut doomed = tokens.page(filter, None, MAX_TOKENS).await?.tokens;
    doomed.retain(|token| {
        let name = token.fields.get("hostname").and_then(Value::as_str);
        let zone = name
            .and_then(|name| name.split_once('.'))
            .map(|(_, zone)| zone);
        zone.is_some_and(|zone| domains.iter().any(|domain| domain == zone))
    });
    delete_all(&ask, &doomed).await?;
    let message = format!(
        "deleted {} Canarytokens of {}",
        doomed.len(),
        domains.join(", ")
    );
    ask.audit("canarytokens_delete", &message, None).await?;
    Ok(Answer::success(json!({"deleted_count": doomed.len()})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_found_in_metadata_and_nothing_dangerous_is_read() {
        let text = "<?xml version=\"1.0\"?>\n<md:EntityDescriptor xmlns:md=\"urn\" \
                    entityID='https://idp.example.com/metadata'>";
        assert_eq!(
            entity_id(text).as_deref(),
            Some("https://idp.example.com/metadata")
        );
        for bad in [
            "",
            "<EntityDescriptor>",
            "<EntityDescriptor entityID=x>",
            "entityID='x'",
        ] {
            assert_eq!(entity_id(bad), None, "{bad}");
        }
        let bomb = format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{text}");
        assert_eq!(entity_id(&bomb), None);
    }
}
