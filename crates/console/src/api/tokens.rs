//! Canarytokens: kinds, minting, lists, changes, files.

pub mod changes;
pub mod dns;
pub mod factory;
mod lists;
pub mod mails;
pub mod mint;

use coalmine_core::token::{self, ArtefactFile, Takes as Wants};
use coalmine_core::{TokenId, TokenKind};
use coalmine_store::incidents::{Action, Filter, Page};
use coalmine_store::tokens::TokenRow;
use serde_json::{Map, Value, json};

use super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask, times};
use crate::{Console, channels, cloud};

/// Longest memo, in characters.
pub const MAX_MEMO: usize = 10_000;

pub(super) const TOKEN: Param = required("canarytoken", TEXT, "The token's unique string.");
pub(super) const MEMO: Param = required(
    "memo",
    Takes::Text(1_048_576),
    "The reminder shown when it's touched, at most 10000 characters.",
)
.else_say("Empty memo");
pub(super) const CLEAR: Param =
    optional("clear_incidents", Takes::Flag, "Deletes its incidents too.").or("false");

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/list",
        doc: "Kinds of tokens: id to title.",
        params: &[],
        needs: Needs::Read,
        tier: 1,
        run: |ask| {
            Box::pin(async move { Ok(Answer::success(json!({"canarytokens": kinds(&ask)}))) })
        },
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/kinds",
        doc: "Kinds of tokens: what each is, what it asks for, how it's noticed and how far it reaches.\nNot part of the documented contract.",
        params: &[],
        needs: Needs::Read,
        tier: 3,
        run: |ask| {
            Box::pin(async move {
                let mut kinds = Vec::new();
                for known in ask.console.catalogue.tokens {
                    kinds.push(kind(&ask.console, known).await);
                }
                Ok(Answer::success(json!({"kinds": kinds})))
            })
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/create",
        doc: "Makes a token.\nBeyond these, each kind takes its own parameters.",
        params: mint::PARAMS,
        needs: Needs::Deploy,
        tier: 1,
        run: |ask| Box::pin(mint::create(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/fetch",
        doc: "One token.",
        params: &[TOKEN],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(fetch(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytoken/download",
        doc: "The file to place, for kinds that have one.",
        params: &[TOKEN],
        needs: Needs::Deploy,
        tier: 1,
        run: |ask| Box::pin(mint::download(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/enable",
        doc: "Lets a token alert again. Credentials of a connected account are made valid before; where that fails, the token stays disabled.",
        params: &[TOKEN],
        needs: Needs::Admin,
        tier: 1,
        run: |ask| Box::pin(set_enabled(ask, true)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/disable",
        doc: "Stops a token's alerts but keeps it. Credentials of a connected account are made invalid; where that fails, the token is disabled and the answer says so.",
        params: &[TOKEN],
        needs: Needs::Admin,
        tier: 1,
        run: |ask| Box::pin(set_enabled(ask, false)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/update",
        doc: "Changes a token's memo.",
        params: &[TOKEN, MEMO],
        needs: Needs::Admin,
        tier: 1,
        run: |ask| Box::pin(update(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "canarytoken/delete",
        doc: "Deletes a token that has no incidents, or both with `clear_incidents`.",
        params: &[TOKEN, CLEAR],
        needs: Needs::Admin,
        tier: 1,
        run: |ask| Box::pin(delete(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/fetch",
        doc: "All tokens.",
        params: &[
            optional("flock_id", TEXT, "Only of this flock."),
            optional("include_endpoints", TEXT, "Accepted for compatibility."),
        ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(lists::all(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/paginate",
        doc: "Tokens by page, the newest first.",
        params: &[
            optional("flock_id", TEXT, "Only of this flock."),
            optional(
                "limit",
                Takes::Number,
                "At most so many; the rest by cursor.",
            )
            .or("10"),
            optional("cursor", TEXT, "The next page of an earlier answer."),
        ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(lists::paginate(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "canarytokens/search",
        doc: "Tokens that fit, the newest first.",
        params: &[
            optional("flock_id", TEXT, "Only of this flock."),
            optional(
                "search_string",
                TEXT,
                "Only with words that begin so in id or memo.",
            ),
            optional("kind", TEXT, "Only of this kind."),
            optional("active", Takes::Flag, "Only enabled (or disabled) ones."),
            optional(
                "limit",
                Takes::Number,
                "At most so many; the rest by cursor.",
            )
            .or("10"),
            optional("cursor", TEXT, "The next page of an earlier answer."),
        ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(lists::search(ask)),
    },
];

/// Kinds that there are: id to title.
pub(super) fn kinds(ask: &Ask) -> Map<String, Value> {
    let kinds = ask.console.catalogue.tokens.iter();
    kinds
        .map(|kind| (kind.id.to_owned(), kind.title.into()))
        .collect()
}

/// The token object.
pub(super) fn show(ask: &Ask, token: &TokenRow) -> Map<String, Value> {
    let config = &ask.console.config;
    let mut object = token.fields.clone();
    let mut add = |name: &str, value: Value| {
        // The kind's own values are the ones it was minted with.
        object.entry(name).or_insert(value);
    };
    add("canarytoken", token.id.as_str().into());
    add("created", times::fractional(token.created).into());
    add("created_printable", times::plain_utc(token.created).into());
    add("enabled", token.enabled.into());
    add("flock_id", token.flock_id.as_str().into());
    add("hostname", channels::hostname_for(config, &token.id).into());
    add("key", format!("canarydrop:{}", token.id).into());
    add("kind", token.kind.as_str().into());
    add("memo", token.memo.as_str().into());
    add("node_id", token.id.as_str().into());
    add("triggered_count", token.triggered_count.into());
    add("updated_id", token.updated_id.into());
    if let Some(kind) = ask.console.catalogue.token(&token.kind) {
        add("kind_description", kind.title.into());
    }
    if let Some(auth) = &token.factory_auth {
        add("factory_auth", auth.as_str().into());
    }
    object
}

/// The token that `canarytoken` names, if the caller may see it.
pub(super) async fn find(ask: &Ask) -> Result<TokenRow, ApiError> {
    let missing = || ApiError::not_found("Could not find the Canarytoken");
    let id: TokenId = ask.owned("canarytoken").parse().map_err(|_| missing())?;
    ask.console
        .store
        .tokens()
        .get(&id)
        .await?
        .filter(|token| ask.caller.sees(&token.flock_id))
        .ok_or_else(missing)
}

/// The memo, if it's usable.
pub(super) fn memo(ask: &Ask) -> Result<String, ApiError> {
    let memo = ask.owned("memo");
    if memo.trim().is_empty() {
        return Err(ApiError::bad("Empty memo"));
    }
    // What isn't UTF-8 arrives as this character.
    if memo.contains(char::REPLACEMENT_CHARACTER) {
        return Err(ApiError::bad("Could not decode the memo"));
    }
    if memo.chars().nth(MAX_MEMO).is_some() {
        return Err(ApiError::bad(format!(
            "Memo longer than maximum ({MAX_MEMO} characters)."
        )));
    }
    Ok(memo)
}

/// The file of a token that is there; `None` for kinds without one.
pub(crate) async fn file(console: &crate::Shared, token: &TokenRow) -> Option<ArtefactFile> {
    mint::again(console, token).await.ok()?.file
}

async fn fetch(ask: Ask) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    Ok(Answer::success(json!({"token": show(&ask, &token)})))
}

async fn set_enabled(ask: Ask, enabled: bool) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    let left = cloud::set_enabled(&ask.console, &token, enabled).await?;
    if let (true, Some(problem)) = (enabled, &left) {
        let problem = format!("Could not enable Canarydrop: {problem}");
        return Err(ApiError::conflict(problem));
    }
    let (action, what) = if enabled {
        ("canarytoken_enable", "enabled")
    } else {
        ("canarytoken_disable", "disabled")
    };
    let mut message = format!("{what} Canarytoken {}", token.id);
    let left = left.map(|problem| format!("its credentials may still be valid: {problem}"));
    if let Some(left) = &left {
        message = format!("{message}, but {left}");
    }
    ask.audit(action, &message, Some(&token.flock_id)).await?;
    match left {
        None => Ok(Answer::done()),
        Some(left) => Err(ApiError::conflict(format!(
            "The Canarytoken is disabled and does not alert, but {left}"
        ))),
    }
}

async fn update(ask: Ask) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    let memo = memo(&ask)?;
    ask.console
        .store
        .tokens()
        .set_memo(&token.id, &memo)
        .await?;
    let message = format!("changed the memo of Canarytoken {}", token.id);
    ask.audit("canarytoken_update", &message, Some(&token.flock_id))
        .await?;
    let token = find(&ask).await?;
    Ok(Answer::success(json!({"token": show(&ask, &token)})))
}

async fn delete(ask: Ask) -> Result<Answer, ApiError> {
    let token = find(&ask).await?;
    delete_all(&ask, std::slice::from_ref(&token)).await?;
    let message = format!("deleted Canarytoken {}", token.id);
    ask.audit("canarytoken_delete", &message, Some(&token.flock_id))
        .await?;
    Ok(Answer::done())
}

/// Deletes these tokens, and their incidents with `clear_incidents`; none of them where one has
/// incidents that may not be cleared.
pub(super) async fn delete_all(ask: &Ask, doomed: &[TokenRow]) -> Result<(), ApiError> {
    let store = &ask.console.store;
    let incidents = store.incidents();
    let clear = ask.flag("clear_incidents", false);
    let of = |token: &TokenRow| Filter {
        node_id: Some(token.id.to_string()),
        ..Filter::default()
    };
    if !clear {
        for token in doomed {
            let first = Page {
                descending: false,
                start: None,
                limit: 1,
            };
            if incidents.page(of(token), first).await?.total > 0 {
                return Err(ApiError::conflict("Could not delete Canarydrop"));
            }
        }
    }
    // First what a cloud may refuse: until it's done, the evidence stays. What is gone there
    // already counts as done, so that a second try works.
    for token in doomed {
        cloud::delete(&ask.console, &token.kind, &token.fields)
            .await
            .map_err(|problem| {
                ApiError::conflict(format!("Could not delete Canarydrop: {problem}"))
            })?;
    }
    if clear {
        for token in doomed {
            let who = &ask.caller.who;
            incidents
                .act(of(token), Action::Delete, true, who, ask.now)
                .await?;
        }
        ask.incidents_changed().await?;
    }
    for token in doomed {
        store.tokens().delete(&token.id).await?;
    }
    Ok(())
}

/// A kind, for forms: what it asks for, how it's noticed, how far it reaches, whether it is
/// connected to an account at a cloud and what is wrong with that.
pub(crate) async fn kind(console: &Console, kind: &TokenKind) -> Value {
    let (integration, limits, problem) = cloud::standing(console, kind).await;
    let reach = match integration {
        token::CONNECTED => token::CONNECTED,
        _ => kind.reach.name(),
    };
    let asks: Vec<_> = kind.asks.iter().map(asked).collect();
    let channels: Vec<_> = kind.channels.iter().map(|c| c.name()).collect();
    let doc: Vec<_> = kind
        .doc
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    json!({"id": kind.id, "title": kind.title, "doc": doc,
        "group": kind.group.name(), "trial": kind.trial, "channels": channels, "logtype": kind.logtype,
        "asks": asks, "reach": reach, "limits": limits,
        "integration": integration, "integration_problem": problem})
}

fn asked(ask: &token::Ask) -> Value {
    let doc = ask.doc.trim();
    match ask.takes {
        Wants::Text(max) => json!({"name": ask.name, "doc": doc,
            "required": ask.required, "takes": "text", "max": max}),
        Wants::Bool(default) => json!({"name": ask.name, "doc": doc,
            "required": ask.required, "takes": "bool", "default": default}),
        Wants::Url => json!({"name": ask.name, "doc": doc,
            "required": ask.required, "takes": "url", "max": token::MAX_URL}),
        Wants::Choice(words) => json!({"name": ask.name, "doc": doc,
            "required": ask.required, "takes": "choice", "words": words}),
        Wants::File { max, accepts } => json!({"name": ask.name, "doc": doc,
            "required": ask.required, "takes": "file", "max": max, "accepts": accepts}),
    }
}
