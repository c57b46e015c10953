//! Fast Redirect: a URL that leads somewhere harmless at once.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value, json};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "fast-redirect",
    title: "Fast Redirect",
    description: "Fast HTTP Redirect",
    doc: "A unique URL that sends whoever opens it to an address of your choice, at once.\n\
          Put it where a link is expected to lead somewhere: a bookmark to an administrator's page, \
          a short link in a document, a QR code on a badge.\n\
          Nobody who follows it notices more than a short detour. The slow redirect learns more \
          about the browser on the way.",
    logtype: 17016,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: TO,
        doc: "Where the visitor is sent: a whole http or https URL.",
        required: true,
        takes: Takes::Url,
    }],
    event: &[Field {
        name: TO,
        shape: Shape::String,
        optional: false,
        doc: "Where the visitor was sent.",
        sample: || json!("https://intranet.example.com/"),
    }],
    mint,
    trip,
};

const TO: &str = "browser_redirect_url";

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let to = mint.param(TO).unwrap_or_default();
    Ok(Artefact {
        fields: Map::from_iter([(TO.to_owned(), Value::from(to))]),
        ..Artefact::default()
    })
}

fn trip(token: &Token, _: &Hit<'_>) -> Trip {
    let to = token.fields.get(TO).and_then(Value::as_str);
    let to = to.unwrap_or_default().to_owned();
    let fields = Map::from_iter([(TO.to_owned(), Value::from(to.as_str()))]);
    Trip::alert(fields, Answer::Redirect(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};

    #[test]
    fn the_visitor_is_sent_on_and_the_event_says_where() {
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(request()));
        let to = "https://www.example.com/login?a=b&c=d";
        assert_eq!(trip.answer, Answer::Redirect(to.to_owned()));
        assert_eq!(trip.fields[TO], to);
        assert!(trip.alert);
    }

    #[test]
    fn only_the_web_can_be_redirected_to() {
        for to in [
            "javascript:alert(1)",
            "//example.com",
            "https://a\r\nX: b",
            "ftp://a/",
        ] {
            assert_eq!(minted(&KIND, &[(TO, to)]).unwrap_err()[0].key, TO, "{to}");
        }
    }
}
