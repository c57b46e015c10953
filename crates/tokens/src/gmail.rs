//! Gmail: mails that wait in mailboxes of Gmail or Google Workspace.

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, Group, Mint, Reach, TokenChannel, TokenKind, Trip};

use crate::mails::{self, Style};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "gmail",
    title: "Gmail",
    description: "Gmail",
    doc: "Mails for mailboxes in Gmail or Google Workspace, one for each address that you name, as .eml files.\n\
          Put each into its mailbox with any mail program and archive it, or let the Console do so by IMAP: its owner has no \
          reason to open it, but somebody who searches the mailbox for passwords and payments has.\n\
          The mail's link and its picture of one pixel carry the mailbox's address, which the incident \
          shows in the URL.\n\
          Pictures are often fetched by the mail service for its users, from its own addresses.",
    group: Group::Mail,
    trial: "Open one of the mails with its pictures; a picture alone: `curl '{url}'`.",
    logtype: 17021,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "Makes the mails, and puts them by IMAP into the mailboxes that are configured; it does not sign in at Google.",
    ),
    asks: mails::ASKS,
    event: &[],
    mint,
    trip: Trip::plain,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    mails::mint(mint, KIND.id, Style::Gmail)
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::Hit;

    use super::*;
    use crate::tests::{minted, request, token};

    #[test]
    fn the_mail_looks_like_the_services_own() {
        let made = minted(&KIND, &[("mailboxes", "alice@example.com")]).unwrap();
        let mail = &made.renders[KIND.id];
        assert!(mail.contains("@mail.gmail.com>\r\n"), "{mail}");
        assert!((KIND.trip)(&token(&KIND), &Hit::Http(request())).alert);
    }
}
