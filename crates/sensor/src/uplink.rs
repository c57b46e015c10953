//! What leaves the sensor: sightings from the spool until they're committed, and heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coalmine_bus::{BirdReport, Message, Publisher, ServiceReport};
use coalmine_core::{Bird, Timestamp};

use crate::house::{House, now};
use crate::scans;
use crate::spool::Tail;
use crate::{BirdPlan, RunningService, SensorConfig};

/// First and longest pause after a failed delivery.
const RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(30);

/// After a batch the next one gathers for so long. The first sighting after a silence goes at once;
/// under load one commit of the Console then serves many.
const GATHER: Duration = Duration::from_millis(25);
/// The same after a batch that shows a load.
const GATHER_LOADED: Duration = Duration::from_millis(200);
/// A batch of this many shows a load.
const LOADED: usize = 10;

/// Delivers the spool until it's closed and empty.
pub(crate) async fn run(mut tail: Tail, publisher: Publisher) {
    let mut pause = RETRY;
    while let Some(batch) = tail.batch().await {
        let gather = if batch.len() < LOADED {
            GATHER
        } else {
            GATHER_LOADED
        };
        if publisher.send(Message::Sightings(batch)).await.is_ok() {
            tail.delivered();
            pause = RETRY;
            if !tail.has_backlog() {
                tokio::time::sleep(gather).await;
            }
        } else {
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(MAX_RETRY);
        }
    }
    tail.clear();
}

/// Reports every bird now and then every [`BirdReport::INTERVAL`].
pub(crate) async fn beat(
    mut reports: Vec<BirdReport>,
    publisher: Publisher,
    house: Arc<House>,
    lost: Arc<AtomicU64>,
) {
    let mut told = 0;
    loop {
        for report in &mut reports {
            report.at = now();
            tell_of_scans(report, lost.load(Ordering::Relaxed));
            // A heartbeat that isn't taken is followed by the next one.
            let _ = publisher.send(Message::Report(report.clone())).await;
        }
        let late = house.late_replies();
        if late > told {
            tracing::warn!(
                late,
                "the disk stalled: replies left before their sightings were on it"
            );
            told = late;
        }
        tokio::time::sleep(BirdReport::INTERVAL).await;
    }
}

/// Says among a bird's services and settings (`portscan.status`) how its scans are seen, and how many
/// packets came too fast; in words, if somebody wants to know of scans.
pub(crate) fn tell_of_scans(report: &mut BirdReport, lost: u64) -> Option<String> {
    let mut services = report.services.iter_mut();
    let service = services.find(|service| service.id == scans::ID)?;
    if service.transport == scans::PACKETS && lost > 0 {
        service.problem = Some(format!(
            "{lost} packets came faster than they could be read; what they held is unknown"
        ));
    }
    let seen = match service.transport.as_str() {
        scans::PACKETS => "seen on the wire",
        _ => "counted from connections",
    };
    let status = match &service.problem {
        None => seen.to_owned(),
        Some(problem) => format!("{seen}: {problem}"),
    };
    let key = "portscan.status".to_owned();
    report.settings.insert(key, status.clone().into());
    Some(status)
}

/// What is told of a bird.
pub(crate) fn report(
    config: &SensorConfig,
    plan: &BirdPlan,
    bird: &Bird,
    services: &[RunningService],
    started: Timestamp,
) -> BirdReport {
    BirdReport {
        node_id: bird.node_id,
        name: plan.name.clone(),
        description: plan.description.clone(),
        address: plan.address.to_string(),
        personality: plan.personality.clone(),
        version: config.version.to_owned(),
        at: started,
        started,
        settings: plan.settings.clone(),
        services: services
            .iter()
            .map(|service| ServiceReport {
                id: service.id.to_owned(),
                transport: service.transport.to_owned(),
                port: service.port,
                problem: service.problem.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::NodeId;

    #[test]
    fn a_report_says_how_scans_are_seen_and_what_was_lost() {
        let mut report = BirdReport {
            node_id: NodeId::new([1; 8]),
            name: "files-02".to_owned(),
            description: String::new(),
            address: "192.0.2.1".to_owned(),
            personality: "bare".to_owned(),
            version: "0".to_owned(),
            at: Timestamp::from_secs(0),
            started: Timestamp::from_secs(0),
            settings: serde_json::Map::new(),
            services: Vec::new(),
        };
        assert_eq!(tell_of_scans(&mut report, 0), None);
        report.services.push(ServiceReport {
            id: scans::ID.to_owned(),
            transport: scans::PACKETS.to_owned(),
            port: 0,
            problem: None,
        });
        tell_of_scans(&mut report, 0);
        assert_eq!(report.settings["portscan.status"], "seen on the wire");
        tell_of_scans(&mut report, 7);
        let told = report.settings["portscan.status"].as_str().unwrap();
        assert!(
            told.starts_with("seen on the wire: 7 packets came faster"),
            "{told}"
        );
    }
}
