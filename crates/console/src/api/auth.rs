//! Who asks, and what they may do.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, header};
use coalmine_core::Timestamp;
pub use coalmine_store::keys::Role;
use lru::LruCache;

use super::answer::ApiError;
use super::params::Params;
use super::table::{Endpoint, Needs};
use super::{Api, Ask, cookie, header_text};

/// Name of the cookie that holds a page session's secret.
pub const SESSION_COOKIE: &str = "coalmine_session";
/// Header that must hold the session's CSRF value wherever something changes.
pub const CSRF_HEADER: &str = "x-coalmine-csrf";
/// Header that may hold the API key.
pub const KEY_HEADER: &str = "x-canary-auth-token";

/// Failed authentications of one source in [`WINDOW`] before it's told to wait.
const MAX_FAILURES: u32 = 30;
/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);
/// Sources remembered; the one that failed longest ago is forgotten first.
const MAX_SOURCES: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");
/// Longest credential looked up.
const MAX_CREDENTIAL: usize = 256;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What they may do.
    pub role: Role,
    /// The flocks they may see; `None` for all.
    pub flocks: Option<Vec<String>>,
    /// Their name in the audit trail.
    pub who: String,
    /// The key, where it came as header or parameter.
    pub key: Option<String>,
    /// The key, where it came as a parameter: links in answers repeat it.
    pub parameter_key: Option<String>,
}

impl Caller {
    /// Somebody without credential, for endpoints that need none.
    pub fn nobody() -> Self {
        Self {
            role: Role::BreadcrumbDeploy,
            flocks: Some(Vec::new()),
            who: String::new(),
            key: None,
            parameter_key: None,
        }
    }

    /// Whether they may see things of this flock.
    pub fn sees(&self, flock_id: &str) -> bool {
        self.flocks
            .as_ref()
            .is_none_or(|flocks| flocks.iter().any(|id| id == flock_id))
    }

    fn may(&self, needs: Needs) -> bool {
        let reads = matches!(self.role, Role::ReadOnly | Role::Analyst | Role::Admin);
        match needs {
            Needs::Nothing | Needs::Credential | Needs::Factory => true,
            Needs::Read => reads,
            Needs::Act => matches!(self.role, Role::Analyst | Role::Admin),
            Needs::Admin => self.role == Role::Admin,
            Needs::GlobalAdmin => self.role == Role::Admin && self.flocks.is_none(),
            Needs::Deploy => matches!(self.role, Role::Admin | Role::TokenDeploy),
            Needs::Breadcrumb => self.role != Role::TokenDeploy,
        }
    }
}

impl Ask {
    /// The flocks that the answer is about: what the caller may see, narrowed by `flock_id`.
    ///
    /// # Errors
    /// 404 where the flock isn't there or is out of sight.
    pub async fn scope(&self) -> Result<Option<Vec<String>>, ApiError> {
        match self.text("flock_id") {
            None => Ok(self.caller.flocks.clone()),
            Some(id) => {
                let id = id.to_owned();
                self.flock(&id).await?;
                Ok(Some(vec![id]))
            }
        }
    }

    /// The flock of this id.
    ///
    /// # Errors
    /// 404 where it isn't there or is out of sight.
    pub async fn flock(&self, id: &str) -> Result<coalmine_store::flocks::Flock, ApiError> {
        let missing = || ApiError::not_found("Flock does not exist.");
        if !self.caller.sees(id) {
            return Err(missing());
        }
        self.console
            .store
            .flocks()
            .get(id)
            .await?
            .ok_or_else(missing)
    }

    /// Notes in the audit trail what the caller did.
    ///
    /// # Errors
    /// The store's.
    pub async fn audit(
        &self,
        action: &str,
        message: &str,
        flock_id: Option<&str>,
    ) -> Result<(), ApiError> {
        let entry = coalmine_store::audit::AuditEntry {
            id: 0,
            at: self.now,
            action: action.to_owned(),
            message: format!("{} {message}", self.caller.who),
            user: self.caller.who.clone(),
            flock_id: flock_id.map(str::to_owned),
            details: None,
            user_ip: Some(self.client.to_string()),
            user_agent: Some(self.agent.clone()),
            user_language: Some(self.language.clone()),
        };
        self.console.store.audit().append(entry).await?;
        Ok(())
    }
}

/// Finds out who asks: by header, by parameter, by a page session's cookie, in this order. Takes
/// the credential out of nothing: parameters stay as they are.
///
/// # Errors
/// 401 without a good credential, 403 where it isn't enough, 429 after many bad ones.
pub(super) async fn caller(
    api: &Api,
    endpoint: &Endpoint,
    parts: &Parts,
    params: &Params,
    client: IpAddr,
) -> Result<Caller, ApiError> {
    let now = crate::now();
    let found = match endpoint.needs {
        Needs::Nothing => return Ok(Caller::nobody()),
        Needs::Factory => factory(api, params).await?,
        needs => credential(api, needs, parts, params, now).await?,
    };
    let Some(caller) = found else {
        if api.throttle.failed(client, now) {
            return Err(ApiError::throttled());
        }
        let by_header = parts.headers.contains_key(KEY_HEADER);
        return Err(ApiError::unauthorized(match endpoint.needs {
            Needs::Factory => "Invalid factory_auth",
            _ if by_header => "Unauthorized",
            _ => "Invalid auth_token",
        }));
    };
    if !caller.may(endpoint.needs) {
        return Err(ApiError::forbidden(format!(
            "This credential ({}) may not use {}",
            caller.role, endpoint.path
        )));
    }
    Ok(caller)
}

