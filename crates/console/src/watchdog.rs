//! Birds that fall silent, and those that come back.

use std::time::Duration;

use coalmine_core::{Endpoint, Event, EventKind, NodeId, Sighting, SightingId, Subject, Timestamp};
use coalmine_store::StoreError;
use coalmine_store::devices::Device;
use sha2::{Digest, Sha256};

use crate::{Console, Shared, ingest, now};

/// Time between two looks at all birds.
const TICK: Duration = Duration::from_secs(5);

coalmine_core::event! {
    /// A bird hasn't sent a heartbeat for longer than the Console waits.
    pub struct Disconnected: "devicedied", "Canary Disconnected", [
        1004 "no heartbeat within the flock's window",
    ], no timestamps {}
}

coalmine_core::event! {
    /// A bird that had fallen silent sends heartbeats again.
    pub struct Reconnected: "devicereconnected", "Canary Reconnected", [
        1005 "heartbeat resumed",
    ], no timestamps {}
}

/// Event kinds of the Console itself, for the catalogue.
pub static KINDS: &[&EventKind] = &[Disconnected::KIND, Reconnected::KIND];

/// Looks at all birds from time to time until the store is closed.
pub async fn run(console: Shared) {
    let started = now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        ticks.tick().await;
        match look(&console, started, now()).await {
            Ok(()) => told = false,
            Err(StoreError::Closed) => return,
            Err(error) if !told => {
                tracing::error!(%error, "can't look after birds; trying again");
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// One look: an incident and the bird's new state for each change. What fails is found again at
/// the next look, with the same sighting ids.
///
/// # Errors
/// The store's.
pub async fn look(console: &Console, started: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    let horizon = console.store.settings().console().await?.disconnect_after;
    let devices = console.store.devices().all(None).await?;
    for (device, change) in changes(&devices, started, now, Duration::from_secs(horizon)) {
        let id = device.node_id;
        let sighting = sighting(device, change, now);
        ingest::record_now(console, vec![sighting]).await?;
        match change {
            Change::Died => console.store.devices().mark_dead(id, now).await?,
            Change::Returned => console.store.devices().mark_alive(id, now).await?,
        };
    }
    Ok(())
}

/// What has become of a bird.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has been silent for longer than the horizon.
    Died,
    /// It was silent and is heard again.
    Returned,
}

/// Which birds have changed. The time before the Console's own start, `started`, doesn't count as
/// silence: nobody could hear.
pub fn changes(
    devices: &[Device],
    started: Timestamp,
    now: Timestamp,
    horizon: Duration,
) -> Vec<(&Device, Change)> {
    devices
        .iter()
        .filter_map(|device| {
            let silent = now.since(device.last_seen.max(started));
            let change = if device.live {
                (silent > horizon).then_some(Change::Died)
            } else {
                // A dead bird must really have been heard: the Console's start is no heartbeat.
                (now.since(device.last_seen) <= horizon).then_some(Change::Returned)
            };
            change.map(|change| (device, change))
        })
        .collect()
}

/// The sighting of a change. Its id follows from the bird and its newest heartbeat, so that a look
/// that failed half-way makes no second incident.
fn sighting(device: &Device, change: Change, now: Timestamp) -> Sighting {
    let id = sighting_id(device.node_id, device, change);
    let subject = Subject::Bird(device.node_id);
    let ends = (Endpoint::NONE, Endpoint::NONE);
    match change {
        Change::Died => Sighting::new(id, now, subject, ends, &Disconnected {}),
        Change::Returned => Sighting::new(id, now, subject, ends, &Reconnected {}),
    }
}

fn sighting_id(node_id: NodeId, device: &Device, change: Change) -> SightingId {
    // While a bird is dead its newest heartbeat moves; what stays is when it was marked.
    let since = match change {
        Change::Died => device.last_seen,
        Change::Returned => device.updated,
    };
    let mut hash = Sha256::new();
    hash.update(node_id.to_string());
    hash.update([u8::from(change == Change::Died)]);
    hash.update(since.micros().to_be_bytes());
    let mut random = [0; 16];
    if let Some(bytes) = hash.finalize().first_chunk() {
        random = *bytes;
    }
    let millis = u64::try_from(since.millis()).unwrap_or(0);
    SightingId::from_parts(millis, u128::from_be_bytes(random))
}

#[cfg(test)]
mod tests;
