//! Excel workbooks (ECMA-376 part 1 section 18): new ones, and a linked picture in uploaded ones.

use std::fmt::Write as _;

use super::Dice;
use super::ooxml::{self, HEAD, Package, R, Relationship};
use super::prose::{self, Paper};
use super::word::root_relationships;
use super::xml::{self, Kind};

/// MIME type of a workbook.
pub const MIME: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// MIME type of a workbook with macros.
pub const MACRO_MIME: &str = "application/vnd.ms-excel.sheet.macroEnabled.12";

const MAIN: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml";
const MACRO_MAIN: &str = "application/vnd.ms-excel.sheet.macroEnabled.main+xml";
const DRAWING: &str = "application/vnd.openxmlformats-officedocument.drawing+xml";
const X: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const XDR: &str = "http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing";
const STRICT: &str = "purl.oclc.org/ooxml";
/// Width and height of a pixel in EMU.
const PIXEL: u32 = 9525;
/// What may follow a sheet's drawing (section 18.3.1.99).
const AFTER_DRAWING: &[&str] = &[
    "drawingHF",
    "legacyDrawing",
    "legacyDrawingHF",
    "picture",
    "oleObjects",
    "controls",
    "webPublishItems",
    "tableParts",
    "extLst",
];

/// What is in a new workbook beside its numbers.
pub enum Inside<'a> {
    /// A picture at this URL.
    Picture(&'a str),
    /// A VBA project.
    Project(Vec<u8>),
}

/// A new workbook.
pub fn new(dice: &mut Dice, paper: &Paper, inside: Inside<'_>) -> Vec<u8> {
    let macros = matches!(inside, Inside::Project(_));
    let mut strings = Strings::default();
    let rows = rows(dice, &mut strings);
    let (sheet_code, book_code) = if macros {
        (
            "<sheetPr codeName=\"Sheet1\"/>",
            " codeName=\"ThisWorkbook\"",
        )
    } else {
        ("", "")
    };
    let drawing = if macros {
        ""
    } else {
        "<drawing r:id=\"rId1\"/>"
    };
    let sheet = format!(
        "{HEAD}<worksheet xmlns=\"{X}\" xmlns:r=\"{R}\">{sheet_code}<sheetViews><sheetView tabSelected=\"1\" workbookViewId=\"0\"/></sheetViews>\
         <sheetFormatPr defaultRowHeight=\"{}\"/><cols><col min=\"1\" max=\"1\" width=\"{}.7109375\" customWidth=\"1\"/></cols>\
         <sheetData>{rows}</sheetData><pageMargins left=\"0.7\" right=\"0.7\" top=\"0.75\" bottom=\"0.75\" header=\"0.3\" footer=\"0.3\"/>\
         {drawing}</worksheet>",
        dice.pick(&["15", "14.4", "14.25"]),
        dice.number(16, 42),
    );
    let name = xml::escape(dice.pick(&[
        "Sheet1", "Overview", "Data", "Summary", "Figures", "2024", "Total",
    ]));
    let mut related = vec![
        ("worksheet", "worksheets/sheet1.xml"),
        ("theme", "theme/theme1.xml"),
        ("styles", "styles.xml"),
        ("sharedStrings", "sharedStrings.xml"),
    ];
    if macros {
        related.push(("vbaProject", "vbaProject.bin"));
    }
    let list: Vec<Relationship> = related
        .iter()
        .zip(1..)
        .map(|((kind, target), n)| Relationship::to_part(&format!("rId{n}"), kind, target))
        .collect();
    let workbook = format!(
        "{HEAD}<workbook xmlns=\"{X}\" xmlns:r=\"{R}\"><fileVersion appName=\"xl\" lastEdited=\"{}\" lowestEdited=\"{}\" rupBuild=\"{}\"/>\
         <workbookPr{book_code} defaultThemeVersion=\"{}\"/><bookViews><workbookView xWindow=\"{}\" yWindow=\"{}\" windowWidth=\"{}\" windowHeight=\"{}\"/></bookViews>\
         <sheets><sheet name=\"{name}\" sheetId=\"1\" r:id=\"rId1\"/></sheets><calcPr calcId=\"{}\"/></workbook>",
        dice.number(6, 8),
        dice.number(4, 8),
        dice.number(14_420, 29_000),
        dice.pick(&["124226", "153222", "164011", "166925", "202300"]),
        dice.number(0, 400),
        dice.number(0, 300),
        dice.number(15_000, 29_000),
        dice.number(8_000, 16_000),
        dice.pick(&["145621", "152511", "162913", "171027", "181029", "191029"]),
    );
    let mut defaults = vec![
        (
            "rels",
            "application/vnd.openxmlformats-package.relationships+xml",
        ),
        ("xml", "application/xml"),
    ];
    let mut overrides = vec![
        ("xl/workbook.xml", if macros { MACRO_MAIN } else { MAIN }),
        (
            "xl/worksheets/sheet1.xml",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml",
        ),
        (
            "xl/theme/theme1.xml",
            "application/vnd.openxmlformats-officedocument.theme+xml",
        ),
        (
            "xl/styles.xml",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml",
        ),
        (
            "xl/sharedStrings.xml",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml",
        ),
        (
            "docProps/core.xml",
            "application/vnd.openxmlformats-package.core-properties+xml",
        ),
        (
            "docProps/app.xml",
            "application/vnd.openxmlformats-officedocument.extended-properties+xml",
        ),
    ];
    let mut parts = vec![
        ("_rels/.rels", root_relationships("xl/workbook.xml")),
        ("xl/workbook.xml", workbook),
        ("xl/_rels/workbook.xml.rels", ooxml::relationships(&list)),
        ("xl/worksheets/sheet1.xml", sheet),
        ("xl/theme/theme1.xml", ooxml::theme(dice)),
        ("xl/styles.xml", styles(dice)),
        ("xl/sharedStrings.xml", strings.xml()),
        ("docProps/core.xml", ooxml::core_properties(paper)),
        ("docProps/app.xml", application(dice, paper, &name)),
    ];
    match inside {
        Inside::Picture(url) => {
            let anchor = anchor(dice, "rId1", "");
            parts.push((
                "xl/drawings/drawing1.xml",
                format!(
                    "{HEAD}<xdr:wsDr {}>{anchor}</xdr:wsDr>",
                    drawing_namespaces()
                ),
            ));
            parts.push((
                "xl/drawings/_rels/drawing1.xml.rels",
                ooxml::relationships(&[Relationship::to_picture("rId1", url)]),
            ));
            parts.push((
                "xl/worksheets/_rels/sheet1.xml.rels",
                ooxml::relationships(&[Relationship::to_part(
                    "rId1",
                    "drawing",
                    "../drawings/drawing1.xml",
                )]),
            ));
            overrides.push(("xl/drawings/drawing1.xml", DRAWING));
        }
        Inside::Project(_) => defaults.insert(0, ("bin", "application/vnd.ms-office.vbaProject")),
    }
    // Excel's own order begins with these; that of the others changes with what was edited.
    if let Some(others) = parts.get_mut(3..) {
        dice.shuffle(others);
    }
    let mut parts: Vec<(&str, Vec<u8>)> = parts
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect();
    let types = ooxml::content_types(&defaults, &overrides);
    parts.push(("[Content_Types].xml", types.into_bytes()));
    if let Inside::Project(project) = inside {
        parts.push(("xl/vbaProject.bin", project));
    }
    ooxml::pack(&parts)
}

