//! The page: sign-in, views, their data, live updates.
//!
//! The first view is drawn here and can be read without script; the modules under `web/` do the
//! rest, through the public API where it has the shape and through `/page/` where it hasn't.

mod answer;
mod assets;
mod ignore;
mod incident;
mod inert;
mod live;
pub mod password;
mod query;
mod rows;
pub mod session;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::routing::{get, post};
use coalmine_core::Timestamp;
use coalmine_store::audit::AuditEntry;
use coalmine_store::incidents::Incident;
use coalmine_store::users::Session;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{Shared, now};

/// Longest body that a form may send, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// Longest browser name and language kept in the audit trail, in characters.
const MAX_AGENT: usize = 512;

/// What is listed when the address asks for nothing else.
const USUAL: &str = "is:open";

/// Views, as they stand in the rail.
const VIEWS: [(&str, &str); 6] = [
    ("/", "Incidents"),
    ("/birds", "Birds"),
    ("/tokens", "Tokens"),
    ("/flocks", "Flocks"),
    ("/settings", "Settings"),
    ("/audit", "Audit"),
];

/// What the page's handlers share.
struct Page {
    console: Shared,
    throttle: session::Throttle,
    streams: Arc<Semaphore>,
}

/// A shared [`Page`].
type At = Arc<Page>;

/// The page's routes: `/`, `/incidents/HASH` and the other views, `/login`, `/logout`,
/// `/assets/*`, `/live`, `/page/*`.
pub fn router(console: Shared) -> Router {
    let at = Arc::new(Page {
        console,
        throttle: session::Throttle::default(),
        streams: Arc::new(Semaphore::new(live::MAX_STREAMS)),
    });
    let mut router = Router::new()
        .route("/", get(incidents))
        .route("/incidents/{hash}", get(one_incident))
        .route("/login", get(session::form).post(session::sign_in))
        .route("/logout", post(session::sign_out))
        .route("/assets/{version}/{name}", get(assets::serve))
        .route("/live", get(live::stream))
        .route("/page/rows", get(page_rows))
        .route("/page/strip", get(page_strip))
        .route("/page/incident", get(page_incident))
        .route("/page/events", get(page_events))
        .route("/page/ignored", get(ignore::would_hide))
        .route("/page/kinds", get(tokens::kinds))
        .route("/page/tokens", get(tokens::list))
        .route("/page/token", get(tokens::touches))
        .route("/page/token/file", get(tokens::about_file))
        .route("/page/token/download", get(tokens::file))
        .route("/page/password", post(session::change_password));
    for (path, _) in VIEWS.iter().skip(1) {
        router = router.route(path, get(other_view));
    }
    for path in ["/tokens/new", "/tokens/new/{kind}", "/tokens/{token}"] {
        router = router.route(path, get(other_view));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(axum::middleware::map_response(
            async |response: Response<Body>| answer::secure(response),
        ))
        .with_state(at)
}

impl Page {
    /// Notes in the audit trail what a user did.
    async fn audit(
        &self,
        user: &str,
        source: IpAddr,
        headers: &HeaderMap,
        action: &str,
        message: String,
    ) {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(|text: &str| text.chars().take(MAX_AGENT).collect::<String>())
        };
        let entry = AuditEntry {
            at: now(),
            action: action.to_owned(),
            message,
            user: user.to_owned(),
            user_ip: Some(source.to_string()),
            user_agent: text(header::USER_AGENT),
            user_language: text(header::ACCEPT_LANGUAGE),
            ..AuditEntry::default()
        };
        if let Err(error) = self.console.store.audit().append(entry).await {
            tracing::error!(%error, "the audit trail could not be written");
        }
    }
}

/// The address of who asks, as the listener noted it.
struct Client(IpAddr);

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<crate::api::Client>();
        Ok(Self(
            address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| {
                address.0.ip().to_canonical()
            }),
        ))
    }
}

/// The session of a request from the page's modules. It comes before what else a handler takes:
/// how the rest of a request is wrong is nothing for strangers.
struct SignedIn(Session);

