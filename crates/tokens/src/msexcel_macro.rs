//! MS Excel Macro Document: a workbook whose macro resolves a name when it is opened.

use coalmine_core::settings::Fault;
use coalmine_core::token::{Artefact, Group, Mint, Reach, TokenChannel, TokenKind};

use crate::files::macros::{self, Program};
use crate::files::prose::Paper;
use crate::files::{self, Dice, excel};
use crate::msword_macro::{MACRO_FIELDS, port, trip};

/// The kind.
pub static KIND: TokenKind = TokenKind {
    id: "msexcel-macro",
    title: "MS Excel Macro Document",
    description: "MS Excel .xlsm Document",
    doc: "An Excel workbook with a macro (.xlsm) that resolves a name when it is opened; the name \
          carries who opened it.\n\
          The incident shows the user, Windows or macOS, and the machine's own address on Windows; \
          its source is the resolver that asked.\n\
          Place it where macros are part of the work, e.g. with finance or planning sheets.\n\
          Office runs no macros of files that come from the web or by mail (mark of the web), and \
          otherwise asks the user first: until that is allowed the workbook stays silent.",
    group: Group::Files,
    trial: "Open the workbook and allow its macro, or look up what that would: `dig umfwgsy3f.owin.i10-0-0-5.mm.{hostname}`.",
    logtype: 16010,
    channels: &[TokenChannel::Dns],
    reach: Reach::Direct,
    asks: &[],
    event: MACRO_FIELDS,
    mint,
    trip,
};

fn mint(mint: &Mint<'_>) -> Result<Artefact, Vec<Fault>> {
    let mut dice = Dice::new(&mint.seed, "workbook with macro");
    let paper = Paper::new(&mut dice, mint.now);
    let name = format!("{}.xlsm", paper.file_name(&mut dice));
    let project = macros::project(&mut dice, Program::Excel, &mint.hostname(), &port(mint));
    let bytes = excel::new(&mut dice, &paper, excel::Inside::Project(project));
    Ok(files::artefact("doc", &name, excel::MACRO_MIME, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{minted, touched};

    #[test]
    fn the_workbook_holds_a_project_and_says_so() {
        let made = minted(&KIND, &[]).unwrap();
        let file = made.file.unwrap();
        assert!(file.name.ends_with(".xlsm"), "{}", file.name);
        let archive = files::archive::Archive::open(&file.bytes).unwrap();
        assert!(archive.names().any(|name| name == "xl/vbaProject.bin"));
        let labels = ["uNJSG6ZI", "owin", "i10-0-0-5", "MM", "07"].map(str::to_owned);
        let trip = touched(&KIND, &labels);
        assert_eq!(trip.fields["doc_type"], excel::MACRO_MIME);
        assert_eq!(trip.fields["ms_macro_username"], "jdoe");
    }
}
