//! Birds, as their heartbeats and their owners describe them.

use coalmine_core::{NodeId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::driver::{Row, json, placeholders, values};
use crate::flocks::some;
use crate::{Refusal, Result, Store};

/// A heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReport {
    /// The bird.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// What the operator says of its place.
    pub description: String,
    /// The address its services are reached at.
    pub address: String,
    /// Its personality, e.g. `linux-nas`.
    pub personality: String,
    /// Version of the sensor.
    pub version: String,
    /// When the sensor started the bird.
    pub started: Timestamp,
    /// The documented settings object.
    pub settings: Map<String, Json>,
    /// What it listens on.
    pub services: Vec<DeviceService>,
}

/// One service of a bird.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceService {
    /// Kind of decoy, e.g. `ftp`.
    pub id: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Port asked for.
    pub port: u16,
    /// Why it isn't listening, if it isn't.
    pub problem: Option<String>,
}

/// One bird.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// The bird.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// What the operator says of its place.
    pub description: String,
    /// The address its services are reached at.
    pub address: String,
    /// Its personality, e.g. `linux-nas`.
    pub personality: String,
    /// Version of the sensor.
    pub version: String,
    /// The documented settings object.
    pub settings: Map<String, Json>,
    /// What it listens on.
    pub services: Vec<DeviceService>,
    /// Flock.
    pub flock_id: String,
    /// What people wrote about it.
    pub note: String,
    /// Whether it is heard of.
    pub live: bool,
    /// First heartbeat, by the Console's clock.
    pub first_seen: Timestamp,
    /// Newest heartbeat, by the Console's clock.
    pub last_seen: Timestamp,
    /// When the sensor started it.
    pub started: Timestamp,
    /// When anything about it changed last: what it reports, its state, its owner's choices.
    pub updated: Timestamp,
    /// How often it came back.
    pub reconnect_count: u64,
    /// No notifications at all.
    pub ignore_general: bool,
    /// None when it goes silent.
    pub ignore_disconnect: bool,
    /// None when it comes back.
    pub ignore_reconnect: bool,
    /// Notify of its return only after the horizon.
    pub notify_after_horizon: bool,
    /// Asked to restart.
    pub need_reboot: bool,
}

/// A choice of the bird's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceFlag {
    /// [`Device::ignore_general`].
    IgnoreGeneral,
    /// [`Device::ignore_disconnect`].
    IgnoreDisconnect,
    /// [`Device::ignore_reconnect`].
    IgnoreReconnect,
    /// [`Device::notify_after_horizon`].
    NotifyAfterHorizon,
    /// [`Device::need_reboot`].
    NeedReboot,
}

/// Birds, as the store remembers them.
#[derive(Clone, Debug)]
pub struct Devices(pub(crate) Store);

const COLUMNS: &str = "node_id, name, description, address, personality, version, settings, \
    services, flock_id, note, live, first_seen, last_seen, started, updated, reconnect_count, \
    ignore_general, ignore_disconnect, ignore_reconnect, notify_after_horizon, need_reboot";

impl Devices {
    /// Takes a heartbeat in. A new bird joins the default flock. Whether a bird counts as live
    /// again is for [`Devices::mark_alive`] to say.
    ///
    /// # Errors
    /// The engine's.
    pub async fn report(&self, report: DeviceReport, now: Timestamp) -> Result<()> {
        let params = values![
            report.node_id.to_string(),
            report.name,
            report.description,
            report.address,
            report.personality,
            report.version,
            json(&report.settings)?,
            json(&report.services)?,
            crate::flocks::DEFAULT,
            now,
            now,
            report.started,
            now,
        ];
        self.0
            .write(move |writer| {
                // In SET, a bare column is the old row's, `excluded` the new one's.
                writer.db.execute(
                    "INSERT INTO devices (node_id, name, description, address, personality, \
                     version, settings, services, flock_id, first_seen, last_seen, started, \
                     updated, note, live, reconnect_count, ignore_general, ignore_disconnect, \
                     ignore_reconnect, notify_after_horizon, need_reboot) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 1, 0, 0, 0, 0, 0, 0) \
                     ON CONFLICT (node_id) DO UPDATE SET \
                     name = excluded.name, description = excluded.description, \
                     address = excluded.address, personality = excluded.personality, \
                     version = excluded.version, settings = excluded.settings, \
                     services = excluded.services, last_seen = excluded.last_seen, \
                     started = excluded.started, \
                     updated = CASE WHEN devices.name = excluded.name \
                       AND devices.description = excluded.description \
                       AND devices.address = excluded.address \
                       AND devices.personality = excluded.personality \
                       AND devices.version = excluded.version \
                       AND devices.settings = excluded.settings \
                       AND devices.services = excluded.services \
                       THEN devices.updated ELSE excluded.updated END, \
                     need_reboot = CASE WHEN devices.started = excluded.started \
                       THEN devices.need_reboot ELSE 0 END",
                    &params,
                )?;
                Ok(())
            })
            .await
    }

