//! The REST API below `/api/v1`.
//!
//! One table ([`table`]) names every endpoint; [`router`] reads the request, checks credential,
//! role and parameters against it, and calls the endpoint. Every answer, also every error, is the
//! envelope `{"result": ...}` as pretty JSON.

pub mod answer;
pub mod auth;
pub mod cursor;
pub mod gaps;
pub mod openapi;
pub mod params;
pub mod render;
pub mod table;
pub mod times;

mod audit;
mod breadcrumbs;
mod devices;
mod flocks;
mod history;
mod incidents;
mod keys;
mod scan_ignore;
mod search;
mod settings;
mod system;
mod token_settings;
mod tokens;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, header};
use axum::routing::any;
use bytes::Bytes;
use coalmine_core::Timestamp;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Limited};
use jiff::tz::TimeZone;
use tokio::sync::Semaphore;

use crate::Shared;
pub use answer::{Answer, ApiError};
pub use auth::{Caller, Role};
pub use openapi::openapi;
use params::{MAX_BODY, MAX_UPLOAD_BODY, Params};
use table::{Endpoint, Param, Takes};
pub(crate) use tokens::{file, kind};

/// Longest wait for a request's body.
const MAX_BODY_WAIT: Duration = Duration::from_secs(20);
/// Requests with an upload that are read at once; others wait. They may come from anybody, since
/// the credential may stand in the body.
const MAX_UPLOADS: usize = 4;
/// Longest user agent and language kept in the audit trail, in characters.
const MAX_AGENT: usize = 512;

/// The address of the client, put into the request's extensions by the listener.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub SocketAddr);

/// The API. It answers below `/api/v1/` and, for clients that can only be told a domain (they
/// append `.canary.tools` to it), below `/.canary.tools/api/v1/`: the domain `HOST:PORT/` then
/// reaches it.
pub fn router(console: Shared) -> Router {
    let state = Arc::new(Api {
        console,
        throttle: auth::Throttle::default(),
        uploads: Semaphore::new(MAX_UPLOADS),
    });
    Router::new()
        .route("/api/v1/{*path}", any(respond))
        .route("/.canary.tools/api/v1/{*path}", any(respond))
        .with_state(state)
}

struct Api {
    console: Shared,
    throttle: auth::Throttle,
    uploads: Semaphore,
}

/// What an endpoint is asked.
pub struct Ask {
    /// The Console.
    pub console: Shared,
    /// Who asks; [`Caller::nobody`] where no credential is needed.
    pub caller: Caller,
    /// The parameters, already checked against the table.
    pub params: Params,
    /// The zone for `*_std` fields.
    pub zone: TimeZone,
    /// When.
    pub now: Timestamp,
    /// `https://HOST:PORT` as the client reached us.
    pub origin: String,
    /// The value of a cookie that an earlier answer set.
    pub cookies: String,
    /// From where.
    pub client: IpAddr,
    /// The client's `User-Agent`.
    pub agent: String,
    /// The client's `Accept-Language`.
    pub language: String,
}

impl Ask {
    /// The text of a parameter, if it has one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.params.text(name)
    }

    /// The text of a parameter, owned; empty where it's missing.
    pub fn owned(&self, name: &str) -> String {
        self.params.text(name).unwrap_or_default().to_owned()
    }

    /// Whether a yes-or-no parameter says yes.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.params
            .text(name)
            .and_then(params::parse_bool)
            .unwrap_or(default)
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.params.text(name)?.parse().ok()
    }

    /// An instant.
    pub fn instant(&self, name: &str) -> Option<Timestamp> {
        self.params.text(name).and_then(times::parse_instant)
    }

    /// Tells whoever follows incidents that some have changed.
    ///
    /// # Errors
    /// The store's.
    pub async fn incidents_changed(&self) -> Result<(), ApiError> {
        let updated_id = self.console.store.incidents().updated_id().await?;
        // Two changes may be told in another order than they happened; the counter never goes back.
        self.console.changes.send_if_modified(|id| {
            let newer = updated_id > *id;
            *id = updated_id.max(*id);
            newer
        });
        Ok(())
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        cookie(&self.cookies, name)
    }

    /// A link to another page of this listing. It works alone: it repeats the filters, and the
    /// key where the caller gave it as a parameter.
    pub fn page_link(&self, path: &str, cursor: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("cursor", cursor);
        for (name, value) in self.params.iter() {
            if !matches!(name, "cursor" | "limit" | "auth_token") {
                query.append_pair(name, value);
            }
        }
        if let Some(key) = &self.caller.parameter_key {
            query.append_pair("auth_token", key);
        }
        format!("{}/api/v1/{path}?{}", self.origin, query.finish())
    }
}

async fn respond(State(api): State<Arc<Api>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let outcome = AssertUnwindSafe(answer(&api, &parts, body))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            tracing::error!(path = parts.uri.path(), "an endpoint panicked");
            Err(ApiError::internal())
        });
    let mut response = match outcome {
        Ok(answer) => answer.into_response(),
        Err(error) => error.into_response(),
    };
    if parts.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

