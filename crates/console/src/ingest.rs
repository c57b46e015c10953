//! From the bus through the engine into the store.
//!
//! *Invariant:* a delivery is acknowledged only after the commit that holds it. What can't be
//! committed now is tried again until it can, so nothing is lost and senders wait.

use std::sync::Arc;
use std::time::Duration;

use coalmine_bus::{BirdReport, Delivery, Message, Subscriber};
use coalmine_core::Sighting;
use coalmine_core::sighting::SightingId;
use coalmine_store::StoreError;
use coalmine_store::devices::{DeviceReport, DeviceService};
use coalmine_store::incidents::Recorded;

use crate::engine::Engine;
use crate::{Console, Shared, breadcrumbs, now, scan_ignore};

/// Sightings in one batch; a single larger message is taken whole.
const MAX_BATCH: usize = 2_000;

/// Messages in one batch.
const MAX_MESSAGES: usize = 64;

/// Time between tries while the store fails: first and longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Takes deliveries in until every sender is gone or the store is closed.
pub async fn run(console: Shared, mut sightings: Subscriber) {
    while let Some(first) = sightings.next().await {
        let mut batch = Batch::default();
        batch.add(first);
        while batch.has_room() {
            match sightings.waiting() {
                Some(delivery) => batch.add(delivery),
                None => break,
            }
        }
        if batch.commit(&console).await.is_err() {
            return;
        }
    }
}

/// Records the Console's own sightings and waits for the commit.
///
/// # Errors
/// The store's; then nothing is recorded, and calling again with the same sightings is right.
pub async fn record_now(
    console: &Console,
    sightings: impl Into<Arc<[Sighting]>>,
) -> Result<Recorded, StoreError> {
    let sightings = breadcrumbs::recognise(&console.store, sightings.into()).await?;
    let settings = console.store.settings().console().await?;
    let birds = scan_ignore::birds(&console.store, &settings, &sightings).await?;
    let engine = Arc::new(Engine::new(settings, &console.catalogue, birds, now()));
    let recorded = console.store.incidents().record(sightings, engine).await?;
    tell(console, recorded.updated_id);
    Ok(recorded)
}

/// Gives a stored event the fields of `sighting`, which tells more of the same thing, and waits for
/// the commit. Whether there was such an event that nobody has dealt with yet; otherwise nothing
/// has changed.
///
/// # Errors
/// The store's; calling again is right.
pub async fn amend_now(
    console: &Console,
    event: SightingId,
    sighting: &Sighting,
) -> Result<bool, StoreError> {
    let incidents = console.store.incidents();
    let fields = sighting.fields.clone();
    let updated_id = incidents.amend(event, fields, sighting.at).await?;
    if let Some(updated_id) = updated_id {
        tell(console, updated_id);
    }
    Ok(updated_id.is_some())
}

/// Lets those who watch the counter know.
fn tell(console: &Console, updated_id: i64) {
    // Two records may end in another order than they committed; the counter never goes back.
    console.changes.send_if_modified(|id| {
        let newer = updated_id > *id;
        *id = updated_id.max(*id);
        newer
    });
}

/// Messages that share one commit.
#[derive(Default)]
struct Batch {
    /// Emptied of what they carried; kept to be acknowledged.
    deliveries: Vec<Delivery>,
    sightings: Vec<Sighting>,
    reports: Vec<BirdReport>,
}

impl Batch {
    fn add(&mut self, mut delivery: Delivery) {
        match &mut delivery.message {
            Message::Sightings(sightings) => self.sightings.append(sightings),
            Message::Report(report) => self.reports.push(report.clone()),
        }
        self.deliveries.push(delivery);
    }

    fn has_room(&self) -> bool {
        self.sightings.len() < MAX_BATCH && self.deliveries.len() < MAX_MESSAGES
    }

    /// Brings everything on disk, then acknowledges it.
    ///
    /// # Errors
    /// [`StoreError::Closed`] alone.
    async fn commit(self, console: &Console) -> Result<(), StoreError> {
        // Reports first: an incident takes its bird's name from them.
        let devices = console.store.devices();
        for report in &self.reports {
            until_committed("a bird's report", || devices.report(device(report), now())).await?;
        }
        let sightings: Arc<[Sighting]> = self.sightings.into();
        if !sightings.is_empty() {
            until_committed("sightings", || record_now(console, sightings.clone())).await?;
        }
        for delivery in self.deliveries {
            delivery.committed();
        }
        Ok(())
    }
}

/// Tries until the store commits; says once that it doesn't.
///
/// # Errors
/// [`StoreError::Closed`] alone.
async fn until_committed<T, F>(what: &str, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut pause, longest) = RETRY;
    let mut told = false;
    loop {
        match attempt().await {
            Ok(done) => {
                if told {
                    tracing::info!(what, "the store works again");
                }
                return Ok(done);
            }
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(error) => {
                if !told {
                    tracing::error!(what, %error, "can't store; trying until it works");
                    told = true;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(longest);
    }
}

fn device(report: &BirdReport) -> DeviceReport {
    DeviceReport {
        node_id: report.node_id,
        name: report.name.clone(),
        description: report.description.clone(),
        address: report.address.clone(),
        personality: report.personality.clone(),
        version: report.version.clone(),
        started: report.started,
        settings: report.settings.clone(),
        services: report
            .services
            .iter()
            .map(|service| DeviceService {
                id: service.id.clone(),
                transport: service.transport.clone(),
                port: service.port,
                problem: service.problem.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
