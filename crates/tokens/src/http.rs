//! Web Bug: a URL nobody has a reason to open.

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "http",
    title: "Web Bug",
    description: "Canarytoken triggered",
    doc: "A unique URL. Any request to it, by any method, raises an incident.\n\
          Put it where only an intruder reads: a wiki page nobody links to, a mail with a tempting \
          subject, a README in an old repository, a bookmark on an administrator's desktop.\n\
          The incident shows the address, the browser and every header of whoever opened it; behind \
          a proxy that is the proxy's address.\n\
          Mail scanners and chat programs fetch links to preview them: do not send it through those \
          unless you want to know that they did.",
    group: Group::Web,
    trial: "Open its URL: `curl '{url}'`.",
    logtype: 17000,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: SCANNER,
        doc: "Whether a browser that opens the URL is asked about itself.",
        required: false,
        takes: Takes::Bool(SCANNER_DEFAULT),
    }],
    event: &[],
    mint,
    trip,
};

const SCANNER: &str = "browser_scanner_enabled";
const SCANNER_DEFAULT: bool = true;

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let scanner = mint.flag(SCANNER, SCANNER_DEFAULT);
    Ok(Artefact {
        fields: Map::from_iter([(SCANNER.to_owned(), Value::Bool(scanner))]),
        ..Artefact::default()
    })
}

/// The channel's own fields say all there is.
fn trip(token: &Token, _: &Hit<'_>) -> Trip {
    let scanner = token.fields.get(SCANNER).and_then(Value::as_bool);
    let answer = match scanner.unwrap_or(SCANNER_DEFAULT) {
        true => Answer::Plain,
        false => Answer::Pixel,
    };
    Trip::alert(Map::new(), answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};

    #[test]
    fn browsers_are_asked_unless_the_owner_says_no() {
        let mut token = token(&KIND);
        for (fields, answer) in [
            (Map::new(), Answer::Plain),
            (minted(&KIND, &[]).unwrap().fields, Answer::Plain),
            (
                minted(&KIND, &[(SCANNER, "false")]).unwrap().fields,
                Answer::Pixel,
            ),
        ] {
            token.fields = fields;
            let trip = (KIND.trip)(&token, &Hit::Http(request()));
            assert!(trip.alert);
            assert_eq!(trip.answer, answer);
        }
    }

    #[test]
    fn the_scanner_is_on_unless_switched_off() {
        assert_eq!(minted(&KIND, &[]).unwrap().fields[SCANNER], true);
        assert_eq!(
            minted(&KIND, &[(SCANNER, "False")]).unwrap().fields[SCANNER],
            false
        );
    }

    #[test]
    fn a_scanner_that_is_neither_on_nor_off_is_refused() {
        let faults = minted(&KIND, &[(SCANNER, "maybe")]).unwrap_err();
        assert_eq!(
            faults,
            [Fault::new(SCANNER, "takes true or false")],
            "one fault that says what would be right"
        );
    }
}
