//! What Google's documents share: a script that runs when one is opened, and what the event tells.

use coalmine_core::event::{Field, Shape};
use coalmine_core::token::{Answer, Ask, Hit, Mint, Takes, Token, Trip};
use serde_json::{Map, Value, json};

use crate::files::Dice;
use crate::files::prose::Paper;

/// What both kinds ask for.
pub const ASKS: &[Ask] = &[
    Ask {
        name: SHARE,
        doc: "The address of somebody to share the document with; it makes the link of a mail to them.",
        required: false,
        takes: Takes::Text(254),
    },
    Ask {
        name: NAME,
        doc: "The document's name; without it, a plausible one is made up.",
        required: false,
        takes: Takes::Text(120),
    },
    Ask {
        name: LINK,
        doc: "The document's link, once you know it, for the event; without it, the token's own URL.",
        required: false,
        takes: Takes::Url,
    },
];

/// What both kinds add to the event.
pub const FIELDS: &[Field] = &[
    Field {
        name: LINK,
        shape: Shape::String,
        optional: false,
        doc: "The document's link as its owner gave it; the token's own URL where none was given.",
        sample: || json!("https://docs.google.com/document/d/1x/edit"),
    },
    Field {
        name: MAIL,
        shape: Shape::String,
        optional: false,
        doc: "A link that writes a mail about the document.",
        sample: || json!("mailto:finance@example.com?subject=Budget"),
    },
    Field {
        name: NAME,
        shape: Shape::String,
        optional: false,
        doc: "The document's name.",
        sample: || json!("Budget 2024"),
    },
];

const SHARE: &str = "google_share_email_addr";
const LINK: &str = "docs_link";
const MAIL: &str = "email_link";
const NAME: &str = "document_name";

/// The fields of a token, and its document's name.
pub fn fields(mint: &Mint<'_>, paper: &Paper, url: &str) -> Map<String, Value> {
    let name = mint.param(NAME).filter(|name| !name.trim().is_empty());
    let name = name.unwrap_or(&paper.title);
    let link = mint.param(LINK).unwrap_or(url);
    let to = mint.param(SHARE).unwrap_or_default();
    let mail = format!(
        "mailto:{}?subject={}&body={}",
        percent(to, "@"),
        percent(name, ""),
        percent(link, "")
    );
    Map::from_iter([
        (LINK.to_owned(), Value::from(link)),
        (MAIL.to_owned(), Value::from(mail)),
        (NAME.to_owned(), Value::from(name)),
    ])
}

/// The channel's own fields, and which document it was.
pub fn trip(token: &Token, _: &Hit<'_>) -> Trip {
    let told = [LINK, MAIL, NAME].into_iter().map(|name| {
        let value = token.fields.get(name).and_then(Value::as_str);
        (name.to_owned(), Value::from(value.unwrap_or_default()))
    });
    Trip::alert(told.collect(), Answer::Plain)
}

/// An Apps Script that fetches `url` when the document that it is bound to is opened. `service` is
/// the document's own, `source` the trigger builder's word for it.
pub fn script(dice: &mut Dice, service: &str, source: &str, url: &str) -> String {
    let mut verbs = ["refresh", "update", "prepare", "format", "sync", "load"];
    dice.shuffle(&mut verbs);
    let [opened, install, ..] = verbs;
    let what = dice.pick(&["View", "Layout", "Styles", "Header", "Theme", "Logo"]);
    format!(
        "function {install}{what}() {{\n  \
           ScriptApp.newTrigger('{opened}{what}').{source}({service}).onOpen().create();\n}}\n\n\
         function {opened}{what}() {{\n  \
           try {{ UrlFetchApp.fetch('{url}', {{ muteHttpExceptions: true }}); }} catch (e) {{}}\n}}\n\n\
         // Run {install}{what} once: it sets the trigger and asks for the permission it needs.\n"
    )
}

/// Percent-encoded for a URL (RFC 3986), but for unreserved letters and those of `keep`.
pub fn percent(text: &str, keep: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let letter = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(letter) || keep.contains(letter) {
            out.push(letter);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};
    use crate::{google_docs, google_sheets};

    #[test]
    fn both_tell_which_document_was_opened() {
        for kind in [&google_docs::KIND, &google_sheets::KIND] {
            let params = [
                (SHARE, "al&ice@example.com"),
                (NAME, "Budget & Co"),
                (LINK, "https://docs.google.com/document/d/1x/edit?a=b"),
            ];
            let made = minted(kind, &params).unwrap();
            let mut token = token(kind);
            token.fields = made.fields.clone();
            let trip = (kind.trip)(&token, &Hit::Http(request()));
            assert!(trip.alert);
            assert_eq!(trip.fields[LINK], params[2].1);
            assert_eq!(trip.fields[NAME], "Budget & Co");
            assert_eq!(
                trip.fields[MAIL],
                "mailto:al%26ice@example.com?subject=Budget%20%26%20Co&body=\
                 https%3A%2F%2Fdocs.google.com%2Fdocument%2Fd%2F1x%2Fedit%3Fa%3Db"
            );
            let script = &made.renders["apps_script"];
            let url = made.fields.get("url").and_then(Value::as_str).unwrap();
            assert!(script.contains(&format!("fetch('{url}'")), "{script}");
            let plain = minted(kind, &[]).unwrap().fields;
            assert_eq!(plain[LINK], plain["url"]);
            assert!(!plain[NAME].as_str().unwrap().is_empty());
        }
    }
}
