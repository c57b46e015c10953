//! Credit Card: a card that only a thief uses; its issuer tells us through a callback.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, HttpHit, Mint, Reach, Takes, Token, TokenChannel, TokenKind,
    Trip,
};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "credit-card",
    title: "Credit Card",
    description: "Credit Card",
    doc: "A real card, best a virtual one without money, that you have from its issuer and register here.\n\
          Leave its number where payment data is kept: a shop's database, a wallet file, a mail.\n\
          Have the issuer's webhook, or a script that reads its API, post every attempt to the \
          token's callback; the incident tells merchant and amount.",
    group: Group::Cloud,
    trial: "Post what the issuer would: `curl -H 'Authorization: Bearer {callback_secret}' -d '{\"merchant\":\"Test\"}' '{callback_url}'`.",
    logtype: 17027,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "It alerts when somebody tells the callback: your issuer's webhook, or your own script. \
         No issuer is asked from here, and a card that no issuer watches stays silent.",
    ),
    asks: &[
        Ask {
            name: NUMBER,
            doc: "The card's number, 12 to 19 digits.",
            required: true,
            takes: Takes::Text(32),
        },
        Ask {
            name: EXPIRY,
            doc: "Month and year that it's good through, e.g. 09/2029.",
            required: true,
            takes: Takes::Text(7),
        },
        Ask {
            name: "card_cvc",
            doc: "The three or four digits on its back.",
            required: false,
            takes: Takes::Text(4),
        },
        Ask {
            name: "card_name",
            doc: "The name on it.",
            required: false,
            takes: Takes::Text(64),
        },
    ],
    event: &[
        Field::text(
            "masked_card_number",
            false,
            "The card's last four digits.",
            || json!("************4242"),
        ),
        Field::text(
            "transaction_amount",
            true,
            "The amount, as the issuer tells it.",
            || json!("12.50"),
        ),
        Field::text("transaction_currency", true, "Its currency.", || {
            json!("EUR")
        }),
        Field::text(
            "transaction_date",
            true,
            "When, as the issuer tells it.",
            || json!("2026-11-22T10:15:00Z"),
        ),
        Field::text(
            "transaction_type",
            true,
            "What was tried, as the issuer tells it.",
            || json!("authorization"),
        ),
        Field::text("merchant", true, "Where.", || {
            json!("EXAMPLE BOOKS AMSTERDAM")
        }),
    ],
    mint,
    trip,
};

