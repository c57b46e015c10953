//! Answers, and the headers that every one of them carries.

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// Nothing but our own files, no inline script or style, nobody may frame us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
    base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// An answer with these headers and the ones every answer has.
pub fn with(
    status: StatusCode,
    headers: &[(HeaderName, &'static str)],
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    secure(response)
}

/// Adds the headers that every answer of the page carries.
pub fn secure(mut response: Response<Body>) -> Response<Body> {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Plain text.
pub fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    with(
        status,
        &[(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        Body::from(text),
    )
}

/// A template.
pub fn html(status: StatusCode, template: &impl Template) -> Response<Body> {
    match template.render() {
        Ok(text) => with(
            status,
            &[(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            Body::from(text),
        ),
        Err(error) => {
            tracing::error!(%error, "a page could not be drawn");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The Console could not draw this page; its log says why. Nothing was lost.",
            )
        }
    }
}

/// JSON for the page's modules.
pub fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => with(
            StatusCode::OK,
            &[(header::CONTENT_TYPE, "application/json")],
            Body::from(bytes),
        ),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The Console could not write this answer; its log says why. Nothing was lost.",
            )
        }
    }
}

/// JSON that says what failed and what to do.
pub fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let body = serde_json::json!({"result": "error", "message": message}).to_string();
    with(
        status,
        &[(header::CONTENT_TYPE, "application/json")],
        Body::from(body),
    )
}

/// 303 to an address of ours.
pub fn see(location: &str) -> Response<Body> {
    let mut response = with(StatusCode::SEE_OTHER, &[], Body::empty());
    let value = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, value);
    response
}

/// Adds a cookie that scripts cannot read and other sites cannot use.
pub fn cookie(response: &mut Response<Body>, name: &str, value: &str, seconds: i64) {
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
