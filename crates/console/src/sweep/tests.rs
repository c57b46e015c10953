use std::sync::Arc;

use coalmine_core::sighting::PORT_CONTACT;
use coalmine_core::{Sighting, SightingId, Subject};
use coalmine_store::Store;
use coalmine_store::incidents::{Action, Decide, Filter, Page};
use coalmine_store::settings::ConsoleSettings;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::Catalogue;
use crate::engine::Engine;
use crate::scan_ignore::Birds;

const START: i64 = 1_700_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// Bird, ports, seconds after the start.
type Told<'a> = (u8, &'a str, i64);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(START + seconds)
}

fn contact(number: u128, source: &str, (bird, ports, seconds): Told<'_>) -> Sighting {
    let end = |ip: String, port| Endpoint {
        ip: ip.parse().unwrap(),
        port,
    };
    Sighting {
        id: SightingId::from(number),
        at: at(seconds),
        subject: Subject::Bird(NodeId::new([bird; 8])),
        kind: PORT_CONTACT.into(),
        logtype: 5001,
        src: end(source.to_owned(), 40_000),
        dst: end(format!("192.0.2.{bird}"), 1),
        fields: RawValue::from_string(format!(r#"{{"ports":"{ports}"}}"#)).unwrap(),
    }
}

fn engine_at(now: i64, change: impl FnOnce(&mut ConsoleSettings)) -> Arc<dyn Decide> {
    let mut settings = ConsoleSettings::default();
    change(&mut settings);
    let catalogue = Catalogue {
        events: KINDS.to_vec(),
        decoys: Vec::new(),
        tokens: &[],
    };
    let birds = Birds::default();
    Arc::new(Engine::new(Arc::new(settings), &catalogue, birds, at(now)))
}

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    next: u128,
}

/// Incident as far as it doesn't depend on the order: bird, port, created, last, event.
type Shown = (String, String, u16, i64, i64, String);

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("coalmine.db").display());
        Self {
            store: Store::open(&url).unwrap(),
            _dir: dir,
            next: 0,
        }
    }

    /// Takes contacts of 10.0.0.9 in, one batch at `now`.
    async fn take(&mut self, now: i64, contacts: &[Told<'_>]) {
        let mut sightings = Vec::new();
        for told in contacts {
            self.next += 1;
            sightings.push(contact(self.next, "10.0.0.9", *told));
        }
        self.record(sightings, engine_at(now, |_| {})).await;
    }

    async fn record(&self, sightings: Vec<Sighting>, engine: Arc<dyn Decide>) {
        let recorded = self.store.incidents().record(sightings, engine).await;
        recorded.unwrap();
    }

    async fn shown(&self) -> Vec<Shown> {
        let all = Page {
            descending: false,
            start: None,
            limit: usize::MAX,
        };
        let page = self.store.incidents().page(Filter::default(), all).await;
        let mut shown = Vec::new();
        for incident in page.unwrap().incidents {
            assert_eq!(incident.events_count, 1);
            assert_eq!(
                (incident.logtype, incident.title.as_str()),
                (5007, SWEEP.title)
            );
            let events = self.store.incidents().events(incident.row, 9, false).await;
            let events = events.unwrap();
            assert_eq!(events.len(), 1);
            assert_eq!(events[0].at, incident.created);
            shown.push((
                incident.src.ip.to_string(),
                incident.dst.ip.to_string(),
                incident.dst.port,
                incident.created.secs() - START,
                incident.last.secs() - START,
                events[0].fields.get().to_owned(),
            ));
        }
        shown.sort();
        shown
    }

    async fn events(&self) -> Vec<String> {
        self.shown()
            .await
            .into_iter()
            .map(|shown| shown.5)
            .collect()
    }
}

#[tokio::test]
async fn two_birds_touched_on_a_port_within_the_hour_are_an_incident() {
    let mut bench = Bench::new();
    bench.take(0, &[(1, "22,80", 0)]).await;
    bench
        .take(HOUR, &[(1, "443", 1), (2, "443", 2 + HOUR)])
        .await;
    assert!(bench.shown().await.is_empty());
    bench.take(HOUR, &[(2, "80,8080,22", HOUR)]).await;
    let event = r#"{"22":["192.0.2.1","192.0.2.2"],"80":["192.0.2.1","192.0.2.2"]}"#;
    let shown = |last, event: &str| {
        let (source, bird) = ("10.0.0.9".to_owned(), "192.0.2.1".to_owned());
        vec![(source, bird, 22, HOUR, last, event.to_owned())]
    };
    assert_eq!(bench.shown().await, shown(HOUR, event));
    // It grows, and stays one.
    bench.take(HOUR, &[(3, "80", HOUR + 5)]).await;
    let event = r#"{"22":["192.0.2.1","192.0.2.2"],"80":["192.0.2.1","192.0.2.2","192.0.2.3"]}"#;
    assert_eq!(bench.shown().await, shown(HOUR + 5, event));
}

