//! Signing in and out, and who is signed in.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use coalmine_core::Timestamp;
use coalmine_store::users::Session;
use lru::LruCache;
use serde::Deserialize;

use super::{At, Changes, Client, answer, assets, password};
use crate::api::auth::network;
use crate::now;

/// The cookie that a session is known by.
pub const COOKIE: &str = "coalmine_session";
/// The header in which the page's modules send the session's CSRF value back.
pub const CSRF_HEADER: &str = "x-coalmine-csrf";

/// How long a session lasts.
const SESSION: Duration = Duration::from_hours(12);
/// The cookie that the sign-in form must repeat.
const LOGIN_COOKIE: &str = "coalmine_login";
/// How long a sign-in form may stay open.
const LOGIN_SECONDS: i64 = 3_600;
/// Sources whose failures are remembered.
const MAX_SOURCES: usize = 4_096;
/// Failures of one source before it must wait.
const FREE_FAILURES: u32 = 4;
/// Longest wait of one source.
const MAX_WAIT: Duration = Duration::from_mins(5);
/// Failures of all sources in a minute before every attempt is slowed down.
const MAX_FAILURES_A_MINUTE: u32 = 30;
/// By how much, then.
const SLOW_DOWN: Duration = Duration::from_secs(1);
/// Longest address to go to after signing in, in bytes.
const MAX_NEXT: usize = 2_000;

/// Remembers failed attempts, within bounds.
pub(super) struct Throttle(Mutex<Failures>);

struct Failures {
    by_source: LruCache<IpAddr, (u32, Timestamp)>,
    minute: i64,
    in_minute: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        let size = std::num::NonZeroUsize::new(MAX_SOURCES).unwrap_or(std::num::NonZeroUsize::MIN);
        Self(Mutex::new(Failures {
            by_source: LruCache::new(size),
            minute: 0,
            in_minute: 0,
        }))
    }
}

impl Throttle {
    /// An attempt of this source begins. `Err` says how long it must still wait; `Ok` how much
    /// everybody is slowed down. It counts as failed until it has succeeded: of many that are
    /// made at once, each sees those before it.
    fn begin(&self, source: IpAddr, now: Timestamp) -> Result<Duration, Duration> {
        let source = network(source);
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, quiet) = failures
            .by_source
            .get(&source)
            .map_or((0, Duration::MAX), |(count, last)| {
                (*count, now.since(*last))
            });
        let wait = own_wait(count).saturating_sub(quiet);
        if !wait.is_zero() {
            return Err(wait);
        }
        // Forgotten after a quiet while.
        let count = if quiet > MAX_WAIT.saturating_mul(2) {
            0
        } else {
            count
        };
        failures
            .by_source
            .put(source, (count.saturating_add(1), now));
        let minute = now.secs().div_euclid(60);
        if failures.minute != minute {
            failures.minute = minute;
            failures.in_minute = 0;
        }
        let busy = failures.in_minute > MAX_FAILURES_A_MINUTE;
        failures.in_minute = failures.in_minute.saturating_add(1);
        Ok(if busy { SLOW_DOWN } else { Duration::ZERO })
    }

    /// The attempt that this source began at `begun` succeeded: its failures are forgotten.
    fn succeeded(&self, source: IpAddr, begun: Timestamp) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.by_source.pop(&network(source));
        if failures.minute == begun.secs().div_euclid(60) {
            failures.in_minute = failures.in_minute.saturating_sub(1);
        }
    }
}

/// How long a source waits that has failed so often.
fn own_wait(failures: u32) -> Duration {
    match failures.saturating_sub(FREE_FAILURES) {
        0 => Duration::ZERO,
        more => Duration::from_secs(1u64.checked_shl(more).unwrap_or(u64::MAX)).min(MAX_WAIT),
    }
}

/// A cookie's value.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Whether two secrets are equal, in a time that doesn't tell where they differ.
pub fn same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && !one.is_empty()
        && one
            .bytes()
            .zip(other.bytes())
            .fold(0, |differ, (a, b)| differ | (a ^ b))
            == 0
}

/// The session of a request, if there is one.
///
/// # Errors
/// The store's.
pub(super) async fn of(at: &At, headers: &HeaderMap) -> coalmine_store::Result<Option<Session>> {
    match cookie(headers, COOKIE) {
        Some(secret) if secret.len() == 64 => at.console.store.users().session(secret, now()).await,
        _ => Ok(None),
    }
}

#[derive(askama::Template)]
#[template(path = "login.html")]
struct Login<'a> {
    assets: &'a str,
    csrf: &'a str,
    next: &'a str,
    problem: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// The sign-in form.
pub(super) async fn form(
    State(at): State<At>,
    headers: HeaderMap,
    Query(next): Query<Next>,
) -> Response<Body> {
    if matches!(of(&at, &headers).await, Ok(Some(_))) {
        return answer::see(inside(&next.next));
    }
    draw(&headers, StatusCode::OK, &next.next, "")
}

