use coalmine_store::devices::DeviceReport;

use super::*;
use crate::ingest::tests::{console, incidents};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

async fn heard(console: &Console, secs: i64) {
    let report = DeviceReport {
        node_id: NodeId::new([1; 8]),
        name: "nas".to_owned(),
        description: String::new(),
        address: "192.0.2.100".to_owned(),
        personality: "linux-nas".to_owned(),
        version: "0".to_owned(),
        started: at(0),
        settings: serde_json::Map::new(),
        services: Vec::new(),
    };
    console
        .store
        .devices()
        .report(report, at(secs))
        .await
        .unwrap();
}

async fn titles(console: &Console) -> Vec<String> {
    let incidents = incidents(console).await;
    incidents
        .into_iter()
        .map(|incident| incident.title)
        .collect()
}

#[tokio::test]
async fn silence_and_return_make_one_incident_each() {
    let (_dir, console) = console();
    let died = "Canary Disconnected".to_owned();
    let back = "Canary Reconnected".to_owned();
    heard(&console, 0).await;
    look(&console, at(0), at(300)).await.unwrap();
    assert_eq!(titles(&console).await, [""; 0], "not yet");
    for now in [301, 306, 900] {
        look(&console, at(0), at(now)).await.unwrap();
        assert_eq!(titles(&console).await, std::slice::from_ref(&died));
    }
    heard(&console, 1000).await;
    for now in [1001, 1006] {
        look(&console, at(0), at(now)).await.unwrap();
        assert_eq!(titles(&console).await, [died.clone(), back.clone()]);
    }
    let device = console.store.devices().all(None).await.unwrap().remove(0);
    assert!(device.live);
    assert_eq!(device.reconnect_count, 1);
    // A second silence is a second incident.
    look(&console, at(0), at(1400)).await.unwrap();
    assert_eq!(titles(&console).await, [died.clone(), back, died]);
    let all = incidents(&console).await;
    let codes: Vec<_> = all.iter().map(|incident| incident.logtype).collect();
    assert_eq!(codes, [1004, 1005, 1004]);
    assert!(all.iter().all(|incident| incident.name == "nas"));
}

#[tokio::test]
async fn the_consoles_own_start_alarms_nobody() {
    let (_dir, console) = console();
    heard(&console, 0).await;
    // The Console was down for an hour.
    look(&console, at(3600), at(3605)).await.unwrap();
    assert_eq!(titles(&console).await, [""; 0]);
    look(&console, at(3600), at(3901)).await.unwrap();
    assert_eq!(titles(&console).await, ["Canary Disconnected"]);
    // It restarts again; the dead bird isn't back by that.
    look(&console, at(4000), at(4001)).await.unwrap();
    assert_eq!(titles(&console).await.len(), 1);
}

#[tokio::test]
async fn a_look_that_failed_half_way_repeats_without_a_second_incident() {
    let (_dir, console) = console();
    heard(&console, 0).await;
    let device = console.store.devices().all(None).await.unwrap().remove(0);
    let half = sighting(&device, Change::Died, at(301));
    ingest::record_now(&console, vec![half]).await.unwrap();
    look(&console, at(0), at(400)).await.unwrap();
    assert_eq!(titles(&console).await.len(), 1);
}

#[test]
fn the_kinds_are_as_the_catalogue_has_them() {
    let kinds: Vec<_> = KINDS
        .iter()
        .map(|kind| (kind.key, kind.title, kind.logtype(), kind.timestamps))
        .collect();
    assert_eq!(
        kinds,
        [
            ("devicedied", "Canary Disconnected", 1004, false),
            ("devicereconnected", "Canary Reconnected", 1005, false),
        ]
    );
}
