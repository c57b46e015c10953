//! What an API was sent, as events tell it: fields and body as objects.

use coalmine_core::text::{cut, printable};
use serde_json::{Map, Value};

use super::head::Head;

/// Body that is told in parts, in bytes; a larger one is told as one cut text.
const MAX_BODY: usize = 16 * 1024;
/// Names in a body that are told.
const MAX_NAMES: usize = 256;

/// The fields of a head, under the names that most clients write.
pub(super) fn headers(head: &Head) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in head.fields() {
        let value = cut(&printable(value));
        let name = usual(name);
        match all.get_mut(&name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            _ => {
                all.insert(name, Value::String(value));
            }
        }
    }
    all
}

/// The body: a JSON object as it is, a form by its names, everything else as text under `data`.
pub(super) fn body(head: &Head, body: &[u8]) -> Map<String, Value> {
    if body.is_empty() {
        return Map::new();
    }
    let as_text = || Map::from_iter([("data".to_owned(), Value::String(printable(body)))]);
    if body.len() > MAX_BODY {
        return as_text();
    }
    if let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(body) {
        return object;
    }
    let kind = head.text("content-type").unwrap_or_default();
    if kind
        .to_ascii_lowercase()
        .starts_with("application/x-www-form-urlencoded")
    {
        return form_urlencoded::parse(body)
            .take(MAX_NAMES)
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect();
    }
    as_text()
}

/// `x-registry-auth` as `X-Registry-Auth`.
fn usual(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper { c.to_ascii_uppercase() } else { c };
            upper = c == '-';
            c
        })
        .collect()
}
