//! Incidents: bundling, exactly once, pages, actions.

super::engines![
    events_bundle_into_one_incident_until_it_is_quiet,
    a_sighting_counts_once_however_often_it_comes,
    an_event_is_amended_until_somebody_has_seen_it,
    a_batch_bumps_each_changed_incident_once,
    late_sightings_join_the_incident_of_their_time,
    acknowledged_incidents_take_no_more,
    deleted_incidents_leave_a_stub_that_copies_do_not_revive,
    ignored_sightings_are_nowhere,
    names_reminders_and_flocks_come_from_the_tables,
    taken_keys_count_up,
    tokens_are_listed_by_what_was_touched,
    pages_go_both_ways_and_say_how_much_there_is,
    every_filter_filters,
    bulk_actions_answer_what_they_changed,
    events_are_cut_from_either_end,
    sources_and_flocks_are_counted,
    histogram_counts_what_is_not_deleted,
    reverse_names_are_written_beside,
    lists_use_indexes,
];

mod cases {
    use std::sync::Arc;
    use std::time::Duration;

    use coalmine_core::{Subject, Timestamp};
    use serde_json::value::RawValue;

    use super::super::{Place, at, bird, from, record, report, sighting};
    use crate::Store;
    use crate::incidents::{Action, Filter, Incident, Page};
    use crate::tokens::{TokenFilter, TokenOrder};

    const ALL: Page = Page {
        descending: false,
        start: None,
        limit: usize::MAX,
    };

    async fn all(store: &Store) -> Vec<Incident> {
        let page = store.incidents().page(Filter::default(), ALL).await;
        page.unwrap().incidents
    }

    async fn acknowledge(store: &Store, key: &str) -> Vec<String> {
        store
            .incidents()
            .act(key, Action::Acknowledge, false, "a@example.com", at(5000))
            .await
            .unwrap()
    }

    async fn delete(store: &Store, key: &str) -> Vec<String> {
        store
            .incidents()
            .act(key, Action::Delete, false, "", at(6000))
            .await
            .unwrap()
    }

    pub(super) async fn events_bundle_into_one_incident_until_it_is_quiet(
        _: Arc<Place>,
        store: Store,
    ) {
        let recorded = record(
            &store,
            vec![
                sighting(1, 0),
                sighting(2, 60),
                sighting(3, 120),
                sighting(4, 181),
            ],
        )
        .await;
        assert_eq!((recorded.stored, recorded.opened.len()), (4, 2));
        let incidents = all(&store).await;
        let [first, second] = incidents.as_slice() else {
            panic!("{incidents:?}")
        };
        assert_eq!((first.events_count, second.events_count), (3, 1));
        assert_eq!((first.created, first.last), (at(0), at(120)));
        assert_eq!(
            first.key,
            format!("incident:ftplogin:{}:192.0.2.1:1700000000", super::NODE_MD5)
        );
        assert_eq!(first.hash_id.len(), 32);
        assert_eq!(first.title, "ftplogin seen");
        assert_eq!(recorded.opened[0].0, first.key);
        let by_hash = store.incidents().get(&first.hash_id).await.unwrap();
        assert_eq!(by_hash.as_ref(), Some(first));
        assert_eq!(store.incidents().get("nothing").await.unwrap(), None);
    }

    pub(super) async fn a_sighting_counts_once_however_often_it_comes(_: Arc<Place>, store: Store) {
        record(&store, vec![sighting(1, 0), sighting(1, 0)]).await;
        let before = all(&store).await;
        let again = record(&store, vec![sighting(1, 0), sighting(1, 0)]).await;
        assert_eq!((again.stored, again.repeated), (0, 2));
        assert_eq!(all(&store).await, before, "a copy changes nothing at all");
        assert_eq!(before[0].events_count, 1);
    }

