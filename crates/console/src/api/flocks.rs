//! Flocks: groups of birds and tokens.

use std::collections::BTreeMap;

use coalmine_core::NodeId;
use coalmine_store::flocks::{Flock, FlockCounts};
use coalmine_store::incidents::{Action, Filter};
use coalmine_store::tokens::TokenFilter;
use coalmine_store::{Refusal, StoreError};
use serde_json::{Map, Value, json};

use super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask};

/// Longest name, in characters.
const MAX_NAME: usize = 100;
/// Most tokens listed of one flock.
const MAX_TOKENS: usize = 100_000;

const FLOCK: Param = required("flock_id", TEXT, "The flock's id.");
const NAME: Param = required("name", Takes::Text(4_096), "1 to 100 characters.")
    .else_say("Flock name cannot be empty.");

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/create",
        doc: "Makes a flock.",
        params: &[
            NAME,
            optional(
                "managers",
                Takes::Text(4_096),
                "E-mail addresses with commas between them.",
            ),
            optional(
                "watchers",
                Takes::Text(4_096),
                "E-mail addresses with commas between them.",
            ),
        ],
        needs: Needs::GlobalAdmin,
        tier: 1,
        run: |ask| Box::pin(create(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/delete",
        doc: "Deletes an empty flock.",
        params: &[FLOCK],
        needs: Needs::GlobalAdmin,
        tier: 1,
        run: |ask| Box::pin(delete(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/rename",
        doc: "Gives a flock another name.",
        params: &[FLOCK, NAME],
        needs: Needs::Admin,
        tier: 1,
        run: |ask| Box::pin(rename(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "flock/list",
        doc: "Ids of the birds and tokens in a flock.",
        params: &[FLOCK],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(list_one(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "flocks/filter",
        doc: "Flocks with a text in name, note or id.",
        params: &[required("filter_str", TEXT, "The text.")],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(filter(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "flocks/list",
        doc: "All flocks: id to name.",
        params: &[optional(
            "email",
            TEXT,
            "Only those that this user looks after.",
        )],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(list(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "flocks/summary",
        doc: "All flocks with counts and settings.",
        params: &[],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(summary(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "flock/note",
        doc: "A flock's note.",
        params: &[FLOCK],
        needs: Needs::Read,
        tier: 2,
        run: |ask| Box::pin(note(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/note/add",
        doc: "Writes a flock's note.",
        params: &[FLOCK, required("note", Takes::Text(4_096), "The note.")],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(set_note(ask)),
    },
    Endpoint {
        methods: &[Verb::Delete],
        path: "flock/note/delete",
        doc: "Removes a flock's note.",
        params: &[FLOCK],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(set_note(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "flock/settings",
        doc: "A flock's settings.\nEverything is inherited from the Console in this version.",
        params: &[FLOCK],
        needs: Needs::Read,
        tier: 2,
        run: |ask| Box::pin(settings(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "flock/move",
        doc: "Moves a bird to another flock, with its incidents.",
        params: &[
            required("node_id", TEXT, "The bird's id."),
            required("dest_flock_id", TEXT, "The flock it goes to."),
            optional(
                "clear_incidents",
                Takes::Flag,
                "Deletes its incidents first.",
            )
            .or("false"),
        ],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(relocate(ask)),
    },
];

async fn create(ask: Ask) -> Result<Answer, ApiError> {
    let name = name(&ask)?;
    let id = format!("flock:{}", super::keys::secret()?);
    let flocks = ask.console.store.flocks();
    flocks.create(&id, &name, ask.now).await?;
    for (param, managers) in [("managers", true), ("watchers", false)] {
        let emails: Vec<String> = ask
            .owned(param)
            .split(',')
            .map(|email| email.trim().to_lowercase())
            .filter(|email| !email.is_empty())
            .collect();
        if !emails.is_empty() {
            flocks.set_users(&id, managers, emails).await?;
        }
    }
    ask.audit("flock_create", &format!("created flock {name}"), Some(&id))
        .await?;
    Ok(Answer::success(json!({"flock_id": id})))
}

async fn delete(ask: Ask) -> Result<Answer, ApiError> {
    let id = ask.owned("flock_id");
    let flock = ask.flock(&id).await?;
    ask.console
        .store
        .flocks()
        .delete(&id)
        .await
        .map_err(|error| match error {
            StoreError::Refused(Refusal::NotEmpty) => {
                ApiError::conflict("Cannot delete a non-empty flock")
            }
            StoreError::Refused(Refusal::DefaultFlock) => {
                ApiError::conflict("Cannot delete default flock")
            }
            StoreError::Refused(Refusal::Missing) => ApiError::not_found("Flock does not exist."),
            other => other.into(),
        })?;
    ask.audit(
        "flock_delete",
        &format!("deleted flock {}", flock.name),
        Some(&id),
    )
    .await?;
    Ok(Answer::done())
}

async fn rename(ask: Ask) -> Result<Answer, ApiError> {
    let id = ask.owned("flock_id");
    let flock = ask.flock(&id).await?;
    let name = name(&ask)?;
    ask.console.store.flocks().rename(&id, &name).await?;
    ask.audit(
        "flock_rename",
        &format!("renamed flock {} to {name}", flock.name),
        Some(&id),
    )
    .await?;
    Ok(Answer::success(json!({"flock_id": id})))
}

async fn list_one(ask: Ask) -> Result<Answer, ApiError> {
    let id = ask.owned("flock_id");
    ask.flock(&id).await?;
    let mut members = members(&ask, Some(vec![id.clone()])).await?;
    Ok(Answer::success(
        json!({"sensors": members.remove(&id).unwrap_or_default()}),
    ))
}

async fn filter(ask: Ask) -> Result<Answer, ApiError> {
    let flocks = ask.console.store.flocks();
    let found = flocks.find(&ask.owned("filter_str")).await?;
    let shown: Vec<Value> = found
        .iter()
        .filter(|flock| ask.caller.sees(&flock.id))
        .map(|flock| {
            let note = flock.note.as_deref().unwrap_or_default();
            json!({"flock_id": flock.id, "name": flock.name, "note": note})
        })
        .collect();
    Ok(Answer::success(json!({"flocks": shown})))
}

async fn list(ask: Ask) -> Result<Answer, ApiError> {
    let flocks = ask.console.store.flocks();
    let of_user = match ask.text("email") {
        Some(email) => {
            let (mut managed, watched) = flocks.of_user(&email.to_lowercase()).await?;
            managed.extend(watched);
            Some(managed)
        }
        None => None,
    };
    let shown: Map<String, Value> = flocks
        .list()
        .await?
        .into_iter()
        .filter(|flock| ask.caller.sees(&flock.id))
        .filter(|flock| of_user.as_ref().is_none_or(|ids| ids.contains(&flock.id)))
        .map(|flock| (flock.id, flock.name.into()))
        .collect();
    Ok(Answer::success(json!({"flocks": shown})))
}

async fn summary(ask: Ask) -> Result<Answer, ApiError> {
    let flocks = ask.console.store.flocks();
    let counts = flocks.counts().await?;
    let mut members = members(&ask, ask.caller.flocks.clone()).await?;
    let global = global_settings(&ask).await?;
    let mut shown = Map::new();
    for flock in flocks.list().await? {
        if ask.caller.sees(&flock.id) {
            let count = counts.get(&flock.id).cloned().unwrap_or_default();
            let members = members.remove(&flock.id).unwrap_or_default();
            shown.insert(flock.id.clone(), one(&flock, &count, &members, &global));
        }
    }
    let unacknowledged = ask.console.store.incidents().unacknowledged().await?;
    let mut devices = Map::new();
    for device in super::devices::visible(&ask).await? {
        let id = device.node_id.to_string();
        if let Some(count) = unacknowledged.nodes.get(&id) {
            devices.insert(id, (*count).into());
        }
    }
    Ok(Answer::success(json!({
        "flocks_summary": shown,
        "unacked_device_incident_counts": devices,
    })))
}

async fn note(ask: Ask) -> Result<Answer, ApiError> {
    let flock = ask.flock(&ask.owned("flock_id")).await?;
    Ok(Answer::success(
        json!({"note": flock.note.unwrap_or_default()}),
    ))
}

async fn set_note(ask: Ask) -> Result<Answer, ApiError> {
    let id = ask.owned("flock_id");
    let flock = ask.flock(&id).await?;
    let flocks = ask.console.store.flocks();
    flocks.set_note(&id, ask.text("note")).await?;
    ask.audit(
        "flock_note",
        &format!("changed the note of flock {}", flock.name),
        Some(&id),
    )
    .await?;
    Ok(Answer::done())
}

async fn settings(ask: Ask) -> Result<Answer, ApiError> {
    ask.flock(&ask.owned("flock_id")).await?;
    Ok(Answer::success(json!({"settings": inherited()})))
}

async fn relocate(ask: Ask) -> Result<Answer, ApiError> {
    let missing = || ApiError::not_found("Device not found");
    let node_id: NodeId = ask.owned("node_id").parse().map_err(|_| missing())?;
    let device = super::devices::find(&ask).await?;
    let to = ask.flock(&ask.owned("dest_flock_id")).await?;
    let incidents = ask.console.store.incidents();
    let filter = Filter {
        node_id: Some(node_id.to_string()),
        ..Filter::default()
    };
    if ask.flag("clear_incidents", false) {
        let who = &ask.caller.who;
        incidents
            .act(filter, Action::Delete, true, who, ask.now)
            .await?;
        ask.incidents_changed().await?;
    }
    let devices = ask.console.store.devices();
    devices.set_flock(node_id, &to.id, ask.now).await?;
    ask.audit(
        "flock_move",
        &format!("moved device {} to flock {}", device.name, to.name),
        Some(&to.id),
    )
    .await?;
    Ok(Answer::success(json!({"flock_id": to.id})))
}

fn name(ask: &Ask) -> Result<String, ApiError> {
    let name = ask.owned("name").trim().to_owned();
    if name.is_empty() {
        return Err(ApiError::bad("Flock name cannot be empty."));
    }
    if name.chars().nth(MAX_NAME).is_some() {
        return Err(ApiError::bad(
            "Flock name longer than maximum (100 characters).",
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(ApiError::invalid("name"));
    }
    Ok(name)
}

/// Ids of birds and tokens by flock.
async fn members(
    ask: &Ask,
    flocks: Option<Vec<String>>,
) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let store = &ask.console.store;
    for device in store.devices().all(flocks.as_deref()).await? {
        let of_flock = members.entry(device.flock_id).or_default();
        of_flock.push(device.node_id.to_string());
    }
    let filter = TokenFilter {
        flocks,
        ..TokenFilter::default()
    };
    for token in store.tokens().page(filter, None, MAX_TOKENS).await?.tokens {
        let of_flock = members.entry(token.flock_id).or_default();
        of_flock.push(token.id.to_string());
    }
    Ok(members)
}

fn one(flock: &Flock, count: &FlockCounts, members: &[String], global: &Value) -> Value {
    json!({
        "devices": members,
        "disabled_tokens": count.disabled_tokens,
        "enabled_tokens": count.enabled_tokens,
        "global_settings": global,
        "incident_count": count.unacknowledged,
        "name": flock.name,
        "note": flock.note,
        "offline_devices": count.dead_devices,
        "online_devices": count.live_devices,
        "settings": inherited(),
        "total_tokens": count.disabled_tokens.saturating_add(count.enabled_tokens),
    })
}

async fn global_settings(ask: &Ask) -> Result<Value, ApiError> {
    let settings = ask.console.store.settings().console().await?;
    Ok(json!({
        "console_change_alerts_enabled": settings.console_change_alerts,
        "console_public_key": "",
        "device_change_alerts_enabled": settings.device_change_alerts,
        "email_notifications": false,
        "listen_domain": ask.console.config.zone,
        "sms_notifications": false,
        "summary_emails": false,
        "webhook_notifications": false,
        "whitelist_enabled": settings.whitelist_enabled,
        "whitelist_ips": settings.whitelist,
    }))
}

/// Settings of a flock that has none of its own.
fn inherited() -> Value {
    json!({
        "change_control": {
            "device_settings_notifications": "Global",
            "flock_settings_notifications": "Global",
        },
        "notification_info": {
            "emails": {"addresses": "", "enabled": "Global"},
            "sms": {"enabled": "Global", "numbers": ""},
            "summary_email": {"addresses": "", "enabled": "Global"},
        },
        "webhooks": {
            "generic_webhooks": [],
            "hipchat_webhooks": [],
            "ms_teams": [],
            "slack_webhooks": [],
            "webhooks_enabled": "Global",
        },
        "whitelisting": {
            "hostname_ignorelisting": {"enabled": "Global", "hostnames": []},
            "inherit_global_whitelist_ips": false,
            "ip_whitelisting": {"enabled": "Global", "ips": ""},
            "src_port_ignorelisting": {"enabled": "Global", "src_ports": ""},
        },
    })
}