async fn credential(
    api: &Api,
    needs: Needs,
    parts: &Parts,
    params: &Params,
    now: Timestamp,
) -> Result<Option<Caller>, ApiError> {
    if parts.headers.contains_key(KEY_HEADER) {
        return key(api, header_text(parts, KEY_HEADER), now).await;
    }
    if let Some(secret) = params.get("auth_token") {
        return Ok(key(api, secret, now).await?.map(|caller| Caller {
            parameter_key: Some(secret.to_owned()),
            ..caller
        }));
    }
    let cookies = header_text(parts, header::COOKIE.as_str());
    let Some(secret) = cookie(cookies, SESSION_COOKIE).filter(|s| is_sane(s)) else {
        return Ok(None);
    };
    let users = api.console.store.users();
    let Some(session) = users.session(secret, now).await? else {
        return Ok(None);
    };
    let reads = matches!(parts.method, Method::GET | Method::HEAD) && !needs.changes();
    if !reads && !same(header_text(parts, CSRF_HEADER), &session.csrf) {
        return Err(ApiError::forbidden(
            "The header X-Coalmine-CSRF is missing or of another session",
        ));
    }
    let flocks = if session.user.admin {
        None
    } else {
        let (mut managed, watched) = api
            .console
            .store
            .flocks()
            .of_user(&session.user.email)
            .await?;
        managed.extend(watched);
        Some(managed)
    };
    Ok(Some(Caller {
        role: if session.user.admin {
            Role::Admin
        } else {
            Role::Analyst
        },
        flocks,
        who: session.user.email,
        key: None,
        parameter_key: None,
    }))
}

async fn key(api: &Api, secret: &str, now: Timestamp) -> Result<Option<Caller>, ApiError> {
    if !is_sane(secret) {
        return Ok(None);
    }
    let keys = api.console.store.keys();
    if let Some(key) = keys.authenticate(secret, now).await? {
        let scope = if key.flock_id.is_some() {
            "Flock"
        } else {
            "Global"
        };
        return Ok(Some(Caller {
            role: key.role,
            flocks: key.flock_id.clone().map(|id| vec![id]),
            who: format!("{scope}-API-Token[key_id:{}]", key.key_id),
            key: Some(secret.to_owned()),
            parameter_key: None,
        }));
    }
    Ok(None)
}

/// A factory's secret, or a key that may mint tokens in one flock.
async fn factory(api: &Api, params: &Params) -> Result<Option<Caller>, ApiError> {
    let Some(secret) = params.get("factory_auth").filter(|s| is_sane(s)) else {
        return Ok(None);
    };
    let factory = api.console.store.tokens().factory(secret).await?;
    if let Some(factory) = factory {
        return Ok(Some(Caller {
            role: Role::TokenDeploy,
            flocks: Some(vec![factory.flock_id]),
            who: "Token factory".to_owned(),
            key: None,
            parameter_key: None,
        }));
    }
    let caller = key(api, secret, crate::now()).await?;
    Ok(caller.filter(|caller| caller.role == Role::TokenDeploy))
}

fn is_sane(secret: &str) -> bool {
    !secret.is_empty() && secret.len() <= MAX_CREDENTIAL
}

/// Compares without telling by time where two texts differ.
pub fn same(given: &str, expected: &str) -> bool {
    !expected.is_empty()
        && given.len() == expected.len()
        && given
            .bytes()
            .zip(expected.bytes())
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

/// Who has failed how often. Good credentials are never refused: keys have 128 bits, so guessing
/// them is hopeless, and a neighbour behind the same address must not lock an integration out.
pub struct Throttle(Mutex<LruCache<IpAddr, (u32, Timestamp)>>);

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_SOURCES)))
    }
}

impl Throttle {
    /// Counts a failure; whether there were too many.
    pub fn failed(&self, client: IpAddr, now: Timestamp) -> bool {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sources.get_or_insert_mut(network(client), || (0, now));
        if now.since(entry.1) >= WINDOW {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
        entry.0 > MAX_FAILURES
    }
}

/// Whoever has one IPv6 address has its whole /64.
pub(crate) fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_to_wait_after_many_failures_and_forgiven_later() {
        let throttle = Throttle::default();
        let now = Timestamp::from_secs(1_000);
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..MAX_FAILURES {
            assert!(!throttle.failed(source, now));
        }
        assert!(throttle.failed(source, now));
        assert!(!throttle.failed("192.0.2.2".parse().unwrap(), now));
        assert!(!throttle.failed(source, now.plus(WINDOW)));
    }

    #[test]
    fn one_ipv6_network_is_one_source() {
        let a = network("2001:db8::1".parse().unwrap());
        assert_eq!(a, network("2001:db8::ffff:1".parse().unwrap()));
        assert_ne!(a, network("2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn secrets_compare_equal_only_to_themselves() {
        assert!(same("abc", "abc"));
        assert!(!same("abd", "abc") && !same("ab", "abc") && !same("", ""));
    }
}
