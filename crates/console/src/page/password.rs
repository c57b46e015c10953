//! Passwords: argon2id, computed on threads that may block, few at a time.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// Longest password read, in bytes.
pub const MAX_PASSWORD: usize = 200;
/// Shortest new password, in characters.
pub const MIN_PASSWORD: usize = 12;
/// Hashes computed at once: each takes 19 MiB and a core.
const MAX_AT_ONCE: usize = 2;

static TURN: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

/// What an unknown user's password is compared with, so that it takes as long as a known one's.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash_now(&random(), &random_bytes()));

/// The PHC string of a password; `None` if it's too long or the system has no randomness.
pub async fn hash(password: &str) -> Option<String> {
    if password.len() > MAX_PASSWORD {
        return None;
    }
    let _turn = TURN.acquire().await.ok()?;
    let password = password.to_owned();
    let salt = random_bytes();
    tokio::task::spawn_blocking(move || hash_now(&password, &salt))
        .await
        .ok()
        .flatten()
}

/// Whether `password` is the one of this PHC string; `None` stands for an unknown user and takes
/// as long.
pub async fn verify(password: &str, stored: Option<&str>) -> bool {
    if password.len() > MAX_PASSWORD {
        return false;
    }
    let Ok(_turn) = TURN.acquire().await else {
        return false;
    };
    let (password, stored) = (password.to_owned(), stored.map(str::to_owned));
    tokio::task::spawn_blocking(move || {
        let known = stored.is_some();
        let Some(text) = stored.or_else(|| NOBODY.clone()) else {
            return false;
        };
        let right = PasswordHash::new(&text).is_ok_and(|parsed| {
            Argon2::default()
                .verify_password(password.as_bytes(), &parsed)
                .is_ok()
        });
        known && right
    })
    .await
    .unwrap_or(false)
}

/// 32 random bytes as 64 hex digits: a session's secret, a form's token.
pub fn random() -> String {
    let mut bytes = [0; 32];
    #[expect(
        clippy::expect_used,
        reason = "without randomness nothing that follows would be safe"
    )]
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    data_encoding::HEXLOWER.encode(&bytes)
}

fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    #[expect(
        clippy::expect_used,
        reason = "without randomness nothing that follows would be safe"
    )]
    getrandom::fill(&mut bytes).expect("the system gives randomness");
    bytes
}

fn hash_now(password: &str, salt: &[u8]) -> Option<String> {
    Argon2::default()
        .hash_password_with_salt(password.as_bytes(), salt)
        .ok()
        .map(|hash| hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let stored = hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(verify("correct horse", Some(&stored)).await);
        assert!(!verify("correct hors", Some(&stored)).await);
        assert!(!verify("correct horse", None).await);
        assert!(!verify("x", Some("no hash at all")).await);
        assert!(hash(&"x".repeat(MAX_PASSWORD + 1)).await.is_none());
    }
}
