//! Whole files: made, changed, and held against other programs' reading of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use coalmine_core::{Seed, Timestamp};

use super::archive::{Archive, Writer};
use super::prose::Paper;
use super::{Dice, excel, pdf, word};

const URL: &str = "http://tokens.example.com/a/4ylq9w1xk0d3v5m7s2b8n6c1z/b.png?a=1&b=2";
const ESCAPED: &str = "http://tokens.example.com/a/4ylq9w1xk0d3v5m7s2b8n6c1z/b.png?a=1&amp;b=2";
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn dice(n: u8) -> (Dice, Paper) {
    let mut dice = Dice::new(&Seed::new([n; 32]), "file");
    let paper = Paper::new(&mut dice, NOW);
    (dice, paper)
}

fn docx(n: u8) -> Vec<u8> {
    let (mut dice, paper) = dice(n);
    word::new(&mut dice, &paper, word::Inside::Picture(URL))
}

fn xlsx(n: u8) -> Vec<u8> {
    let (mut dice, paper) = dice(n);
    excel::new(&mut dice, &paper, excel::Inside::Picture(URL))
}

/// Every part, by the reading of another program.
fn parts(package: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(package)).unwrap();
    (0..zip.len())
        .map(|at| {
            let mut file = zip.by_index(at).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            (file.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn text(parts: &BTreeMap<String, Vec<u8>>, part: &str) -> String {
    let bytes = parts
        .get(part)
        .unwrap_or_else(|| panic!("no {part} in {:?}", parts.keys()));
    String::from_utf8(bytes.clone()).unwrap()
}

/// Every part is well-formed, every target exists, every id is there once.
fn assert_sound(package: &[u8]) {
    let parts = parts(package);
    for (name, bytes) in &parts {
        if name.ends_with(".bin") {
            continue;
        }
        let text = std::str::from_utf8(bytes).unwrap();
        for tag in super::xml::tags(text) {
            tag.unwrap_or_else(|problem| panic!("{name} {problem}"));
        }
        let Some(owner) = name.strip_suffix(".rels") else {
            continue;
        };
        let owner = owner.replace("_rels/", "");
        let mut ids = BTreeSet::new();
        for tag in super::xml::tags(text)
            .map(Result::unwrap)
            .filter(|t| t.begins("Relationship"))
        {
            assert!(ids.insert(tag.attribute("Id").unwrap()), "{name}: {ids:?}");
            let target = tag.attribute("Target").unwrap();
            if tag.attribute("TargetMode").is_none() {
                let target = super::ooxml::resolve(&owner, &target);
                assert!(parts.contains_key(&target), "{name}: {target}");
            }
        }
    }
    let types = text(&parts, "[Content_Types].xml");
    for tag in super::xml::tags(&types)
        .map(Result::unwrap)
        .filter(|t| t.begins("Override"))
    {
        let part = tag.attribute("PartName").unwrap();
        assert!(parts.contains_key(part.trim_start_matches('/')), "{part}");
    }
}

#[test]
fn a_new_document_names_the_picture_in_both_ways() {
    let package = docx(1);
    assert_sound(&package);
    let parts = parts(&package);
    let footer = parts
        .keys()
        .find(|n| n.starts_with("word/footer"))
        .unwrap()
        .clone();
    let footer = text(&parts, &footer);
    assert!(
        footer.contains(&format!("INCLUDEPICTURE  &quot;{ESCAPED}&quot; \\d")),
        "{footer}"
    );
    assert!(
        footer.contains("<v:imagedata r:id=\"rId1\"/>")
            && footer.contains("<a:blip r:link=\"rId1\"/>")
    );
    let rels = parts
        .keys()
        .find(|n| n.starts_with("word/_rels/footer"))
        .unwrap();
    assert!(text(&parts, rels).contains(&format!("Target=\"{ESCAPED}\" TargetMode=\"External\"")));
}

#[test]
fn a_new_workbook_links_the_picture() {
    let package = xlsx(1);
    assert_sound(&package);
    let parts = parts(&package);
    assert!(text(&parts, "xl/drawings/drawing1.xml").contains("<a:blip r:link=\"rId1\"/>"));
    assert!(text(&parts, "xl/drawings/_rels/drawing1.xml.rels").contains(ESCAPED));
}

#[test]
fn documents_differ_in_everything_that_could_give_them_away() {
    let mut sizes = BTreeSet::new();
    let mut orders = BTreeSet::new();
    let mut common: Option<BTreeSet<(String, Vec<u8>)>> = None;
    for n in 0..20 {
        for package in [docx(n), xlsx(n)] {
            assert_sound(&package);
            sizes.insert(package.len());
        }
        let package = docx(n);
        let archive = Archive::open(&package).unwrap();
        orders.insert(archive.names().map(str::to_owned).collect::<Vec<_>>());
        let own: BTreeSet<_> = parts(&package).into_iter().collect();
        common = Some(match common {
            None => own,
            Some(before) => before.intersection(&own).cloned().collect(),
        });
    }
    assert!(
        sizes.len() > 35 && orders.len() > 15,
        "{} {}",
        sizes.len(),
        orders.len()
    );
    let mut common: Vec<_> = common.unwrap().into_iter().map(|(name, _)| name).collect();
    common.sort();
    // What Word itself always writes the same.
    assert_eq!(common, ["_rels/.rels", "word/webSettings.xml"]);
}

#[test]
fn an_uploaded_document_keeps_all_other_parts() {
    // The upload is a document of our own making, which has a footer already.
    let upload = docx(3);
    let (mut dice, _) = dice(9);
    let tokened = word::with_picture(&mut dice, &upload, "http://other.example/x.png").unwrap();
    assert_sound(&tokened);
    let (before, after) = (parts(&upload), parts(&tokened));
    let changed: Vec<&String> = after
        .iter()
        .filter(|(name, bytes)| before.get(*name) != Some(bytes))
        .map(|(name, _)| name)
        .collect();
    assert!(
        changed.len() == 2 && changed.iter().all(|name| name.contains("footer")),
        "{changed:?}"
    );
    assert_eq!(before.len(), after.len());
}

/// A package of these parts with the relationships and types that a document needs.
fn small(main: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::office();
    let types = "<Types xmlns=\"t\"><Default Extension=\"rels\" ContentType=\"r\"/><Override PartName=\"/word/document.xml\" \
                 ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/>\
                 <Override PartName=\"/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/></Types>";
    let root = format!(
        "<Relationships xmlns=\"r\"><Relationship Id=\"a\" Type=\"x/officeDocument\" Target=\"/{main}\"/></Relationships>"
    );
    writer.add("[Content_Types].xml", types.as_bytes(), 0);
    writer.add("_rels/.rels", root.as_bytes(), 0);
    for (name, text) in more {
        writer.add(name, text.as_bytes(), 0);
    }
    writer.finish()
}

const W: &str = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"";

fn tokened(document: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let upload = small("word/document.xml", &[("word/document.xml", document)]);
    let (mut dice, _) = dice(4);
    word::with_picture(&mut dice, &upload, URL).map(|package| parts(&package))
}

#[test]
fn a_document_without_a_footer_gets_one_in_its_first_section() {
    let reference = "<w:footerReference xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\" w:type=\"default\" r:id=\"rId1\"/>";
    for (body, wanted) in [
        (
            "<w:p/>",
            format!("<w:p/><w:sectPr>{reference}</w:sectPr></w:body>"),
        ),
        (
            "<w:sectPr/>",
            format!("<w:sectPr>{reference}</w:sectPr></w:body>"),
        ),
        (
            "<w:p><w:pPr><w:sectPr><w:pgSz/></w:sectPr></w:pPr></w:p><w:sectPr/>",
            format!("<w:sectPr>{reference}<w:pgSz/></w:sectPr></w:pPr>"),
        ),
        (
            "<w:sectPr><w:titlePg/></w:sectPr>",
            format!(
                "<w:sectPr>{}<w:titlePg/>",
                reference.replace("default", "first")
            ),
        ),
    ] {
        let parts = tokened(&format!(
            "<w:document {W}><w:body>{body}</w:body></w:document>"
        ))
        .unwrap();
        let document = text(&parts, "word/document.xml");
        assert!(document.contains(&wanted), "{document}");
        assert!(text(&parts, "word/footer1.xml").contains("r:link=\"rId1\""));
        assert!(text(&parts, "word/_rels/footer1.xml.rels").contains(ESCAPED));
        assert!(text(&parts, "[Content_Types].xml").contains("/word/footer1.xml"));
    }
}

#[test]
fn a_workbook_gets_its_drawing_where_it_belongs() {
    let workbook = "<workbook xmlns:r=\"q\"><sheets><sheet name=\"a\" state=\"hidden\" r:id=\"x\"/><sheet name=\"b\" r:id=\"y\"/></sheets></workbook>";
    let rels = "<Relationships><Relationship Id=\"y\" Type=\"x/worksheet\" Target=\"worksheets/s.xml\"/></Relationships>";
    let parts_of = |sheet: &str, more: &[(&str, &str)]| {
        let mut all = vec![
            ("xl/workbook.xml", workbook),
            ("xl/_rels/workbook.xml.rels", rels),
            ("xl/worksheets/s.xml", sheet),
        ];
        all.extend_from_slice(more);
        let upload = small("xl/workbook.xml", &all);
        let (mut dice, _) = dice(4);
        parts(&excel::with_picture(&mut dice, &upload, URL).unwrap())
    };
    let plain = parts_of(
        "<worksheet><sheetData/><pageMargins/><legacyDrawing/></worksheet>",
        &[],
    );
    let sheet = text(&plain, "xl/worksheets/s.xml");
    assert!(
        sheet.contains("<pageMargins/><drawing xmlns:r=") && sheet.contains("/><legacyDrawing/>"),
        "{sheet}"
    );
    assert!(text(&plain, "xl/drawings/_rels/drawing1.xml.rels").contains(ESCAPED));
    let drawn = parts_of(
        "<worksheet xmlns:r=\"q\"><sheetData/><drawing r:id=\"d\"/></worksheet>",
        &[
            (
                "xl/worksheets/_rels/s.xml.rels",
                "<Relationships><Relationship Id=\"d\" Type=\"x/drawing\" Target=\"../drawings/drawing1.xml\"/></Relationships>",
            ),
            (
                "xl/drawings/drawing1.xml",
                "<xdr:wsDr xmlns:xdr=\"z\"></xdr:wsDr>",
            ),
        ],
    );
    assert!(text(&drawn, "xl/drawings/drawing1.xml").contains("r:link=\"rId1\""));
    assert!(!drawn.contains_key("xl/drawings/drawing2.xml"));
}

#[test]
fn uploads_that_are_something_else_say_what_to_do() {
    let (mut dice, paper) = dice(5);
    let mut refused = |bytes: &[u8], wanted: &str| {
        let problem = word::with_picture(&mut dice, bytes, URL).unwrap_err();
        assert!(problem.contains(wanted), "{problem}");
    };
    refused(
        b"",
        "is no ZIP archive that can be read; it must be a Word document (.docx)",
    );
    refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "without a password");
    refused(&xlsx(1), "is not a Word document (.docx); save it as one");
    let macros = word::new(
        &mut Dice::new(&Seed::new([5; 32]), "m"),
        &paper,
        word::Inside::Project(vec![1]),
    );
    refused(&macros, "is not a Word document (.docx)");
    let deep = format!("<w:document {W}><w:body>{}", "<w:p>".repeat(300));
    assert!(tokened(&deep).unwrap_err().contains("nested deeper"));
    let laughs = "<!DOCTYPE x [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;\">]><w:document/>";
    assert!(tokened(laughs).unwrap_err().contains("document type"));
    let strict = "<w:document xmlns:w=\"http://purl.oclc.org/ooxml/wordprocessingml/main\"><w:body/></w:document>";
    assert!(tokened(strict).unwrap_err().contains("strict"));
    let bomb = format!("<w:document {W}>{}</w:document>", " ".repeat(17 << 20));
    assert!(
        tokened(&bomb)
            .unwrap_err()
            .contains("more than 16777216 bytes")
    );
}

#[test]
fn any_damage_to_an_upload_is_a_refusal_or_a_sound_file() {
    let (docx, xlsx) = (docx(6), xlsx(6));
    let pdf = new_pdf(6);
    let mut random = Dice::new(&Seed::new([8; 32]), "damage");
    for round in 0..150 {
        let mut damage = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let len = u32::try_from(bytes.len()).unwrap();
            for _ in 0..random.number(1, 4) {
                let at = usize::try_from(random.number(0, len)).unwrap();
                bytes[at] = random.bytes::<1>()[0];
            }
            if round % 5 == 0 {
                bytes.truncate(usize::try_from(random.number(0, len)).unwrap());
            }
            bytes
        };
        let (docx, xlsx, pdf) = (damage(&docx), damage(&xlsx), damage(&pdf));
        let (mut dice, _) = dice(7);
        let _ = word::with_picture(&mut dice, &docx, URL);
        let _ = excel::with_picture(&mut dice, &xlsx, URL);
        if let Ok(out) = pdf::with_action(&pdf, "http://x.example/") {
            assert!(out.starts_with(&pdf));
        }
    }
}

fn new_pdf(n: u8) -> Vec<u8> {
    let (mut dice, paper) = dice(n);
    pdf::new(&mut dice, &paper, "http://tok.nx.example.com/a(b)")
}

#[test]
fn a_new_pdf_asks_for_the_uri_when_its_first_page_opens() {
    let bytes = new_pdf(1);
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains("<</S/URI/URI(http://tok.nx.example.com/a\\(b\\))>>"),
        "{text}"
    );
    assert_eq!(text.matches("/AA<</O 6 0 R>>").count(), 1);
    assert_ne!(new_pdf(1).len(), new_pdf(2).len());
}