impl FromRequestParts<At> for SignedIn {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, at: &At) -> Result<Self, Response<Body>> {
        match session::of(at, &parts.headers).await {
            Ok(Some(session)) => Ok(Self(session)),
            Ok(None) => Err(answer::refusal(
                StatusCode::UNAUTHORIZED,
                "You are signed out. Sign in again.",
            )),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// The same, of a request that changes something: it needs the CSRF value too.
struct Changes(Session);

impl FromRequestParts<At> for Changes {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, at: &At) -> Result<Self, Response<Body>> {
        let SignedIn(session) = SignedIn::from_request_parts(parts, at).await?;
        let sent = parts
            .headers
            .get(session::CSRF_HEADER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !session::same(&session.csrf, sent) {
            return Err(answer::refusal(
                StatusCode::FORBIDDEN,
                "The page is out of date. Reload it and try again; nothing was changed.",
            ));
        }
        Ok(Self(session))
    }
}

/// The session of a request for a view; without one, the way to sign in.
struct Visitor(Session);

impl FromRequestParts<At> for Visitor {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, at: &At) -> Result<Self, Response<Body>> {
        match session::of(at, &parts.headers).await {
            Ok(Some(session)) => Ok(Self(session)),
            Ok(None) => {
                let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                let next: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
                Err(answer::see(&format!("/login?next={next}")))
            }
            Err(error) => Err(session::broken(&error)),
        }
    }
}

/// The store failed: say so, to a module.
fn failed(error: &coalmine_store::StoreError) -> Response<Body> {
    tracing::error!(%error, "the page could not read the store");
    answer::refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "The Console cannot read its store; its log says why. Sightings wait on their birds meanwhile.",
    )
}

/// The flocks that a user may see; `None` means all.
async fn scope(at: &At, session: &Session) -> coalmine_store::Result<Option<Vec<String>>> {
    if session.user.admin {
        return Ok(None);
    }
    let (mut managed, watched) = at
        .console
        .store
        .flocks()
        .of_user(&session.user.email)
        .await?;
    managed.extend(watched);
    Ok(Some(managed))
}

#[derive(Default, Deserialize)]
struct Asked {
    q: Option<String>,
    cursor: Option<i64>,
    after: Option<i64>,
    looked: Option<i64>,
    hash: Option<String>,
}

#[derive(askama::Template)]
#[template(path = "view.html")]
struct View<'a> {
    assets: &'a str,
    csrf: &'a str,
    title: &'a str,
    here: &'a str,
    views: [(&'static str, &'static str); 6],
}

#[derive(askama::Template)]
#[template(path = "incidents.html")]
struct IncidentsView<'a> {
    assets: &'a str,
    csrf: &'a str,
    title: &'a str,
    here: &'a str,
    views: [(&'static str, &'static str); 6],
    query: &'a str,
    problems: &'a [String],
    rows: &'a [rows::Row],
    older: Option<String>,
}

#[derive(askama::Template)]
#[template(path = "incident.html")]
struct IncidentView<'a> {
    assets: &'a str,
    csrf: &'a str,
    title: &'a str,
    here: &'a str,
    views: [(&'static str, &'static str); 6],
    detail: &'a incident::Detail,
}

async fn incidents(
    State(at): State<At>,
    Visitor(session): Visitor,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let text = asked.q.unwrap_or_else(|| USUAL.to_owned());
    let found = async {
        let query = understand(&at, &session, &text).await?;
        rows::list(&at.console.store, &query, asked.cursor).await
    };
    let found = match found.await {
        Ok(found) => found,
        Err(error) => return session::broken(&error),
    };
    let older = found.cursor.map(|cursor| {
        let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        format!("/?q={query}&cursor={cursor}")
    });
    answer::html(
        StatusCode::OK,
        &IncidentsView {
            assets: &assets::BASE,
            csrf: &session.csrf,
            title: "Incidents",
            here: "/",
            views: VIEWS,
            query: &text,
            problems: &found.problems,
            rows: &found.rows,
            older,
        },
    )
}