#[tokio::test]
async fn one_bird_alone_or_several_sources_are_none() {
    let mut bench = Bench::new();
    bench
        .take(0, &[(1, "22", 0), (1, "22", 60), (1, "80", 61)])
        .await;
    let other = contact(100, "10.0.0.8", (2, "22", 1));
    bench.record(vec![other], engine_at(0, |_| {})).await;
    assert!(bench.shown().await.is_empty());
}

#[tokio::test]
async fn the_window_can_be_chosen() {
    for (window, incidents) in [(60, 0), (61, 1)] {
        let bench = Bench::new();
        let engine = engine_at(61, |all| {
            all.bundle_windows.insert(SWEEP.key.to_owned(), window);
        });
        let sightings = vec![
            contact(1, "10.0.0.9", (1, "22", 0)),
            contact(2, "10.0.0.9", (2, "22", 61)),
        ];
        bench.record(sightings, engine).await;
        assert_eq!(bench.shown().await.len(), incidents, "{window}");
    }
}

#[tokio::test]
async fn what_comes_late_counts_for_a_day_and_clocks_run_ahead_a_little() {
    let mut bench = Bench::new();
    let day = 24 * HOUR;
    bench.take(day, &[(1, "22", 0), (2, "22", -1)]).await;
    assert!(bench.shown().await.is_empty(), "too late");
    bench.take(day, &[(2, "22", 1)]).await;
    assert_eq!(bench.shown().await.len(), 1);
    // A year ahead is now; four minutes ahead is taken as said.
    let now = 2 * day;
    bench
        .take(
            now,
            &[(1, "80", now + 365 * day), (2, "80", now + 4 * MINUTE)],
        )
        .await;
    let last: Vec<_> = bench.shown().await.iter().map(|s| (s.2, s.3)).collect();
    assert_eq!(last, [(22, 1), (80, now + 4 * MINUTE)]);
    // A copy of it changes nothing, whenever it comes.
    let before = bench.shown().await;
    let copy = contact(bench.next - 1, "10.0.0.9", (1, "80", now + 365 * day));
    bench
        .record(vec![copy], engine_at(now + HOUR, |_| {}))
        .await;
    assert_eq!(bench.shown().await, before);
}

#[tokio::test]
async fn a_bridge_makes_one_of_two() {
    let mut bench = Bench::new();
    bench.take(3 * HOUR, &[(1, "22", 0), (2, "22", 1)]).await;
    bench
        .take(3 * HOUR, &[(3, "80", 2 * HOUR), (4, "80", 2 * HOUR)])
        .await;
    assert_eq!(bench.shown().await.len(), 2);
    let first = bench.store.incidents().updated_id().await.unwrap();
    bench.take(3 * HOUR, &[(5, "22", HOUR)]).await;
    let event = r#"{"22":["192.0.2.1","192.0.2.2","192.0.2.5"],"80":["192.0.2.3","192.0.2.4"]}"#;
    assert_eq!(bench.events().await, [event]);
    assert!(bench.store.incidents().updated_id().await.unwrap() > first);
}

#[tokio::test]
async fn what_is_acknowledged_takes_no_more() {
    let mut bench = Bench::new();
    bench.take(0, &[(1, "22", 0), (2, "22", 1)]).await;
    let incidents = bench.store.incidents();
    let done = incidents.act(Filter::default(), Action::Acknowledge, false, "", at(2));
    assert_eq!(done.await.unwrap().len(), 1);
    let acknowledged = bench.shown().await;
    // Copies of what it holds change nothing; what is new opens another.
    bench.take(10, &[(1, "22", 0), (2, "22", 1)]).await;
    assert_eq!(bench.shown().await, acknowledged);
    bench.take(10, &[(3, "22", 10)]).await;
    let events = bench.events().await;
    assert_eq!(
        events,
        [
            r#"{"22":["192.0.2.1","192.0.2.2"]}"#,
            r#"{"22":["192.0.2.1","192.0.2.2","192.0.2.3"]}"#
        ]
    );
}

#[tokio::test]
async fn a_sweep_that_goes_on_for_days_is_one_and_forgets_nothing_it_showed() {
    let mut bench = Bench::new();
    for hour in 0..60 {
        let now = hour * 50 * MINUTE;
        let bird = if hour == 0 { 9 } else { 1 };
        bench
            .take(now, &[(bird, "22", now), (2, "22", now + 1)])
            .await;
    }
    let shown = bench.shown().await;
    let event = r#"{"22":["192.0.2.1","192.0.2.2","192.0.2.9"]}"#;
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (shown[0].1.as_str(), shown[0].5.as_str()),
        ("192.0.2.9", event)
    );
    assert_eq!((shown[0].3, shown[0].4), (1, 59 * 50 * MINUTE + 1));
}

