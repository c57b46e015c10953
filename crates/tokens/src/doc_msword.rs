//! MS Word Document: a document that fetches a picture when it is opened.

use coalmine_core::event::{Field, Shape};
use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::json;

use crate::files::prose::Paper;
use crate::files::{self, Dice, MAX_UPLOAD, word};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "doc-msword",
    title: "MS Word Document",
    description: "Canarytoken triggered",
    doc: "A Word document that fetches a picture of one pixel when it is opened.\n\
          Upload a document of your own (.docx), which stays as it is but for its footer, or get a \
          new one with plausible text.\n\
          Place it on file shares, in mail folders, on a desktop; its name is what tempts.\n\
          Word and LibreOffice fetch the picture. Word's protected view does not until editing is \
          allowed, and viewers in browsers and phones do not at all.\n\
          The incident shows the address and the program; several requests of one opening are one \
          incident.",
    group: Group::Files,
    trial: "Open the document in Word or LibreOffice; the picture alone: `curl '{url}'`.",
    logtype: 17002,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: DOC,
        doc: "A .docx document to put the token into; without it a new one is made.",
        required: false,
        takes: Takes::File {
            max: MAX_UPLOAD,
            accepts: &["docx"],
        },
    }],
    event: DOC_FIELDS,
    mint,
    trip,
};

const DOC: &str = "doc";

/// What the event says of a document.
const DOC_FIELDS: &[Field] = &[
    Field {
        name: DOC,
        shape: Shape::String,
        optional: false,
        doc: "Where the Console gives the document.",
        sample: || json!("/api/v1/canarytoken/download?canarytoken=4ylq9w1xk0d3v5m7s2b8n6c1z"),
    },
    Field {
        name: "doc_name",
        shape: Shape::String,
        optional: false,
        doc: "The document's file name.",
        sample: || json!("Vendor-Contract-Review-2024.docx"),
    },
    Field {
        name: "doc_type",
        shape: Shape::String,
        optional: false,
        doc: "Its MIME type.",
        sample: || json!(word::MIME),
    },
];

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "document");
    let url = mint.url("png");
    let (name, bytes) = match mint.file(DOC) {
        Some(upload) => (
            upload.name.clone(),
            word::with_picture(&mut dice, &upload.bytes, &url).map_err(files::refused(DOC))?,
        ),
        None => {
            let paper = Paper::new(&mut dice, mint.now);
            let name = format!("{}.docx", paper.file_name(&mut dice));
            (
                name,
                word::new(&mut dice, &paper, word::Inside::Picture(&url)),
            )
        }
    };
    Ok(files::artefact(DOC, &name, word::MIME, bytes))
}

fn trip(token: &Token, _: &Hit<'_>) -> Trip {
    Trip::alert(files::told(token, DOC), Answer::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, minted_with, request, token};

    #[test]
    fn the_event_names_the_document() {
        let trip = (KIND.trip)(&token(&KIND), &Hit::Http(request()));
        let name = trip.fields["doc_name"].as_str().unwrap();
        assert!(name.ends_with(".docx"), "{name}");
        assert_eq!(trip.fields["doc_type"], word::MIME);
        assert!(
            trip.fields["doc"]
                .as_str()
                .unwrap()
                .starts_with("/api/v1/canarytoken/download?")
        );
        assert!(trip.alert && trip.answer == Answer::Plain);
    }

    #[test]
    fn an_upload_keeps_its_name_and_a_wrong_one_is_refused() {
        let bytes = minted(&KIND, &[]).unwrap().file.unwrap().bytes;
        let made = minted_with(&KIND, &[], &[(DOC, "pay \"2024\".docx", &bytes)]).unwrap();
        assert_eq!(made.file.unwrap().name, "pay__2024_.docx");
        let faults = minted_with(&KIND, &[], &[(DOC, "a.docx", b"PK hello")]).unwrap_err();
        assert_eq!(faults[0].key, DOC);
        assert!(
            faults[0].problem.starts_with("the file is no ZIP archive"),
            "{faults:?}"
        );
    }
}
