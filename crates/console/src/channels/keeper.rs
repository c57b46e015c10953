//! The Console's store as the channels see it.

use std::sync::Arc;
use std::time::Duration;

use coalmine_core::token::Token;
use coalmine_core::{Sighting, TokenId};
use coalmine_store::StoreError;

use super::touch::Keeper;
use crate::Shared;
use crate::ingest::record_now;

/// How often the store is asked before a touch is given up.
const MAX_TRIES: u32 = 6;
/// Pause after the first failure; doubled after each further one.
const PAUSE: Duration = Duration::from_millis(250);

impl Keeper for Shared {
    async fn find(&self, id: &TokenId) -> Option<Token> {
        let row = insist(|| async { self.store.tokens().active(id).await }).await??;
        Some(Token {
            id: row.id.clone(),
            kind: row.kind.clone(),
            memo: row.memo.clone(),
            fields: row.fields.clone(),
        })
    }

    async fn record(&self, sighting: Sighting) {
        let sightings: Arc<[Sighting]> = Arc::new([sighting]);
        // What the engine made of it is of no interest here; a failure is logged below.
        let _ = insist(|| record_now(self, Arc::clone(&sightings))).await;
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
