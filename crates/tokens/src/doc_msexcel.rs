//! MS Excel Document: a workbook that fetches a picture when it is opened.

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Artefact, Ask, Group, Mint, Reach, Takes, TokenChannel, TokenKind, Trip,
};

use crate::files::prose::Paper;
use crate::files::{self, Dice, MAX_UPLOAD, excel};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "doc-msexcel",
    title: "MS Excel Document",
    description: "MS Excel Document",
    doc: "An Excel workbook that fetches a picture of one pixel when it is opened.\n\
          Upload a workbook of your own (.xlsx), which gets the picture in its first visible sheet \
          and stays as it is otherwise, or get a new one with plausible figures.\n\
          Place it on file shares, in mail folders, on a desktop; its name is what tempts.\n\
          Excel and LibreOffice fetch the picture. Excel's protected view does not until editing is \
          allowed, and viewers in browsers and phones do not at all.",
    group: Group::Files,
    trial: "Open the workbook in Excel or LibreOffice; the picture alone: `curl '{url}'`.",
    logtype: 17023,
    channels: &[TokenChannel::Http],
    reach: Reach::Direct,
    asks: &[Ask {
        name: DOC,
        doc: "An .xlsx workbook to put the token into; without it a new one is made.",
        required: false,
        takes: Takes::File {
            max: MAX_UPLOAD,
            accepts: &["xlsx"],
        },
    }],
    event: &[],
    mint,
    trip: Trip::plain,
};

const DOC: &str = "doc";

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "workbook");
    let url = mint.url("png");
    let (name, bytes) = match mint.file(DOC) {
        Some(upload) => (
            upload.name.clone(),
            excel::with_picture(&mut dice, &upload.bytes, &url).map_err(files::refused(DOC))?,
        ),
        None => {
            let paper = Paper::new(&mut dice, mint.now);
            let name = format!("{}.xlsx", paper.file_name(&mut dice));
            (
                name,
                excel::new(&mut dice, &paper, excel::Inside::Picture(&url)),
            )
        }
    };
    Ok(files::artefact(DOC, &name, excel::MIME, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, minted_with};

    #[test]
    fn an_upload_is_tokened_and_a_document_is_refused() {
        let bytes = minted(&KIND, &[]).unwrap().file.unwrap().bytes;
        let made = minted_with(&KIND, &[], &[(DOC, "pay.xlsx", &bytes)]).unwrap();
        assert_eq!(made.fields["doc_name"], "pay.xlsx");
        assert!(made.file.unwrap().bytes.len() > bytes.len());
        let docx = minted(&crate::doc_msword::KIND, &[])
            .unwrap()
            .file
            .unwrap()
            .bytes;
        let faults = minted_with(&KIND, &[], &[(DOC, "a.xlsx", &docx)]).unwrap_err();
        assert_eq!(
            faults,
            [Fault::new(
                DOC,
                "the file is not an Excel workbook (.xlsx); save it as one"
            )]
        );
    }
}