#[test]
fn one_source_fills_no_more_than_its_share() {
    let contacts = (0..3_000_u16).map(|port| Contact {
        port,
        bird: NodeId::new([1; 8]),
        address: "192.0.2.1".parse().unwrap(),
        at: at(0),
    });
    let swept = consolidate(Vec::new(), contacts, WINDOW);
    assert_eq!(swept.touches.len(), MAX_OF_BIRD);
    let contacts = (0..40_u8).flat_map(|bird| {
        (0..1_024_u16).map(move |port| Contact {
            port,
            bird: NodeId::new([bird; 8]),
            address: "192.0.2.1".parse().unwrap(),
            at: at(0),
        })
    });
    let swept = consolidate(Vec::new(), contacts, WINDOW);
    assert_eq!(swept.touches.len(), MAX_TOUCHES);
    assert_eq!(swept.sweeps.len(), 1);
}

/// The rule said as plainly as can be: contacts with the same place within the window are one; if
/// one of them is near another bird's on the same port, all of them are hits; hits within the
/// window are one incident.
fn oracle(contacts: &[(u8, u16, i64)]) -> Vec<String> {
    let near = |a: i64, b: i64| (a - b).abs() <= HOUR;
    let groups = |linked: &dyn Fn(usize, usize) -> bool| {
        let mut group: Vec<usize> = (0..contacts.len()).collect();
        loop {
            let before = group.clone();
            for a in 0..contacts.len() {
                for b in 0..contacts.len() {
                    if linked(a, b) {
                        group[a] = group[a].min(group[b]);
                    }
                }
            }
            if group == before {
                return group;
            }
        }
    };
    let places = groups(&|a, b| {
        let (one, other) = (contacts[a], contacts[b]);
        (one.0, one.1) == (other.0, other.1) && near(one.2, other.2)
    });
    let hits: BTreeSet<usize> = contacts
        .iter()
        .zip(&places)
        .filter(|(one, _)| {
            contacts
                .iter()
                .any(|other| one.0 != other.0 && one.1 == other.1 && near(one.2, other.2))
        })
        .map(|(_, place)| *place)
        .collect();
    let is_hit = |position: usize| hits.contains(&places[position]);
    let sweeps = groups(&|a, b| is_hit(a) && is_hit(b) && near(contacts[a].2, contacts[b].2));
    let mut events: BTreeMap<usize, BTreeMap<u16, BTreeSet<String>>> = BTreeMap::new();
    for (position, (bird, port, _)) in contacts.iter().enumerate() {
        if is_hit(position) {
            let event = events.entry(sweeps[position]).or_default();
            let birds = event.entry(*port).or_default();
            birds.insert(format!("192.0.2.{bird}"));
        }
    }
    let mut events: Vec<String> = events
        .into_values()
        .map(|mut event| {
            event.retain(|_, birds| birds.len() > 1);
            serde_json::to_string(&event).unwrap()
        })
        .collect();
    events.sort();
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the order, the batches and the copies: the incidents are those of the plain rule.
    #[test]
    fn any_order_and_copies_give_the_same_incidents(
        contacts in prop::collection::vec((1..4_u8, 1..4_u16, 0..20_i64), 1..24),
        order in prop::collection::vec((any::<u16>(), any::<u16>(), 1..5_usize), 24),
    ) {
        let contacts: Vec<(u8, u16, i64)> = contacts
            .into_iter()
            .map(|(bird, port, time)| (bird, port, time * 20 * MINUTE))
            .collect();
        let sightings: Vec<Sighting> = (1_u128..)
            .zip(&contacts)
            .map(|(number, (bird, port, time))| {
                contact(number, "10.0.0.9", (*bird, &port.to_string(), *time))
            })
            .collect();
        // Each comes twice, in an order of its own.
        let mut shuffled: Vec<(u16, &Sighting)> = Vec::new();
        for (sighting, (once, again, _)) in sightings.iter().zip(&order) {
            shuffled.extend([(*once, sighting), (*again, sighting)]);
        }
        shuffled.sort_by_key(|(place, _)| *place);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (whole, parts) = runtime.block_on(async {
            let engine = engine_at(7 * HOUR, |_| {});
            let whole = Bench::new();
            whole.record(sightings.clone(), engine.clone()).await;
            let parts = Bench::new();
            let mut rest = shuffled.as_slice();
            for (_, _, size) in order.iter().cycle() {
                let (batch, after) = rest.split_at((*size).min(rest.len()));
                rest = after;
                let batch = batch.iter().map(|(_, sighting)| (*sighting).clone());
                parts.record(batch.collect(), engine.clone()).await;
                if rest.is_empty() {
                    break;
                }
            }
            (whole.shown().await, parts.shown().await)
        });
        let mut events: Vec<String> = whole.iter().map(|shown| shown.5.clone()).collect();
        events.sort();
        prop_assert_eq!(events, oracle(&contacts));
        prop_assert_eq!(whole, parts);
    }
}
