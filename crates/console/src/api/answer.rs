//! What an endpoint answers: the envelope as pretty JSON, or a file.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

/// A successful answer.
#[derive(Debug)]
pub struct Answer {
    content: Content,
    cookie: Option<String>,
}

#[derive(Debug)]
enum Content {
    Json(Map<String, Value>),
    File {
        name: String,
        mime: String,
        bytes: Vec<u8>,
    },
}

impl Answer {
    /// `{"result": "success"}` and the keys of `object`.
    pub fn success(object: Value) -> Self {
        let mut map = match object {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        map.entry("result").or_insert_with(|| "success".into());
        Self::json(map)
    }

    /// `{"result": "success"}` alone.
    pub fn done() -> Self {
        Self::success(Value::Null)
    }

    /// `{"message": TEXT, "result": "failure"}`: understood, but there was nothing to do.
    pub fn failure(message: &str) -> Self {
        let mut map = Map::new();
        map.insert("message".to_owned(), message.into());
        map.insert("result".to_owned(), "failure".into());
        Self::json(map)
    }

    /// A JSON object as it is, without the envelope.
    pub fn json(map: Map<String, Value>) -> Self {
        Self {
            content: Content::Json(map),
            cookie: None,
        }
    }

    /// A file to save. The name goes out unquoted, so it keeps only characters that need none.
    pub fn file(name: &str, mime: &str, bytes: Vec<u8>) -> Self {
        let mut safe: String = name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            .take(100)
            .collect();
        if safe.trim_matches('.').is_empty() {
            safe = "download".to_owned();
        }
        Self {
            content: Content::File {
                name: safe,
                mime: mime.to_owned(),
                bytes,
            },
            cookie: None,
        }
    }

    /// The same answer, setting a cookie.
    #[must_use]
    pub fn with_cookie(self, cookie: String) -> Self {
        Self {
            cookie: Some(cookie),
            ..self
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = match self.content {
            Content::Json(map) => json_response(StatusCode::OK, &Value::Object(map)),
            Content::File { name, mime, bytes } => {
                let mut response = Response::new(Body::from(bytes));
                let headers = response.headers_mut();
                let value = |text: &str| HeaderValue::from_str(text).ok();
                if let Some(mime) = value(&mime) {
                    headers.insert(header::CONTENT_TYPE, mime);
                }
                if let Some(name) = value(&format!("attachment; filename={name}")) {
                    headers.insert(header::CONTENT_DISPOSITION, name);
                }
                headers.insert(
                    header::X_CONTENT_TYPE_OPTIONS,
                    HeaderValue::from_static("nosniff"),
                );
                response
            }
        };
        let cookie = self.cookie.and_then(|c| HeaderValue::from_str(&c).ok());
        if let Some(cookie) = cookie {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// Why an endpoint refuses: a status and the text of the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status, never 2xx.
    pub status: StatusCode,
    /// `message` of the envelope.
    pub message: String,
}

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// 400.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 for a parameter whose value can't be read.
    pub fn invalid(name: &str) -> Self {
        Self::bad(format!("Parameter {name} was invalid."))
    }

    /// 401.
    pub fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 405.
    pub fn method(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
    }

    /// 408.
    pub fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request didn't arrive in time",
        )
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Request body is larger than {limit} bytes"),
        )
    }

    /// 429.
    pub fn throttled() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many failed authentications; try again in a minute",
        )
    }

    /// 500; what went wrong is in the log.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error")
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = serde_json::json!({"message": self.message, "result": "error"});
        json_response(self.status, &body)
    }
}

impl From<coalmine_store::StoreError> for ApiError {
    fn from(error: coalmine_store::StoreError) -> Self {
        tracing::error!(error = %error, "the store failed a request");
        Self::internal()
    }
}

/// As the documented Console prints JSON: two spaces, sorted keys, a final newline. Public shell
/// scripts read it line by line.
pub fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(pretty(value)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_pretty_sorted_and_ends_with_a_newline() {
        let text = pretty(&json!({"result": "success", "b": {"z": 1, "a": []}, "a": {}}));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "{\n  \"a\": {},\n  \"b\": {\n    \"a\": [],\n    \"z\": 1\n  },\n  \"result\": \"success\"\n}\n"
        );
    }

    #[test]
    fn file_names_go_out_unquoted_and_safe() {
        let response = Answer::file("a b\"c;../x.pdf", "application/pdf", vec![1]).into_response();
        assert_eq!(
            response.headers()["content-disposition"],
            "attachment; filename=abc..x.pdf"
        );
        let response = Answer::file("..", "text/plain", vec![]).into_response();
        assert_eq!(
            response.headers()["content-disposition"],
            "attachment; filename=download"
        );
    }
}