/// A new workbook whose first row ends in a formula that shows the picture at `url`, as Excel
/// (`IMAGE`) and Google Sheets (the form in which it exports its own functions) understand it.
///
/// # Errors
/// Never, since it opens what [`new`] makes.
pub fn with_formula(dice: &mut Dice, paper: &Paper, url: &str) -> Result<Vec<u8>, String> {
    let book = new(dice, paper, Inside::Picture(url));
    let mut package = Package::open(&book, MAIN, "an Excel workbook (.xlsx)")?;
    let part = "xl/worksheets/sheet1.xml";
    let sheet = package.needed(part)?;
    let quoted = format!("\"{url}\"");
    let sheets = format!(
        "IFERROR(__xludf.DUMMYFUNCTION(\"IMAGE({},4,1,1)\"),\"\")",
        quoted.replace('"', "\"\"")
    );
    let excel = format!("_xlfn.IMAGE({quoted},\"\",3,1,1)");
    // Columns I and J, of which the figures need none.
    let cells = format!(
        "<c r=\"I1\" t=\"str\"><f>{}</f><v></v></c><c r=\"J1\" t=\"str\"><f>{}</f><v></v></c></row>",
        xml::escape(&sheets),
        xml::escape(&excel)
    );
    package.put(part, sheet.replacen("</row>", &cells, 1));
    Ok(package.finish())
}

