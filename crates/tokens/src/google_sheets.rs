//! Google Sheet: a sheet in Google Sheets that tells when it is opened.

use coalmine_core::settings::Fault;
use coalmine_core::token::{
    Artefact, ArtefactFile, Group, Hit, Mint, Reach, Token, TokenChannel, TokenKind, Trip,
};

use crate::files::prose::Paper;
use crate::files::{self, Dice, excel};
use crate::google;

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "google-sheets",
    title: "Google Sheet",
    description: "Google Sheet",
    doc: "A workbook for Google Drive, with plausible figures and a formula that shows a picture.\n\
          Upload it, open it as a Google Sheet once, then share it or leave it where it tempts. For a \
          sheet that you have, copy the formula into a cell, or the script into Extensions, Apps \
          Script.\n\
          Google fetches the picture when the sheet is opened and keeps it for a while, so not every \
          opening is told; the script tells every one. The incident's address is Google's: it says \
          when, not who.",
    group: Group::Mail,
    trial: "Open the sheet, or fetch what the formula does: `curl '{url}'`.",
    logtype: 17007,
    channels: &[TokenChannel::Http],
    reach: Reach::Local(
        "Works by a formula or a script in your own sheet. It makes no sheet at Google and reads none \
         of Google's logs, so the account of whoever opened it isn't known.",
    ),
    asks: google::ASKS,
    event: google::FIELDS,
    mint,
    trip,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "sheet");
    let paper = Paper::new(&mut dice, mint.now);
    let url = mint.url("png");
    let book = excel::with_formula(&mut dice, &paper, &url).map_err(files::refused("kind"))?;
    let script = google::script(
        &mut dice,
        "SpreadsheetApp.getActive()",
        "forSpreadsheet",
        &url,
    );
    let mut fields = google::fields(mint, &paper, &url);
    let name = format!("{}.xlsx", paper.file_name(&mut dice));
    fields.insert("url".to_owned(), url.clone().into());
    Ok(Artefact {
        fields,
        renders: [
            ("apps_script".to_owned(), script),
            ("formula".to_owned(), format!("=IMAGE(\"{url}\",4,1,1)")),
        ]
        .into(),
        file: Some(ArtefactFile {
            name,
            mime: excel::MIME,
            bytes: book,
        }),
        ..Artefact::default()
    })
}

fn trip(token: &Token, hit: &Hit<'_>) -> Trip {
    google::trip(token, hit)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::tests::minted;

    #[test]
    fn the_workbook_holds_the_formula_in_its_first_row() {
        let made = minted(&KIND, &[]).unwrap();
        let url = made.fields["url"].as_str().unwrap();
        let bytes = made.file.unwrap().bytes;
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut sheet = String::new();
        zip.by_name("xl/worksheets/sheet1.xml")
            .unwrap()
            .read_to_string(&mut sheet)
            .unwrap();
        let row = sheet.split("</row>").next().unwrap();
        assert!(row.contains(&format!(
            "DUMMYFUNCTION(&quot;IMAGE(&quot;&quot;{url}&quot;&quot;,4,1,1)&quot;)"
        )));
        assert!(row.contains(&format!("_xlfn.IMAGE(&quot;{url}&quot;")));
        assert_eq!(made.renders["formula"], format!("=IMAGE(\"{url}\",4,1,1)"));
    }
}
