//! Birds: lists, details, notes.

use std::collections::HashSet;

use coalmine_core::NodeId;
use coalmine_store::devices::Device;
use coalmine_store::incidents::{Filter, Page};
use serde_json::{Value, json};

use super::render::Look;
use super::table::{Endpoint, Needs, Param, TEXT, Takes, Verb, optional, required};
use super::{Answer, ApiError, Ask, times};

/// Most unacknowledged incidents named with a bird.
const MAX_NAMED: usize = 1_000;

const TZ: Param = optional("tz", Takes::Zone, "Time zone of `*_std` fields.").or("UTC");
const NODE: Param = required("node_id", TEXT, "The bird's id.");
const SETTINGS: Param = optional("settings", Takes::Flag, "Also its settings.").or("false");

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        methods: &[Verb::Get],
        path: "devices/all",
        doc: "All birds.",
        params: &[TZ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(list(ask, "All Devices", None)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "devices/live",
        doc: "Birds that report.",
        params: &[TZ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(list(ask, "Live Devices", Some(true))),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "devices/dead",
        doc: "Birds that have gone silent.",
        params: &[TZ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(list(ask, "Dead Devices", Some(false))),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "device/info",
        doc: "One bird as a hash of strings.",
        params: &[
            NODE,
            SETTINGS,
            optional(
                "exclude_fixed_settings",
                Takes::Flag,
                "Without settings that can't be changed.",
            )
            .or("false"),
        ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(info(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "device/getinfo",
        doc: "One bird as the Python client reads it.",
        params: &[NODE, SETTINGS, TZ],
        needs: Needs::Read,
        tier: 1,
        run: |ask| Box::pin(getinfo(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "device/configuration_settings",
        doc: "The settings of one bird alone.",
        params: &[NODE],
        needs: Needs::Read,
        tier: 2,
        run: |ask| Box::pin(configuration_settings(ask)),
    },
    Endpoint {
        methods: &[Verb::Get],
        path: "device/note",
        doc: "A bird's note.",
        params: &[NODE],
        needs: Needs::Read,
        tier: 2,
        run: |ask| Box::pin(note(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "device/note/add",
        doc: "Writes a bird's note.",
        params: &[NODE, required("note", Takes::Text(4_096), "The note.")],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(set_note(ask)),
    },
    Endpoint {
        methods: &[Verb::Post],
        path: "device/note/delete",
        doc: "Removes a bird's note.",
        params: &[NODE],
        needs: Needs::Admin,
        tier: 2,
        run: |ask| Box::pin(set_note(ask)),
    },
];

/// The birds that the caller may see.
pub async fn visible(ask: &Ask) -> Result<Vec<Device>, ApiError> {
    let flocks = ask.caller.flocks.as_deref();
    Ok(ask.console.store.devices().all(flocks).await?)
}

/// The bird that `node_id` names, if the caller may see it.
pub async fn find(ask: &Ask) -> Result<Device, ApiError> {
    let missing = || ApiError::not_found("Device not found");
    let node_id: NodeId = ask.owned("node_id").parse().map_err(|_| missing())?;
    ask.console
        .store
        .devices()
        .get(node_id)
        .await?
        .filter(|device| ask.caller.sees(&device.flock_id))
        .ok_or_else(missing)
}

async fn list(ask: Ask, feed: &str, live: Option<bool>) -> Result<Answer, ApiError> {
    let mut devices = visible(&ask).await?;
    devices.retain(|device| live.is_none_or(|live| device.live == live));
    let look = Look::of(&ask);
    let updated = devices
        .iter()
        .map(|device| device.last_seen)
        .max()
        .unwrap_or(ask.now);
    let shown: Vec<Value> = devices.iter().map(|device| look.device(device)).collect();
    Ok(Answer::success(json!({
        "devices": shown,
        "feed": feed,
        "updated": times::rfc1123(updated),
        "updated_std": times::std_in(updated, &ask.zone),
        "updated_timestamp": updated.secs(),
    })))
}

async fn info(ask: Ask) -> Result<Answer, ApiError> {
    let device = find(&ask).await?;
    let keys = unacknowledged(&ask, &device).await?;
    let mut hash = Look::of(&ask).hash(&device, false);
    if let Some(object) = hash.as_object_mut() {
        object.insert("unacknowleged_incidents".to_owned(), keys.clone().into());
        object.insert("unacknowledged_incidents".to_owned(), keys.into());
        if ask.flag("settings", false) {
            object.insert("settings".to_owned(), settings(&ask, &device));
        }
    }
    Ok(Answer::success(json!({"device": hash})))
}

async fn getinfo(ask: Ask) -> Result<Answer, ApiError> {
    let device = find(&ask).await?;
    let keys = unacknowledged(&ask, &device).await?;
    let mut hash = Look::of(&ask).hash(&device, true);
    if let Some(object) = hash.as_object_mut() {
        // Misspelt in the client.
        object.insert("unacknowleged_incidents".to_owned(), keys.clone().into());
        object.insert("unacknowledged_incidents".to_owned(), keys.into());
        if ask.flag("settings", false) {
            object.insert("settings".to_owned(), settings(&ask, &device));
        }
    }
    Ok(Answer::success(json!({"device": hash})))
}

async fn configuration_settings(ask: Ask) -> Result<Answer, ApiError> {
    let device = find(&ask).await?;
    Ok(Answer::success(
        json!({"settings": settings(&ask, &device)}),
    ))
}

async fn note(ask: Ask) -> Result<Answer, ApiError> {
    let device = find(&ask).await?;
    Ok(Answer::success(json!({"note": device.note})))
}

async fn set_note(ask: Ask) -> Result<Answer, ApiError> {
    let device = find(&ask).await?;
    let note = ask.owned("note");
    let devices = ask.console.store.devices();
    devices.set_note(device.node_id, &note, ask.now).await?;
    ask.audit(
        "device_note",
        &format!("changed the note of device {}", device.node_id),
        Some(&device.flock_id),
    )
    .await?;
    Ok(Answer::done())
}

/// Its settings; without those that a caller can't post back where that's asked for.
fn settings(ask: &Ask, device: &Device) -> Value {
    const FIXED: &[&str] = &[
        "device.ip_address",
        "device.mac",
        "device.ad_pubkey",
        "portscan.status",
    ];
    let mut settings = device.settings.clone();
    if ask.flag("exclude_fixed_settings", false) {
        let fixed: HashSet<&str> = FIXED.iter().copied().collect();
        settings.retain(|key, _| !fixed.contains(key.as_str()));
    }
    settings.into()
}

async fn unacknowledged(ask: &Ask, device: &Device) -> Result<Vec<Value>, ApiError> {
    let filter = Filter {
        acknowledged: Some(false),
        node_id: Some(device.node_id.to_string()),
        flocks: ask.caller.flocks.clone(),
        ..Filter::default()
    };
    let page = Page {
        descending: true,
        start: None,
        limit: MAX_NAMED,
    };
    let incidents = ask.console.store.incidents().page(filter, page).await?;
    Ok(incidents
        .incidents
        .iter()
        .map(|incident| json!({"key": incident.key}))
        .collect())
}
