//! Incidents, events and birds as the API shows them.

use coalmine_core::{Endpoint, Event as _, Subject, Timestamp};
use coalmine_store::devices::Device;
use coalmine_store::incidents::{Incident, StoredEvent, node_id_text};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::incidents::Detail;
use super::{Ask, times};
use crate::Console;
use crate::breadcrumbs::SshKeyBreadcrumb;

/// What stands in place of a node id where the Console itself is meant.
pub const CONSOLE_ID: &str = "Console";

/// How to show: which zone, and when it is.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// Labels and kinds.
    pub console: &'a Console,
    /// The zone of `*_std` fields.
    pub zone: &'a TimeZone,
    /// The time now, for ages.
    pub now: Timestamp,
}

impl<'a> Look<'a> {
    /// As this request wants it.
    pub fn of(ask: &'a Ask) -> Self {
        Self {
            console: &ask.console,
            zone: &ask.zone,
            now: ask.now,
        }
    }

    /// An event of `incident`: its own fields with their native types, and when it happened.
    pub fn event(&self, incident: &Incident, event: &StoredEvent) -> Value {
        let mut object: Map<String, Value> =
            serde_json::from_str(event.fields.get()).unwrap_or_default();
        if let Subject::Token(id) = &incident.subject {
            let mut add = |name: &str, value: Value| {
                object.entry(name).or_insert(value);
            };
            add("canarytoken", id.as_str().into());
            add("dst_port", event.dst_port.into());
            add("src_host", host(incident.src).into());
            add("logtype", event.logtype.to_string().into());
        }
        let has_time = self
            .console
            .catalogue
            .event(&incident.kind)
            .is_none_or(|kind| kind.timestamps);
        if has_time {
            object.insert("timestamp".to_owned(), event.at.secs().into());
            object.insert(
                "timestamp_std".to_owned(),
                times::std_in(event.at, self.zone).into(),
            );
        }
        object.into()
    }

    /// An entry of a feed.
    pub fn entry(&self, incident: &Incident, detail: &Detail) -> Value {
        json!({
            "description": self.description(incident, detail),
            "hash_id": incident.hash_id,
            "id": incident.key,
            "summary": incident.title,
            "updated": times::rfc1123(incident.updated),
            "updated_id": incident.updated_id,
            "updated_std": times::std_in(incident.updated, self.zone),
            "updated_time": incident.updated.secs().to_string(),
        })
    }

    /// The incident alone, its fields flat.
    pub fn single(&self, incident: &Incident, detail: &Detail) -> Value {
        let mut object = self.description(incident, detail);
        object.insert("id".to_owned(), incident.key.as_str().into());
        object.insert("hash_id".to_owned(), incident.hash_id.as_str().into());
        object.insert("updated_id".to_owned(), incident.updated_id.into());
        object.insert(
            "updated_std".to_owned(),
            times::std_in(incident.updated, self.zone).into(),
        );
        object.into()
    }

    /// The incident as the search shows it.
    pub fn found(
        &self,
        incident: &Incident,
        detail: &Detail,
        device: Option<&Device>,
        previously_seen: u64,
    ) -> Value {
        let mut object = self.description(incident, detail);
        object.remove("events");
        let printable: Vec<String> = detail.times.iter().copied().map(times::printable).collect();
        let millis: Vec<i64> = detail.times.iter().map(|at| at.millis()).collect();
        let logdata: Vec<Value> = detail
            .events
            .iter()
            .map(|event| {
                let mut value = self.event(incident, event);
                if let Some(object) = value.as_object_mut() {
                    object.remove("timestamp");
                    object.remove("timestamp_std");
                }
                value
            })
            .collect();
        let created_for = self.now.since(incident.created);
        let updated_for = self.now.since(incident.updated);
        let more = json!({
            "created_age": times::age(created_for),
            "created_age_seconds": created_for.as_secs_f64(),
            "created_printable": times::printable(incident.created),
            "events_list": millis,
            "events_list_printable": printable.join(", "),
            "hash_id": incident.hash_id,
            "host": device.map_or_else(|| json!({}), |device| self.hash(device, false)),
            "id": incident.key,
            "incident_key": incident.key,
            "key": incident.key,
            "logdata": logdata,
            "previously_seen_count": previously_seen,
            "sensor": if device.is_some() { SENSOR } else { "canarytokens" },
            "slack_channel": "",
            "slack_ts": "",
            "updated": "True",
            "updated_id": incident.updated_id,
            "updated_time": incident.updated.secs().to_string(),
            "updated_time_age": times::age(updated_for),
            "updated_time_age_seconds": updated_for.as_secs_f64(),
            "updated_time_printable": times::printable(incident.updated),
        });
        if let Value::Object(more) = more {
            object.extend(more);
        }
        object.into()
    }

