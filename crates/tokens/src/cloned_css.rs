//! CSS Cloned Site: a style rule that tells when another site shows it.

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, Ask, Group, Mint, Reach, Takes, TokenChannel, TokenKind};

use crate::referrers::{self, EXPECTED};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "cloned-css",
    title: "CSS Cloned Site",
    description: "CSS Cloned Site",
    doc: "A style rule for a page of yours that is worth copying; it works without any script.\n\
          Put it into the style sheet of the page. The browser fetches its picture and says whose \
          page it is for: your own site stays silent, any other raises an incident.\n\
          It also notices the kind of phishing that relays your true page through another name.\n\
          Where a browser or a site's policy hides whose page it is, nothing can be told and \
          nothing is alerted; set the header `Referrer-Policy: origin` on your page to be sure.\n\
          Serve the token over HTTPS if your page is.",
    group: Group::Web,
    trial: "Fetch the picture as a copy of your page would: `curl -e https://copy.example/ '{url}'`.",
    logtype: 17025,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: EXPECTED,
        doc: "The host name that the page is truly served from, e.g. login.example.com; names \
              below it count as true too.",
        required: true,
        takes: Takes::Text(2_048),
    }],
    event: referrers::FIELDS,
    mint,
    trip: referrers::trip,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let expected = mint.param(EXPECTED).unwrap_or_default();
    referrers::mint(
        mint,
        KIND.id,
        expected,
        &["body", "html", "main", "body > *:first-child"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::minted;

    #[test]
    fn the_rule_fetches_the_token_and_a_bad_site_is_refused() {
        let made = minted(&KIND, &[(EXPECTED, "login.example.com")]).unwrap();
        let rule = &made.renders["cloned-css"];
        assert!(rule.contains("url(") && rule.contains("https://tokens.example.com/"));
        assert_eq!(made.file.unwrap().bytes, rule.as_bytes());
        let faults = minted(&KIND, &[(EXPECTED, "}")]).unwrap_err();
        assert_eq!(faults[0].key, EXPECTED);
    }
}
