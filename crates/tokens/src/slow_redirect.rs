//! Slow Redirect: a page that asks the browser about itself, then leads somewhere harmless.

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value};

use crate::redirects::{self, TO};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "slow-redirect",
    title: "Slow Redirect",
    description: "Slow HTTP Redirect",
    doc: "A unique URL that shows an empty page for a moment, then sends the visitor to an address \
          of your choice.\n\
          Put it where a fast redirect would do and you want to know more: a bookmark to an \
          administrator's page, a link in a document, a QR code on a badge.\n\
          Meanwhile the page asks the browser about itself: screen, time zone, languages, hardware, \
          whether a program drives it. What it says comes as a second event of the same incident, in \
          `additional_info`.\n\
          Nobody is kept for more than two seconds. Without JavaScript the visitor is sent on, and \
          only the first event comes.",
    group: Group::Web,
    trial: "Open its URL in a browser, or `curl '{url}'`.",
    logtype: 17017,
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
        fields: Map::from_iter([
            (TO.to_owned(), Value::from(to)),
            ("url".to_owned(), mint.url("html").into()),
        ]),
        ..Artefact::default()
    })
}

fn trip(token: &Token, _: &Hit<'_>) -> Trip {
    redirects::trip(token, Answer::SlowRedirect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};

    #[test]
    fn the_visitor_is_sent_on_later_and_the_event_says_where() {
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(request()));
        let to = "https://www.example.com/login?a=b&c=d";
        assert_eq!(trip.answer, Answer::SlowRedirect(to.to_owned()));
        assert_eq!(trip.fields[TO], to);
        assert!(trip.alert);
    }

    #[test]
    fn only_the_web_can_be_redirected_to() {
        for to in ["javascript:alert(1)", "data:text/html,x", "https://a\"><b"] {
            assert_eq!(minted(&KIND, &[(TO, to)]).unwrap_err()[0].key, TO, "{to}");
        }
    }
}
