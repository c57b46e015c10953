//! Word and Excel files (ECMA-376): packages of deflated XML, filled up by a scanned page.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::story::{Cell, iso};
use super::{Part, Story, Wanted, each_piece, length, picture};

/// Rows of a sheet.
const MAX_ROWS: u64 = 1_500;
/// What a file must lack of its size for a page to be put in, in bytes.
const MIN_SCAN: u64 = 6_000;
/// Longest padding of a header, in bytes: Office's own "growth hint".
const MAX_HINT: u64 = 60_000;
/// Smallest one: its two heads.
const MIN_HINT: u64 = 8;

/// A Word file of exactly the wanted size.
pub fn word(wanted: &Wanted<'_>) -> Vec<Part> {
    package(wanted, "word", |story, scan| {
        vec![
            ("[Content_Types].xml", types(WORD_TYPES, scan)),
            (
                "_rels/.rels",
                links(&[("1", "officeDocument", "word/document.xml")]),
            ),
            (
                "word/_rels/document.xml.rels",
                links(if scan {
                    &[
                        ("1", "styles", "styles.xml"),
                        ("2", "image", "media/image1.png"),
                    ]
                } else {
                    &[("1", "styles", "styles.xml")]
                }),
            ),
            ("word/document.xml", document(story, scan)),
            ("word/styles.xml", STYLES.to_owned()),
        ]
    })
}

/// An Excel file of exactly the wanted size.
pub fn sheet(wanted: &Wanted<'_>) -> Vec<Part> {
    // A row takes some forty bytes once it's deflated.
    let rows = wanted.size.saturating_sub(8_000) / 60;
    let rows = rows.clamp(20, MAX_ROWS);
    package(wanted, "xl", |story, scan| {
        let mut members = vec![
            ("[Content_Types].xml", types(SHEET_TYPES, scan)),
            (
                "_rels/.rels",
                links(&[("1", "officeDocument", "xl/workbook.xml")]),
            ),
            ("xl/workbook.xml", WORKBOOK.to_owned()),
            (
                "xl/_rels/workbook.xml.rels",
                links(&[
                    ("1", "worksheet", "worksheets/sheet1.xml"),
                    ("2", "styles", "styles.xml"),
                ]),
            ),
            ("xl/styles.xml", SHEET_STYLES.to_owned()),
            ("xl/worksheets/sheet1.xml", worksheet(story, rows, scan)),
        ];
        if scan {
            members.extend([
                (
                    "xl/worksheets/_rels/sheet1.xml.rels",
                    links(&[("1", "drawing", "../drawings/drawing1.xml")]),
                ),
                ("xl/drawings/drawing1.xml", drawing()),
                (
                    "xl/drawings/_rels/drawing1.xml.rels",
                    links(&[("1", "image", "../media/image1.png")]),
                ),
            ]);
        }
        members
    })
}

type Members = Vec<(&'static str, String)>;

/// The package: members, a page if there's room for one, and a padding in the first header.
fn package(
    wanted: &Wanted<'_>,
    folder: &str,
    members: impl Fn(&Story, bool) -> Members,
) -> Vec<Part> {
    let story = Story::new(wanted.name, wanted.number, wanted.company);
    let build = |scan: bool| {
        let mut all = members(&story, scan);
        all.push(("docProps/core.xml", properties(&story, wanted)));
        let mut packed: Vec<Member> = all.iter().map(|(n, xml)| Member::xml(n, xml)).collect();
        if scan {
            packed.push(Member::stored(
                format!("{folder}/media/image1.png"),
                Vec::new(),
            ));
        }
        packed
    };
    let mut packed = build(false);
    let mut missing = wanted.size.saturating_sub(length(&zip(&packed, 0)));
    if missing >= MIN_SCAN {
        packed = build(true);
        missing = wanted.size.saturating_sub(length(&zip(&packed, 0)));
        let scan = picture::png(wanted.number, missing.saturating_sub(MIN_HINT), false);
        missing = missing.saturating_sub(length(&scan));
        packed.pop();
        packed.push(Member::stored(format!("{folder}/media/image1.png"), scan));
    }
    let parts = zip(&packed, missing.min(MAX_HINT));
    debug_assert_eq!(length(&parts), wanted.size, "{}", wanted.name);
    parts
}

/// A member of a ZIP file (APPNOTE.TXT sections 4.3 and 4.4).
struct Member {
    name: String,
    deflated: bool,
    crc: u32,
    /// Bytes before it was packed.
    inside: u64,
    data: Vec<Part>,
}

impl Member {
    fn xml(name: &str, xml: &str) -> Self {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory can't fail.
        let written = packed
            .write_all(xml.as_bytes())
            .and_then(|()| packed.finish());
        Self {
            name: name.to_owned(),
            deflated: true,
            crc: crc32fast::hash(xml.as_bytes()),
            inside: xml.len() as u64,
            data: vec![Part::Bytes(written.unwrap_or_default())],
        }
    }

    fn stored(name: String, data: Vec<Part>) -> Self {
        let mut crc = crc32fast::Hasher::new();
        each_piece(&data, |piece| crc.update(piece));
        Self {
            name,
            deflated: false,
            crc: crc.finalize(),
            inside: length(&data),
            data,
        }
    }

    /// The fields that both headers have.
    fn fields(&self, extra: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&[20, 0, 0, 0, if self.deflated { 8 } else { 0 }, 0]);
        // Office writes no time: the first of January 1980.
        out.extend_from_slice(&[0, 0, 0x21, 0]);
        out.extend_from_slice(&self.crc.to_le_bytes());
        for size in [length(&self.data), self.inside] {
            out.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        }
        for size in [self.name.len() as u64, extra] {
            out.extend_from_slice(&u16::try_from(size).unwrap_or(0).to_le_bytes());
        }
    }
}

