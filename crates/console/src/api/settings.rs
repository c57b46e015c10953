//! Settings of the Console: what there is, and which sources make no incidents.

use std::net::IpAddr;

use serde_json::json;

use super::table::{Endpoint, Needs, Param, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask};
use crate::engine::IgnoreList;

/// Most entries of the ignore list.
const MAX_ENTRIES: usize = 10_000;

const SOURCE: Param = required("src_ip", Takes::Address, "The source's address.");
const PORT: Param = optional("dst_port", Takes::Number, "The port that was touched.");

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "settings",
        doc: "The Console's settings.",
        params: &[],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(all(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "settings/is_ip_ignored",
        doc: "Whether a source makes no incidents.",
        params: &[SOURCE, PORT],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(is_ignored(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "settings/is_ip_whitelisted",
        doc: "Whether a source makes no incidents; the older name.",
        params: &[SOURCE, PORT],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(is_ignored(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/whitelist_ip_port",
        doc: "Ignores a source from now on, on one port or on all.",
        params: &[SOURCE, PORT],
        needs: Needs::GlobalAdmin,
        tier: 1,
        run: |ask| Box::pin(add(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "settings/whitelisting/remove_whitelist_ip",
        doc: "Ignores a source no longer: removes all entries of exactly this address.",
        params: &[SOURCE],
        needs: Needs::GlobalAdmin,
        tier: 2,
        run: |ask| Box::pin(remove(ask)),
    },
];

async fn all(ask: Ask) -> Result<Answer, ApiError> {
    let settings = ask.console.store.settings().console().await?;
    let config = &ask.console.config;
    let whitelist = settings.whitelist.join(",");
    Ok(Answer::success(json!({
        "auth_token": ask.caller.key.as_deref().unwrap_or_default(),
        "auth_token_enabled": true,
        "canarytokens_user_domains_enable": settings.token_domains_enabled,
        "canarytokens_webroot_enable": settings.token_webroot_enabled,
        "console_domain": ask.origin.trim_start_matches("https://"),
        "console_settings_change_enable": settings.console_change_alerts,
        "device_settings_change_enable": settings.device_change_alerts,
        "email_notification_enable": false,
        "generic_incident_webhooks": [],
        "globally_enforce_2fa": false,
        "hipchat_integration_urls": [],
        "incident_webhooks_enabled": false,
        "module_options": {
            "canarytokens_public_ip": config.public_address.to_string(),
            "canarytokens_user_domains": settings.token_domains.join("\n"),
            "canarytokens_webroot": settings.token_webroot,
            "canaryvm_remaining_licenses": 0,
            "canaryvm_version_details": [],
            "saml_enabled": false,
            "ssh_credential_watch_only": null,
            "ssh_credential_watches": "",
            "ssh_credential_watches_enable": null,
            "update_automatically_enable": false,
        },
        "ms_teams_webhooks": [],
        "notification_addresses": [],
        "notification_numbers": [],
        "sensitive_data_masking_enable": false,
        "slack_incident_webhook": [],
        "sms_notification_enable": false,
        "summary_email_addresses": [],
        "summary_email_enable": false,
        "syslog_enabled": false,
        "syslog_facility": "local0",
        "syslog_hostname": "localhost",
        "syslog_loglevel": "crit",
        "syslog_port": "514",
        "syslog_protocol": "tcp",
        "syslog_tls": "off",
        "whitelist_enable": settings.whitelist_enabled,
        "whitelist_hostnames": "",
        "whitelist_hostnames_enable": false,
        "whitelist_ips": whitelist,
        "whitelist_oid_enable": false,
        "whitelist_oids": "",
        "whitelist_src_port_enable": false,
        "whitelist_src_port_ips": "",
    })))
}

async fn is_ignored(ask: Ask) -> Result<Answer, ApiError> {
    let source = source(&ask)?;
    let port = port(&ask)?;
    let settings = ask.console.store.settings().console().await?;
    let list = IgnoreList::new(&settings.whitelist);
    // Without a port: whether it is ignored on all of them.
    let is = list.matches(source, port.unwrap_or(0));
    Ok(Answer::success(json!({
        "is_ip_ignored": is,
        "is_ip_whitelisted": is,
        "is_whitelist_enabled": settings.whitelist_enabled,
    })))
}

async fn add(ask: Ask) -> Result<Answer, ApiError> {
    let source = source(&ask)?;
    let entry = match (port(&ask)?, source) {
        (None, source) => source.to_string(),
        (Some(port), IpAddr::V4(ip)) => format!("{ip}:{port}"),
        (Some(port), IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
    };
    let new = entry.clone();
    let settings = ask.console.store.settings();
    let outcome = settings
        .change(move |settings| {
            if settings.whitelist.contains(&new) {
                return Added::Already;
            }
            if settings.whitelist.len() >= MAX_ENTRIES {
                return Added::Full;
            }
            // Somebody who ignores a source wants it ignored: an empty list was never on.
            if settings.whitelist.is_empty() {
                settings.whitelist_enabled = true;
            }
            settings.whitelist.push(new);
            Added::Yes
        })
        .await?;
    match outcome {
        Added::Already => return Ok(Answer::failure("Whitelist entry already exists")),
        Added::Full => {
            return Err(ApiError::conflict(format!(
                "The ignore list has {MAX_ENTRIES} entries already"
            )));
        }
        Added::Yes => {}
    }
    ask.audit(
        "whitelist_add",
        &format!("ignores {entry} from now on"),
        None,
    )
    .await?;
    Ok(Answer::success(json!({"message": "Whitelist added"})))
}

enum Added {
    Yes,
    Already,
    Full,
}

async fn remove(ask: Ask) -> Result<Answer, ApiError> {
    let source = source(&ask)?;
    let plain = source.to_string();
    let prefix = match source {
        IpAddr::V4(ip) => format!("{ip}:"),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let settings = ask.console.store.settings();
    let removed = settings
        .change(move |settings| {
            let before = settings.whitelist.len();
            settings
                .whitelist
                .retain(|entry| *entry != plain && !entry.starts_with(&prefix));
            before != settings.whitelist.len()
        })
        .await?;
    if !removed {
        return Err(ApiError::not_found("There is no such entry"));
    }
    ask.audit(
        "whitelist_remove",
        &format!("ignores {source} no longer"),
        None,
    )
    .await?;
    Ok(Answer::done())
}

fn source(ask: &Ask) -> Result<IpAddr, ApiError> {
    ask.owned("src_ip")
        .trim()
        .parse::<IpAddr>()
        .map(|ip| ip.to_canonical())
        .map_err(|_| ApiError::invalid("src_ip"))
}

fn port(ask: &Ask) -> Result<Option<u16>, ApiError> {
    match ask.number("dst_port") {
        None => Ok(None),
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .map(Some)
            .ok_or_else(|| ApiError::invalid("dst_port")),
    }
}
