//! The Console's store as the channels see it.
//!
//! *Invariant:* a touch is answered for only after the commit that holds it. Touches that wait for
//! the store at the same time share a commit, and what an incident gains by them is written once.

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::sighting::SightingId;
use coalmine_core::token::{Token, Upload};
use coalmine_core::{Sighting, TokenId};
use coalmine_store::StoreError;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Probes;
use super::touch::{Candidate, Keeper};
use crate::Shared;
use crate::ingest::{amend_now, record_now};

/// How often the store is asked before a touch is given up.
const MAX_TRIES: u32 = 6;
/// Pause after the first failure; doubled after each further one.
const PAUSE: Duration = Duration::from_millis(250);

/// Touches that share a commit at most.
const MAX_BATCH: usize = 512;
/// From the beginning of one commit to that of the next, at least: a touch after a while of quiet is
/// written at once, those of a flood share. Answers are held for twice as long anyway
/// ([`super::FLOOR`]), which leaves the other half for the commit.
const GATHER: Duration = Duration::from_millis(15);

/// The Console with somebody who writes touches down.
#[derive(Clone)]
pub(super) struct Clerk {
    console: Shared,
    notes: mpsc::Sender<Note>,
}

/// A touch, and whom to tell whether it's committed.
struct Note {
    sighting: Sighting,
    done: oneshot::Sender<bool>,
}

impl Clerk {
    /// Begins; writes until the last copy is gone.
    pub fn new(console: Shared) -> Self {
        let (notes, waiting) = mpsc::channel(MAX_BATCH);
        tokio::spawn(write_down(Arc::clone(&console), waiting));
        Self { console, notes }
    }
}

impl Keeper for Clerk {
    async fn find(&self, candidate: &Candidate) -> Option<Token> {
        let tokens = self.console.store.tokens();
        let row = match candidate {
            Candidate::Id(id) => insist(|| tokens.active(id)).await??,
            Candidate::Alias(alias) => {
                insist(|| tokens.by_alias(alias.channel, &alias.key)).await??
            }
        };
        Some(Token {
            id: row.id.clone(),
            kind: row.kind.clone(),
            memo: row.memo.clone(),
            fields: row.fields.clone(),
            params: row.params.clone(),
        })
    }

    async fn upload(&self, id: &TokenId, param: &str) -> Option<Upload> {
        let tokens = self.console.store.tokens();
        insist(|| tokens.upload(id, param)).await?
    }

    async fn domains(&self) -> Vec<String> {
        let settings = self.console.store.settings().console().await;
        settings.map_or_else(|_| Vec::new(), |settings| settings.token_domains.clone())
    }

    fn probes(&self) -> Option<&Probes> {
        Some(&self.console.probes)
    }

    async fn root(&self) -> Option<String> {
        let settings = self.console.store.settings().console().await.ok()?;
        settings
            .token_webroot_enabled
            .then(|| settings.token_webroot.clone())
    }

    async fn record(&self, sighting: Sighting) -> bool {
        let (done, committed) = oneshot::channel();
        // The clerk is there as long as this is, but for the program's end.
        self.notes.send(Note { sighting, done }).await.is_ok() && committed.await.unwrap_or(false)
    }

    async fn amend(&self, event: SightingId, sighting: &Sighting) -> bool {
        let amended = insist(|| amend_now(&self.console, event, sighting)).await;
        amended.unwrap_or(false)
    }
}

/// Writes down what comes until nobody can bring anything any more.
async fn write_down(console: Shared, mut waiting: mpsc::Receiver<Note>) {
    let mut notes = Vec::new();
    while waiting.recv_many(&mut notes, MAX_BATCH).await > 0 {
        let begun = Instant::now();
        let (sightings, told): (Vec<_>, Vec<_>) = notes
            .drain(..)
            .map(|note| (note.sighting, note.done))
            .unzip();
        let sightings: Arc<[Sighting]> = sightings.into();
        let committed = match record_now(&console, Arc::clone(&sightings)).await {
            // What the engine made of them is of no interest here.
            Ok(_) => vec![true; sightings.len()],
            Err(StoreError::Closed) => vec![false; sightings.len()],
            Err(cause) => {
                tracing::warn!(%cause, "touched tokens wait for the store");
                // One that can't be stored takes no other with it.
                let each = sightings.iter().map(|sighting| {
                    let one: Arc<[Sighting]> = Arc::new([sighting.clone()]);
                    let console = &console;
                    insist(move || record_now(console, Arc::clone(&one)))
                });
                let recorded = join_all(each).await;
                recorded.iter().map(Option::is_some).collect()
            }
        };
        for (done, committed) in told.into_iter().zip(committed) {
            // Whoever asked may have lost patience.
            let _ = done.send(committed);
        }
        sleep_until(begun + GATHER).await;
    }
}

