//! One suite for every engine, on real files. [`engines`] lists the engines.

mod incidents;
mod nouns;
mod safety;

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::{Endpoint, NodeId, Sighting, SightingId, Subject, Timestamp};
use serde_json::value::RawValue;

use crate::Store;
use crate::devices::DeviceReport;
use crate::incidents::{
    BundleKey, Decide, Decision, Horizon, NewIncident, OpenIncident, Recorded, Swept, Touch,
};

/// A fresh place for a store; gone when dropped.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("coalmine.db").display())
    }

    fn open(&self) -> Store {
        Store::open(&self.url()).unwrap()
    }
}

/// Runs each named test on each engine.
macro_rules! engines {
    ($($test:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                super::run(|place, store| cases::$test(place, store)).await;
            }
        )+
    };
}
use engines;

/// Runs a test on a fresh store of each engine.
async fn run<F: Future<Output = ()>>(test: impl Fn(Arc<Place>, Store) -> F) {
    let place = Arc::new(Place::new());
    let store = place.open();
    test(place.clone(), store.clone()).await;
    store.close().await;
}

/// The rule of these tests: an incident takes more for 60 s, unless acknowledged; port 1 is
/// ignored.
struct Minute;

impl Decide for Minute {
    fn decide(&self, open: Option<&OpenIncident>, key: &BundleKey, s: &Sighting) -> Decision {
        let window = Duration::from_secs(60);
        if s.dst.port == 1 {
            return Decision::Ignore;
        }
        match open {
            Some(open)
                if !open.acknowledged
                    && s.at.since(open.last) <= window
                    && open.first.since(s.at) <= window =>
            {
                Decision::Join
            }
            _ => Decision::Open(NewIncident {
                title: format!("{} seen", key.kind),
            }),
        }
    }

    fn horizon(&self) -> Option<Horizon> {
        None
    }

    fn sweeps(&self, known: Vec<Touch>, _: &[&Sighting]) -> Swept {
        Swept {
            touches: known,
            sweeps: Vec::new(),
        }
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

fn bird(number: u8) -> NodeId {
    NodeId::new([number; 8])
}

/// Sighting `number` at second `secs`: an FTP login on bird 1 from 192.0.2.1.
fn sighting(number: u128, secs: i64) -> Sighting {
    Sighting {
        id: SightingId::from(number),
        at: at(secs),
        subject: Subject::Bird(bird(1)),
        kind: "ftplogin".into(),
        logtype: 2000,
        src: end("192.0.2.1", 40_000),
        dst: end("192.0.2.100", 21),
        fields: RawValue::from_string(format!(r#"{{"USERNAME":"u{number}"}}"#)).unwrap(),
    }
}

fn from(source: &str, sighting: Sighting) -> Sighting {
    Sighting {
        src: end(source, 40_000),
        ..sighting
    }
}

fn end(ip: &str, port: u16) -> Endpoint {
    Endpoint {
        ip: ip.parse().unwrap(),
        port,
    }
}

fn report(number: u8, name: &str) -> DeviceReport {
    DeviceReport {
        node_id: bird(number),
        name: name.to_owned(),
        description: "Server room".to_owned(),
        address: "192.0.2.100".to_owned(),
        personality: "linux-nas".to_owned(),
        version: "0.1.0".to_owned(),
        started: at(0),
        settings: serde_json::Map::new(),
        services: Vec::new(),
    }
}

async fn record(store: &Store, sightings: Vec<Sighting>) -> Recorded {
    let minute: Arc<dyn Decide> = Arc::new(Minute);
    store.incidents().record(sightings, minute).await.unwrap()
}