const NUMBER: &str = "card_number";
const EXPIRY: &str = "card_expiry";
/// What an issuer may tell, besides the card.
const TOLD: &[&str] = &[
    "transaction_amount",
    "transaction_currency",
    "transaction_date",
    "transaction_type",
    "merchant",
];
/// Longest value that a callback's field may have, in characters.
const MAX_VALUE: usize = 256;

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let number = mint.param(NUMBER).unwrap_or_default();
    let number: String = number.chars().filter(|c| !" -".contains(*c)).collect();
    let expiry = mint.param(EXPIRY).unwrap_or_default();
    let cvc = mint.param("card_cvc").unwrap_or_default();
    let mut faults = Vec::new();
    if !is_card(&number) {
        faults.push(Fault::new(
            NUMBER,
            "takes a card's number: 12 to 19 digits, of which the last one checks the others",
        ));
    }
    if !is_month(expiry) {
        faults.push(Fault::new(EXPIRY, "takes month and year, e.g. 09/2029"));
    }
    let is_cvc = matches!(cvc.len(), 0 | 3 | 4) && cvc.bytes().all(|b| b.is_ascii_digit());
    if !is_cvc {
        faults.push(Fault::new("card_cvc", "takes three or four digits"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let secret = HEXLOWER.encode(&mint.seed.take::<20>("callback"));
    let page = mint.url("json");
    let folder = page
        .rsplit_once('/')
        .map_or(page.as_str(), |(folder, _)| folder);
    let name = mint.param("card_name").unwrap_or_default();
    let card = format!("Name: {name}\nCard number: {number}\nExpires: {expiry}\nCVC: {cvc}\n");
    let fields = [
        ("card_number", number.as_str()),
        ("card_expiry", expiry),
        ("card_cvc", cvc),
        ("card_name", name),
        ("masked_card_number", &masked(&number)),
        ("callback_url", &format!("{folder}/callback")),
        ("callback_secret", &secret),
        ("integration", "local"),
    ];
    Ok(Artefact {
        fields: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect(),
        renders: [("credit-card".to_owned(), card)].into(),
        ..Artefact::default()
    })
}

/// Digits whose last one is right (ISO/IEC 7812-1, annex B).
fn is_card(number: &str) -> bool {
    let digits: Option<Vec<u32>> = number.chars().map(|c| c.to_digit(10)).collect();
    let sum = |digits: Vec<u32>| -> u32 {
        let pairs = digits.into_iter().rev().enumerate();
        pairs
            .map(|(at, digit)| match at % 2 {
                0 => digit,
                _ if digit > 4 => 2 * digit - 9,
                _ => 2 * digit,
            })
            .sum()
    };
    (12..=19).contains(&number.len()) && digits.is_some_and(|digits| sum(digits) % 10 == 0)
}

fn is_month(text: &str) -> bool {
    let Some((month, year)) = text.split_once('/') else {
        return false;
    };
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let month_is = month
        .parse()
        .is_ok_and(|month: u8| (1..=12).contains(&month));
    month_is
        && month.len() == 2
        && matches!(year.len(), 2 | 4)
        && is_number(month)
        && is_number(year)
}

fn masked(number: &str) -> String {
    let hidden = number.chars().count().saturating_sub(4);
    let last: String = number.chars().skip(hidden).collect();
    format!("{}{last}", "*".repeat(hidden))
}

/// Only who knows the secret tells anything; a visit to the address alone says nothing of the card.
fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    let Hit::Http(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let own = |name: &str| token.fields.get(name).and_then(Value::as_str);
    if hit.method != "POST" || !is_authenticated(hit, own("callback_secret").unwrap_or_default()) {
        return Trip::silent(Answer::Plain);
    }
    let Ok(Value::Object(body)) = serde_json::from_slice(hit.body) else {
        return Trip::silent(answer(400, "the body must be a JSON object"));
    };
    let mut fields = Map::new();
    for name in TOLD {
        let told = match body.get(*name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        let told: String = told.chars().take(MAX_VALUE).collect();
        fields.insert((*name).to_owned(), told.into());
    }
    if fields.is_empty() {
        let names = TOLD.join(", ");
        return Trip::silent(answer(
            400,
            &format!("at least one of these must be given: {names}"),
        ));
    }
    let masked = own("masked_card_number").unwrap_or_default();
    fields.insert("masked_card_number".to_owned(), masked.into());
    Trip::alert(fields, answer(200, "ok"))
}

/// Compares without telling by its time how much was right.
fn is_authenticated(hit: &HttpHit<'_>, secret: &str) -> bool {
    let given = hit.header("authorization").unwrap_or_default();
    let given = given
        .strip_prefix("Bearer ")
        .unwrap_or_default()
        .trim()
        .as_bytes();
    let differs = given
        .iter()
        .zip(secret.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    !secret.is_empty() && given.len() == secret.len() && differs == 0
}

fn answer(status: u16, message: &str) -> Answer {
    Answer::Full {
        status,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: json!({"message": message}).to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, request, token};

    const CARD: [(&str, &str); 2] = [(NUMBER, "4242 4242 4242 4242"), (EXPIRY, "09/2029")];

    fn tell(secret: &str, method: &str, body: &[u8]) -> Trip {
        let headers = [("Authorization".to_owned(), format!("Bearer {secret}"))];
        let hit = HttpHit {
            method,
            headers: &headers,
            body,
            rest: "callback",
            ..request()
        };
        (KIND.trip)(&token(&KIND), &Hit::Http(hit))
    }

    #[test]
    fn the_issuer_tells_what_was_tried() {
        let token = token(&KIND);
        let secret = token.fields["callback_secret"].as_str().unwrap();
        let body = br#"{"transaction_amount": 12.5, "transaction_currency": "EUR", "merchant": "EXAMPLE BOOKS", "more": {}}"#;
        let trip = tell(secret, "POST", body);
        assert!(trip.alert);
        let wanted = json!({"masked_card_number": "************4242", "transaction_amount": "12.5", "transaction_currency": "EUR", "merchant": "EXAMPLE BOOKS"});
        assert_eq!(Value::Object(trip.fields), wanted);
        assert!(matches!(trip.answer, Answer::Full { status: 200, .. }));
        for (secret, method, body) in [
            (secret, "GET", &body[..]),
            ("", "POST", body),
            (&secret[1..], "POST", body),
            (&"0".repeat(40), "POST", body),
        ] {
            let trip = tell(secret, method, body);
            assert!(!trip.alert, "{method} {secret}");
            assert_eq!(trip.answer, Answer::Plain);
        }
        for body in [&b""[..], b"[]", b"{}", b"{\"merchant\": []}", b"merchant=a"] {
            let trip = tell(secret, "POST", body);
            assert!(!trip.alert);
            assert!(matches!(trip.answer, Answer::Full { status: 400, .. }));
        }
    }

    #[test]
    fn a_card_is_checked_before_it_is_registered() {
        let made = minted(&KIND, &CARD).unwrap();
        assert_eq!(made.fields["masked_card_number"], "************4242");
        assert!(
            made.fields["callback_url"]
                .as_str()
                .unwrap()
                .ends_with("/callback")
        );
        assert!(
            made.renders["credit-card"]
                .contains("Card number: 4242424242424242\nExpires: 09/2029\n")
        );
        for (name, value) in [
            (NUMBER, "4242424242424241"),
            (NUMBER, "0"),
            (NUMBER, "424242424242424x"),
            (EXPIRY, "13/2029"),
            (EXPIRY, "9/29"),
            (EXPIRY, "092029"),
            ("card_cvc", "12"),
            ("card_cvc", "12x"),
        ] {
            let mut params = CARD.to_vec();
            params.retain(|(given, _)| *given != name);
            params.push((name, value));
            assert_eq!(minted(&KIND, &params).unwrap_err()[0].key, name, "{value}");
        }
    }
}
