//! What the API answers, with the names that the Python client gives its attributes.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A feed of incidents.
#[derive(Clone, Debug, Deserialize)]
pub struct Feed {
    /// Oldest update first.
    pub incidents: Vec<Incident>,
    /// Highest `updated_id` among them; missing where there are none.
    pub max_updated_id: Option<i64>,
}

/// One incident. Feeds nest most attributes inside `description`, searches don't; here they're flat.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// `incident:<kind>:<32 hex>:<src_host>:<created epoch>`.
    pub id: String,
    /// 32 hex digits.
    pub hash_id: String,
    /// Title, e.g. `SSH Login Attempt`.
    pub summary: String,
    /// Console-wide counter at its last change.
    pub updated_id: i64,
    /// Whether somebody has acknowledged it.
    pub acknowledged: bool,
    /// When it opened, seconds since 1970.
    pub created: i64,
    /// The same for people.
    pub created_std: String,
    /// Who did it.
    pub src_host: String,
    /// Port it came from.
    pub src_port: String,
    /// Reverse name of the source; empty where unknown.
    pub src_host_reverse: String,
    /// What was touched.
    pub dst_host: String,
    /// Port that was touched.
    pub dst_port: String,
    /// Number of its kind, e.g. 4002.
    pub logtype: String,
    /// Name of the bird; `N/A` for tokens.
    pub name: String,
    /// Id of the bird or token.
    pub node_id: String,
    /// Flock.
    pub flock_id: String,
    /// Reminder of the token; empty for birds.
    pub memo: String,
    /// How many events it has, also beyond those listed.
    pub events_count: u64,
    /// Its events, oldest first.
    pub events: Vec<Event>,
}

impl Incident {
    /// The catalogue's kind, e.g. `sshlogin`.
    pub fn kind(&self) -> &str {
        self.id.split(':').nth(1).unwrap_or("")
    }
}

/// One event: its fields by lower-cased name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Event(pub BTreeMap<String, Value>);

impl Event {
    /// The field's text; numbers as digits.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(text)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Value>::deserialize(deserializer)?;
        Ok(Self(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_lowercase(), value))
                .collect(),
        ))
    }
}

impl<'de> Deserialize<'de> for Incident {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = Value::deserialize(deserializer)?;
        // Feeds: attributes inside `description`; searches: flat, with `description` as the title.
        let inner = entry.get("description").filter(|d| d.is_object());
        let find = |name: &str| {
            inner
                .and_then(|d| d.get(name))
                .or_else(|| entry.get(name))
                .filter(|value| !value.is_null())
        };
        let string = |name: &str| find(name).map(text).unwrap_or_default();
        let missing = |name: &str| serde::de::Error::custom(format!("an incident without {name}"));
        let id = entry
            .get("id")
            .or_else(|| entry.get("key"))
            .map(text)
            .ok_or_else(|| missing("id"))?;
        Ok(Self {
            id,
            hash_id: string("hash_id"),
            summary: string("description"),
            updated_id: find("updated_id")
                .map(text)
                .unwrap_or_default()
                .parse()
                .unwrap_or(0),
            acknowledged: string("acknowledged") == "True",
            created: string("created").parse().map_err(|_| missing("created"))?,
            created_std: string("created_std"),
            src_host: string("src_host"),
            src_port: string("src_port"),
            src_host_reverse: string("src_host_reverse"),
            dst_host: string("dst_host"),
            dst_port: string("dst_port"),
            logtype: string("logtype"),
            name: string("name"),
            node_id: string("node_id"),
            flock_id: string("flock_id"),
            memo: string("memo"),
            events_count: string("events_count").parse().unwrap_or(0),
            events: find("events")
                .cloned()
                .map(serde_json::from_value)
                .transpose()
                .map_err(serde::de::Error::custom)?
                .unwrap_or_default(),
        })
    }
}

/// One bird.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Device {
    /// Node id.
    pub id: String,
    /// Name.
    pub name: String,
    /// What the operator says of its place.
    pub description: String,
    /// Whether it's heard of.
    pub live: bool,
    /// Address.
    pub ip_address: String,
    /// Personality.
    pub personality: String,
}