/// A ZIP file; the first member's header is `hint` bytes longer than it need be (ECMA-376 part 2,
/// annex C: extra field 0xA220).
fn zip(members: &[Member], hint: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut directory = Vec::new();
    let mut at: u64 = 0;
    for (index, member) in members.iter().enumerate() {
        let extra = if index == 0 && hint >= MIN_HINT {
            hint
        } else {
            0
        };
        directory.extend_from_slice(b"PK\x01\x02\x2d\x00");
        member.fields(0, &mut directory);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes());
        directory.extend_from_slice(member.name.as_bytes());
        let mut head = b"PK\x03\x04".to_vec();
        member.fields(extra, &mut head);
        head.extend_from_slice(member.name.as_bytes());
        if extra > 0 {
            let body = u16::try_from(extra.saturating_sub(4)).unwrap_or(0);
            let room = body.saturating_sub(4);
            head.extend_from_slice(&[0x20, 0xa2]);
            head.extend_from_slice(&body.to_le_bytes());
            head.extend_from_slice(&[0x28, 0xa0]);
            head.extend_from_slice(&room.to_le_bytes());
            head.resize(head.len().saturating_add(usize::from(room)), 0);
        }
        at = at
            .saturating_add(head.len() as u64)
            .saturating_add(length(&member.data));
        parts.push(Part::Bytes(head));
        parts.extend(member.data.iter().cloned());
    }
    let count = u16::try_from(members.len()).unwrap_or(0).to_le_bytes();
    let size = u32::try_from(directory.len()).unwrap_or(0);
    directory.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    directory.extend_from_slice(&count);
    directory.extend_from_slice(&count);
    directory.extend_from_slice(&size.to_le_bytes());
    directory.extend_from_slice(&u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes());
    directory.extend_from_slice(&[0, 0]);
    parts.push(Part::Bytes(directory));
    parts
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n";
const MAIN: &str = "application/vnd.openxmlformats-officedocument.";
const SCHEMA: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

const WORD_TYPES: &[(&str, &str)] = &[
    ("/word/document.xml", "wordprocessingml.document.main+xml"),
    ("/word/styles.xml", "wordprocessingml.styles+xml"),
];
const SHEET_TYPES: &[(&str, &str)] = &[
    ("/xl/workbook.xml", "spreadsheetml.sheet.main+xml"),
    ("/xl/worksheets/sheet1.xml", "spreadsheetml.worksheet+xml"),
    ("/xl/styles.xml", "spreadsheetml.styles+xml"),
];

fn types(all: &[(&str, &str)], scan: bool) -> String {
    let mut xml = format!(
        "{XML}<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
         <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
         <Default Extension=\"xml\" ContentType=\"application/xml\"/>"
    );
    if scan {
        xml.push_str("<Default Extension=\"png\" ContentType=\"image/png\"/>");
    }
    for (part, kind) in all {
        xml.push_str(&format!(
            "<Override PartName=\"{part}\" ContentType=\"{MAIN}{kind}\"/>"
        ));
    }
    if scan && all.len() == SHEET_TYPES.len() {
        xml.push_str(&format!(
            "<Override PartName=\"/xl/drawings/drawing1.xml\" ContentType=\"{MAIN}drawing+xml\"/>"
        ));
    }
    xml.push_str(
        "<Override PartName=\"/docProps/core.xml\" ContentType=\"application/vnd.openxmlformats-package.core-properties+xml\"/></Types>",
    );
    xml
}