    /// The `description` object: strings but for the events and annotations.
    fn description(&self, incident: &Incident, detail: &Detail) -> Map<String, Value> {
        let is_token = matches!(incident.subject, Subject::Token(_));
        let list: Vec<String> = detail
            .times
            .iter()
            .map(|at| at.secs().to_string())
            .collect();
        let shown: Vec<Value> = detail
            .events
            .iter()
            .map(|event| self.event(incident, event))
            .collect();
        let mut object = object(json!({
            "acknowledged": python(incident.acknowledged),
            "created": incident.created.secs().to_string(),
            "created_std": times::std_in(incident.created, self.zone),
            "description": incident.title,
            "dst_host": host(incident.dst),
            "dst_port": incident.dst.port.to_string(),
            "events": shown,
            "events_count": incident.events_count.to_string(),
            "events_list": list.join(","),
            "flock_id": incident.flock_id,
            "flock_name": incident.flock_name,
            "local_time": if is_token {
                times::plain_utc(incident.created)
            } else {
                times::plain(incident.created)
            },
            "logtype": incident.logtype.to_string(),
            "matched_annotations": {},
            "name": if is_token { "N/A" } else { incident.name.as_str() },
            "node_id": node_id_text(&incident.subject, CONSOLE_ID),
            "notified": "False",
            "src_host": host(incident.src),
            "src_port": incident.src.port.to_string(),
        }));
        let more = if is_token {
            json!({"memo": incident.memo})
        } else {
            json!({
                "dst_host_public_ip": "",
                "ip_address": "",
                "ippers": "",
                "mac_address": "",
                "src_host_reverse": incident.src_reverse,
            })
        };
        if let Value::Object(more) = more {
            object.extend(more);
        }
        if incident.kind == SshKeyBreadcrumb::KIND.key {
            let reminder = detail.events.iter().find_map(reminder);
            object.insert("reminder".to_owned(), reminder.unwrap_or_default().into());
        }
        object
    }

    /// A bird in the public shape, with native booleans and numbers.
    pub fn device(&self, device: &Device) -> Value {
        let uptime = self.uptime(device);
        json!({
            "description": device.description,
            "first_seen": times::printable(device.first_seen),
            "first_seen_std": times::std_in(device.first_seen, self.zone),
            "gcp_project": "",
            "gcp_zone": "",
            "id": device.node_id.to_string(),
            "ignore_notifications": device.ignore_general,
            "ignore_notifications_disconnects": device.ignore_disconnect,
            "ignore_notifications_reconnects": device.ignore_reconnect,
            "instance_id": "",
            "ip_address": device.address,
            "ippers": text(&device.settings, "device.ippers"),
            "last_seen": times::printable(device.last_seen),
            "last_seen_std": times::std_in(device.last_seen, self.zone),
            "live": device.live,
            "local_time": times::plain(device.last_seen),
            "location": device.description,
            "mac_address": text(&device.settings, "device.mac"),
            "migration_status": "",
            "name": device.name,
            "netmask": text(&device.settings, "device.netmask"),
            "note": device.note,
            "outside_bird": false,
            "personality": device.personality,
            "public_ip": "",
            "region_id": "",
            "sensor": SENSOR,
            "subnet": "",
            "updated": times::rfc1123(device.last_seen),
            "updated_std": times::std_in(device.last_seen, self.zone),
            "updated_timestamp": device.last_seen.secs(),
            "uptime": uptime.as_secs(),
            "uptime_age": times::age(uptime),
            "version": device.version,
        })
    }