/// One token.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Token {
    /// The unique string.
    pub canarytoken: String,
    /// Kind, e.g. `http`.
    pub kind: String,
    /// What its owner wrote.
    pub memo: String,
    /// Whether touches count.
    pub enabled: bool,
    /// Its address on the web.
    pub url: String,
    /// Its name in the DNS.
    pub hostname: String,
    /// How often it was touched.
    pub triggered_count: u64,
    /// The kind's own fields and whatever else the API says.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// What the owner of the tokens' zones has to set up in the DNS.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct DnsPlan {
    /// Zone of DNS tokens and host of token URLs.
    pub zone: String,
    /// Zone of names that don't exist.
    pub nx_zone: Option<String>,
    /// The owner's own domains.
    pub domains: Vec<String>,
    /// The address that names in them resolve to.
    pub public_address: std::net::IpAddr,
    /// First label of their name server.
    pub name_server: String,
    /// Where the DNS channel listens; missing where it doesn't.
    pub listens: Option<std::net::SocketAddr>,
}

/// A query for a probe that the Console has seen.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct DnsArrival {
    /// The name as asked for.
    pub name: String,
    /// E.g. `A`.
    pub query_type: String,
    /// Who asked.
    pub src_host: String,
    /// `udp` or `tcp`.
    pub transport: String,
}

/// One API key.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Key {
    /// By which it's removed.
    pub key_id: String,
    /// The secret; listings may leave it out.
    #[serde(default)]
    pub auth_token: String,
    /// `Admin`, `Analyst`, `Read-only`.
    pub auth_token_type: String,
    /// What it's for.
    pub note: String,
    /// When it was made.
    pub created: String,
    /// By whom.
    #[serde(default)]
    pub created_by: String,
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = r#"{
      "feed": "All Incidents", "max_updated_id": 7, "result": "success",
      "incidents": [{
        "id": "incident:sshlogin:11cdf5d57170cc4d057c8a4ef1a81d65:192.0.2.10:1586260854",
        "hash_id": "e35d196cf3ff157908b542a401810413", "summary": "SSH Login Attempt",
        "updated_id": 7, "updated_time": "1586260854",
        "description": {
          "acknowledged": "False", "created": "1586260854",
          "created_std": "2020-04-07 12:00:54 UTC+0000", "description": "SSH Login Attempt",
          "dst_host": "192.0.2.20", "dst_port": "22", "events_count": "3", "logtype": "4002",
          "events": [{"USERNAME": "root", "PASSWORD": "hunter2", "timestamp": 1586260854}],
          "flock_id": "flock:default", "name": "nas", "node_id": "000246ec65ef9476",
          "src_host": "192.0.2.10", "src_host_reverse": "", "src_port": "54968"
        }}]}"#;

    #[test]
    fn a_feed_is_flattened_and_event_names_are_lower_case() {
        let feed: Feed = serde_json::from_str(FEED).unwrap();
        let [incident] = feed.incidents.as_slice() else {
            panic!("one incident")
        };
        assert_eq!(feed.max_updated_id, Some(7));
        assert_eq!(
            (incident.kind(), incident.summary.as_str()),
            ("sshlogin", "SSH Login Attempt")
        );
        assert_eq!((incident.events_count, incident.updated_id), (3, 7));
        assert_eq!(incident.events[0].get("username").as_deref(), Some("root"));
        assert_eq!(
            incident.events[0].get("timestamp").as_deref(),
            Some("1586260854")
        );
        assert_eq!(incident.events[0].get("USERNAME"), None);
        assert!(!incident.acknowledged);
    }

    #[test]
    fn a_search_result_is_flat_already() {
        let incident: Incident = serde_json::from_str(
            r#"{"key": "incident:modbus:00:192.0.2.10:1586262520", "acknowledged": "True",
                "created": "1586262520", "description": "ModBus Request", "events_count": "1",
                "hash_id": "e3", "updated_id": 9, "src_host": "192.0.2.10"}"#,
        )
        .unwrap();
        assert_eq!(
            (incident.summary.as_str(), incident.acknowledged),
            ("ModBus Request", true)
        );
        assert!(serde_json::from_str::<Incident>(r#"{"key": "incident:x"}"#).is_err());
    }

    #[test]
    fn tokens_keep_what_the_kind_adds() {
        let token: Token = serde_json::from_str(
            r#"{"canarytoken": "uwjj05y6vqkxmf3cl40jkfn8d", "created": "1586249510.069870",
                "enabled": true, "kind": "aws-id", "memo": "m", "triggered_count": 0,
                "hostname": "h", "url": "u", "access_key_id": "AKIAIOSFODNN7EXAMPLE"}"#,
        )
        .unwrap();
        assert_eq!(token.more["access_key_id"], "AKIAIOSFODNN7EXAMPLE");
    }
}
