//! MS Word Macro Document: a document whose macro resolves a name when it is opened.

use coalmine_core::event::Field;
use coalmine_core::settings::Fault;
use coalmine_core::text;
use coalmine_core::token::{
    Answer, Artefact, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::{Value, json};

use crate::files::macros::{self, Program};
use crate::files::prose::Paper;
use crate::files::{self, Dice, labels, word};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "msword-macro",
    title: "MS Word Macro Document",
    description: "MS Word .docm Document",
    doc: "A Word document with a macro (.docm) that resolves a name when it is opened; the name \
          carries who opened it.\n\
          The incident shows the user, Windows or macOS, and the machine's own address on Windows; \
          its source is the resolver that asked.\n\
          Place it where macros are part of the work, e.g. with finance or engineering templates.\n\
          Office runs no macros of files that come from the web or by mail (mark of the web), and \
          otherwise asks the user first: until that is allowed the document stays silent.",
    group: Group::Files,
    trial: "Open the document and allow its macro, or look up what that would: `dig umfwgsy3f.owin.i10-0-0-5.mm.{hostname}`.",
    logtype: 16009,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[],
    event: MACRO_FIELDS,
    mint,
    trip,
};

const DOC: &str = "doc";

/// What the event says of a document with a macro, and what the macro says.
pub(crate) const MACRO_FIELDS: &[Field] = &[
    Field::text(DOC, false, "Where the Console gives the document.", || {
        json!("/api/v1/canarytoken/download?canarytoken=4ylq9w1xk0d3v5m7s2b8n6c1z")
    }),
    Field::text("doc_name", false, "The document's file name.", || {
        json!("Vendor-Contract-Review-2024.docm")
    }),
    Field::text("doc_type", false, "Its MIME type.", || {
        json!(word::MACRO_MIME)
    }),
    Field::text(
        "ms_macro_os",
        true,
        "The system that ran it: `Windows` or `Mac`.",
        || json!("Windows"),
    ),
    Field::text("ms_macro_username", true, "The user that ran it.", || {
        json!("jdoe")
    }),
    Field::text(
        "ms_macro_ip",
        true,
        "The address of the machine that ran it.",
        || json!("10.0.0.5"),
    ),
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "document with macro");
    let paper = Paper::new(&mut dice, mint.now);
    let name = format!("{}.docm", paper.file_name(&mut dice));
    let project = macros::project(&mut dice, Program::Word, &mint.hostname(), &port(mint));
    let bytes = word::new(&mut dice, &paper, word::Inside::Project(project));
    Ok(files::artefact(DOC, &name, word::MACRO_MIME, bytes))
}

/// The port of the web channel as a URL has it.
pub(crate) fn port(mint: &Mint<'_>) -> String {
    match &mint.places.http {
        Some(place) if place.port != 80 => format!(":{}", place.port),
        _ => String::new(),
    }
}

/// `u<user>.o<system>.i<address>.MM.<digits>`. Resolvers that ask for a name from its end (RFC
/// 9156) send shorter ones first, which are no touch of their own.
pub(crate) fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    const LABELS: usize = 3;
    let Hit::Dns(hit) = hit else {
        return Trip::silent(Answer::Plain);
    };
    let Some((data, _)) = labels::before(hit.labels, "MM") else {
        return Trip::silent(Answer::Plain);
    };
    if data.len() < LABELS {
        return Trip::silent(Answer::Plain);
    }
    let mut fields = files::told(token, DOC);
    let mut tell = |name: &str, value: String| {
        if !value.is_empty() {
            fields.insert(name.to_owned(), Value::String(value));
        }
    };
    let parts = ['u', 'o', 'i'].map(|letter| labels::lettered(data, letter));
    if let [Some(user), Some(system), Some(address)] = parts {
        tell("ms_macro_username", labels::base32(user));
        tell(
            "ms_macro_os",
            match system.to_ascii_lowercase().as_str() {
                "win" => "Windows".to_owned(),
                "mac" => "Mac".to_owned(),
                _ => text::cut(system),
            },
        );
        tell("ms_macro_ip", labels::address(address));
    } else {
        // Not what the macro sends, but somebody sent it.
        tell("ms_macro_username", text::cut(&data.join(".")));
    }
    Trip::alert(fields, Answer::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::touched;

    fn told(labels: &[&str]) -> Option<[Option<String>; 3]> {
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        let trip = touched(&KIND, &labels);
        let field = |name: &str| Some(trip.fields.get(name)?.as_str()?.to_owned());
        trip.alert
            .then(|| ["ms_macro_username", "ms_macro_os", "ms_macro_ip"].map(field))
    }

    #[test]
    fn the_labels_say_who_opened_it() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told(&["uNJSG6ZI", "owin", "i10-0-0-5", "MM", "07"]),
            Some([some("jdoe"), some("Windows"), some("10.0.0.5")])
        );
        assert_eq!(
            told(&["Unjsg6zi", "OMAC", "I", "mm", "99"]),
            Some([some("jdoe"), some("Mac"), None])
        );
        assert_eq!(
            told(&["u1-1", "obeos", "ix", "MM"]),
            Some([some("1-1"), some("beos"), some("x")])
        );
        assert_eq!(
            told(&["a", "b", "c", "MM", "1"]),
            Some([some("a.b.c"), None, None])
        );
    }

    #[test]
    fn names_without_the_data_are_no_touch() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&["MM", "07"]), None);
        assert_eq!(told(&["owin", "i10-0-0-5", "MM", "07"]), None);
        assert_eq!(told(&["uNJSG6ZI", "owin", "i10-0-0-5"]), None);
    }
}
