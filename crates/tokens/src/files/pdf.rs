//! PDF (ISO 32000-1): new documents whose first page asks for a URI when it is opened, and the same
//! in uploaded ones, by an incremental update (section 7.5.6) that leaves every byte of theirs.
//!
//! Reader resolves the URI's host before it asks the user whether to go there.

mod read;

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use self::read::{Dict, File, Style};
use super::Dice;
use super::prose::{self, Paper};

/// MIME type.
pub const MIME: &str = "application/pdf";

/// Characters of a line of text.
const LINE: usize = 88;
/// Lines of a page.
const LINES: usize = 46;

/// A new document.
pub fn new(dice: &mut Dice, paper: &Paper, uri: &str) -> Vec<u8> {
    let pages = text(dice, paper);
    let (catalog, tree, font, bold, info, action) = (1, 2, 3, 4, 5, 6);
    let page_id = |n: usize| 7 + 2 * n;
    let faces = dice.pick(&[
        ("Helvetica", "Helvetica-Bold"),
        ("Times-Roman", "Times-Bold"),
    ]);
    let (width, height) = dice.pick(&[("595.32", 842), ("595.28", 842), ("612", 792)]);
    let size = dice.pick(&[10_u32, 11, 11]);
    let mut objects: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut add = |id: usize, text: String| objects.push((id, text.into_bytes()));
    let language = dice.pick(&["", "/Lang(en-US)", "/Lang(en-GB)"]);
    add(
        catalog,
        format!("<</Type/Catalog/Pages {tree} 0 R{language}>>"),
    );
    let kids: Vec<String> = (0..pages.len())
        .map(|n| format!("{} 0 R", page_id(n)))
        .collect();
    add(
        tree,
        format!(
            "<</Type/Pages/Count {}/Kids[{}]>>",
            pages.len(),
            kids.join(" ")
        ),
    );
    for (id, face) in [(font, faces.0), (bold, faces.1)] {
        add(
            id,
            format!("<</Type/Font/Subtype/Type1/BaseFont/{face}/Encoding/WinAnsiEncoding>>"),
        );
    }
    let (creator, producer) = dice.pick(PRODUCERS);
    add(
        info,
        format!(
            "<</Title{}/Author{}/Creator{}/Producer{}/CreationDate({})/ModDate({})>>",
            string(&paper.title),
            string(&paper.author),
            string(creator),
            string(producer),
            prose::pdf_date(paper.modified),
            prose::pdf_date(paper.modified),
        ),
    );
    add(action, format!("<</S/URI/URI{}>>", string(uri)));
    for (n, lines) in pages.iter().enumerate() {
        let id = page_id(n);
        let opens = if n == 0 {
            format!("/AA<</O {action} 0 R>>")
        } else {
            String::new()
        };
        objects.push((
            id,
            format!(
                "<</Type/Page/Parent {tree} 0 R/MediaBox[0 0 {width} {height}]/Resources<</Font<</F1 {font} 0 R/F2 {bold} 0 R>>\
                 /ProcSet[/PDF/Text]>>/Contents {} 0 R{opens}>>",
                id + 1
            )
            .into_bytes(),
        ));
        objects.push((id + 1, stream(&drawn(lines, size, height))));
    }
    dice.shuffle(&mut objects);
    let minor = dice.number(4, 8);
    let mut out = format!("%PDF-1.{minor}\n%").into_bytes();
    out.extend(dice.bytes::<4>().map(|b| b | 0x80));
    out.push(b'\n');
    let mut places = vec![0_usize; objects.len() + 1];
    for (id, body) in &objects {
        if let Some(place) = places.get_mut(*id) {
            *place = out.len();
        }
        object(&mut out, *id, 0, body);
    }
    let start = out.len();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", places.len());
    for place in places.iter().skip(1) {
        let _ = writeln!(table, "{place:010} 00000 n ");
    }
    let id = data_encoding::HEXUPPER.encode(&dice.bytes::<16>());
    let _ = write!(
        table,
        "trailer\n<</Size {}/Root {catalog} 0 R/Info {info} 0 R/ID[<{id}><{id}>]>>\nstartxref\n{start}\n%%EOF\n",
        places.len()
    );
    out.extend_from_slice(table.as_bytes());
    out
}

/// The uploaded document, which asks for `uri` when it is opened.
pub fn with_action(upload: &[u8], uri: &str) -> Result<Vec<u8>, String> {
    let file = File::open(upload)?;
    let (root, catalog) = file.catalog()?;
    let catalog_dict = Dict::of(&catalog).ok_or(read::DAMAGED)?;
    let action_id = file.size;
    let mut changed: Vec<(u32, u16, Vec<u8>)> = Vec::new();
    let mut next = Vec::new();
    if catalog_dict.get("OpenAction").is_none() {
        changed.push((
            root.0,
            root.1,
            catalog_dict.with("OpenAction", format!("{action_id} 0 R").as_bytes()),
        ));
    } else {
        let (page, body) = file.first_page(&catalog_dict)?;
        let dict = Dict::of(&body).ok_or(read::DAMAGED)?;
        let actions = match dict.get("AA") {
            Some(raw) => file.value(raw)?,
            None => b"<<>>".to_vec(),
        };
        let actions = Dict::of(&actions).ok_or(read::DAMAGED)?;
        if let Some(old) = actions.get("O") {
            next = [b"/Next ".as_slice(), old].concat();
        }
        let actions = actions.with("O", format!("{action_id} 0 R").as_bytes());
        changed.push((page.0, page.1, dict.with("AA", &actions)));
    }
    let mut action = format!("<</S/URI/URI{}", string(uri)).into_bytes();
    action.extend_from_slice(&next);
    action.extend_from_slice(b">>");
    changed.push((action_id, 0, action));
    Ok(updated(upload, &file, &changed))
}

