//! A libFuzzer target that uploads made-up files for tokens: documents, workbooks, PDFs, programs.
//! `cargo xtask fuzz uploads` runs it.

#![no_main]
#![expect(
    clippy::expect_used,
    reason = "a target that can't start has nothing to say but that"
)]

use std::path::Path;
use std::sync::LazyLock;

use coalmine_core::{Seed, Timestamp};
use coalmine_tokens::files::archive::Writer;
use coalmine_tokens::files::ooxml::MAX_PART;
use coalmine_tokens::files::prose::Paper;
use coalmine_tokens::files::signer::{Places, Signer};
use coalmine_tokens::files::{Dice, excel, pdf, pe, word};

const URL: &str = "http://tokens.example.com/4ylq9w1xk0d3v5m7s2b8n6c1z/a.png";
const NOW: Timestamp = Timestamp::from_secs(1_760_000_000);
const DOCUMENT: &str = "word/document.xml";
const WORKBOOK: &str = "xl/workbook.xml";

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let places = Places {
        issuer: URL.to_owned(),
        status: URL.to_owned(),
        revoked: None,
    };
    Signer::new(&Seed::new([1; 32]), NOW, "Example", &places)
});

libfuzzer_sys::fuzz_target!(
    init: if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        seed(Path::new(&folder));
    },
    |input: &[u8]| upload(input)
);

fn dice() -> Dice {
    Dice::new(&Seed::new([2; 32]), "file")
}

/// A byte that says what it is, and the file; or one part of it, which made-up bytes alone would
/// hardly pack.
fn upload(input: &[u8]) {
    let Some((kind, file)) = input.split_first() else {
        return;
    };
    match kind % 6 {
        0 => bounded(word::with_picture(&mut dice(), file, URL), file),
        1 => bounded(excel::with_picture(&mut dice(), file, URL), file),
        2 => {
            if let Ok(made) = pdf::with_action(file, URL) {
                assert!(made.starts_with(file), "every byte of a PDF stays");
                // The second action goes into the first page, which may be damaged.
                if let Err(problem) = pdf::with_action(&made, URL) {
                    assert!(problem.contains("can't be read"), "{problem}");
                }
            }
        }
        3 => {
            if let Ok(made) = pe::sign(file, &SIGNER) {
                assert_eq!(pe::sign(&made, &SIGNER).as_ref(), Ok(&made));
            }
        }
        4 => {
            let package = package(DOCUMENT, "wordprocessingml.document", &[(DOCUMENT, file)]);
            bounded(word::with_picture(&mut dice(), &package, URL), &package);
        }
        _ => {
            let sheet = b"<workbook><sheets><sheet id=\"rId1\"/></sheets></workbook>";
            let rels = b"<Relationships><Relationship Id=\"rId1\" Type=\"worksheet\" Target=\"s.xml\"/></Relationships>";
            let parts: [(&str, &[u8]); 3] = [
                (WORKBOOK, sheet),
                ("xl/_rels/workbook.xml.rels", rels),
                ("xl/s.xml", file),
            ];
            let package = package(WORKBOOK, "spreadsheetml.sheet", &parts);
            bounded(excel::with_picture(&mut dice(), &package, URL), &package);
        }
    }
}

/// A file grows by the parts that change, which have a limit.
fn bounded(made: Result<Vec<u8>, String>, file: &[u8]) {
    match made {
        Ok(made) => assert!(made.len() <= file.len().saturating_add(MAX_PART)),
        Err(problem) => assert!(!problem.is_empty() && problem.len() < 70_000),
    }
}

fn package(main: &str, kind: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let types = format!(
        "<Types><Override PartName=\"/{main}\" ContentType=\"application/vnd.openxmlformats-officedocument.{kind}.main+xml\"/></Types>"
    );
    let root = format!(
        "<Relationships><Relationship Id=\"a\" Type=\"officeDocument\" Target=\"{main}\"/></Relationships>"
    );
    let mut writer = Writer::office();
    writer.add("[Content_Types].xml", types.as_bytes(), 0);
    writer.add("_rels/.rels", root.as_bytes(), 0);
    for (name, bytes) in parts {
        writer.add(name, bytes, 0);
    }
    writer.finish()
}

/// Files as they are made from nothing, to start from.
fn seed(folder: &Path) {
    let (mut dice, body) = (dice(), b"<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body><w:p/><w:sectPr><w:titlePg/></w:sectPr></w:body></w:document>");
    let paper = Paper::new(&mut dice, NOW);
    let mut program = b"MZ".to_vec();
    program.resize(0x3c, 0);
    program.extend_from_slice(b"\x40\0\0\0PE\0\0\x64\x86");
    program.resize(0x40 + 20, 0);
    program.extend_from_slice(b"\xf0\0\x22\0\x0b\x02");
    program.resize(0x40 + 24 + 108, 0);
    program.extend_from_slice(b"\x10\0\0\0");
    program.resize(0x40 + 24 + 240, 0);
    for (kind, file) in [
        word::new(&mut dice, &paper, word::Inside::Picture(URL)),
        excel::new(&mut dice, &paper, excel::Inside::Picture(URL)),
        pdf::new(&mut dice, &paper, URL),
        program,
        body.to_vec(),
        b"<worksheet><sheetData/><drawing/><legacyDrawing/></worksheet>".to_vec(),
    ]
    .into_iter()
    .enumerate()
    {
        let kind = u8::try_from(kind).expect("there are six");
        let bytes = [&[kind], file.as_slice()].concat();
        std::fs::write(folder.join(format!("seed-{kind}")), bytes).expect("seeds can be written");
    }
}