    /// All birds, or those of some flocks, by name.
    ///
    /// # Errors
    /// The engine's.
    pub async fn all(&self, flocks: Option<&[String]>) -> Result<Vec<Device>> {
        let flocks = flocks.map(<[String]>::to_vec);
        self.0
            .read(move |db| {
                let flocks = flocks.as_deref();
                let only = flocks.map_or_else(String::new, |flocks| {
                    format!("WHERE flock_id IN ({})", placeholders(flocks.len()))
                });
                let params: Vec<_> = flocks.unwrap_or_default().iter().map(Into::into).collect();
                let sql = format!("SELECT {COLUMNS} FROM devices {only} ORDER BY name, node_id");
                db.query(&sql, &params)?.into_iter().map(device).collect()
            })
            .await
    }

    /// One bird.
    ///
    /// # Errors
    /// The engine's.
    pub async fn get(&self, node_id: NodeId) -> Result<Option<Device>> {
        self.0
            .read(move |db| {
                let sql = format!("SELECT {COLUMNS} FROM devices WHERE node_id = ?");
                db.query(&sql, &values![node_id.to_string()])?
                    .pop()
                    .map(device)
                    .transpose()
            })
            .await
    }

    /// Writes an owner's choice.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_flag(
        &self,
        node_id: NodeId,
        flag: DeviceFlag,
        value: bool,
        now: Timestamp,
    ) -> Result<()> {
        let column = match flag {
            DeviceFlag::IgnoreGeneral => "ignore_general",
            DeviceFlag::IgnoreDisconnect => "ignore_disconnect",
            DeviceFlag::IgnoreReconnect => "ignore_reconnect",
            DeviceFlag::NotifyAfterHorizon => "notify_after_horizon",
            DeviceFlag::NeedReboot => "need_reboot",
        };
        self.set(column, value.into(), node_id, now).await
    }

    /// Writes a bird's note.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn set_note(&self, node_id: NodeId, note: &str, now: Timestamp) -> Result<()> {
        self.set("note", note.into(), node_id, now).await
    }

    /// Moves a bird to another flock, with its incidents.
    ///
    /// # Errors
    /// [`Refusal::Missing`] if bird or flock isn't there.
    pub async fn set_flock(&self, node_id: NodeId, flock_id: &str, now: Timestamp) -> Result<()> {
        let (node, flock) = (node_id.to_string(), flock_id.to_owned());
        self.0
            .write(move |writer| {
                let moved = writer.db.execute(
                    "UPDATE devices SET flock_id = ?, updated = ? \
                     WHERE node_id = ? AND EXISTS (SELECT 1 FROM flocks WHERE id = ?)",
                    &values![&flock, now, &node, &flock],
                )?;
                some(moved, Refusal::Missing)?;
                writer.db.execute(
                    "UPDATE incidents SET flock_id = ? WHERE node_id = ?",
                    &values![flock, node],
                )?;
                Ok(())
            })
            .await
    }

    /// The bird has gone silent; whether that's news.
    ///
    /// # Errors
    /// The engine's.
    pub async fn mark_dead(&self, node_id: NodeId, now: Timestamp) -> Result<bool> {
        let params = values![now, node_id.to_string()];
        self.0
            .write(move |writer| {
                let changed = writer.db.execute(
                    "UPDATE devices SET live = 0, updated = ? WHERE node_id = ? AND live = 1",
                    &params,
                )?;
                Ok(changed > 0)
            })
            .await
    }

    /// The bird is back; whether that's news.
    ///
    /// # Errors
    /// The engine's.
    pub async fn mark_alive(&self, node_id: NodeId, now: Timestamp) -> Result<bool> {
        let params = values![now, node_id.to_string()];
        self.0
            .write(move |writer| {
                let changed = writer.db.execute(
                    "UPDATE devices SET live = 1, reconnect_count = reconnect_count + 1, \
                     updated = ? WHERE node_id = ? AND live = 0",
                    &params,
                )?;
                Ok(changed > 0)
            })
            .await
    }

    /// Forgets a bird; its incidents stay.
    ///
    /// # Errors
    /// [`Refusal::Missing`].
    pub async fn delete(&self, node_id: NodeId) -> Result<()> {
        let params = values![node_id.to_string()];
        self.0
            .write(move |writer| {
                let gone = writer
                    .db
                    .execute("DELETE FROM devices WHERE node_id = ?", &params)?;
                some(gone, Refusal::Missing)
            })
            .await
    }

    async fn set(
        &self,
        column: &'static str,
        value: crate::driver::Value,
        node_id: NodeId,
        now: Timestamp,
    ) -> Result<()> {
        let params = values![value, now, node_id.to_string()];
        self.0
            .write(move |writer| {
                let sql = format!("UPDATE devices SET {column} = ?, updated = ? WHERE node_id = ?");
                some(writer.db.execute(&sql, &params)?, Refusal::Missing)
            })
            .await
    }
}

fn device(mut row: Row) -> Result<Device> {
    Ok(Device {
        node_id: row.parsed(|text| text.parse().ok())?,
        name: row.text()?,
        description: row.text()?,
        address: row.text()?,
        personality: row.text()?,
        version: row.text()?,
        settings: row.json()?,
        services: row.json()?,
        flock_id: row.text()?,
        note: row.text()?,
        live: row.flag()?,
        first_seen: row.time()?,
        last_seen: row.time()?,
        started: row.time()?,
        updated: row.time()?,
        reconnect_count: row.count()?,
        ignore_general: row.flag()?,
        ignore_disconnect: row.flag()?,
        ignore_reconnect: row.flag()?,
        notify_after_horizon: row.flag()?,
        need_reboot: row.flag()?,
    })
}
