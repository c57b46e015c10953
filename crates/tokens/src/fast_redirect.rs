//! Fast Redirect: a URL that leads somewhere harmless at once.

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value};

use crate::redirects::{self, TO};

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
    group: Group::Web,
    trial: "Open its URL: `curl '{url}'`.",
    logtype: 17016,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: redirects::ASKS,
    event: redirects::FIELDS,
    mint,
    trip,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let to = mint.param(TO).unwrap_or_default();
    Ok(Artefact {
        fields: Map::from_iter([(TO.to_owned(), Value::from(to))]),
        ..Artefact::default()
    })
}

fn trip(token: &Token, _: &Hit<'_>) -> Trip {
    redirects::trip(token, Answer::Redirect)
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
