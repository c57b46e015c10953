//! Azure Entra Login: a style rule for a tenant's login page.

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, Ask, Group, Mint, Reach, Takes, TokenChannel, TokenKind};

use crate::referrers::{self, EXPECTED};

/// Where Microsoft's login page is served from.
const MICROSOFT: &str = "microsoftonline.com";

/// Parts of that page that a tenant may style ("CSS reference guide for customizing company
/// branding", Microsoft Learn).
const SELECTORS: &[&str] = &[
    ".ext-sign-in-box",
    ".ext-header",
    ".ext-footer",
    ".ext-boilerplate-text",
    ".ext-vertical-split-main-section",
];

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "azure-entra-login",
    title: "Azure Entra Login",
    description: "Azure Entra Login",
    doc: "A style sheet for the login page of your Microsoft Entra tenant.\n\
          In the Entra admin centre open Company branding, edit the default sign-in, and upload the \
          file under Layout as custom CSS.\n\
          Microsoft's own page stays silent. Phishing that relays it under another name (adversary \
          in the middle) carries your branding along, and the victim's browser tells the name: the \
          incident shows it while the attack is under way.\n\
          The incident's source is the victim's address, not the attacker's.\n\
          Entra takes style sheets with HTTPS addresses only: turn the HTTPS channel on.",
    group: Group::Web,
    trial: "Fetch the picture as a page of another site would: `curl -e https://copy.example/ '{url}'`.",
    logtype: 17026,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: EXPECTED,
        doc: "Where the page is truly served from; microsoftonline.com unless told otherwise.",
        required: false,
        takes: Takes::Text(2_048),
    }],
    event: referrers::FIELDS,
    mint,
    trip: referrers::trip,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let expected = mint.param(EXPECTED).unwrap_or(MICROSOFT);
    referrers::mint(mint, KIND.id, expected, SELECTORS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::minted;

    #[test]
    fn microsofts_page_is_expected_unless_told_otherwise() {
        let made = minted(&KIND, &[]).unwrap();
        assert_eq!(made.fields[EXPECTED], MICROSOFT);
        assert!(made.renders["azure-entra-login"].starts_with(".ext-"));
        let made = minted(&KIND, &[(EXPECTED, "login.example.com")]).unwrap();
        assert_eq!(made.fields[EXPECTED], "login.example.com");
    }
}
