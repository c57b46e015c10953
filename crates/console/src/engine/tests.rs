use std::sync::Arc;
use std::time::Duration;

use coalmine_core::{Endpoint, NodeId, SightingId, Subject, Timestamp};
use coalmine_store::Store;
use coalmine_store::incidents::{Filter, Page};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

fn sighting(number: u128, millis: i64, source: &str, port: u16) -> Sighting {
    let end = |ip: &str, port| Endpoint {
        ip: ip.parse().unwrap(),
        port,
    };
    Sighting {
        id: SightingId::from(number),
        at: Timestamp::from_micros(1_700_000_000_000_000 + millis * 1000),
        subject: Subject::Bird(NodeId::new([1; 8])),
        kind: "devicedied".into(),
        logtype: 1004,
        src: end(source, 40_000),
        dst: end("192.0.2.100", port),
        fields: RawValue::from_string("{}".to_owned()).unwrap(),
    }
}

fn engine(change: impl FnOnce(&mut ConsoleSettings)) -> Engine {
    let mut settings = ConsoleSettings::default();
    change(&mut settings);
    let catalogue = Catalogue {
        events: crate::watchdog::KINDS.to_vec(),
        decoys: Vec::new(),
        tokens: &[],
    };
    let now = Timestamp::from_secs(1_700_000_000);
    Engine::new(Arc::new(settings), &catalogue, Birds::default(), now)
}

fn key(sighting: &Sighting) -> BundleKey {
    BundleKey {
        kind: sighting.kind.clone().into_owned(),
        subject: sighting.subject.clone(),
        source: sighting.src.ip,
    }
}

