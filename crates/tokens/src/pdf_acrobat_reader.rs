//! Acrobat PDF: a document that makes Reader resolve a name when it is opened.

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Answer, Artefact, Ask, Group, Hit, Mint, Reach, Takes, Token, TokenChannel, TokenKind, Trip,
};
use serde_json::Map;

use crate::files::prose::Paper;
use crate::files::{self, Dice, MAX_UPLOAD, pdf};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "pdf-acrobat-reader",
    title: "Acrobat PDF",
    description: "Acrobat Reader PDF Document",
    doc: "A PDF that asks for a URL when it is opened. Acrobat Reader looks up the URL's name \
          before it asks the user whether to go there; the name does not exist, and nothing is \
          fetched.\n\
          Upload a PDF of your own, which stays as it is with something added behind its end, or \
          get a new one with plausible text.\n\
          Only Adobe's Acrobat and Reader do this; browsers and other viewers show the document \
          without touching the token.\n\
          The incident's source is the resolver that asked. Delegate the zone of names that do not \
          exist as well.",
    group: Group::Files,
    trial: "Open the file in Acrobat Reader, or look up what that would: `dig {hostname}`.",
    logtype: 16008,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[Ask {
        name: PDF,
        doc: "A PDF to put the token into, neither encrypted nor signed; without it a new one is \
              made.",
        required: false,
        takes: Takes::File {
            max: MAX_UPLOAD,
            accepts: &["pdf"],
        },
    }],
    event: &[],
    mint,
    trip,
};

const PDF: &str = "pdf";

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "pdf");
    // The page of the token's URL, so that the path is as any web server's.
    let url = mint.url("");
    let page = url.rsplit('/').next().unwrap_or_default();
    let uri = format!("http://{}/{page}", mint.nx_hostname());
    let (name, bytes) = match mint.file(PDF) {
        Some(upload) => (
            upload.name.clone(),
            pdf::with_action(&upload.bytes, &uri).map_err(files::refused(PDF))?,
        ),
        None => {
            let paper = Paper::new(&mut dice, mint.now);
            let name = format!("{}.pdf", paper.file_name(&mut dice));
            (name, pdf::new(&mut dice, &paper, &uri))
        }
    };
    Ok(files::artefact(PDF, &name, pdf::MIME, bytes))
}

/// The channel's own fields say all there is.
fn trip(_: &Token, _: &Hit<'_>) -> Trip {
    Trip::alert(Map::new(), Answer::NxDomain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, minted_with, touched};

    #[test]
    fn the_name_is_of_the_zone_that_does_not_exist() {
        let file = minted(&KIND, &[]).unwrap().file.unwrap();
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        let uri = text.split("/URI/URI(http://").nth(1).unwrap();
        let host = uri.split('/').next().unwrap();
        assert!(host.ends_with(".nx.example.com"), "{host}");
        assert_eq!(touched(&KIND, &[]).answer, Answer::NxDomain);
        let again = minted_with(&KIND, &[], &[(PDF, "mine.pdf", &file.bytes)]).unwrap();
        assert!(again.file.unwrap().bytes.starts_with(&file.bytes));
        let faults = minted_with(&KIND, &[], &[(PDF, "mine.pdf", b"GIF89a")]).unwrap_err();
        assert_eq!(faults, [Fault::new(PDF, "the file is no PDF")]);
    }
}