    pub(super) async fn an_event_is_amended_until_somebody_has_seen_it(
        _: Arc<Place>,
        store: Store,
    ) {
        let done = record(&store, vec![sighting(1, 1000), sighting(2, 1001)]).await;
        let incidents = store.incidents();
        let told = |text: &str| RawValue::from_string(format!(r#"{{"A":"{text}"}}"#)).unwrap();
        let amend = |number: u128, text| incidents.amend(number.into(), told(text), at(1005));
        let amended = amend(1, "more").await.unwrap();
        assert_eq!(amended, Some(done.updated_id + 1));
        let incident = all(&store).await.remove(0);
        assert_eq!(
            (incident.updated_id, incident.updated, incident.last),
            (done.updated_id + 1, at(1005), at(1001))
        );
        assert_eq!(incident.events_count, 2);
        let fields = async || {
            let events = incidents.events(incident.row, 9, false).await.unwrap();
            let fields = events.iter().map(|event| event.fields.get().to_owned());
            fields.collect::<Vec<_>>()
        };
        let both = [r#"{"A":"more"}"#, r#"{"USERNAME":"u2"}"#];
        assert_eq!(fields().await, both);
        assert_eq!(amend(3, "unknown").await.unwrap(), None);
        acknowledge(&store, &incident.key).await;
        let seen = incidents.updated_id().await.unwrap();
        assert_eq!(amend(1, "too late").await.unwrap(), None);
        assert_eq!(fields().await, both);
        delete(&store, &incident.key).await;
        assert_eq!(amend(1, "too late").await.unwrap(), None);
        assert_eq!(incidents.updated_id().await.unwrap(), seen + 1);
    }

    pub(super) async fn a_batch_bumps_each_changed_incident_once(_: Arc<Place>, store: Store) {
        let mut batch: Vec<_> = (0..500).map(|n| sighting(n, 0)).collect();
        batch.push(from("192.0.2.9", sighting(1000, 0)));
        let first = record(&store, batch).await;
        assert_eq!(first.updated_id, 2);
        let second = record(&store, vec![sighting(2000, 1), sighting(2001, 2)]).await;
        assert_eq!(second.updated_id, 3);
        let ids: Vec<_> = all(&store)
            .await
            .iter()
            .map(|i| (i.updated_id, i.events_count))
            .collect();
        assert_eq!(ids, [(2, 1), (3, 502)]);
        assert_eq!(store.incidents().updated_id().await.unwrap(), 3);
    }

    pub(super) async fn late_sightings_join_the_incident_of_their_time(
        _: Arc<Place>,
        store: Store,
    ) {
        record(&store, vec![sighting(1, 0), sighting(2, 500)]).await;
        // Within the window of the older one, of the newer one from before, and of neither.
        record(
            &store,
            vec![sighting(3, 30), sighting(4, 450), sighting(5, 250)],
        )
        .await;
        // The newest stays the one that takes what comes now.
        record(&store, vec![sighting(6, 510)]).await;
        let mut seen: Vec<_> = all(&store)
            .await
            .iter()
            .map(|i| (i.created, i.last, i.events_count))
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                (at(0), at(30), 2),
                (at(250), at(250), 1),
                (at(500), at(510), 3)
            ]
        );
    }

    pub(super) async fn acknowledged_incidents_take_no_more(_: Arc<Place>, store: Store) {
        record(&store, vec![sighting(1, 0)]).await;
        let key = all(&store).await[0].key.clone();
        assert_eq!(acknowledge(&store, &key).await, std::slice::from_ref(&key));
        assert_eq!(acknowledge(&store, &key).await, [""; 0], "no news");
        let incident = store.incidents().get(&key).await.unwrap().unwrap();
        assert!(incident.acknowledged);
        assert_eq!(incident.acknowledged_by, "a@example.com");
        assert_eq!((incident.updated, incident.updated_id), (at(5000), 2));
        record(&store, vec![sighting(2, 1), sighting(3, 2)]).await;
        let counts: Vec<_> = all(&store).await.iter().map(|i| i.events_count).collect();
        assert_eq!(counts, [1, 2]);
        // Back again, the incident with the newest event takes what comes.
        store
            .incidents()
            .act(&*key, Action::Unacknowledge, false, "", at(5001))
            .await
            .unwrap();
        record(&store, vec![sighting(4, 3)]).await;
        let counts: Vec<_> = all(&store).await.iter().map(|i| i.events_count).collect();
        assert_eq!(counts, [1, 3]);
    }

    pub(super) async fn deleted_incidents_leave_a_stub_that_copies_do_not_revive(
        _: Arc<Place>,
        store: Store,
    ) {
        record(&store, vec![sighting(1, 0)]).await;
        let incident = all(&store).await.remove(0);
        assert_eq!(delete(&store, &incident.key).await, [""; 0]);
        acknowledge(&store, &incident.key).await;
        assert_eq!(delete(&store, &incident.key).await.len(), 1);
        assert_eq!(all(&store).await, []);
        let again = record(&store, vec![sighting(1, 0)]).await;
        assert_eq!((again.stored, again.repeated), (0, 1));
        assert_eq!(all(&store).await, []);
        let history = store
            .incidents()
            .history("192.0.2.1", None, 10)
            .await
            .unwrap();
        assert_eq!(history.len(), 1);
        assert!(history[0].deleted);
        let events = store.incidents().events(incident.row, 10, false).await;
        assert_eq!(
            events.unwrap()[0].fields.get(),
            "{}",
            "what was typed is gone"
        );
        // What comes after opens another, under another key.
        record(&store, vec![sighting(2, 0)]).await;
        let next = all(&store).await;
        assert_eq!(next.len(), 1);
        assert_ne!(next[0].key, incident.key);
    }

    pub(super) async fn ignored_sightings_are_nowhere(_: Arc<Place>, store: Store) {
        let mut ignored = sighting(1, 0);
        ignored.dst.port = 1;
        let recorded = record(&store, vec![ignored]).await;
        assert_eq!((recorded.stored, recorded.opened.len()), (0, 0));
        assert_eq!(all(&store).await, []);
    }

    pub(super) async fn names_reminders_and_flocks_come_from_the_tables(
        _: Arc<Place>,
        store: Store,
    ) {
        store
            .flocks()
            .create("flock:a", "Annexe", at(0))
            .await
            .unwrap();
        store
            .devices()
            .report(report(1, "nas"), at(0))
            .await
            .unwrap();
        store
            .devices()
            .set_flock(bird(1), "flock:a", at(0))
            .await
            .unwrap();
        let token = super::super::nouns::token(1, "On the finance share");
        store.tokens().create(token.clone()).await.unwrap();
        let mut touched = sighting(2, 100);
        touched.kind = "canarytoken".into();
        touched.subject = Subject::Token(token.id.clone());
        let mut console = sighting(3, 200);
        console.subject = Subject::Console;
        record(&store, vec![sighting(1, 0), touched, console]).await;
        let incidents = all(&store).await;
        let seen: Vec<_> = incidents
            .iter()
            .map(|i| (i.name.as_str(), i.memo.as_str(), i.flock_name.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("nas", "", "Annexe"),
                ("", "On the finance share", "Default Flock"),
                ("Console", "", "Default Flock"),
            ]
        );
        assert_eq!(incidents[1].subject, Subject::Token(token.id.clone()));
        assert_eq!(incidents[2].subject, Subject::Console);
        let token = store.tokens().get(&token.id).await.unwrap().unwrap();
        assert_eq!((token.triggered_count, token.unacknowledged), (1, 1));
    }

    pub(super) async fn tokens_are_listed_by_what_was_touched(_: Arc<Place>, store: Store) {
        let mut sightings = Vec::new();
        for (number, touched) in [
            (1, vec![100, 200]),
            (2, vec![]),
            (3, vec![300]),
            (4, vec![]),
        ] {
            let token = super::super::nouns::token(number, &number.to_string());
            store.tokens().create(token.clone()).await.unwrap();
            sightings.extend(touched.into_iter().map(|at| {
                let mut touch = sighting(u128::from(number) * 1000 + at as u128, at);
                touch.kind = "canarytoken".into();
                touch.subject = Subject::Token(token.id.clone());
                touch
            }));
        }
        record(&store, sightings).await;
        let list = async |order, skip, limit| {
            let filter = TokenFilter::default();
            let page = store.tokens().list(filter, order, skip, limit).await;
            let page = page.unwrap();
            assert_eq!(page.total, 4);
            let tokens = page.tokens.iter();
            tokens.map(|token| token.memo.clone()).collect::<Vec<_>>()
        };
        assert_eq!(list(TokenOrder::Changed, 0, 9).await, ["4", "3", "2", "1"]);
        assert_eq!(list(TokenOrder::LastHit, 0, 9).await, ["3", "1", "4", "2"]);
        assert_eq!(list(TokenOrder::Hits, 0, 9).await, ["1", "3", "4", "2"]);
        assert_eq!(list(TokenOrder::Hits, 1, 2).await, ["3", "4"]);
        assert_eq!(list(TokenOrder::Hits, 4, 2).await, [""; 0]);
        let all = TokenFilter::default();
        let page = store.tokens().list(all, TokenOrder::LastHit, 0, 3).await;
        let last: Vec<_> = page.unwrap().tokens.iter().map(|t| t.last_hit).collect();
        assert_eq!(last, [Some(at(300)), Some(at(200)), None]);
    }

    pub(super) async fn taken_keys_count_up(_: Arc<Place>, store: Store) {
        let mut keys = Vec::new();
        for number in 0..3 {
            record(&store, vec![sighting(number, 0)]).await;
            let incident = all(&store).await.pop().unwrap();
            keys.push(incident.key.rsplit(':').next().unwrap().to_owned());
            acknowledge(&store, &incident.key).await;
        }
        assert_eq!(keys, ["1700000000", "1700000001", "1700000002"]);
    }

    pub(super) async fn pages_go_both_ways_and_say_how_much_there_is(_: Arc<Place>, store: Store) {
        record(
            &store,
            (0..7).map(|n| sighting(n, n as i64 * 100)).collect(),
        )
        .await;
        let page = |descending, start, limit| {
            let incidents = store.incidents();
            async move {
                let page = Page {
                    descending,
                    start,
                    limit,
                };
                let page = incidents.page(Filter::default(), page).await.unwrap();
                assert_eq!((page.total, page.bound), (7, 7));
                let ids: Vec<_> = page.incidents.iter().map(|i| i.updated_id).collect();
                ids
            }
        };
        assert_eq!(page(false, None, 3).await, [1, 2, 3]);
        assert_eq!(page(false, Some(4), 3).await, [4, 5, 6]);
        assert_eq!(page(true, None, 3).await, [7, 6, 5]);
        assert_eq!(page(true, Some(2), 3).await, [2, 1]);
        assert_eq!(page(true, None, 0).await, [0; 0]);
    }

    pub(super) async fn every_filter_filters(_: Arc<Place>, store: Store) {
        store
            .devices()
            .report(report(1, "100%_nas"), at(0))
            .await
            .unwrap();
        let mut other = from("2001:db8::7", sighting(2, 100));
        other.subject = Subject::Bird(bird(2));
        other.logtype = 2001;
        record(&store, vec![sighting(1, 0), other]).await;
        let both = all(&store).await;
        acknowledge(&store, &both[1].key).await;
        let some = Filter::default;
        for (filter, wanted) in [
            (some(), vec![1, 2]),
            (
                Filter {
                    acknowledged: Some(false),
                    ..some()
                },
                vec![1],
            ),
            (
                Filter {
                    acknowledged: Some(true),
                    ..some()
                },
                vec![2],
            ),
            (
                Filter {
                    node_id: Some(bird(2).to_string()),
                    ..some()
                },
                vec![2],
            ),
            (
                Filter {
                    flocks: Some(vec!["flock:default".to_owned()]),
                    ..some()
                },
                vec![1, 2],
            ),
            (
                Filter {
                    flocks: Some(vec!["flock:none".to_owned()]),
                    ..some()
                },
                vec![],
            ),
            (
                Filter {
                    flocks: Some(Vec::new()),
                    ..some()
                },
                vec![],
            ),
            (
                Filter {
                    updated_after: Some(1),
                    ..some()
                },
                vec![2],
            ),
            (
                Filter {
                    newer_than: Some(at(0)),
                    ..some()
                },
                vec![2],
            ),
            (
                Filter {
                    older_than: Some(at(100)),
                    ..some()
                },
                vec![1],
            ),
            (
                Filter {
                    src_host: Some("2001:db8::7".to_owned()),
                    ..some()
                },
                vec![2],
            ),
            (
                Filter {
                    logtypes: Some(vec![2001, 9]),
                    ..some()
                },
                vec![2],
            ),
            (
                Filter {
                    text: Some("100%_NAS".to_owned()),
                    ..some()
                },
                vec![1],
            ),
            (
                Filter {
                    text: Some("1_0".to_owned()),
                    ..some()
                },
                vec![],
            ),
            (
                Filter {
                    text: Some("2001:DB8".to_owned()),
                    ..some()
                },
                vec![2],
            ),
            (
                Filter {
                    key: Some(both[0].hash_id.clone()),
                    ..some()
                },
                vec![1],
            ),
        ] {
            let page = store.incidents().page(filter.clone(), ALL).await.unwrap();
            let rows: Vec<_> = page.incidents.iter().map(|i| i.row).collect();
            assert_eq!(rows, wanted, "{filter:?}");
            assert_eq!(page.total, wanted.len() as u64);
        }
    }

    pub(super) async fn bulk_actions_answer_what_they_changed(_: Arc<Place>, store: Store) {
        record(
            &store,
            (0..4).map(|n| sighting(n, n as i64 * 100)).collect(),
        )
        .await;
        let keys: Vec<_> = all(&store).await.into_iter().map(|i| i.key).collect();
        let act = |filter: Filter, action, unacknowledged| {
            let incidents = store.incidents();
            async move {
                let done = incidents.act(filter, action, unacknowledged, "x", at(9000));
                done.await.unwrap()
            }
        };
        let older = Filter {
            older_than: Some(at(200)),
            ..Filter::default()
        };
        assert_eq!(act(older, Action::Acknowledge, false).await, keys[..2]);
        assert_eq!(
            act(Filter::default(), Action::Delete, false).await,
            keys[..2]
        );
        assert_eq!(
            act(Filter::default(), Action::Delete, true).await,
            keys[2..]
        );
        assert_eq!(all(&store).await, []);
        assert_eq!(store.incidents().updated_id().await.unwrap(), 4 + 2 + 4);
    }

    pub(super) async fn events_are_cut_from_either_end(_: Arc<Place>, store: Store) {
        record(&store, (0..5).map(|n| sighting(n, n as i64)).collect()).await;
        let row = all(&store).await[0].row;
        let incidents = store.incidents();
        let names = |events: Vec<crate::incidents::StoredEvent>| {
            let names: Vec<_> = events.iter().map(|e| u128::from(e.id)).collect();
            names
        };
        assert_eq!(
            names(incidents.events(row, 2, false).await.unwrap()),
            [0, 1]
        );
        assert_eq!(names(incidents.events(row, 2, true).await.unwrap()), [3, 4]);
        let mut each = incidents.events_of(&[row, 99], 3).await.unwrap();
        assert_eq!(names(each.remove(&row).unwrap()), [0, 1, 2]);
        assert!(each[&99].is_empty());
        let times = incidents.event_times(&[row], 2).await.unwrap();
        assert_eq!(times[&row], [at(0), at(1)]);
        let event = incidents.events(row, 1, true).await.unwrap().remove(0);
        assert_eq!(
            (event.logtype, event.src_port, event.dst_port),
            (2000, 40_000, 21)
        );
        assert_eq!(event.fields.get(), r#"{"USERNAME":"u4"}"#);
    }

    pub(super) async fn sources_and_flocks_are_counted(_: Arc<Place>, store: Store) {
        record(
            &store,
            vec![
                sighting(1, 0),
                sighting(2, 100),
                from("192.0.2.2", sighting(3, 0)),
            ],
        )
        .await;
        let key = all(&store).await[0].key.clone();
        acknowledge(&store, &key).await;
        delete(&store, &key).await;
        let incidents = store.incidents();
        let sources = incidents.source_counts(Filter::default()).await.unwrap();
        assert_eq!(
            sources,
            [("192.0.2.1".to_owned(), 1), ("192.0.2.2".to_owned(), 1)]
        );
        let seen = incidents.previously_seen(&["192.0.2.1".to_owned()]).await;
        assert_eq!(seen.unwrap()["192.0.2.1"], 2);
        let open = incidents.unacknowledged().await.unwrap();
        assert_eq!(open.flocks["flock:default"], 2);
        assert_eq!(open.nodes[&bird(1).to_string()], 2);
    }

    pub(super) async fn histogram_counts_what_is_not_deleted(_: Arc<Place>, store: Store) {
        record(
            &store,
            vec![sighting(1, 0), sighting(2, 10), sighting(3, 3600)],
        )
        .await;
        let count = |filter| {
            let incidents = store.incidents();
            async move {
                let hour = Duration::from_secs(3600);
                let buckets = incidents.histogram(at(0), at(7200), hour, filter);
                let buckets: Vec<(Timestamp, u64)> = buckets
                    .await
                    .unwrap()
                    .iter()
                    .map(|b| (b.at, b.events))
                    .collect();
                buckets
            }
        };
        assert_eq!(count(Filter::default()).await, [(at(0), 2), (at(3600), 1)]);
        let key = all(&store).await[0].key.clone();
        acknowledge(&store, &key).await;
        delete(&store, &key).await;
        assert_eq!(count(Filter::default()).await, [(at(3600), 1)]);
    }

    pub(super) async fn reverse_names_are_written_beside(_: Arc<Place>, store: Store) {
        record(&store, vec![sighting(1, 0), from("::1", sighting(2, 0))]).await;
        let incidents = store.incidents();
        let (sources, upto) = incidents.unnamed_sources(0, 10).await.unwrap();
        assert_eq!(sources.len(), 2);
        assert_eq!(upto, 2);
        let source = "192.0.2.1".parse().unwrap();
        let named = incidents.set_reverse(source, "scanner.example").await;
        assert_eq!(named.unwrap(), 1);
        assert_eq!(all(&store).await[0].src_reverse, "scanner.example");
        let (sources, _) = incidents.unnamed_sources(0, 10).await.unwrap();
        assert_eq!(sources, ["::1".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(incidents.unnamed_sources(2, 10).await.unwrap(), (vec![], 2));
    }

    /// No list may look at every row of a table.
    pub(super) async fn lists_use_indexes(_: Arc<Place>, store: Store) {
        let some = Filter::default;
        for filter in [
            some(),
            Filter {
                acknowledged: Some(false),
                ..some()
            },
            Filter {
                node_id: Some("x".to_owned()),
                ..some()
            },
            Filter {
                src_host: Some("x".to_owned()),
                ..some()
            },
            Filter {
                flocks: Some(vec!["x".to_owned()]),
                ..some()
            },
            Filter {
                updated_after: Some(1),
                ..some()
            },
            Filter {
                key: Some("x".to_owned()),
                ..some()
            },
        ] {
            let plan = store
                .read({
                    let filter = filter.clone();
                    move |db| crate::incidents::plan(db, &filter)
                })
                .await
                .unwrap();
            assert!(
                !plan.iter().any(|step| step.starts_with("SCAN i")),
                "{filter:?}: {plan:?}"
            );
            // Those of one node or source are few among all.
            let own = match (&filter.node_id, &filter.src_host) {
                (Some(_), _) => "incidents_by_bundle (node_id=?",
                (_, Some(_)) => "incidents_by_source (src_host=?",
                _ => "",
            };
            assert!(plan.iter().any(|step| step.contains(own)), "{plan:?}");
        }
    }
}

/// `printf 0101010101010101 | md5sum`
const NODE_MD5: &str = "45f4a7638ea2a99c19a83658342c725d";
