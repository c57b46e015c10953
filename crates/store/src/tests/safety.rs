//! What a kill, a full disk, an old program or a second writer must not break.

super::engines![
    what_was_answered_survives_and_what_was_not_leaves_nothing,
    copies_across_a_restart_change_nothing,
    a_backup_under_writes_is_whole,
    a_later_version_is_refused,
    one_job_that_fails_takes_no_other_with_it,
    a_first_job_that_fails_leaves_nothing,
    a_closed_store_says_so,
    many_writers_lose_nothing,
];

#[test]
fn other_urls_are_refused() {
    for url in ["", "sqlite:", "postgres://localhost/x", "/tmp/x.db"] {
        let error = crate::Store::open(url).unwrap_err();
        assert_eq!(error, crate::StoreError::Url(url.to_owned()));
    }
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = super::Place::new();
    let _store = place.open();
    let mode = std::fs::metadata(place.0.path().join("coalmine.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

mod cases {
    use std::sync::Arc;

    use super::super::{Minute, Place, at, record, sighting};
    use crate::driver::engine;
    use crate::incidents::{Decide, Filter, Page};
    use crate::{Store, StoreError};

    const ALL: Page = Page {
        descending: false,
        start: None,
        limit: usize::MAX,
    };

    async fn counts(store: &Store) -> Vec<u64> {
        let page = store.incidents().page(Filter::default(), ALL).await;
        let incidents = page.unwrap().incidents;
        incidents.iter().map(|i| i.events_count).collect()
    }

    /// A copy of the files taken in the middle of a transaction is what a kill would leave.
    pub(super) async fn what_was_answered_survives_and_what_was_not_leaves_nothing(
        place: Arc<Place>,
        store: Store,
    ) {
        record(&store, vec![sighting(1, 0), sighting(2, 1)]).await;
        let after = Place::new();
        let (source, target) = (place.0.path().to_owned(), after.0.path().to_owned());
        let killed = store.write(move |writer| {
            writer
                .db
                .execute("UPDATE incidents SET events_count = 99", &[])?;
            writer.db.execute("DELETE FROM events", &[])?;
            for file in ["coalmine.db", "coalmine.db-wal"] {
                std::fs::copy(source.join(file), target.join(file)).unwrap();
            }
            Ok(())
        });
        killed.await.unwrap();
        let revived = after.open();
        assert_eq!(counts(&revived).await, [2]);
        let again = record(&revived, vec![sighting(1, 0), sighting(3, 2)]).await;
        assert_eq!((again.stored, again.repeated), (1, 1));
        assert_eq!(counts(&revived).await, [3]);
        revived.close().await;
    }

    pub(super) async fn copies_across_a_restart_change_nothing(place: Arc<Place>, store: Store) {
        let batch = || (0..50).map(|n| sighting(n, 0)).collect::<Vec<_>>();
        record(&store, batch()).await;
        store.close().await;
        let store = place.open();
        let again = record(&store, batch()).await;
        assert_eq!((again.stored, again.repeated, again.updated_id), (0, 50, 1));
        record(&store, vec![sighting(60, 1)]).await;
        assert_eq!(counts(&store).await, [51]);
        store.close().await;
    }

    pub(super) async fn a_backup_under_writes_is_whole(place: Arc<Place>, store: Store) {
        record(&store, (0..100).map(|n| sighting(n, 0)).collect()).await;
        let copy = Place::new();
        let path = copy.0.path().join("coalmine.db");
        let (backup, _) = tokio::join!(store.backup(&path), async {
            for n in 100..150 {
                record(&store, vec![sighting(n, 0)]).await;
            }
        });
        backup.unwrap();
        assert!(store.backup(&path).await.is_err(), "never over a file");
        let copied = copy.open();
        let incidents = copied.incidents();
        let incident = incidents
            .page(Filter::default(), ALL)
            .await
            .unwrap()
            .incidents
            .remove(0);
        assert!((100..=150).contains(&incident.events_count));
        let events = incidents.events(incident.row, usize::MAX, false).await;
        assert_eq!(events.unwrap().len() as u64, incident.events_count);
        assert_eq!(counts(&store).await, [150]);
        copied.close().await;
        drop(place);
    }

    pub(super) async fn a_later_version_is_refused(place: Arc<Place>, store: Store) {
        let later = store.write(|writer| {
            writer
                .db
                .execute("INSERT INTO schema_version (version) VALUES (77)", &[])
        });
        later.await.unwrap();
        store.close().await;
        let error = Store::open(&place.url()).unwrap_err();
        assert_eq!(
            error,
            StoreError::Newer {
                found: 77,
                known: 5
            }
        );
    }

    pub(super) async fn one_job_that_fails_takes_no_other_with_it(_: Arc<Place>, store: Store) {
        // The first holds the writer until all are queued, so that they share one commit.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = store.write(move |_| held.recv().map_err(|error| engine("wait", error)));
        let good = store.flocks();
        let bad = store.write(|writer| {
            writer.db.execute(
                "INSERT INTO settings (name, value) VALUES ('half', '1')",
                &[],
            )?;
            writer
                .db
                .execute("INSERT INTO no_such_table VALUES (1)", &[])
        });
        let minute: Arc<dyn Decide> = Arc::new(Minute);
        let incidents = store.incidents();
        let (first, bad, good, recorded, ()) = tokio::join!(
            first,
            bad,
            good.create("flock:a", "A", at(0)),
            incidents.record(vec![sighting(1, 0)], minute),
            async { release.send(()).unwrap() }
        );
        first.unwrap();
        assert!(matches!(bad, Err(StoreError::Engine { .. })), "{bad:?}");
        good.unwrap();
        assert_eq!(recorded.unwrap().stored, 1);
        assert_eq!(store.settings().get::<u8>("half").await.unwrap(), None);
        assert!(store.flocks().get("flock:a").await.unwrap().is_some());
        assert_eq!(counts(&store).await, [1]);
    }

    pub(super) async fn a_first_job_that_fails_leaves_nothing(_: Arc<Place>, store: Store) {
        let bad = store.write(|writer| {
            let minute: Arc<dyn Decide> = Arc::new(Minute);
            crate::incidents::record(writer, &[sighting(1, 0)], &*minute)?;
            writer
                .db
                .execute("INSERT INTO no_such_table VALUES (1)", &[])
        });
        let minute: Arc<dyn Decide> = Arc::new(Minute);
        let incidents = store.incidents();
        let again = incidents.record(vec![sighting(1, 0), sighting(2, 1)], minute);
        let (bad, again) = tokio::join!(bad, again);
        assert!(matches!(bad, Err(StoreError::Engine { .. })), "{bad:?}");
        // What was undone is opened anew, not joined from memory.
        let again = again.unwrap();
        assert_eq!((again.stored, again.opened.len()), (2, 1));
        assert_eq!(counts(&store).await, [2]);
    }

    pub(super) async fn a_closed_store_says_so(_: Arc<Place>, store: Store) {
        store.close().await;
        store.close().await;
        let error = store.incidents().updated_id().await.unwrap_err();
        assert_eq!(error, StoreError::Closed);
        let error = store.flocks().rename("x", "y").await.unwrap_err();
        assert_eq!(error, StoreError::Closed);
    }

    pub(super) async fn many_writers_lose_nothing(_: Arc<Place>, store: Store) {
        let writers: Vec<_> = (0..20_u128)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0..10 {
                        record(&store, vec![sighting(writer * 100 + n, 0)]).await;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(counts(&store).await, [200]);
    }
}
