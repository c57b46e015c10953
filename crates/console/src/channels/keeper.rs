//! The Console's store as the channels see it.

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::sighting::SightingId;
use coalmine_core::token::{Token, Upload};
use coalmine_core::{Sighting, TokenId};
use coalmine_store::StoreError;

use super::Probes;
use super::touch::{Candidate, Keeper};
use crate::Shared;
use crate::ingest::{amend_now, record_now};

/// How often the store is asked before a touch is given up.
const MAX_TRIES: u32 = 6;
/// Pause after the first failure; doubled after each further one.
const PAUSE: Duration = Duration::from_millis(250);

impl Keeper for Shared {
    async fn find(&self, candidate: &Candidate) -> Option<Token> {
        let tokens = self.store.tokens();
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
        let tokens = self.store.tokens();
        insist(|| tokens.upload(id, param)).await?
    }

    async fn domains(&self) -> Vec<String> {
        let settings = self.store.settings().console().await;
        settings.map_or_else(|_| Vec::new(), |settings| settings.token_domains.clone())
    }

    fn probes(&self) -> Option<&Probes> {
        Some(&self.probes)
    }

    async fn root(&self) -> Option<String> {
        let settings = self.store.settings().console().await.ok()?;
        settings
            .token_webroot_enabled
            .then(|| settings.token_webroot.clone())
    }

    async fn record(&self, sighting: Sighting) -> bool {
        let sightings: Arc<[Sighting]> = Arc::new([sighting]);
        // What the engine made of it is of no interest here.
        let recorded = insist(|| record_now(self, Arc::clone(&sightings))).await;
        recorded.is_some()
    }

    async fn amend(&self, event: SightingId, sighting: &Sighting) -> bool {
        let amended = insist(|| amend_now(self, event, sighting)).await;
        amended.unwrap_or(false)
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

    use coalmine_core::event::Logtype;
    use coalmine_core::{EventKind, Timestamp, token};
    use coalmine_store::Store;
    use coalmine_store::tokens::NewToken;
    use serde_json::Map;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::watch;

    use super::*;
    use crate::channels::tests::{KINDS, WEB, config};
    use crate::channels::{Sources, bind, places};
    use crate::{Catalogue, Console};

    static EVENT: EventKind = token::event_kind(&[Logtype {
        code: 17000,
        means: "http",
    }]);

    #[tokio::test]
    async fn a_touched_url_is_an_incident_before_its_answer_has_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config("127.0.0.1:0", "127.0.0.1:0");
        config.zone = "127.0.0.1".to_owned();
        let bound = bind(&mut config).await;
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
            stop: watch::Sender::new(false),
        });
        let id: TokenId = WEB.parse().unwrap();
        let tokens = console.store.tokens();
        tokens
            .create(NewToken {
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
            })
            .await
            .unwrap();
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
        let start = tokio::time::Instant::now();
        let never = insist(|| async { Err::<(), _>(StoreError::Url(String::new())) });
        assert_eq!(never.await, None);
        assert_eq!(start.elapsed(), PAUSE * 31);
    }
}