#[test]
fn a_pdf_is_changed_behind_its_end() {
    // The catalog has no action yet; the second time it has one, and the page's comes first.
    let one = pdf::with_action(&new_pdf(1), "http://one.example/").unwrap();
    assert!(one.starts_with(&new_pdf(1)));
    let tail = String::from_utf8_lossy(&one[new_pdf(1).len()..]).into_owned();
    assert!(
        tail.contains("/OpenAction ") && tail.contains("/Prev "),
        "{tail}"
    );
    let two = pdf::with_action(&one, "http://two.example/").unwrap();
    let tail = String::from_utf8_lossy(&two[one.len()..]).into_owned();
    assert!(
        tail.contains("(http://two.example/)/Next 6 0 R>>"),
        "{tail}"
    );
    assert!(tail.contains("/AA<</O "), "{tail}");
}

/// A document whose catalog lies in a stream of objects and whose cross-reference is a stream.
pub(super) fn modern() -> Vec<u8> {
    let mut out = b"%PDF-1.5\n".to_vec();
    let page_at = out.len();
    out.extend_from_slice(b"3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>\nendobj\n");
    let members = b"1 0 2 26 <</Type/Catalog/Pages 2 0 R>><</Type/Pages/Count 1/Kids[3 0 R]>>";
    let first = members.windows(2).position(|w| w == b"<<").unwrap();
    let second = members.windows(4).position(|w| w == b">><<").unwrap() + 2 - first;
    let members = format!(
        "1 0 2 {second:02} {}",
        String::from_utf8_lossy(&members[first..])
    );
    let stream_at = out.len();
    out.extend_from_slice(
        format!("4 0 obj\n<</Type/ObjStm/N 2/First {first}/Length {}>>\nstream\n{members}\nendstream\nendobj\n", members.len()).as_bytes(),
    );
    let start = out.len();
    let mut rows: Vec<[u8; 4]> = vec![[0, 0, 0, 0], [2, 0, 4, 0], [2, 0, 4, 1]];
    for at in [page_at, stream_at, start] {
        let [high, low] = u16::try_from(at).unwrap().to_be_bytes();
        rows.push([1, high, low, 0]);
    }
    // PNG's filter "up", as most programs write it.
    let mut table = Vec::new();
    let mut above = [0_u8; 4];
    for row in rows {
        table.push(2);
        table.extend(
            row.iter()
                .zip(above)
                .map(|(byte, up)| byte.wrapping_sub(up)),
        );
        above = row;
    }
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &table).unwrap();
    let packed = packed.finish().unwrap();
    out.extend_from_slice(
        format!("5 0 obj\n<</Type/XRef/Size 6/W[1 2 1]/Root 1 0 R/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 4>>/Length {}>>\nstream\n", packed.len()).as_bytes(),
    );
    out.extend_from_slice(&packed);
    out.extend_from_slice(format!("\nendstream\nendobj\nstartxref\n{start}\n%%EOF").as_bytes());
    out
}