async fn answer(api: &Api, parts: &Parts, body: Body) -> Result<Answer, ApiError> {
    let path = endpoint_path(parts.uri.path());
    let body = read(api, path, parts, body).await?;
    let endpoint = endpoint(path, &parts.method)?;
    let client = parts
        .extensions
        .get::<Client>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |c| {
            c.0.ip().to_canonical()
        });
    let params = Params::read(parts.uri.query(), &parts.headers, body).await?;
    let caller = auth::caller(api, endpoint, parts, &params, client).await?;
    check(endpoint, &params)?;
    let ask = Ask {
        zone: params
            .text("tz")
            .and_then(times::zone)
            .unwrap_or(TimeZone::UTC),
        caller,
        params,
        now: crate::now(),
        origin: origin(parts, &api.console),
        cookies: header_text(parts, header::COOKIE.as_str()).to_owned(),
        client,
        agent: header_text(parts, header::USER_AGENT.as_str())
            .chars()
            .take(MAX_AGENT)
            .collect(),
        language: header_text(parts, header::ACCEPT_LANGUAGE.as_str())
            .chars()
            .take(MAX_AGENT)
            .collect(),
        console: Arc::clone(&api.console),
    };
    // On a task of its own, so that a client that goes away leaves nothing half done.
    let run = tokio::spawn((endpoint.run)(ask));
    run.await.unwrap_or_else(|error| {
        tracing::error!(path, %error, "an endpoint broke off");
        Err(ApiError::internal())
    })
}

/// The endpoint at `path` that takes `method`.
fn endpoint(path: &str, method: &Method) -> Result<&'static Endpoint, ApiError> {
    let there = table::find(path);
    if there.is_empty() {
        return Err(if gaps::is_documented(path) {
            ApiError::not_found(format!(
                "This endpoint isn't available in this version: {path}"
            ))
        } else {
            ApiError::not_found("There is no such endpoint; /api/v1/openapi.json lists them all")
        });
    }
    let takes = |endpoint: &&&Endpoint| endpoint.methods.iter().any(|verb| verb.is(method));
    if let Some(endpoint) = there.iter().find(takes) {
        return Ok(endpoint);
    }
    let methods: Vec<_> = there
        .iter()
        .flat_map(|endpoint| endpoint.methods.iter().map(|verb| verb.name()))
        .collect();
    Err(ApiError::method(format!(
        "Method not allowed; {path} takes {}",
        methods.join(", ")
    )))
}

/// The whole body. It is read even where it isn't needed: answering early would break the
/// connection.
async fn read(api: &Api, path: &str, parts: &Parts, body: Body) -> Result<Bytes, ApiError> {
    let uploads = header_text(parts, header::CONTENT_TYPE.as_str())
        .to_ascii_lowercase()
        .starts_with("multipart/form-data")
        && table::find(path)
            .iter()
            .any(|endpoint| endpoint.takes_files());
    // What is short needs no place of its own.
    let is_short = header_text(parts, header::CONTENT_LENGTH.as_str())
        .parse()
        .is_ok_and(|length: usize| length <= MAX_BODY);
    let most = if uploads { MAX_UPLOAD_BODY } else { MAX_BODY };
    let collect = async {
        let _place = match uploads && !is_short {
            true => api.uploads.acquire().await.ok(),
            false => None,
        };
        Limited::new(body, most).collect().await
    };
    let collected = tokio::time::timeout(MAX_BODY_WAIT, collect)
        .await
        .map_err(|_| ApiError::too_slow())?
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                ApiError::too_large(most)
            } else {
                ApiError::bad("The request body couldn't be read")
            }
        })?;
    Ok(collected.to_bytes())
}

/// The part below `/api/v1/`, without a `.json` that some clients append.
fn endpoint_path(path: &str) -> &str {
    let path = path.strip_prefix("/.canary.tools").unwrap_or(path);
    let path = path.strip_prefix("/api/v1/").unwrap_or(path);
    if path == openapi::PATH {
        return path;
    }
    path.strip_suffix(".json")
        .unwrap_or(path)
        .trim_end_matches('/')
}

/// Every parameter is what the table says.
fn check(endpoint: &Endpoint, given: &Params) -> Result<(), ApiError> {
    for param in endpoint.params {
        match given.text(param.name) {
            None if param.required => {
                return Err(ApiError::bad(if param.missing.is_empty() {
                    format!("Parameter {} is required.", param.name)
                } else {
                    param.missing.to_owned()
                }));
            }
            Some(value) if !fits(param, value) => return Err(ApiError::invalid(param.name)),
            _ => {}
        }
    }
    Ok(())
}

fn fits(param: &Param, value: &str) -> bool {
    match param.takes {
        Takes::Text(most) => value.chars().nth(most).is_none(),
        Takes::Number => value.parse::<i64>().is_ok_and(|n| n >= 0),
        Takes::Flag => params::parse_bool(value).is_some(),
        Takes::Word(words) => words.contains(&value),
        Takes::Instant => times::parse_instant(value).is_some(),
        Takes::Span => times::parse_span(value).is_some(),
        Takes::Zone => times::zone(value).is_some(),
        Takes::Address => value.trim().parse::<IpAddr>().is_ok(),
    }
}

/// `https://HOST:PORT` as the client named us; our own address where it didn't, or named nonsense.
fn origin(parts: &Parts, console: &Shared) -> String {
    let host = parts
        .uri
        .authority()
        .map(|a| a.as_str())
        .unwrap_or_else(|| header_text(parts, header::HOST.as_str()));
    let sane = !host.is_empty()
        && host.len() < 256
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b));
    if sane {
        format!("https://{host}")
    } else {
        format!("https://{}", console.config.listen)
    }
}

fn header_text<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The value of `name` in a `Cookie` header.
pub(crate) fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}
