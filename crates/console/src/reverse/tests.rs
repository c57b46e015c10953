use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::ingest::record_now;
use crate::ingest::tests::{console, incidents, sighting};

async fn names(console: &Shared) -> Vec<String> {
    let incidents = incidents(console).await;
    incidents
        .into_iter()
        .map(|incident| incident.src_reverse)
        .collect()
}

/// Waits until the incidents' names are `wanted`.
async fn until(console: &Shared, wanted: &[&str]) {
    let reached = tokio::time::timeout(Duration::from_secs(10), async {
        while names(console).await != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(reached.await.is_ok(), "{:?}", names(console).await);
}

#[tokio::test]
async fn a_name_is_asked_for_once_and_written_beside_every_incident() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let (_dir, console) = console();
    let following = tokio::spawn(follow(console.clone(), |_| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Some("scanner.example".to_owned())
    }));
    tokio::task::yield_now().await;
    record_now(&console, vec![sighting(1, "192.0.2.1")])
        .await
        .unwrap();
    until(&console, &["scanner.example"]).await;
    // Another incident of the same source.
    let mut later = sighting(2, "192.0.2.1");
    later.kind = "sshlogin".into();
    record_now(&console, vec![later]).await.unwrap();
    until(&console, &["scanner.example", "scanner.example"]).await;
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    following.abort();
}

#[tokio::test]
async fn nobody_is_asked_when_it_is_turned_off() {
    let (_dir, console) = console();
    let settings = console.store.settings();
    let off = settings.change(|all| all.reverse_lookups = false);
    off.await.unwrap();
    let asked: Resolve = |_| panic!("asked");
    let names = Arc::new(Names::new(asked));
    record_now(&console, vec![sighting(1, "192.0.2.1")])
        .await
        .unwrap();
    let mut upto = 0;
    assert!(round(&console, &names, &mut upto).await);
    assert_eq!(upto, 1, "looked at, not asked for");
    assert!(names.lock().is_empty());
}

#[tokio::test]
#[expect(
    clippy::await_holding_lock,
    reason = "the held lock is what the resolver hangs on"
)]
async fn a_hung_resolver_holds_at_most_its_places() {
    static RELEASE: Mutex<()> = Mutex::new(());
    let (_dir, console) = console();
    let held = RELEASE.lock().unwrap();
    let names = Arc::new(Names::new(|_| {
        drop(RELEASE.lock());
        None
    }));
    let all = async {
        for number in 1..=20 {
            let source = IpAddr::from([192, 0, 2, number]);
            names.clone().name(console.clone(), source).await;
        }
    };
    let waits = tokio::time::timeout(Duration::from_millis(50), all).await;
    assert!(waits.is_err());
    assert_eq!(names.lock().len(), MAX_AT_ONCE);
    assert_eq!(names.places.available_permits(), 0);
    drop(held);
}

#[test]
fn only_host_names_are_taken() {
    for (name, taken) in [
        ("scanner-1.example.com", true),
        ("", false),
        ("<script>", false),
        ("a b", false),
    ] {
        assert_eq!(is_name(name), taken, "{name}");
    }
    assert!(!is_name(&"a".repeat(256)));
    assert!(!is_worth("0.0.0.0".parse().unwrap()));
    assert!(is_worth("192.0.2.1".parse().unwrap()));
}