fn links(all: &[(&str, &str, &str)]) -> String {
    let mut xml = format!(
        "{XML}<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">"
    );
    for (id, kind, target) in all {
        xml.push_str(&format!(
            "<Relationship Id=\"rId{id}\" Type=\"{SCHEMA}/{kind}\" Target=\"{target}\"/>"
        ));
        if *kind == "officeDocument" {
            xml.push_str(
                "<Relationship Id=\"rId2\" Type=\"http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties\" Target=\"docProps/core.xml\"/>",
            );
        }
    }
    xml.push_str("</Relationships>");
    xml
}

fn properties(story: &Story, wanted: &Wanted<'_>) -> String {
    let (title, author, at) = (
        escaped(&story.title),
        escaped(&story.author),
        iso(wanted.modified),
    );
    format!(
        "{XML}<cp:coreProperties xmlns:cp=\"http://schemas.openxmlformats.org/package/2006/metadata/core-properties\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:dcterms=\"http://purl.org/dc/terms/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><dc:title>{title}</dc:title>\
         <dc:creator>{author}</dc:creator><cp:lastModifiedBy>{author}</cp:lastModifiedBy>\
         <dcterms:created xsi:type=\"dcterms:W3CDTF\">{at}</dcterms:created>\
         <dcterms:modified xsi:type=\"dcterms:W3CDTF\">{at}</dcterms:modified></cp:coreProperties>"
    )
}

fn document(story: &Story, scan: bool) -> String {
    let mut xml = format!(
        "{XML}<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\" \
         xmlns:r=\"{SCHEMA}\" xmlns:wp=\"http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing\" \
         xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\" \
         xmlns:pic=\"http://schemas.openxmlformats.org/drawingml/2006/picture\"><w:body>\
         <w:p><w:pPr><w:pStyle w:val=\"Title\"/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>",
        escaped(&story.title)
    );
    let paragraph = |text: &str| {
        format!(
            "<w:p><w:r><w:t xml:space=\"preserve\">{}</w:t></w:r></w:p>",
            escaped(text)
        )
    };
    for text in &story.paragraphs {
        xml.push_str(&paragraph(text));
    }
    xml.push_str("<w:tbl><w:tblPr><w:tblStyle w:val=\"Grid\"/><w:tblW w:w=\"0\" w:type=\"auto\"/></w:tblPr><w:tblGrid>");
    for _ in story.columns() {
        xml.push_str("<w:gridCol w:w=\"1800\"/>");
    }
    xml.push_str("</w:tblGrid>");
    let mut row = |cells: Vec<String>| {
        xml.push_str("<w:tr>");
        for cell in cells {
            xml.push_str(&format!(
                "<w:tc><w:tcPr><w:tcW w:w=\"1800\" w:type=\"dxa\"/></w:tcPr>{}</w:tc>",
                paragraph(&cell)
            ));
        }
        xml.push_str("</w:tr>");
    };
    row(story.columns().iter().map(|c| (*c).to_owned()).collect());
    for index in 0..story.rows() {
        row(story.row(index).iter().map(Cell::to_string).collect());
    }
    xml.push_str("</w:tbl>");
    xml.push_str(&paragraph(&story.author));
    if scan {
        xml.push_str(&format!(
            "<w:p><w:r><w:drawing><wp:inline distT=\"0\" distB=\"0\" distL=\"0\" distR=\"0\">\
             <wp:extent cx=\"5040000\" cy=\"7128000\"/><wp:docPr id=\"1\" name=\"Picture 1\"/>\
             <a:graphic><a:graphicData uri=\"http://schemas.openxmlformats.org/drawingml/2006/picture\">\
             <pic:pic>{}</pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>",
            shown("pic", "rId2")
        ));
    }
    xml.push_str(
        "<w:sectPr><w:pgSz w:w=\"11906\" w:h=\"16838\"/><w:pgMar w:top=\"1417\" w:right=\"1417\" \
         w:bottom=\"1134\" w:left=\"1417\" w:header=\"708\" w:footer=\"708\" w:gutter=\"0\"/></w:sectPr>\
         </w:body></w:document>",
    );
    xml
}