async fn one_incident(
    State(at): State<At>,
    Visitor(session): Visitor,
    Path(hash): Path<String>,
) -> Response<Body> {
    let found = async {
        let Some((incident, flocks)) = find(&at, &session, &hash).await? else {
            return Ok(None);
        };
        incident::detail(&at.console.store, &incident, flocks, now())
            .await
            .map(Some)
    };
    match found.await {
        Ok(Some(detail)) => answer::html(
            StatusCode::OK,
            &IncidentView {
                assets: &assets::BASE,
                csrf: &session.csrf,
                title: &detail.row.title,
                here: "/",
                views: VIEWS,
                detail: &detail,
            },
        ),
        // Deleted or never there: the list says more than an error.
        Ok(None) => answer::see("/"),
        Err(error) => session::broken(&error),
    }
}

async fn other_view(Visitor(session): Visitor, uri: Uri) -> Response<Body> {
    // A view's parts stand below it.
    let below = |path: &str| {
        let rest = uri.path().strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (here, title) = VIEWS
        .into_iter()
        .skip(1)
        .find(|(path, _)| below(path))
        .unwrap_or(("", "Coalmine"));
    answer::html(
        StatusCode::OK,
        &View {
            assets: &assets::BASE,
            csrf: &session.csrf,
            title,
            here,
            views: VIEWS,
        },
    )
}

/// The query, within what this user may see.
async fn understand(
    at: &At,
    session: &Session,
    text: &str,
) -> coalmine_store::Result<query::Query> {
    let mut query = query::Query::parse(text, now(), &at.console.catalogue);
    query.filter.flocks = scope(at, session).await?;
    Ok(query)
}

/// The incident of this hash, if this user may see it, and what else they may see.
async fn find(
    at: &At,
    session: &Session,
    hash: &str,
) -> coalmine_store::Result<Option<(Incident, Option<Vec<String>>)>> {
    if hash.len() != 32 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let flocks = scope(at, session).await?;
    let found = at.console.store.incidents().get(hash).await?;
    Ok(found
        .filter(|incident| !incident.deleted)
        .filter(|incident| {
            flocks
                .as_ref()
                .is_none_or(|flocks| flocks.contains(&incident.flock_id))
        })
        .map(|incident| (incident, flocks)))
}

const GONE: &str = "This incident is not there any more: somebody deleted it.";

async fn page_rows(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let found = async {
        let query = understand(&at, &session, asked.q.as_deref().unwrap_or_default()).await?;
        match asked.after {
            Some(after) => rows::changed(&at.console.store, &query, after).await,
            None => rows::list(&at.console.store, &query, asked.cursor).await,
        }
    };
    found
        .await
        .map_or_else(|error| failed(&error), |rows| answer::json(&rows))
}

async fn page_strip(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let kinds = at
        .console
        .catalogue
        .events
        .iter()
        .map(|kind| kind.key)
        .collect();
    let looked = Timestamp::from_micros(asked.looked.unwrap_or(0).saturating_mul(1000));
    let strip = async {
        let flocks = scope(&at, &session).await?;
        rows::strip(&at.console.store, flocks, kinds, looked, now()).await
    };
    strip
        .await
        .map_or_else(|error| failed(&error), |strip| answer::json(&strip))
}

async fn page_incident(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let found = async {
        let hash = asked.hash.as_deref().unwrap_or_default();
        let Some((incident, flocks)) = find(&at, &session, hash).await? else {
            return Ok(None);
        };
        incident::detail(&at.console.store, &incident, flocks, now())
            .await
            .map(Some)
    };
    match found.await {
        Ok(Some(detail)) => answer::json(&detail),
        Ok(None) => answer::refusal(StatusCode::NOT_FOUND, GONE),
        Err(error) => failed(&error),
    }
}

async fn page_events(
    State(at): State<At>,
    SignedIn(session): SignedIn,
    Query(asked): Query<Asked>,
) -> Response<Body> {
    let found = async {
        let hash = asked.hash.as_deref().unwrap_or_default();
        let Some((incident, _)) = find(&at, &session, hash).await? else {
            return Ok(None);
        };
        let cursor = usize::try_from(asked.cursor.unwrap_or(0)).unwrap_or(0);
        incident::more(&at.console.store, &incident, cursor)
            .await
            .map(Some)
    };
    match found.await {
        Ok(Some(more)) => answer::json(&more),
        Ok(None) => answer::refusal(StatusCode::NOT_FOUND, GONE),
        Err(error) => failed(&error),
    }
}