    /// A bird as the raw hash of strings; `native_live` gives `live` as the JSON boolean that the
    /// Python client needs.
    pub fn hash(&self, device: &Device, native_live: bool) -> Value {
        let id = device.node_id.to_string();
        let digest = device_id_hash(&id);
        let uptime = self.uptime(device);
        let since = |at: Timestamp| times::age(self.now.since(at));
        json!({
            "autoreg_time": times::fractional(device.first_seen),
            "current_settings": format!("devicesettings:{digest}:{}", device.updated.secs()),
            "description": device.description,
            "device_id": id,
            "device_id_hash": digest,
            "device_live": python(device.live),
            "device_version": device.version,
            "first_seen": device.first_seen.secs().to_string(),
            "first_seen_age": since(device.first_seen),
            "first_seen_printable": times::printable(device.first_seen),
            "first_seen_std": times::std_in(device.first_seen, self.zone),
            "flock_id": device.flock_id,
            "ghost": "False",
            "id": id,
            "ignore_notifications_disconnect": python(device.ignore_disconnect),
            "ignore_notifications_general": python(device.ignore_general),
            "ignore_notifications_reconnect": python(device.ignore_reconnect),
            "ip_address": device.address,
            "ippers": text(&device.settings, "device.ippers"),
            "last_dns_settings_message_time": times::plain(device.last_seen),
            "last_heartbeat": device.last_seen.secs().to_string(),
            "last_heartbeat_age": since(device.last_seen),
            "last_heartbeat_printable": times::printable(device.last_seen),
            "last_seen_std": times::std_in(device.last_seen, self.zone),
            "live": if native_live { Value::Bool(device.live) } else { "False".into() },
            "local_time": times::plain(device.last_seen),
            "location": device.description,
            "logtype": "1004",
            "mac": text(&device.settings, "device.mac"),
            "mac_address": text(&device.settings, "device.mac"),
            "name": device.name,
            "need_reboot": python(device.need_reboot),
            "netmask": text(&device.settings, "device.netmask"),
            "node_id": id,
            "note": device.note,
            "notify_after_horizon_reconnect": python(device.notify_after_horizon),
            "personality": device.personality,
            "reconnect_count": device.reconnect_count.to_string(),
            "sensor": SENSOR,
            "service_count": device.services.iter().filter(|s| s.problem.is_none()).count().to_string(),
            "throttled": "False",
            "uptime": uptime.as_secs().to_string(),
            "uptime_age": times::age(uptime),
            "was_rollback": "False",
        })
    }

    fn uptime(&self, device: &Device) -> std::time::Duration {
        let until = if device.live {
            self.now
        } else {
            device.last_seen
        };
        until.since(device.started)
    }
}

/// What kind of bird ours are.
const SENSOR: &str = "coalmine";

/// `True` or `False`, as Python prints it: clients compare with these texts.
pub fn python(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// The address as text; empty where there is none.
pub fn host(endpoint: Endpoint) -> String {
    if endpoint.ip.is_unspecified() {
        String::new()
    } else {
        endpoint.ip.to_string()
    }
}

/// First 12 bytes of SHA-256 of the node id, as hex.
fn device_id_hash(node_id: &str) -> String {
    Sha256::digest(node_id.as_bytes())
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn text(settings: &Map<String, Value>, key: &str) -> String {
    match settings.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Where the breadcrumb was left that an event tells of.
fn reminder(event: &StoredEvent) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_str(event.fields.get()).ok()?;
    Some(fields.get("reminder")?.as_str()?.to_owned())
}