/// Asks until the store answers: a touch must not be lost to a disk that is full for a moment.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(ask: impl Fn() -> F) -> Option<T> {
    let mut pause = PAUSE;
    for _ in 1..MAX_TRIES {
        match ask().await {
            Ok(answer) => return Some(answer),
            Err(StoreError::Closed) => return None,
            Err(cause) => tracing::warn!(%cause, "a touched token waits for the store"),
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
    match ask().await {
        Ok(answer) => Some(answer),
        Err(cause) => {
            tracing::error!(%cause, "a touched token could not be recorded");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use coalmine_core::event::Logtype;
    use coalmine_core::{EventKind, Subject, Timestamp, token};
    use coalmine_store::Store;
    use coalmine_store::tokens::NewToken;
    use serde_json::Map;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::watch;

    use super::*;
    use crate::channels::tests::{KINDS, WEB, config};
    use crate::channels::{Sources, bind, places};
    use crate::serve::ConsoleConfig;
    use crate::{Catalogue, Console};

    static EVENT: EventKind = token::event_kind(&[Logtype {
        code: 17000,
        means: "http",
    }]);

    /// A Console with one token.
    async fn console(dir: &tempfile::TempDir, config: ConsoleConfig) -> (Shared, TokenId) {
        let (changes, _) = watch::channel(0);
        let console = Arc::new(Console {
            store: Store::open(&format!("sqlite:{}/t.db", dir.path().display())).unwrap(),
            catalogue: Catalogue {
                events: vec![&EVENT],
                decoys: Vec::new(),
                tokens: KINDS,
            },
            config,
            changes,
            probes: Probes::default(),
            placing: Default::default(),
            stop: watch::Sender::new(false),
        });
        let id: TokenId = WEB.parse().unwrap();
        let token = NewToken {
            id: id.clone(),
            kind: "http".to_owned(),
            memo: "here".to_owned(),
            flock_id: "flock:default".to_owned(),
            created: Timestamp::from_secs(1_700_000_000),
            params: BTreeMap::new(),
            fields: Map::new(),
            factory_auth: None,
            places: places(&console.config),
            files: BTreeMap::new(),
            aliases: Vec::new(),
        };
        console.store.tokens().create(token).await.unwrap();
        (console, id)
    }

    #[tokio::test]
    async fn touches_at_the_same_time_are_each_stored_once_and_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let config = config("127.0.0.1:0", "127.0.0.1:0");
        let (console, id) = console(&dir, config).await;
        let clerk = Clerk::new(Arc::clone(&console));
        let sightings: Vec<Sighting> = (0..MAX_BATCH as u128 + 100)
            .map(|n| Sighting {
                id: SightingId::from_parts(1_700_000_000_000, n),
                at: Timestamp::from_secs(1_700_000_000),
                subject: Subject::Token(id.clone()),
                kind: token::EVENT_KEY.into(),
                logtype: 17000,
                src: "192.0.2.1:1".parse::<SocketAddr>().unwrap().into(),
                dst: "192.0.2.2:80".parse::<SocketAddr>().unwrap().into(),
                fields: coalmine_core::event::raw(&Map::new()),
            })
            .collect();
        // The second time they are copies, which are stored already.
        for _ in 0..2 {
            let records = sightings
                .iter()
                .map(|sighting| clerk.record(sighting.clone()));
            assert!(join_all(records).await.into_iter().all(|stored| stored));
            let touched = console.store.tokens().get(&id).await.unwrap().unwrap();
            assert_eq!(touched.triggered_count, sightings.len() as u64);
            assert_eq!(touched.unacknowledged, 1);
        }
        console.store.close().await;
        assert!(!clerk.record(sightings[0].clone()).await, "a closed store");
    }

    #[tokio::test]
    async fn a_touched_url_is_an_incident_before_its_answer_has_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config("127.0.0.1:0", "127.0.0.1:0");
        config.zone = "127.0.0.1".to_owned();
        let bound = bind(&mut config).await;
        let (console, id) = console(&dir, config).await;
        let tokens = console.store.tokens();
        let tasks = bound.start(&console, Sources::default());
        let port = console.config.token_http.unwrap().port();
        let url = format!("http://127.0.0.1:{port}/about/{id}/plan.html");

        fetch(&url).await;
        let touched = tokens.get(&id).await.unwrap().unwrap();
        assert_eq!((touched.triggered_count, touched.unacknowledged), (1, 1));
        assert!(*console.changes.borrow() > 0);
        fetch(&url).await;
        let touched = tokens.get(&id).await.unwrap().unwrap();
        assert_eq!((touched.triggered_count, touched.unacknowledged), (2, 1));

        tokens.set_enabled(&id, false).await.unwrap();
        fetch(&url).await;
        let touched = tokens.get(&id).await.unwrap().unwrap();
        assert_eq!(touched.triggered_count, 2, "disabled tokens are silent");
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Asks for `http://host:port/path` and waits for the whole answer.
    async fn fetch(url: &str) {
        let (host, path) = url[7..].split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_for_a_moment_is_asked_again() {
        let failures = std::cell::Cell::new(3);
        let answer = insist(|| async {
            match failures.get() {
                0 => Ok(7),
                left => {
                    failures.set(left - 1);
                    Err(StoreError::Url(String::new()))
                }
            }
        });
        assert_eq!(answer.await, Some(7));
        let closed = insist(|| async { Err::<(), _>(StoreError::Closed) });
        assert_eq!(closed.await, None);
        let start = Instant::now();
        let never = insist(|| async { Err::<(), _>(StoreError::Url(String::new())) });
        assert_eq!(never.await, None);
        assert_eq!(start.elapsed(), PAUSE * 31);
    }
}
