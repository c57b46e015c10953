//! Settings of token channels: domains of their own, what stands at the root of token URLs, and
//! which touches of tokens make no incidents.

use coalmine_store::settings::ConsoleSettings;
use serde_json::json;

use super::table::{Endpoint, Needs, Param, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask};
use crate::engine::IgnoreRule;

/// Most domains.
const MAX_DOMAINS: usize = 100;
/// Longest page, in characters.
const MAX_PAGE: usize = 256 * 1024;
/// Most entries of a list of ignored touches.
const MAX_ENTRIES: usize = 1_000;
/// Shortest part of a user agent that may be ignored: shorter ones fit too much.
const MIN_AGENT: usize = 4;

const SOURCE: Param = optional(
    "source",
    Takes::Text(100),
    "An address or a network, e.g. `192.0.2.0/24`.",
);
const AGENT: Param = optional(
    "user_agent",
    Takes::Text(512),
    "A part of a `User-Agent`, in any case; at least 4 characters.",
);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "settings/canarytokens/user_domains/list",
        doc: "Domains of your own that tokens may live in, beside the Console's.",
        params: &[],
        needs: Needs::Read,
        tier: 3,
        run: |ask| Box::pin(domains(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/user_domains/save",
        doc: "Replaces the domains of your own; each must be delegated to this Console.",
        params: &[required(
            "user_domains",
            Takes::Text(10_000),
            "Domains with line breaks between them.",
        )],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| Box::pin(save_domains(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/user_domains/enable",
        doc: "Lets tokens live in domains of your own.",
        params: &[],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| {
            Box::pin(set(ask, "user_domains_enable", |settings| {
                settings.token_domains_enabled = true;
            }))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/user_domains/disable",
        doc: "Lets no further tokens live in domains of your own; those that do go on.",
        params: &[],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| {
            Box::pin(set(ask, "user_domains_disable", |settings| {
                settings.token_domains_enabled = false;
            }))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/webroot/save",
        doc: "Replaces the page at the root of token URLs.",
        params: &[required("webroot", Takes::Text(MAX_PAGE), "HTML.")],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| {
            let page = ask.owned("webroot");
            Box::pin(set(ask, "webroot_save", |settings| {
                settings.token_webroot = page;
            }))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/webroot/enable",
        doc: "Shows the page at the root of token URLs.",
        params: &[],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| {
            Box::pin(set(ask, "webroot_enable", |settings| {
                settings.token_webroot_enabled = true;
            }))
        },
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/webroot/disable",
        doc: "Shows the usual image at the root of token URLs.",
        params: &[],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| {
            Box::pin(set(ask, "webroot_disable", |settings| {
                settings.token_webroot_enabled = false;
            }))
        },
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "settings/canarytokens/ignore",
        doc: "Whose touches of tokens make no incidents: sources, and programs by their `User-Agent`.\nNot part of the documented contract.",
        params: &[],
        needs: Needs::Read,
        tier: 3,
        run: |ask| Box::pin(ignored(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/ignore/add",
        doc: "Ignores touches of tokens by a source or a program from now on; birds see both as before.\nNot part of the documented contract.",
        params: &[SOURCE, AGENT],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| Box::pin(ignore(ask, true)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/canarytokens/ignore/remove",
        doc: "Ignores touches of tokens by a source or a program no longer.\nNot part of the documented contract.",
        params: &[SOURCE, AGENT],
        needs: Needs::GlobalAdmin,
        tier: 3,
        run: |ask| Box::pin(ignore(ask, false)),
    },
];

async fn set(
    ask: Ask,
    action: &str,
    change: impl FnOnce(&mut ConsoleSettings) + Send + 'static,
) -> Result<Answer, ApiError> {
    ask.console.store.settings().change(change).await?;
    let action = format!("canarytokens_{action}");
    ask.audit(&action, "changed the settings of Canarytokens", None)
        .await?;
    Ok(Answer::done())
}

async fn domains(ask: Ask) -> Result<Answer, ApiError> {
    let settings = ask.console.store.settings().console().await?;
    Ok(Answer::success(
        json!({"user_domains": settings.token_domains}),
    ))
}

async fn save_domains(ask: Ask) -> Result<Answer, ApiError> {
    let mut domains: Vec<String> = Vec::new();
    for line in ask.owned("user_domains").split(['\n', ',']) {
        let domain = line.trim().trim_end_matches('.').to_ascii_lowercase();
        if domain.is_empty() || domains.contains(&domain) {
            continue;
        }
        if !is_domain(&domain) || domains.len() >= MAX_DOMAINS {
            return Err(ApiError::invalid("user_domains"));
        }
        domains.push(domain);
    }
    set(ask, "user_domains_save", |settings| {
        settings.token_domains = domains;
    })
    .await
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 100
        && text.contains('.')
        && text.split('.').all(label)
        && text.parse::<std::net::IpAddr>().is_err()
}

async fn ignored(ask: Ask) -> Result<Answer, ApiError> {
    let settings = ask.console.store.settings().console().await?;
    Ok(Answer::success(json!({
        "sources": settings.token_ignore,
        "user_agents": settings.token_ignore_agents,
    })))
}

async fn ignore(ask: Ask, add: bool) -> Result<Answer, ApiError> {
    let (entry, is_source) = match (ask.text("source"), ask.text("user_agent")) {
        (Some(source), None) => {
            let rule = IgnoreRule::parse(source).filter(IgnoreRule::is_for_all_ports);
            rule.ok_or_else(|| ApiError::invalid("source"))?;
            (source.trim().to_owned(), true)
        }
        (None, Some(agent)) if agent.trim().chars().count() >= MIN_AGENT => {
            (agent.trim().to_owned(), false)
        }
        (None, Some(_)) => return Err(ApiError::invalid("user_agent")),
        _ => {
            return Err(ApiError::bad(
                "Either source or user_agent must be given, and not both",
            ));
        }
    };
    let what = entry.clone();
    let full = ask
        .console
        .store
        .settings()
        .change(move |settings| {
            let list = match is_source {
                true => &mut settings.token_ignore,
                false => &mut settings.token_ignore_agents,
            };
            list.retain(|known| *known != what);
            let full = add && list.len() >= MAX_ENTRIES;
            if add && !full {
                list.push(what);
            }
            full
        })
        .await?;
    if full {
        return Err(ApiError::conflict(format!(
            "The list has {MAX_ENTRIES} entries already"
        )));
    }
    let (action, message) = match add {
        true => ("add", format!("ignores touches of Canarytokens by {entry}")),
        false => (
            "remove",
            format!("ignores touches of Canarytokens by {entry} no longer"),
        ),
    };
    ask.audit(&format!("canarytokens_ignore_{action}"), &message, None)
        .await?;
    Ok(Answer::done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_domains() {
        for good in ["docs.example.com", "a.b", "x-1.example"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "192.0.2.1",
            "-a.example",
            "a..b",
            "a b.c",
            "http://a.b",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