/// The uploaded workbook with a picture at `url` in its first visible sheet.
pub fn with_picture(dice: &mut Dice, upload: &[u8], url: &str) -> Result<Vec<u8>, String> {
    let mut package = Package::open(upload, MAIN, "an Excel workbook (.xlsx)")?;
    let main = package.main.clone();
    let id = first_sheet(&package.needed(&main)?)?;
    let part = package
        .target(&main, &id)?
        .ok_or("names a sheet that isn't there; save it anew")?;
    let sheet = package.needed(&part)?;
    match drawing(&sheet)? {
        Drawing::There(id) => {
            let drawing = package
                .target(&part, &id)?
                .ok_or("names a drawing that isn't there; save it anew")?;
            let text = package.needed(&drawing)?;
            let id = package.relate(&drawing, |id| Relationship::to_picture(id, url))?;
            let anchor = anchor(dice, &id, &format!(" {}", drawing_namespaces()));
            package.put(&drawing, ooxml::append(&text, "wsDr", &anchor)?);
        }
        Drawing::Missing { prefix, at } => {
            let anchor = anchor(dice, "rId1", "");
            let text = format!(
                "{HEAD}<xdr:wsDr {}>{anchor}</xdr:wsDr>",
                drawing_namespaces()
            );
            let folder = main
                .rsplit_once('/')
                .map_or(String::new(), |(f, _)| format!("{f}/"));
            let drawing = package.add(&format!("{folder}drawings/drawing"), DRAWING, text)?;
            package.relate(&drawing, |id| Relationship::to_picture(id, url))?;
            let id = package.relate(&part, |id| {
                Relationship::to_part(id, "drawing", &format!("/{drawing}"))
            })?;
            let element = format!("<{prefix}drawing xmlns:r=\"{R}\" r:id=\"{id}\"/>");
            package.put(&part, xml::insert(&sheet, at, &element));
        }
    }
    Ok(package.finish())
}

/// The relationship of the first sheet that isn't hidden.
fn first_sheet(workbook: &str) -> Result<String, String> {
    for tag in xml::tags(workbook) {
        let tag = tag?;
        if tag.depth == 0 && tag.attributes().any(|(_, value)| value.contains(STRICT)) {
            return Err(
                "is in the strict format; save it as an ordinary Excel workbook".to_owned(),
            );
        }
        let hidden = tag
            .attribute("state")
            .is_some_and(|state| state != "visible");
        if tag.begins("sheet")
            && !hidden
            && let Some(id) = tag.attribute_any("id")
        {
            return Ok(id);
        }
    }
    Err("has no visible sheet".to_owned())
}

/// A sheet's drawing.
enum Drawing<'a> {
    /// The relationship that names it.
    There(String),
    /// Where it would stand, and the prefix of the sheet's elements.
    Missing { prefix: &'a str, at: usize },
}

fn drawing(sheet: &str) -> Result<Drawing<'_>, String> {
    let mut at = None;
    for tag in xml::tags(sheet) {
        let tag = tag?;
        if tag.depth == 1 && tag.begins("drawing") {
            let id = tag.attribute_any("id").unwrap_or_default();
            return Ok(Drawing::There(id));
        }
        let follows =
            tag.depth == 1 && tag.kind != Kind::Close && AFTER_DRAWING.contains(&tag.local());
        let ends = tag.depth == 0 && tag.kind == Kind::Close && tag.local() == "worksheet";
        if at.is_none() && (follows || ends) {
            at = Some(Drawing::Missing {
                prefix: tag.prefix(),
                at: tag.start,
            });
        }
    }
    at.ok_or_else(|| "has a first sheet without cells, e.g. a chart; put a table first".to_owned())
}

fn drawing_namespaces() -> String {
    format!(
        "xmlns:xdr=\"{XDR}\" xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\" xmlns:r=\"{R}\""
    )
}

/// A linked picture of one pixel (section 20.5.2.33).
fn anchor(dice: &mut Dice, id: &str, namespaces: &str) -> String {
    let (column, row, number) = (dice.number(9, 26), dice.number(0, 40), dice.number(2, 90));
    let cell = |tag: &str, offset: u32| {
        format!(
            "<xdr:{tag}><xdr:col>{column}</xdr:col><xdr:colOff>{offset}</xdr:colOff>\
             <xdr:row>{row}</xdr:row><xdr:rowOff>{offset}</xdr:rowOff></xdr:{tag}>"
        )
    };
    format!(
        "<xdr:twoCellAnchor editAs=\"oneCell\"{namespaces}>{}{}<xdr:pic><xdr:nvPicPr><xdr:cNvPr id=\"{number}\" name=\"Picture {}\"/>\
         <xdr:cNvPicPr/></xdr:nvPicPr><xdr:blipFill><a:blip r:link=\"{id}\"/><a:stretch><a:fillRect/></a:stretch></xdr:blipFill>\
         <xdr:spPr><a:xfrm><a:off x=\"0\" y=\"0\"/><a:ext cx=\"{PIXEL}\" cy=\"{PIXEL}\"/></a:xfrm><a:prstGeom prst=\"rect\"><a:avLst/></a:prstGeom></xdr:spPr>\
         </xdr:pic><xdr:clientData/></xdr:twoCellAnchor>",
        cell("from", 0),
        cell("to", PIXEL),
        number - 1,
    )
}