/// A picture's inner elements in the namespace `prefix`.
fn shown(prefix: &str, link: &str) -> String {
    format!(
        "<{prefix}:nvPicPr><{prefix}:cNvPr id=\"2\" name=\"image1.png\"/><{prefix}:cNvPicPr/></{prefix}:nvPicPr>\
         <{prefix}:blipFill><a:blip r:embed=\"{link}\"/><a:stretch><a:fillRect/></a:stretch></{prefix}:blipFill>\
         <{prefix}:spPr><a:xfrm><a:off x=\"0\" y=\"0\"/><a:ext cx=\"5040000\" cy=\"7128000\"/></a:xfrm>\
         <a:prstGeom prst=\"rect\"><a:avLst/></a:prstGeom></{prefix}:spPr>"
    )
}

fn drawing() -> String {
    format!(
        "{XML}<xdr:wsDr xmlns:xdr=\"http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing\" \
         xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\" xmlns:r=\"{SCHEMA}\">\
         <xdr:oneCellAnchor><xdr:from><xdr:col>7</xdr:col><xdr:colOff>0</xdr:colOff><xdr:row>1</xdr:row>\
         <xdr:rowOff>0</xdr:rowOff></xdr:from><xdr:ext cx=\"5040000\" cy=\"7128000\"/>\
         <xdr:pic>{}</xdr:pic><xdr:clientData/></xdr:oneCellAnchor></xdr:wsDr>",
        shown("xdr", "rId1")
    )
}

fn worksheet(story: &Story, rows: u64, scan: bool) -> String {
    let mut xml = format!(
        "{XML}<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" xmlns:r=\"{SCHEMA}\">\
         <cols><col min=\"1\" max=\"5\" width=\"22\" customWidth=\"1\"/></cols><sheetData><row>"
    );
    let text = |text: &str, style: &str| {
        format!(
            "<c t=\"inlineStr\"{style}><is><t>{}</t></is></c>",
            escaped(text)
        )
    };
    for column in story.columns() {
        xml.push_str(&text(column, " s=\"1\""));
    }
    xml.push_str("</row>");
    for index in 0..rows {
        xml.push_str("<row>");
        for cell in story.row(index) {
            xml.push_str(&match &cell {
                Cell::Text(content) => text(content, ""),
                Cell::Number(_) => format!("<c><v>{cell}</v></c>"),
                Cell::Amount(_) => format!("<c s=\"2\"><v>{cell}</v></c>"),
            });
        }
        xml.push_str("</row>");
    }
    xml.push_str("</sheetData>");
    if scan {
        xml.push_str("<drawing r:id=\"rId1\"/>");
    }
    xml.push_str("</worksheet>");
    xml
}

fn escaped(text: &str) -> String {
    text.chars()
        // Not allowed in XML 1.0 at all.
        .filter(|c| !c.is_control())
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

const STYLES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n\
<w:styles xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\">\
<w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii=\"Calibri\" w:hAnsi=\"Calibri\"/><w:sz w:val=\"22\"/></w:rPr></w:rPrDefault>\
<w:pPrDefault><w:pPr><w:spacing w:after=\"160\" w:line=\"259\" w:lineRule=\"auto\"/></w:pPr></w:pPrDefault></w:docDefaults>\
<w:style w:type=\"paragraph\" w:default=\"1\" w:styleId=\"Normal\"><w:name w:val=\"Normal\"/></w:style>\
<w:style w:type=\"paragraph\" w:styleId=\"Title\"><w:name w:val=\"Title\"/><w:basedOn w:val=\"Normal\"/><w:rPr><w:b/><w:sz w:val=\"40\"/></w:rPr></w:style>\
<w:style w:type=\"table\" w:default=\"1\" w:styleId=\"TableNormal\"><w:name w:val=\"Normal Table\"/></w:style>\
<w:style w:type=\"table\" w:styleId=\"Grid\"><w:name w:val=\"Table Grid\"/><w:basedOn w:val=\"TableNormal\"/><w:tblPr><w:tblBorders>\
<w:top w:val=\"single\" w:sz=\"4\"/><w:left w:val=\"single\" w:sz=\"4\"/><w:bottom w:val=\"single\" w:sz=\"4\"/><w:right w:val=\"single\" w:sz=\"4\"/>\
<w:insideH w:val=\"single\" w:sz=\"4\"/><w:insideV w:val=\"single\" w:sz=\"4\"/></w:tblBorders></w:tblPr></w:style></w:styles>";

const WORKBOOK: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n\
<workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\">\
<sheets><sheet name=\"Sheet1\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>";

const SHEET_STYLES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n\
<styleSheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\">\
<fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font><font><b/><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts>\
<fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills>\
<borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
<cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs>\
<cellXfs count=\"3\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
<xf numFmtId=\"0\" fontId=\"1\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyFont=\"1\"/>\
<xf numFmtId=\"4\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/></cellXfs></styleSheet>";