fn draw(headers: &HeaderMap, status: StatusCode, next: &str, problem: &str) -> Response<Body> {
    // All tabs of a browser share one value, so the form in each of them works. That somebody else
    // may have planted it does no harm: whoever can plant the cookie can write it into a form as
    // well, whichever value it has, and a session's own secret is always new.
    let csrf = cookie(headers, LOGIN_COOKIE)
        .filter(|sent| sent.len() == 64 && sent.bytes().all(|b| b.is_ascii_hexdigit()))
        .map_or_else(password::random, str::to_owned);
    let mut response = answer::html(
        status,
        &Login {
            assets: &assets::BASE,
            csrf: &csrf,
            next: inside(next),
            problem,
        },
    );
    answer::cookie(&mut response, LOGIN_COOKIE, &csrf, LOGIN_SECONDS);
    response
}

/// Only addresses of ours: never another site's.
fn inside(next: &str) -> &str {
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && next.len() <= MAX_NEXT
        && next
            .bytes()
            .all(|b| (0x21..0x7f).contains(&b) && b != b'\\')
        && !next.starts_with("/login")
        && !next.starts_with("/logout");
    if ours { next } else { "/" }
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

const WRONG: &str = "Name or password is wrong.";

/// Signs in.
pub(super) async fn sign_in(
    State(at): State<At>,
    Client(source): Client,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Response<Body> {
    if !cookie(&headers, LOGIN_COOKIE).is_some_and(|sent| same(sent, &form.csrf)) {
        return draw(
            &headers,
            StatusCode::FORBIDDEN,
            &form.next,
            "The form was open for too long, or the browser keeps no cookies. Try again.",
        );
    }
    let begun = now();
    let Ok(slow) = at.throttle.begin(source, begun) else {
        return draw(
            &headers,
            StatusCode::TOO_MANY_REQUESTS,
            &form.next,
            "Too many failed attempts from your address. Wait some minutes, then try again.",
        );
    };
    tokio::time::sleep(slow).await;
    let users = at.console.store.users();
    let user = match users.get(&form.username).await {
        Ok(user) => user.filter(|user| !user.disabled),
        Err(error) => return broken(&error),
    };
    let stored = user.as_ref().map(|user| user.password_hash.as_str());
    let right = password::verify(&form.password, stored).await;
    let Some(user) = user.filter(|_| right) else {
        tracing::warn!(%source, "a sign-in failed");
        return draw(&headers, StatusCode::FORBIDDEN, &form.next, WRONG);
    };
    at.throttle.succeeded(source, begun);
    let (secret, csrf) = (password::random(), password::random());
    let begun = now();
    let _ = users.purge_sessions(begun).await;
    if let Err(error) = users
        .begin_session(&user.email, &secret, &csrf, begun, begun.plus(SESSION))
        .await
    {
        return broken(&error);
    }
    at.audit(
        &user.email,
        source,
        &headers,
        "user_login",
        format!("User {} logged in", user.email),
    )
    .await;
    let mut response = answer::see(inside(&form.next));
    let seconds = i64::try_from(SESSION.as_secs()).unwrap_or_default();
    answer::cookie(&mut response, COOKIE, &secret, seconds);
    response
}

/// The store failed: say so, in a page.
pub(super) fn broken(error: &coalmine_store::StoreError) -> Response<Body> {
    tracing::error!(%error, "the page could not read the store");
    answer::plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "The Console cannot read its store; its log says why. Sightings wait on their birds meanwhile.",
    )
}

#[derive(Deserialize)]
pub(super) struct SignOut {
    #[serde(default)]
    csrf: String,
}

/// Signs out.
pub(super) async fn sign_out(
    State(at): State<At>,
    headers: HeaderMap,
    Form(form): Form<SignOut>,
) -> Response<Body> {
    let session = match of(&at, &headers).await {
        Ok(Some(session)) => session,
        // Another site's form comes without the cookie and must not clear it.
        Ok(None) => return answer::see("/login"),
        Err(error) => return broken(&error),
    };
    if !same(&session.csrf, &form.csrf) {
        return answer::plain(StatusCode::FORBIDDEN, "Reload the page and sign out again.");
    }
    if let Some(secret) = cookie(&headers, COOKIE)
        && let Err(error) = at.console.store.users().end_session(secret).await
    {
        return broken(&error);
    }
    let mut response = answer::see("/login");
    answer::cookie(&mut response, COOKIE, "", 0);
    response
}

#[derive(Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    current: String,
    #[serde(default)]
    fresh: String,
}