#[test]
fn a_pdf_with_a_stream_for_its_cross_reference_gets_another() {
    let out = pdf::with_action(&modern(), "http://one.example/").unwrap();
    let tail = String::from_utf8_lossy(&out[modern().len()..]).into_owned();
    assert!(tail.contains("/Type/XRef/Size 8"), "{tail}");
    assert!(
        tail.contains("1 0 obj\n<</Type/Catalog/Pages 2 0 R/OpenAction 6 0 R>>"),
        "{tail}"
    );
    let again = pdf::with_action(&out, "http://two.example/").unwrap();
    assert!(String::from_utf8_lossy(&again[out.len()..]).contains("3 0 obj\n<</Type/Page"));
}

#[test]
fn pdfs_that_must_not_be_changed_are_refused() {
    let refused = |bytes: &[u8], wanted: &str| {
        let problem = pdf::with_action(bytes, "http://x.example/").unwrap_err();
        assert!(problem.contains(wanted), "{problem}");
    };
    refused(b"hello", "is no PDF");
    refused(b"%PDF-1.4\n", "can't be read");
    let pdf = |trailer: &str, catalog: &str| {
        let body = format!("%PDF-1.4\n1 0 obj\n{catalog}\nendobj\n");
        format!(
            "{body}xref\n0 2\n0000000000 65535 f \n0000000009 00000 n \ntrailer\n<</Size 2/Root 1 0 R{trailer}>>\nstartxref\n{}\n%%EOF\n",
            body.len()
        )
        .into_bytes()
    };
    assert!(pdf::with_action(&pdf("", "<</Type/Catalog>>"), "http://x.example/").is_ok());
    refused(&pdf("/Encrypt 5 0 R", "<</Type/Catalog>>"), "is encrypted");
    refused(
        &pdf("", "<</Type/Catalog/AcroForm<</SigFlags 3>>>>"),
        "is signed",
    );
    refused(&pdf("", "<</Type/Catalog/Perms<<>>>>"), "is signed");
    refused(
        &pdf("", "<</Type/Catalog/X<</ByteRange[0 1]>>>>"),
        "is signed",
    );
    refused(&pdf("/Prev 99999", "<</Type/Catalog>>"), "can't be read");
    let (loops, deep) = ("/Prev 45".to_owned(), format!("<</A{}>>", "[".repeat(2000)));
    let looped = pdf(&loops, "<</Type/Catalog>>");
    let at = looped.windows(4).position(|w| w == b"xref").unwrap();
    let looped = String::from_utf8(looped)
        .unwrap()
        .replace("/Prev 45", &format!("/Prev {at}"));
    refused(looped.as_bytes(), "too large a structure");
    refused(&pdf("", &deep), "can't be read");
}