#[test]
fn sightings_join_inside_the_window_and_open_outside() {
    let plain = engine(|_| {});
    let short = engine(|all| all.bundle_window = 10);
    let own = engine(|all| {
        all.bundle_windows.insert("devicedied".to_owned(), 100);
    });
    let none = engine(|all| all.bundle_window = 0);
    // Engine, offset in ms from an incident of the seconds 0 to 100, acknowledged, joins.
    for (number, (engine, offset, acknowledged, joins)) in [
        (&plain, 100_000, false, true),
        (&plain, 160_000, false, true),
        (&plain, 160_001, false, false),
        (&plain, 50_000, false, true),
        (&plain, -60_000, false, true),
        (&plain, -60_001, false, false),
        (&plain, 100_000, true, false),
        (&short, 110_000, false, true),
        (&short, 110_001, false, false),
        (&own, 200_000, false, true),
        (&own, 200_001, false, false),
        (&none, 101_000, false, true),
        (&none, 101_001, false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let first = sighting(0, 0, "192.0.2.1", 21).at;
        let open = OpenIncident {
            first,
            last: first.plus(Duration::from_secs(100)),
            acknowledged,
        };
        let sighting = sighting(1, offset, "192.0.2.1", 21);
        let decision = engine.decide(Some(&open), &key(&sighting), &sighting);
        assert_eq!(decision == Decision::Join, joins, "row {number}");
    }
}

#[test]
fn titles_come_from_the_catalogue() {
    let engine = engine(|_| {});
    let mut sighting = sighting(1, 0, "192.0.2.1", 21);
    let title = |sighting: &Sighting| match engine.decide(None, &key(sighting), sighting) {
        Decision::Open(new) => new.title,
        other => panic!("{other:?}"),
    };
    assert_eq!(title(&sighting), "Canary Disconnected");
    sighting.kind = "unheard-of".into();
    assert_eq!(title(&sighting), "unheard-of");
}

#[test]
fn ignore_rules_match_addresses_networks_and_ports() {
    for (entry, source, port, ignored) in [
        ("192.0.2.1", "192.0.2.1", 21, true),
        ("192.0.2.1", "192.0.2.2", 21, false),
        (" 192.0.2.1 # scanner", "192.0.2.1", 21, true),
        ("192.0.2.1:22", "192.0.2.1", 22, true),
        ("192.0.2.1:22", "192.0.2.1", 21, false),
        ("192.0.2.0/24", "192.0.2.255", 1, true),
        ("192.0.2.0/24", "192.0.3.0", 1, false),
        ("192.0.2.0/24:80", "192.0.2.9", 80, true),
        ("0.0.0.0/0", "203.0.113.9", 80, true),
        ("0.0.0.0/0", "2001:db8::1", 80, false),
        ("2001:db8::1", "2001:db8::1", 80, true),
        ("2001:db8::/32", "2001:db8:ffff::1", 80, true),
        ("2001:db8::/32", "2001:db9::1", 80, false),
        ("[2001:db8::1]:22", "2001:db8::1", 22, true),
        ("[2001:db8::/32]:22", "2001:db8::7", 23, false),
        ("::ffff:192.0.2.1", "192.0.2.1", 1, true),
        ("::ffff:192.0.2.0/120", "192.0.2.77", 1, true),
    ] {
        let list = IgnoreList::new(&[entry.to_owned()]);
        let matches = list.matches(source.parse().unwrap(), port);
        assert_eq!(matches, ignored, "{entry} {source} {port}");
    }
    for wrong in [
        "",
        "#192.0.2.1",
        "localhost",
        "192.0.2.1/33",
        "192.0.2.1:",
        "192.0.2.1:99999",
        "192.0.2.1/x",
        "[::1",
        "[::1]22",
        "::ffff:192.0.2.0/64",
    ] {
        assert_eq!(IgnoreRule::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn ignored_sources_count_only_while_the_list_is_on() {
    let sighting = sighting(1, 0, "192.0.2.1", 21);
    for (enabled, ignored) in [(true, true), (false, false)] {
        let engine = engine(|all| {
            all.whitelist = vec!["192.0.2.1".to_owned()];
            all.whitelist_enabled = enabled;
        });
        let decision = engine.decide(None, &key(&sighting), &sighting);
        assert_eq!(decision == Decision::Ignore, ignored);
    }
}

/// What incidents are there, without what depends on how the batches were cut.
async fn incidents(batches: Vec<Vec<Sighting>>) -> Vec<(String, Timestamp, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("coalmine.db").display());
    let store = Store::open(&url).unwrap();
    let engine: Arc<dyn Decide> = Arc::new(engine(|_| {}));
    for batch in batches {
        let recorded = store.incidents().record(batch, engine.clone()).await;
        recorded.unwrap();
    }
    let all = Page {
        descending: false,
        start: None,
        limit: usize::MAX,
    };
    let page = store.incidents().page(Filter::default(), all).await;
    let mut incidents: Vec<_> = page
        .unwrap()
        .incidents
        .into_iter()
        .map(|incident| (incident.key, incident.last, incident.events_count))
        .collect();
    incidents.sort();
    store.close().await;
    incidents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However a stream is cut into batches, and whichever batches come again, the incidents and
    /// their counts are the same.
    #[test]
    fn batches_and_copies_change_nothing(
        steps in prop::collection::vec((-20_000_i64..90_000, 0..3_u8), 1..40),
        cuts in prop::collection::vec((1_usize..8, any::<bool>()), 40),
    ) {
        let mut clock = 0;
        let stream: Vec<_> = (0_u128..)
            .zip(steps)
            .map(|(number, (step, source))| {
                clock += step;
                sighting(number, clock, &format!("192.0.2.{source}"), 21)
            })
            .collect();
        let mut batches: Vec<Vec<Sighting>> = Vec::new();
        let mut rest = stream.as_slice();
        for (size, again) in cuts {
            let (batch, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            batches.push(batch.to_vec());
            if again {
                // All that came so far, once more.
                batches.push(batches.concat());
            }
            if rest.is_empty() {
                break;
            }
        }
        batches.push(rest.to_vec());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (whole, cut) = runtime.block_on(async {
            (incidents(vec![stream.clone()]).await, incidents(batches).await)
        });
        let count: u64 = whole.iter().map(|(_, _, count)| count).sum();
        prop_assert_eq!(count, stream.len() as u64);
        prop_assert_eq!(whole, cut);
    }
}