/// Changes the password of who is signed in.
pub(super) async fn change_password(
    State(at): State<At>,
    Changes(session): Changes,
    Client(source): Client,
    headers: HeaderMap,
    Form(form): Form<Change>,
) -> Response<Body> {
    if form.fresh.chars().count() < password::MIN_PASSWORD
        || form.fresh.len() > password::MAX_PASSWORD
    {
        return answer::refusal(
            StatusCode::BAD_REQUEST,
            "The new password needs 12 to 200 characters.",
        );
    }
    let begun = now();
    let Ok(slow) = at.throttle.begin(source, begun) else {
        return answer::refusal(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many failed attempts. Wait some minutes, then try again.",
        );
    };
    tokio::time::sleep(slow).await;
    if !password::verify(&form.current, Some(&session.user.password_hash)).await {
        return answer::refusal(StatusCode::FORBIDDEN, "The present password is wrong.");
    }
    at.throttle.succeeded(source, begun);
    let Some(hash) = password::hash(&form.fresh).await else {
        return answer::refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The password could not be stored and is unchanged. Try again.",
        );
    };
    let users = at.console.store.users();
    let email = &session.user.email;
    if let Err(error) = users.set_password(email, &hash).await {
        tracing::error!(%error, "a password could not be stored");
        return answer::refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "The password could not be stored and is unchanged. Try again.",
        );
    }
    // Changing it ended every session of this user; this browser gets its own back.
    if let Some(secret) = cookie(&headers, COOKIE) {
        let again = users
            .begin_session(email, secret, &session.csrf, now(), session.expires)
            .await;
        if let Err(error) = again {
            tracing::warn!(%error, "a session could not be kept");
        }
    }
    at.audit(
        email,
        source,
        &headers,
        "user_password_change",
        format!("User {email} changed their password"),
    )
    .await;
    answer::json(&serde_json::json!({"result": "success"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails until it must wait; how often, and how long it must wait.
    fn exhaust(throttle: &Throttle, source: IpAddr, now: Timestamp) -> (u32, Duration) {
        let mut times = 0;
        loop {
            match throttle.begin(source, now) {
                Ok(_) => times += 1,
                Err(wait) => return (times, wait),
            }
        }
    }

    #[test]
    fn a_source_that_fails_waits_longer_and_longer_but_not_for_ever() {
        let throttle = Throttle::default();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        let start = Timestamp::from_secs(1_000_000);
        let (times, mut wait) = exhaust(&throttle, source, start);
        assert_eq!(times, FREE_FAILURES + 1);
        let mut at = start;
        while wait < MAX_WAIT {
            at = at.plus(wait);
            let (times, longer) = exhaust(&throttle, source, at);
            assert_eq!(times, 1);
            assert!(longer > wait);
            wait = longer;
        }
        assert_eq!(wait, MAX_WAIT);
        at = at.plus(MAX_WAIT);
        assert_eq!(exhaust(&throttle, source, at), (1, MAX_WAIT));
        throttle.succeeded(source, at);
        assert_eq!(exhaust(&throttle, source, at).0, FREE_FAILURES + 1);
        let quiet = at.plus(MAX_WAIT.saturating_mul(3));
        assert_eq!(exhaust(&throttle, source, quiet).0, FREE_FAILURES + 1);
    }

    #[test]
    fn many_failures_of_all_slow_everybody_down_and_successes_do_not() {
        let throttle = Throttle::default();
        let start = Timestamp::from_secs(1_000_000);
        let from = |i: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(i));
        for i in 0..MAX_FAILURES_A_MINUTE * 2 {
            assert_eq!(throttle.begin(from(0), start), Ok(Duration::ZERO), "{i}");
            throttle.succeeded(from(0), start);
        }
        for i in 0..=MAX_FAILURES_A_MINUTE {
            assert_eq!(throttle.begin(from(i), start), Ok(Duration::ZERO), "{i}");
        }
        assert_eq!(throttle.begin(from(1_000), start), Ok(SLOW_DOWN));
        let later = start.plus(Duration::from_mins(1));
        assert_eq!(throttle.begin(from(1_000), later), Ok(Duration::ZERO));
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_their_failures() {
        let throttle = Throttle::default();
        let start = Timestamp::from_secs(1_000_000);
        let let_through = (0..1_000u128)
            .map(|i| IpAddr::from(std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) + i)))
            .filter(|source| throttle.begin(*source, start).is_ok())
            .count();
        assert_eq!(let_through, FREE_FAILURES as usize + 1);
        let other = "2001:db8:0:1::1".parse().unwrap();
        assert!(throttle.begin(other, start).is_ok());
    }

    #[test]
    fn only_our_own_addresses_follow_a_sign_in() {
        assert_eq!(
            inside("/incidents/0a?q=is%3Aopen"),
            "/incidents/0a?q=is%3Aopen"
        );
        for bad in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "/a\r\nb",
            "/logout",
        ] {
            assert_eq!(inside(bad), "/", "{bad}");
        }
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "a=1; coalmine_session=xyz; b=2".parse().unwrap(),
        );
        assert_eq!(cookie(&headers, COOKIE), Some("xyz"));
        assert_eq!(cookie(&headers, "session"), None);
        assert!(same("abc", "abc") && !same("abc", "abd") && !same("", "") && !same("a", "ab"));
    }
}