/// The upload and a section of changed objects behind it.
fn updated(upload: &[u8], file: &File<'_>, changed: &[(u32, u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = upload.to_vec();
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    let mut places: Vec<(u32, u16, usize)> = Vec::new();
    for (id, generation, body) in changed {
        places.push((*id, *generation, out.len()));
        object(
            &mut out,
            usize::try_from(*id).unwrap_or(usize::MAX),
            *generation,
            body,
        );
    }
    let start = out.len();
    // Trailer: where the document's root and description are stays.
    let mut kept = Vec::new();
    for name in ["Root", "Info", "ID"] {
        if let Some(raw) = file.trailer.get(name) {
            kept.extend_from_slice(format!("/{name} ").as_bytes());
            kept.extend_from_slice(raw);
        }
    }
    match file.style {
        Style::Table => {
            out.extend_from_slice(b"xref\n");
            for (id, generation, at) in &places {
                out.extend_from_slice(format!("{id} 1\n{at:010} {generation:05} n \n").as_bytes());
            }
            let size = file.size.saturating_add(1);
            out.extend_from_slice(
                format!("trailer\n<</Size {size}/Prev {}", file.start).as_bytes(),
            );
            out.extend_from_slice(&kept);
            out.extend_from_slice(b">>\n");
        }
        Style::Stream => {
            let own = file.size.saturating_add(1);
            places.push((own, 0, start));
            let mut index = String::new();
            let mut entries = Vec::new();
            for (id, generation, at) in &places {
                let _ = write!(index, "{id} 1 ");
                entries.push(1);
                entries.extend_from_slice(&u32::try_from(*at).unwrap_or(u32::MAX).to_be_bytes());
                entries.extend_from_slice(&generation.to_be_bytes());
            }
            let mut body = format!(
                "<</Type/XRef/Size {}/Prev {}/W[1 4 2]/Index[{}]/Length {}",
                own.saturating_add(1),
                file.start,
                index.trim_end(),
                entries.len()
            )
            .into_bytes();
            body.extend_from_slice(&kept);
            body.extend_from_slice(b">>\nstream\n");
            body.extend_from_slice(&entries);
            body.extend_from_slice(b"\nendstream");
            object(
                &mut out,
                usize::try_from(own).unwrap_or(usize::MAX),
                0,
                &body,
            );
        }
    }
    out.extend_from_slice(format!("startxref\n{start}\n%%EOF\n").as_bytes());
    out
}

fn object(out: &mut Vec<u8>, id: usize, generation: u16, body: &[u8]) {
    out.extend_from_slice(format!("{id} {generation} obj\n").as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\nendobj\n");
}

fn stream(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // A Vec takes everything.
    let _ = encoder.write_all(bytes);
    let packed = encoder.finish().unwrap_or_default();
    let mut out = format!("<</Length {}/Filter/FlateDecode>>\nstream\n", packed.len()).into_bytes();
    out.extend_from_slice(&packed);
    out.extend_from_slice(b"\nendstream");
    out
}

/// A literal string (section 7.3.4.2); letters beyond Latin-1 become question marks.
fn string(text: &str) -> String {
    let mut out = String::from("(");
    for letter in text.chars() {
        match letter {
            '(' | ')' | '\\' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            '\u{a0}'..='\u{ff}' => {
                let _ = write!(out, "\\{:03o}", u32::from(letter));
            }
            _ => out.push('?'),
        }
    }
    out.push(')');
    out
}

/// Pages of lines; a heading begins with a tab.
fn text(dice: &mut Dice, paper: &Paper) -> Vec<Vec<String>> {
    let mut lines = vec![format!("\t{}", paper.title), String::new()];
    for _ in 0..dice.number(2, 8) {
        lines.push(format!("\t{}", prose::heading(dice)));
        for _ in 0..dice.number(1, 4) {
            let mut line = String::new();
            for word in prose::paragraph(dice).split(' ') {
                if line.len() + word.len() >= LINE {
                    lines.push(std::mem::take(&mut line));
                }
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            lines.push(line);
            lines.push(String::new());
        }
    }
    lines.chunks(LINES).map(<[String]>::to_vec).collect()
}

fn drawn(lines: &[String], size: u32, height: u32) -> Vec<u8> {
    let lead = size + 4;
    let mut out = format!(
        "BT\n{lead} TL\n1 0 0 1 64 {} Tm\n/F1 {size} Tf\n",
        height - 72
    );
    for line in lines {
        let _ = match line.strip_prefix('\t') {
            Some(head) => writeln!(
                out,
                "/F2 {} Tf\n{} Tj T*\n/F1 {size} Tf",
                size + 3,
                string(head)
            ),
            None => writeln!(out, "{} Tj T*", string(line)),
        };
    }
    out.push_str("ET\n");
    out.into_bytes()
}

/// Creator and producer of papers in offices.
const PRODUCERS: &[(&str, &str)] = &[
    ("Microsoft\u{ae} Word 2016", "Microsoft\u{ae} Word 2016"),
    ("Microsoft\u{ae} Word 2019", "Microsoft\u{ae} Word 2019"),
    (
        "Microsoft\u{ae} Word for Microsoft 365",
        "Microsoft\u{ae} Word for Microsoft 365",
    ),
    ("Acrobat PDFMaker 11 for Word", "Adobe PDF Library 11.0"),
    ("Acrobat PDFMaker 23 for Word", "Adobe PDF Library 23.1"),
    (
        "PScript5.dll Version 5.2.2",
        "Acrobat Distiller 11.0 (Windows)",
    ),
    ("Writer", "LibreOffice 7.4"),
    ("Writer", "LibreOffice 24.2"),
];
