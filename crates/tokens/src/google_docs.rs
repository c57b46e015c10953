//! Google Doc: a document in Google Docs that tells when it is opened.

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Artefact, ArtefactFile, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};

use crate::files::Dice;
use crate::files::prose::Paper;
use crate::google;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "google-docs",
    title: "Google Doc",
    description: "Google Document",
    doc: "A script for a document of yours in Google Docs, which tells when the document is opened for \
          editing.\n\
          Open the document, choose Extensions and Apps Script, put the script in and run the function \
          that its last line names, once. Then share the document, or leave it where it tempts.\n\
          Google fetches the token's URL, so the incident's address is Google's: it says when, not \
          who. Whoever only views the document, or a copy of it, trips nothing.",
    group: Group::Mail,
    trial: "Open the document for editing, or fetch what the script does: `curl '{url}'`.",
    logtype: 17006,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "Works by a script that you put into your own document. It makes no document at Google and \
         reads none of Google's logs, so the account of whoever opened it isn't known.",
    ),
    asks: google::ASKS,
    event: google::FIELDS,
    mint,
    trip,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "document");
    let paper = Paper::new(&mut dice, mint.now);
    let url = mint.url("png");
    let script = google::script(
        &mut dice,
        "DocumentApp.getActiveDocument()",
        "forDocument",
        &url,
    );
    let mut fields = google::fields(mint, &paper, &url);
    fields.insert("url".to_owned(), url.into());
    Ok(Artefact {
        fields,
        renders: [("apps_script".to_owned(), script.clone())].into(),
        file: Some(ArtefactFile {
            name: "Code.gs".to_owned(),
            mime: "text/javascript",
            bytes: script.into_bytes(),
        }),
        ..Artefact::default()
    })
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    google::trip(token, hit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::minted_by;

    #[test]
    fn the_script_is_bound_to_a_document_and_no_two_are_alike() {
        let scripts: std::collections::BTreeSet<String> = (1..20)
            .map(|byte| {
                let made = minted_by(byte, &KIND, &[], &[]).unwrap();
                let script = made.renders["apps_script"].clone();
                assert!(script.contains(".forDocument(DocumentApp.getActiveDocument()).onOpen()"));
                script.split("fetch(").next().unwrap().to_owned()
            })
            .collect();
        assert!(scripts.len() > 10);
    }
}