/// The strings that cells share.
#[derive(Default)]
struct Strings {
    list: Vec<String>,
    uses: u32,
}

impl Strings {
    fn cell(&mut self, place: &str, text: &str) -> String {
        self.uses = self.uses.saturating_add(1);
        let at = match self.list.iter().position(|known| known == text) {
            Some(at) => at,
            None => {
                self.list.push(text.to_owned());
                self.list.len() - 1
            }
        };
        format!("<c r=\"{place}\" t=\"s\"><v>{at}</v></c>")
    }

    fn xml(&self) -> String {
        let list: String = self
            .list
            .iter()
            .map(|text| format!("<si><t>{}</t></si>", xml::escape(text)))
            .collect();
        format!(
            "{HEAD}<sst xmlns=\"{X}\" count=\"{}\" uniqueCount=\"{}\">{list}</sst>",
            self.uses,
            self.list.len()
        )
    }
}

fn rows(dice: &mut Dice, strings: &mut Strings) -> String {
    let columns = dice.number(3, 8);
    let mut out = String::from("<row r=\"1\">");
    let letter = |n: u32| char::from(b'A'.saturating_add(u8::try_from(n).unwrap_or(0)));
    for n in 0..columns {
        let text = if n == 0 { "Item" } else { prose::column(dice) };
        out.push_str(&strings.cell(&format!("{}1", letter(n)), text));
    }
    out.push_str("</row>");
    for row in 2..dice.number(12, 60) {
        let _ = write!(out, "<row r=\"{row}\">");
        let (topic, person) = (prose::topic(dice), prose::person(dice));
        let label = if dice.chance(70) {
            topic.to_owned()
        } else {
            person
        };
        out.push_str(&strings.cell(&format!("A{row}"), &label));
        for n in 1..columns {
            let (whole, cents) = (dice.number(12, 98_000), dice.number(0, 100));
            let _ = write!(
                out,
                "<c r=\"{}{row}\"><v>{whole}.{cents:02}</v></c>",
                letter(n)
            );
        }
        out.push_str("</row>");
    }
    out
}

fn styles(dice: &mut Dice) -> String {
    let font = dice.pick(&["Calibri", "Aptos Narrow", "Arial", "Calibri"]);
    let size = dice.pick(&[10_u32, 11, 11, 12]);
    format!(
        "{HEAD}<styleSheet xmlns=\"{X}\"><fonts count=\"1\"><font><sz val=\"{size}\"/><color theme=\"1\"/><name val=\"{font}\"/><family val=\"2\"/></font></fonts>\
         <fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills>\
         <borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
         <cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs>\
         <cellXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/></cellXfs>\
         <cellStyles count=\"1\"><cellStyle name=\"Normal\" xfId=\"0\" builtinId=\"0\"/></cellStyles></styleSheet>"
    )
}

fn application(dice: &mut Dice, paper: &Paper, sheet: &str) -> String {
    format!(
        "{HEAD}<Properties xmlns=\"http://schemas.openxmlformats.org/officeDocument/2006/extended-properties\" \
         xmlns:vt=\"http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes\">\
         <Application>Microsoft Excel</Application><DocSecurity>0</DocSecurity><ScaleCrop>false</ScaleCrop>\
         <HeadingPairs><vt:vector size=\"2\" baseType=\"variant\"><vt:variant><vt:lpstr>Worksheets</vt:lpstr></vt:variant>\
         <vt:variant><vt:i4>1</vt:i4></vt:variant></vt:vector></HeadingPairs>\
         <TitlesOfParts><vt:vector size=\"1\" baseType=\"lpstr\"><vt:lpstr>{sheet}</vt:lpstr></vt:vector></TitlesOfParts>\
         <Company>{}</Company><LinksUpToDate>false</LinksUpToDate><SharedDoc>false</SharedDoc>\
         <HyperlinksChanged>false</HyperlinksChanged><AppVersion>{}</AppVersion></Properties>",
        xml::escape(&paper.company),
        dice.pick(&["16.0300", "16.0300", "15.0300"]),
    )
}
