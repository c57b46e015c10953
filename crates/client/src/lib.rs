//! A blocking client of the Console's API, typed: what an operator's own program starts from.
//!
//! Names follow the public Python client: an incident has a `summary`, a `src_host`, a list of
//! `events`, and an event's own fields go by their lower-cased names (`event.get("username")`).
//!
//! *Invariant:* it trusts the certificate authority it was given and no other.

mod model;
mod tokens;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use model::{Device, DnsArrival, DnsPlan, Event, Feed, Incident, Key, Token};
pub use tokens::TokenSearch;

/// Longest wait for one answer.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Largest answer read, in bytes.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file that names the Console or the key can't be used.
    #[error("{file}: {problem}")]
    File {
        /// Which.
        file: String,
        /// What's wrong with it.
        problem: String,
    },
    /// The Console couldn't be reached.
    #[error("{url} can't be reached: {cause}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        cause: String,
    },
    /// The Console said no, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The answer isn't what the API promises.
    #[error("{path} answered something unexpected: {problem}")]
    Unexpected {
        /// The endpoint.
        path: String,
        /// What's wrong with its answer.
        problem: String,
    },
}

/// Short for results of this crate.
pub type Result<T> = std::result::Result<T, ClientError>;

/// A connection to one Console with one key.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    key: String,
}

/// Which incidents a feed gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// All.
    #[default]
    All,
    /// Those nobody has acknowledged.
    Unacknowledged,
    /// The others.
    Acknowledged,
}

impl State {
    const fn path(self) -> &'static str {
        match self {
            Self::All => "incidents/all",
            Self::Unacknowledged => "incidents/unacknowledged",
            Self::Acknowledged => "incidents/acknowledged",
        }
    }
}

