//! The Console's settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::driver::{Driver, json, values};
use crate::engine::Writer;
use crate::{Result, Store};

/// Name of the row that holds [`ConsoleSettings`].
const CONSOLE: &str = "console";

/// What the Console's owner can choose while it runs. What a store doesn't say has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleSettings {
    /// How long after its newest event an incident takes another, in seconds.
    pub bundle_window: u64,
    /// The same for single event kinds, by key. For `consolidatednetworkportscan` it is also the
    /// time within which a source must touch a second bird: an hour if it isn't there.
    pub bundle_windows: BTreeMap<String, u64>,
    /// Whether sources are looked up in the reverse DNS.
    pub reverse_lookups: bool,
    /// Whether [`ConsoleSettings::whitelist`] counts.
    pub whitelist_enabled: bool,
    /// Sources that make no incidents: `ADDRESS`, `ADDRESS:PORT` (destination port), `NETWORK/BITS`,
    /// `NETWORK/BITS:PORT`; IPv6 with a port in brackets; `#` starts a comment.
    pub whitelist: Vec<String>,
    /// Sources whose port scans make no incidents: `SOURCE` or `SOURCE:PORT,PORT`, where a source
    /// is `ADDRESS`, `NETWORK/BITS`, `FROM-TO` or, of IPv4, `10.1.2.*`; IPv6 with ports in brackets.
    pub portscan_ignore: Vec<String>,
    /// The same for the birds of one flock, by its id.
    pub portscan_ignore_flocks: BTreeMap<String, Vec<String>>,
    /// What a token event's `type` holds.
    pub token_event_type: TokenEventType,
    /// Whether tokens may be made in [`ConsoleSettings::token_domains`].
    pub token_domains_enabled: bool,
    /// Domains of tokens beside the configured zone.
    pub token_domains: Vec<String>,
    /// Whether [`ConsoleSettings::token_webroot`] is shown.
    pub token_webroot_enabled: bool,
    /// HTML at the root of token URLs.
    pub token_webroot: String,
    /// Sources whose touches of tokens make no incidents: `ADDRESS`, `NETWORK/BITS`.
    pub token_ignore: Vec<String>,
    /// Parts of `User-Agent` headers, in any case, whose touches of tokens make no incidents.
    pub token_ignore_agents: Vec<String>,
    /// After how many seconds of silence a bird counts as disconnected.
    pub disconnect_after: u64,
    /// Whether a change of the Console's settings makes an incident.
    pub console_change_alerts: bool,
    /// Whether a change of a bird's settings makes an incident.
    pub device_change_alerts: bool,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self {
            bundle_window: 60,
            bundle_windows: BTreeMap::from([("consolidatednetworkportscan".to_owned(), 3_600)]),
            reverse_lookups: true,
            whitelist_enabled: true,
            whitelist: Vec::new(),
            portscan_ignore: Vec::new(),
            portscan_ignore_flocks: BTreeMap::new(),
            token_event_type: TokenEventType::Kind,
            token_domains_enabled: false,
            token_domains: Vec::new(),
            token_webroot_enabled: false,
            token_webroot: String::new(),
            token_ignore: Vec::new(),
            token_ignore_agents: Vec::new(),
            disconnect_after: 300,
            console_change_alerts: false,
            device_change_alerts: false,
        }
    }
}

/// What a token event's `type` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenEventType {
    /// The token's kind, e.g. `doc-msword`.
    #[default]
    Kind,
    /// How it was touched: `http`, `dns`.
    Channel,
}

/// Settings, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Settings(pub(crate) Store);

impl Settings {
    /// The Console's settings; cached.
    ///
    /// # Errors
    /// The engine's.
    pub async fn console(&self) -> Result<Arc<ConsoleSettings>> {
        let generation = match self.0.caches().settings.get(&()) {
            Ok(settings) => return Ok(settings),
            Err(generation) => generation,
        };
        let settings: Arc<ConsoleSettings> = Arc::new(self.get(CONSOLE).await?.unwrap_or_default());
        let caches = self.0.caches();
        caches.settings.keep(generation, (), settings.clone());
        Ok(settings)
    }

    /// Changes the Console's settings, in one step; what `change` answers.
    ///
    /// # Errors
    /// The engine's.
    pub async fn change<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut ConsoleSettings) -> T + Send + 'static,
    {
        let outcome = self
            .0
            .write(move |writer| {
                let mut settings = read(&mut *writer.db, CONSOLE)?.unwrap_or_default();
                let answer = change(&mut settings);
                write(writer, CONSOLE, &settings)?;
                Ok(answer)
            })
            .await;
        self.0.caches().settings.forget();
        outcome
    }

    /// Any value by name, e.g. a secret made at first start.
    ///
    /// # Errors
    /// The engine's, also when the value isn't of this type.
    pub async fn get<T>(&self, name: &str) -> Result<Option<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let name = name.to_owned();
        self.0.read(move |db| read(db, &name)).await
    }

    /// Writes a value by name; `console` is [`Settings::change`]'s.
    ///
    /// # Errors
    /// The engine's.
    pub async fn put<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let (name, value) = (name.to_owned(), json(value)?);
        self.0
            .write(move |writer| write_text(writer, &name, value))
            .await
    }
}

fn read<T: DeserializeOwned>(db: &mut dyn Driver, name: &str) -> Result<Option<T>> {
    db.query("SELECT value FROM settings WHERE name = ?", &values![name])?
        .pop()
        .map(|mut row| row.json())
        .transpose()
}

fn write<T: Serialize>(writer: &mut Writer, name: &str, value: &T) -> Result<()> {
    write_text(writer, name, json(value)?)
}

fn write_text(writer: &mut Writer, name: &str, value: String) -> Result<()> {
    writer.db.execute(
        "INSERT INTO settings (name, value) VALUES (?, ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        &values![name, value],
    )?;
    Ok(())
}
