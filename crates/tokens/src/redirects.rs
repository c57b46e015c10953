//! What the two kinds share that send the visitor somewhere harmless.

use coalmine_core::event::Field;
use coalmine_core::token::{Answer, Ask, Takes, Token, Trip};
use serde_json::{Map, Value, json};

/// The parameter with the address, and the token's and the event's field of it.
pub const TO: &str = "browser_redirect_url";

/// What such kinds ask for.
pub const ASKS: &[Ask] = &[Ask {
    name: TO,
    doc: "Where the visitor is sent: a whole http or https URL.",
    required: true,
    takes: Takes::Url,
}];

/// What such kinds add to the event.
pub const FIELDS: &[Field] = &[Field::text(
    TO,
    false,
    "Where the visitor was sent.",
    || json!("https://intranet.example.com/"),
)];

/// The visitor is sent on by `answer`.
pub fn trip(token: &Token, answer: fn(String) -> Answer) -> Trip {
    let to = token.fields.get(TO).and_then(Value::as_str);
    let to = to.unwrap_or_default().to_owned();
    let fields = Map::from_iter([(TO.to_owned(), Value::from(to.as_str()))]);
    Trip::alert(fields, answer(to))
}