impl Client {
    /// A client of the Console at `url` (`https://HOST:PORT`) with an API key, trusting the
    /// certificate authority `ca_pem`.
    ///
    /// # Errors
    /// [`ClientError::File`] when `ca_pem` holds no certificate.
    pub fn new(url: &str, key: &str, ca_pem: &[u8]) -> Result<Self> {
        // The tree has one crypto provider; a second call changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca = ureq::tls::Certificate::from_pem(ca_pem).map_err(|cause| ClientError::File {
            file: "certificate authority".to_owned(),
            problem: cause.to_string(),
        })?;
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(MAX_WAIT))
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            base: format!("{}/api/v1", url.trim_end_matches('/')),
            key: key.to_owned(),
        })
    }

    /// The same from files: the CA's certificate and the INI file with the key
    /// (`[CanaryTools]`, `api_key = ...`).
    ///
    /// # Errors
    /// [`ClientError::File`] when one of them can't be read or lacks what it should hold.
    pub fn from_files(url: &str, client_config: &Path, ca_file: &Path) -> Result<Self> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|cause| ClientError::File {
                file: path.display().to_string(),
                problem: cause.to_string(),
            })
        };
        let ini = String::from_utf8_lossy(&read(client_config)?).into_owned();
        let key = ini_value(&ini, "api_key").ok_or_else(|| ClientError::File {
            file: client_config.display().to_string(),
            problem: "has no line `api_key = ...`".to_owned(),
        })?;
        Self::new(url, key, &read(ca_file)?)
    }

    /// Whether the Console answers and takes the key.
    ///
    /// # Errors
    /// As of every request: see [`ClientError`].
    pub fn ping(&self) -> Result<()> {
        self.get::<Value>("ping", &[]).map(drop)
    }

    /// Incidents of a state, oldest update first; with `since`, only those whose `updated_id` is
    /// greater.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn incidents(&self, state: State, since: Option<i64>) -> Result<Feed> {
        match since {
            Some(since) => self.get(state.path(), &[("incidents_since", &since.to_string())]),
            None => self.get(state.path(), &[]),
        }
    }

    /// Incidents of any state that contain `text` in name, node id, source or memo.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn search(&self, text: &str) -> Result<Vec<Incident>> {
        #[derive(Deserialize)]
        struct Answer {
            incidents: Vec<Incident>,
        }
        let params = [("filter_str", text), ("filter_incident_state", "all")];
        self.get::<Answer>("incidents/search", &params)
            .map(|answer| answer.incidents)
    }

    /// Marks an incident as seen.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn acknowledge(&self, incident: &str) -> Result<()> {
        self.post::<Value>("incident/acknowledge", &[("incident", incident)])
            .map(drop)
    }

    /// Deletes an acknowledged incident.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delete(&self, incident: &str) -> Result<()> {
        self.delete_with::<Value>("incident/delete", &[("incident", incident)])
            .map(drop)
    }

    /// All birds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn devices(&self) -> Result<Vec<Device>> {
        #[derive(Deserialize)]
        struct Answer {
            devices: Vec<Device>,
        }
        self.get::<Answer>("devices/all", &[])
            .map(|answer| answer.devices)
    }

    /// All global API keys.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn keys(&self) -> Result<Vec<Key>> {
        #[derive(Deserialize)]
        struct Answer {
            global_api_keys: Vec<Key>,
        }
        self.get::<Answer>("auth_token/list", &[])
            .map(|answer| answer.global_api_keys)
    }

    /// Creates a global API key: `admin`, `analyst` or `read-only`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn create_key(&self, role: &str, note: &str) -> Result<Key> {
        #[derive(Deserialize)]
        struct Answer {
            global_api_key: Key,
        }
        let params = [("auth_token_type", role), ("note", note)];
        self.post::<Answer>("auth_token/add", &params)
            .map(|answer| answer.global_api_key)
    }

    /// Removes a global API key by its `key_id`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn remove_key(&self, key_id: &str) -> Result<()> {
        self.delete_with::<Value>("auth_token/remove", &[("key_id", key_id)])
            .map(drop)
    }

    /// Any endpoint that reads: the whole answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str, params: &[(&str, &str)]) -> Result<T> {
        let request = self
            .agent
            .get(self.url(path))
            .header("X-Canary-Auth-Token", &self.key)
            .query_pairs(params.iter().copied());
        self.answer(path, request.call())
    }

    /// Any endpoint that changes something: the whole answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, params: &[(&str, &str)]) -> Result<T> {
        let request = self
            .agent
            .post(self.url(path))
            .header("X-Canary-Auth-Token", &self.key);
        self.answer(path, request.send_form(params.iter().copied()))
    }

    fn delete_with<T: DeserializeOwned>(&self, path: &str, params: &[(&str, &str)]) -> Result<T> {
        let request = self
            .agent
            .delete(self.url(path))
            .header("X-Canary-Auth-Token", &self.key)
            .query_pairs(params.iter().copied());
        self.answer(path, request.call())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn unreachable(&self, cause: &ureq::Error) -> ClientError {
        ClientError::Unreachable {
            url: self.base.clone(),
            cause: cause.to_string(),
        }
    }

    fn answer<T: DeserializeOwned>(
        &self,
        path: &str,
        answer: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T> {
        let mut answer = answer.map_err(|cause| self.unreachable(&cause))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .read_to_vec()
            .map_err(|cause| self.unreachable(&cause))?;
        decode(path, &body)
    }
}

/// A body of `multipart/form-data` (RFC 7578) and its type.
fn form_data(params: &[(&str, &str)], files: &[(&str, &str, &[u8])]) -> (String, Vec<u8>) {
    let holds = |boundary: &str| {
        let within = |bytes: &[u8]| {
            bytes
                .windows(boundary.len())
                .any(|w| w == boundary.as_bytes())
        };
        params.iter().any(|(_, value)| within(value.as_bytes()))
            || files.iter().any(|(_, _, bytes)| within(bytes))
    };
    // One that stands in none of the values.
    let boundary = (0_u64..)
        .map(|n| format!("----form-{n:016x}"))
        .find(|boundary| !holds(boundary))
        .unwrap_or_default();
    let safe = |name: &str| -> String {
        let kept = name.chars().filter(|c| !c.is_control() && *c != '"');
        kept.collect()
    };
    let mut body = Vec::new();
    let mut part = |disposition: String, value: &[u8]| {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    };
    for (name, value) in params {
        part(format!("name=\"{}\"", safe(name)), value.as_bytes());
    }
    for (name, file, bytes) in files {
        part(
            format!("name=\"{}\"; filename=\"{}\"", safe(name), safe(file)),
            bytes,
        );
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// The envelope decides, not the status: `{"result": "success"}` or `{"message": ..}`.
fn decode<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T> {
    let unexpected = |problem: String| ClientError::Unexpected {
        path: path.to_owned(),
        problem,
    };
    let value: Value =
        serde_json::from_slice(body).map_err(|cause| unexpected(cause.to_string()))?;
    match value.get("result").and_then(Value::as_str) {
        Some("success") | None if value.get("message").is_none() => {
            serde_json::from_value(value).map_err(|cause| unexpected(cause.to_string()))
        }
        Some("success") => {
            serde_json::from_value(value).map_err(|cause| unexpected(cause.to_string()))
        }
        _ => Err(ClientError::Refused(
            value
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("the Console refused without a reason")
                .to_owned(),
        )),
    }
}

fn ini_value<'a>(ini: &'a str, key: &str) -> Option<&'a str> {
    ini.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_with_files_are_parted_by_what_stands_in_none_of_them() {
        let (kind, body) = form_data(
            &[("memo", "a ----form-0000000000000000")],
            &[("doc", "a\"b\r\n.docx", b"\0\xff")],
        );
        assert_eq!(
            kind,
            "multipart/form-data; boundary=----form-0000000000000001"
        );
        let wanted = b"------form-0000000000000001\r\nContent-Disposition: form-data; name=\"memo\"\r\n\r\n\
            a ----form-0000000000000000\r\n------form-0000000000000001\r\nContent-Disposition: form-data; \
            name=\"doc\"; filename=\"ab.docx\"\r\n\r\n\0\xff\r\n------form-0000000000000001--\r\n";
        assert_eq!(body, wanted);
    }

    #[test]
    fn the_envelope_decides() {
        let ping: Value = decode("ping", b"{\n  \"result\": \"success\"\n}\n").unwrap();
        assert_eq!(ping["result"], "success");
        let refused = decode::<Value>(
            "ping",
            br#"{"message": "Invalid auth_token", "result": "error"}"#,
        );
        assert_eq!(refused.unwrap_err().to_string(), "Invalid auth_token");
        let html = decode::<Value>("ping", b"<html>").unwrap_err();
        assert!(matches!(html, ClientError::Unexpected { .. }), "{html}");
    }

    #[test]
    fn the_key_comes_from_the_ini_file() {
        let ini = "[CanaryTools]\napi_key = abc123\ndomain = localhost\n";
        assert_eq!(ini_value(ini, "api_key"), Some("abc123"));
        assert_eq!(ini_value("[CanaryTools]\napi_key =\n", "api_key"), None);
    }

    #[test]
    fn files_that_are_missing_are_named() {
        let gone = Path::new("/nonexistent/client.ini");
        let error = Client::from_files("https://127.0.0.1:1", gone, gone).unwrap_err();
        assert!(
            error.to_string().starts_with("/nonexistent/client.ini: "),
            "{error}"
        );
    }
}
