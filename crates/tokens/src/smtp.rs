//! Email address: a mail address that nobody uses.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Map, Value, json};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "smtp",
    title: "Email address",
    description: "Email address",
    doc: "A mail address that nobody uses.\n\
          Put it into a customer database, an address book or a mailing list: the first mail to it \
          says that the data have got out.\n\
          The event tells sender, headers, links and the names of attached files. Nothing is \
          forwarded or kept. The number of these incidents is our own.",
    group: Group::Mail,
    trial: "Send it a mail: `swaks --to {address}`.",
    logtype: 17031,
    channels: &[TokenChannel::Smtp],
    reach: Reach::Direct,
    asks: &[],
    event: &[
        field(FROM, Shape::String, "The envelope's sender.", || {
            json!("eve@example.com")
        }),
        field(TO, Shape::String, "The envelope's recipient.", || {
            json!("4ylq9w1xk0d3v5m7s2b8n6c1z@tokens.example.com")
        }),
        field(HELO, Shape::String, "What the client calls itself.", || {
            json!("mx.example.com")
        }),
        field(LINKS, Shape::Strings, "URLs in the text.", || {
            json!(["https://example.com/login"])
        }),
        field(
            FILES,
            Shape::Strings,
            "Attached files: name, type, size in bytes.",
            || json!(["invoice.pdf (application/pdf, 20481 bytes)"]),
        ),
    ],
    mint,
    trip,
};

const ADDRESS: &str = "email_address";
const FROM: &str = "mail_from";
const TO: &str = "mail_to";
const HELO: &str = "mail_helo";
const LINKS: &str = "mail_links";
const FILES: &str = "mail_attachments";

const fn field(
    name: &'static str,
    shape: Shape,
    doc: &'static str,
    sample: fn() -> Value,
) -> Field {
    Field {
        name,
        shape,
        optional: true,
        doc,
        sample,
    }
}

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let Some(domain) = &mint.places.smtp else {
        return Err(vec![Fault::new("kind", "needs the smtp channel")]);
    };
    let address = format!("{}@{domain}", mint.id);
    Ok(Artefact {
        fields: Map::from_iter([(ADDRESS.to_owned(), Value::from(address.as_str()))]),
        renders: [("address".to_owned(), address)].into(),
        ..Artefact::default()
    })
}

fn trip(_: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Smtp(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let files: Vec<String> = hit
        .attachments
        .iter()
        .map(|file| format!("{} ({}, {} bytes)", file.name, file.mime, file.size))
        .collect();
    let fields = Map::from_iter([
        (FROM.to_owned(), hit.from.into()),
        (TO.to_owned(), hit.recipient.into()),
        (HELO.to_owned(), hit.helo.into()),
        (LINKS.to_owned(), hit.links.into()),
        (FILES.to_owned(), files.into()),
    ]);
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use coalmine_core::token::{SmtpAttachment, SmtpHit};

    use super::*;
    use crate::tests::{minted, token};

    #[test]
    fn the_address_is_the_token_and_a_mail_tells_what_it_brings() {
        let made = minted(&KIND, &[]).unwrap();
        let address = made.renders["address"].clone();
        assert!(address.ends_with("@tokens.example.com"));
        assert_eq!(made.fields[ADDRESS], address);
        let hit = Hit::Smtp(SmtpHit {
            client: [192, 0, 2, 1].into(),
            tls: false,
            helo: "me",
            from: "eve@example.com",
            recipient: &address,
            headers: &[],
            links: &["http://a.example/".to_owned()],
            attachments: &[SmtpAttachment {
                name: "a.pdf".to_owned(),
                mime: "application/pdf".to_owned(),
                size: 7,
            }],
        });
        let trip = (KIND.trip)(&token(&KIND), &hit);
        assert!(trip.alert);
        assert_eq!(
            Value::Object(trip.fields),
            json!({
                FROM: "eve@example.com", TO: address, HELO: "me",
                LINKS: ["http://a.example/"], FILES: ["a.pdf (application/pdf, 7 bytes)"],
            })
        );
    }
}
