use coalmine_bus::Publisher;
use coalmine_core::{Endpoint, NodeId, SightingId, Subject, Timestamp};
use coalmine_store::Store;
use coalmine_store::incidents::{Filter, Page};
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::*;
use crate::{Catalogue, ConsoleConfig};

/// A Console on a fresh store; both are gone when dropped.
pub(crate) fn console() -> (tempfile::TempDir, Shared) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("coalmine.db").display());
    let config = ConsoleConfig {
        dir: dir.path().to_owned(),
        store: url.clone(),
        listen: "127.0.0.1:0".parse().unwrap(),
        names: Vec::new(),
        zone: "tokens.example.com".to_owned(),
        nx_zone: None,
        public_address: "192.0.2.1".parse().unwrap(),
        token_http: None,
        token_dns: None,
        token_others: crate::channels::Others::default(),
        mailboxes: Vec::new(),
        token_sources: crate::channels::SourceFiles::default(),
        reverse_lookups: true,
        version: "0",
    };
    let console = Console {
        store: Store::open(&url).unwrap(),
        catalogue: Catalogue {
            events: crate::watchdog::KINDS.to_vec(),
            decoys: Vec::new(),
            tokens: &[],
        },
        config,
        changes: watch::channel(0).0,
        probes: crate::channels::Probes::default(),
        placing: Default::default(),
        stop: watch::Sender::new(false),
    };
    (dir, Arc::new(console))
}

/// Sighting `number` on bird 1 from `source`.
pub(crate) fn sighting(number: u128, source: &str) -> Sighting {
    let end = |ip: &str, port| Endpoint {
        ip: ip.parse().unwrap(),
        port,
    };
    Sighting {
        id: SightingId::from(number),
        at: Timestamp::from_secs(1_700_000_000),
        subject: Subject::Bird(NodeId::new([1; 8])),
        kind: "ftplogin".into(),
        logtype: 2000,
        src: end(source, 40_000),
        dst: end("192.0.2.100", 21),
        fields: RawValue::from_string("{}".to_owned()).unwrap(),
    }
}

pub(crate) async fn incidents(console: &Console) -> Vec<coalmine_store::incidents::Incident> {
    let all = Page {
        descending: false,
        start: None,
        limit: usize::MAX,
    };
    let page = console.store.incidents().page(Filter::default(), all).await;
    page.unwrap().incidents
}

pub(crate) fn report() -> BirdReport {
    BirdReport {
        node_id: NodeId::new([1; 8]),
        name: "nas".to_owned(),
        description: "Server room".to_owned(),
        address: "192.0.2.100".to_owned(),
        personality: "linux-nas".to_owned(),
        version: "0".to_owned(),
        at: Timestamp::from_secs(1_700_000_000),
        started: Timestamp::from_secs(1_700_000_000),
        settings: serde_json::Map::new(),
        services: Vec::new(),
    }
}

async fn send(publisher: &Publisher, sightings: Vec<Sighting>) -> bool {
    publisher.send(Message::Sightings(sightings)).await.is_ok()
}

#[tokio::test]
async fn what_is_acknowledged_is_committed_and_announced() {
    let (_dir, console) = console();
    let (publisher, subscriber) = coalmine_bus::in_process();
    let mut changes = console.changes.subscribe();
    let running = tokio::spawn(run(console.clone(), subscriber));
    // Sent together: the incident still takes its name from the report.
    let (reported, first, second) = tokio::join!(
        publisher.send(Message::Report(report())),
        send(
            &publisher,
            vec![sighting(1, "192.0.2.1"), sighting(2, "192.0.2.1")]
        ),
        send(
            &publisher,
            vec![sighting(2, "192.0.2.1"), sighting(3, "192.0.2.2")]
        ),
    );
    assert!(reported.is_ok() && first && second);
    let seen: Vec<_> = incidents(&console)
        .await
        .into_iter()
        .map(|incident| {
            (
                incident.name,
                incident.src.ip.to_string(),
                incident.events_count,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("nas".to_owned(), "192.0.2.1".to_owned(), 2),
            ("nas".to_owned(), "192.0.2.2".to_owned(), 1)
        ]
    );
    assert_eq!(*changes.borrow_and_update(), 2);
    let device = console.store.devices().get(report().node_id).await;
    assert_eq!(device.unwrap().unwrap().description, "Server room");
    drop(publisher);
    running.await.unwrap();
}

#[tokio::test]
async fn a_closed_store_acknowledges_nothing() {
    let (_dir, console) = console();
    let (publisher, subscriber) = coalmine_bus::in_process();
    console.store.close().await;
    let running = tokio::spawn(run(console.clone(), subscriber));
    assert!(!send(&publisher, vec![sighting(1, "192.0.2.1")]).await);
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_asked_until_it_works() {
    let mut failures = 5;
    let outcome = until_committed("a test", || {
        failures -= 1;
        let result = if failures > 0 {
            Err(StoreError::Engine {
                doing: "write".to_owned(),
                cause: "disk full".to_owned(),
            })
        } else {
            Ok(7)
        };
        std::future::ready(result)
    });
    assert_eq!(outcome.await, Ok(7));
    assert_eq!(failures, 0);
}

#[tokio::test]
async fn the_counter_never_goes_back() {
    let (_dir, console) = console();
    console.changes.send_replace(50);
    record_now(&console, vec![sighting(1, "192.0.2.1")])
        .await
        .unwrap();
    assert_eq!(*console.changes.borrow(), 50);
}
