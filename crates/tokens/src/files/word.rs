//! Word documents (ECMA-376 part 1 section 17): new ones, and a picture in the footer of uploaded ones.
//!
//! The picture lies at a URL. Word fetches what an `INCLUDEPICTURE` field and its VML picture name;
//! LibreOffice fetches a DrawingML picture that is linked. The footer holds both, so that every page
//! has them and nobody sees them.

use std::fmt::Write as _;

use super::Dice;
use super::ooxml::{self, HEAD, Package, R, Relationship};
use super::prose::{self, Paper};
use super::xml::{self, Kind};

/// MIME type of a document.
pub const MIME: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
/// MIME type of a document with macros.
pub const MACRO_MIME: &str = "application/vnd.ms-word.document.macroEnabled.12";

const MAIN: &str =
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml";
const MACRO_MAIN: &str = "application/vnd.ms-word.document.macroEnabled.main+xml";
const FOOTER: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.footer+xml";
const W: &str = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const NAMESPACES: &str = concat!(
    "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"",
    " xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"",
    " xmlns:o=\"urn:schemas-microsoft-com:office:office\"",
    " xmlns:v=\"urn:schemas-microsoft-com:vml\"",
    " xmlns:wp=\"http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing\"",
);
const STRICT: &str = "purl.oclc.org/ooxml";
/// Width and height of a pixel in EMU.
const PIXEL: u32 = 9525;

/// What is in a new document beside its text.
pub enum Inside<'a> {
    /// A picture at this URL.
    Picture(&'a str),
    /// A VBA project.
    Project(Vec<u8>),
}

/// A new document.
pub fn new(dice: &mut Dice, paper: &Paper, inside: Inside<'_>) -> Vec<u8> {
    let rsids = Rsids::new(dice);
    let footer = format!("footer{}.xml", dice.number(1, 4));
    let (body, count) = body(dice, &rsids, paper);
    let mut related = vec![
        ("styles", "styles.xml"),
        ("settings", "settings.xml"),
        ("webSettings", "webSettings.xml"),
        ("fontTable", "fontTable.xml"),
        ("theme", "theme/theme1.xml"),
        ("footer", footer.as_str()),
    ];
    if matches!(inside, Inside::Project(_)) {
        related.push(("vbaProject", "vbaProject.bin"));
    }
    dice.shuffle(&mut related);
    let list: Vec<Relationship> = related
        .iter()
        .zip(1..)
        .map(|((kind, target), n)| Relationship::to_part(&format!("rId{n}"), kind, target))
        .collect();
    let footer_id = list
        .iter()
        .find(|r| r.kind == "footer")
        .map_or("", |r| r.id.as_str());
    let (rsid, margin) = (rsids.any(dice), dice.pick(&[1440_u32, 1134, 1417, 1701]));
    let (width, height) = dice.pick(&[(11906_u32, 16838_u32), (12240, 15840)]);
    let document = format!(
        "{HEAD}<w:document {NAMESPACES}><w:body>{body}<w:sectPr w:rsidR=\"{rsid}\">\
         <w:footerReference w:type=\"default\" r:id=\"{footer_id}\"/>\
         <w:pgSz w:w=\"{width}\" w:h=\"{height}\"/>\
         <w:pgMar w:top=\"{margin}\" w:right=\"{margin}\" w:bottom=\"{}\" w:left=\"{margin}\" \
         w:header=\"708\" w:footer=\"708\" w:gutter=\"0\"/>\
         <w:cols w:space=\"708\"/><w:docGrid w:linePitch=\"360\"/></w:sectPr></w:body></w:document>",
        dice.pick(&[1134_u32, 1440]),
    );
    let bug = match inside {
        Inside::Picture(url) => picture(dice, url, "rId1", ""),
        Inside::Project(_) => String::new(),
    };
    let foot = xml::escape(&foot_line(dice, paper));
    let footer_text = format!(
        "{HEAD}<w:ftr {NAMESPACES}><w:p w:rsidR=\"{rsid}\" w:rsidRDefault=\"{rsid}\"><w:pPr><w:pStyle w:val=\"Footer\"/></w:pPr>\
         <w:r><w:t xml:space=\"preserve\">{foot}</w:t></w:r></w:p>{bug}</w:ftr>"
    );
    let (footer_part, footer_rels) = (
        format!("word/{footer}"),
        format!("word/_rels/{footer}.rels"),
    );
    let macros = matches!(inside, Inside::Project(_));
    let mut defaults = vec![
        (
            "rels",
            "application/vnd.openxmlformats-package.relationships+xml",
        ),
        ("xml", "application/xml"),
    ];
    if macros {
        defaults.insert(0, ("bin", "application/vnd.ms-office.vbaProject"));
    }
    let types = ooxml::content_types(
        &defaults,
        &[
            ("word/document.xml", if macros { MACRO_MAIN } else { MAIN }),
            (
                "word/styles.xml",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml",
            ),
            (
                "word/settings.xml",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.settings+xml",
            ),
            (
                "word/webSettings.xml",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.webSettings+xml",
            ),
            (
                "word/fontTable.xml",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.fontTable+xml",
            ),
            (&footer_part, FOOTER),
            (
                "word/theme/theme1.xml",
                "application/vnd.openxmlformats-officedocument.theme+xml",
            ),
            (
                "docProps/core.xml",
                "application/vnd.openxmlformats-package.core-properties+xml",
            ),
            (
                "docProps/app.xml",
                "application/vnd.openxmlformats-officedocument.extended-properties+xml",
            ),
        ],
    );
    let fonts = dice.pick(&["Calibri", "Aptos", "Arial", "Cambria", "Times New Roman"]);
    let mut parts = vec![
        ("_rels/.rels", root_relationships("word/document.xml")),
        ("word/document.xml", document),
        ("word/_rels/document.xml.rels", ooxml::relationships(&list)),
        (&footer_part, footer_text),
        ("word/theme/theme1.xml", ooxml::theme(dice)),
        ("word/settings.xml", settings(dice, &rsids)),
        ("word/styles.xml", styles(dice, fonts)),
        (
            "word/webSettings.xml",
            format!(
                "{HEAD}<w:webSettings xmlns:w=\"{W}\"><w:optimizeForBrowser/><w:allowPNG/></w:webSettings>"
            ),
        ),
        ("word/fontTable.xml", font_table(fonts)),
        ("docProps/core.xml", ooxml::core_properties(paper)),
        ("docProps/app.xml", application(dice, paper, count)),
    ];
    if let Inside::Picture(url) = inside {
        let bug = [Relationship::to_picture("rId1", url)];
        parts.push((&footer_rels, ooxml::relationships(&bug)));
    }
    // Word's own order begins with these; that of the others changes with what was edited.
    if let Some(others) = parts.get_mut(3..) {
        dice.shuffle(others);
    }
    let mut parts: Vec<(&str, Vec<u8>)> = parts
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect();
    parts.push(("[Content_Types].xml", types.into_bytes()));
    if let Inside::Project(project) = inside {
        parts.push(("word/vbaProject.bin", project));
    }
    ooxml::pack(&parts)
}

/// The uploaded document with a picture at `url` in the footer of its first page.
pub fn with_picture(dice: &mut Dice, upload: &[u8], url: &str) -> Result<Vec<u8>, String> {
    let mut package = Package::open(upload, MAIN, "a Word document (.docx)")?;
    let main = package.main.clone();
    let document = package.needed(&main)?;
    let section = Section::first(&document)?;
    let wanted = if section.title_page {
        "first"
    } else {
        "default"
    };
    let existing = section.footers.iter().find(|(kind, _)| kind == wanted);
    if let Some((_, id)) = existing {
        let part = package
            .target(&main, id)?
            .ok_or("names a footer that isn't there; save it anew")?;
        let footer = package.needed(&part)?;
        let id = package.relate(&part, |id| Relationship::to_picture(id, url))?;
        let bug = picture(dice, url, &id, &format!(" {NAMESPACES}"));
        let footer = ooxml::append(&footer, "ftr", &bug)?;
        package.put(&part, footer);
        return Ok(package.finish());
    }
    let bug = picture(dice, url, "rId1", "");
    let folder = main
        .rsplit_once('/')
        .map_or(String::new(), |(f, _)| format!("{f}/"));
    let part = package.add(
        &format!("{folder}footer"),
        FOOTER,
        format!("{HEAD}<w:ftr {NAMESPACES}>{bug}</w:ftr>"),
    )?;
    package.relate(&part, |id| Relationship::to_picture(id, url))?;
    let id = package.relate(&main, |id| {
        Relationship::to_part(id, "footer", &format!("/{part}"))
    })?;
    let reference = format!(
        "<{p}footerReference xmlns:r=\"{R}\" {p}type=\"{wanted}\" r:id=\"{id}\"/>",
        p = section.prefix
    );
    let document = match section.place {
        Place::After(at) => xml::insert(&document, at, &reference),
        Place::In(tag) => ooxml::widen(&document, &tag, &reference),
        Place::Missing(at) => xml::insert(
            &document,
            at,
            &format!("<{p}sectPr>{reference}</{p}sectPr>", p = section.prefix),
        ),
    };
    package.put(&main, document);
    Ok(package.finish())
}

/// The section of a document's first page.
struct Section<'a> {
    prefix: &'a str,
    place: Place<'a>,
    title_page: bool,
    /// Type and relationship.
    footers: Vec<(String, String)>,
}

/// Where the section's first child goes.
enum Place<'a> {
    /// Behind its opening tag.
    After(usize),
    /// Into this empty element.
    In(xml::Tag<'a>),
    /// There is no section yet; one goes here.
    Missing(usize),
}

impl<'a> Section<'a> {
    fn first(document: &'a str) -> Result<Self, String> {
        let mut section: Option<(Self, usize)> = None;
        for tag in xml::tags(document) {
            let tag = tag?;
            if tag.depth == 0 && tag.kind == Kind::Open {
                if tag.attributes().any(|(_, value)| value.contains(STRICT)) {
                    return Err(
                        "is in the strict format; save it as an ordinary Word document".to_owned(),
                    );
                }
                if !tag.attributes().any(|(_, value)| value == W) {
                    return Err("holds no text of Word's; save it anew".to_owned());
                }
            }
            match &mut section {
                None if tag.begins("sectPr") => {
                    let place = match tag.kind {
                        Kind::Empty => Place::In(tag),
                        _ => Place::After(tag.end),
                    };
                    let found = Self {
                        prefix: tag.prefix(),
                        place,
                        title_page: false,
                        footers: Vec::new(),
                    };
                    if tag.kind == Kind::Empty {
                        return Ok(found);
                    }
                    section = Some((found, tag.depth));
                }
                None if tag.kind == Kind::Close && tag.local() == "body" => {
                    return Ok(Self {
                        prefix: tag.prefix(),
                        place: Place::Missing(tag.start),
                        title_page: false,
                        footers: Vec::new(),
                    });
                }
                None => {}
                Some((_, depth)) if tag.kind == Kind::Close && tag.depth == *depth => break,
                Some((found, depth)) if tag.depth == depth.saturating_add(1) => {
                    if tag.begins("footerReference") {
                        found.footers.push((
                            tag.attribute_any("type").unwrap_or_default(),
                            tag.attribute_any("id").unwrap_or_default(),
                        ));
                    } else if tag.begins("titlePg") {
                        let value = tag.attribute_any("val");
                        found.title_page = !matches!(value.as_deref(), Some("0" | "false" | "off"));
                    }
                }
                Some(_) => {}
            }
        }
        section
            .map(|(found, _)| found)
            .ok_or_else(|| "holds no text of Word's; save it anew".to_owned())
    }
}

/// The paragraph with the picture, in both ways.
fn picture(dice: &mut Dice, url: &str, id: &str, namespaces: &str) -> String {
    let (shape, number) = (dice.number(1025, 1090), dice.number(2, 900));
    let url = xml::escape(&url.replace('"', "%22"));
    let flip = if dice.chance(50) {
        " \\* MERGEFORMAT "
    } else {
        " \\* MERGEFORMATINET "
    };
    format!(
        "<w:p{namespaces}><w:pPr><w:pStyle w:val=\"Footer\"/><w:spacing w:before=\"0\" w:after=\"0\" w:line=\"20\" w:lineRule=\"exact\"/></w:pPr>\
         <w:r><w:fldChar w:fldCharType=\"begin\"/></w:r>\
         <w:r><w:instrText xml:space=\"preserve\"> INCLUDEPICTURE  &quot;{url}&quot; \\d{flip}</w:instrText></w:r>\
         <w:r><w:fldChar w:fldCharType=\"separate\"/></w:r>\
         <w:r><w:pict><v:shape id=\"_x0000_i{shape}\" style=\"width:.75pt;height:.75pt\"><v:imagedata r:id=\"{id}\"/></v:shape></w:pict></w:r>\
         <w:r><w:fldChar w:fldCharType=\"end\"/></w:r>\
         <w:r><w:drawing><wp:inline distT=\"0\" distB=\"0\" distL=\"0\" distR=\"0\"><wp:extent cx=\"{PIXEL}\" cy=\"{PIXEL}\"/>\
         <wp:docPr id=\"{number}\" name=\"Picture {number}\"/>{}</wp:inline></w:drawing></w:r></w:p>",
        linked(&format!("Picture {number}"), number, id, "pic"),
    )
}

/// A linked picture in DrawingML (ECMA-376 part 1 section 20.2).
fn linked(name: &str, number: u32, id: &str, prefix: &str) -> String {
    format!(
        "<a:graphic xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\">\
         <a:graphicData uri=\"http://schemas.openxmlformats.org/drawingml/2006/picture\">\
         <{prefix}:pic xmlns:{prefix}=\"http://schemas.openxmlformats.org/drawingml/2006/picture\">\
         <{prefix}:nvPicPr><{prefix}:cNvPr id=\"{number}\" name=\"{name}\"/><{prefix}:cNvPicPr/></{prefix}:nvPicPr>\
         <{prefix}:blipFill><a:blip r:link=\"{id}\"/><a:stretch><a:fillRect/></a:stretch></{prefix}:blipFill>\
         <{prefix}:spPr><a:xfrm><a:off x=\"0\" y=\"0\"/><a:ext cx=\"{PIXEL}\" cy=\"{PIXEL}\"/></a:xfrm>\
         <a:prstGeom prst=\"rect\"><a:avLst/></a:prstGeom></{prefix}:spPr></{prefix}:pic></a:graphicData></a:graphic>"
    )
}

/// Words and characters of a document.
#[derive(Clone, Copy, Default)]
struct Count {
    words: usize,
    characters: usize,
    paragraphs: usize,
}

impl Count {
    fn add(&mut self, text: &str) {
        self.words = self.words.saturating_add(text.split(' ').count());
        self.characters = self
            .characters
            .saturating_add(text.chars().filter(|c| *c != ' ').count());
        self.paragraphs = self.paragraphs.saturating_add(1);
    }
}

/// Numbers of editing sessions (section 17.15.1.70).
struct Rsids(Vec<String>);

impl Rsids {
    fn new(dice: &mut Dice) -> Self {
        let count = dice.number(3, 14);
        let mut list: Vec<String> = (0..count)
            .map(|_| format!("{:08X}", dice.number(0x0010_0000, 0x00ff_ffff)))
            .collect();
        list.sort();
        Self(list)
    }

    fn any(&self, dice: &mut Dice) -> String {
        let list: Vec<&str> = self.0.iter().map(String::as_str).collect();
        dice.pick(&list).to_owned()
    }
}

fn body(dice: &mut Dice, rsids: &Rsids, paper: &Paper) -> (String, Count) {
    let mut out = String::new();
    let mut count = Count::default();
    let mut paragraph = |out: &mut String, dice: &mut Dice, style: &str, text: &str| {
        let (one, two) = (rsids.any(dice), rsids.any(dice));
        let style = match style {
            "" => String::new(),
            style => format!("<w:pPr><w:pStyle w:val=\"{style}\"/></w:pPr>"),
        };
        count.add(text);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<w:p w:rsidR=\"{one}\" w:rsidRDefault=\"{two}\">{style}<w:r><w:t>{}</w:t></w:r></w:p>",
            xml::escape(text)
        );
    };
    paragraph(&mut out, dice, "Title", &paper.title);
    if dice.chance(50) {
        let line = format!("{}, {}", paper.company, paper.author);
        paragraph(&mut out, dice, "Subtitle", &line);
    }
    for _ in 0..dice.number(2, 6) {
        let heading = prose::heading(dice);
        paragraph(&mut out, dice, "Heading1", heading);
        for _ in 0..dice.number(1, 4) {
            let text = prose::paragraph(dice);
            paragraph(&mut out, dice, "", &text);
        }
    }
    (out, count)
}

fn foot_line(dice: &mut Dice, paper: &Paper) -> String {
    match dice.number(0, 5) {
        0 => paper.company.clone(),
        1 => format!("{} \u{2013} internal", paper.company),
        2 => "Confidential".to_owned(),
        3 => paper.title.clone(),
        _ => format!("{}, {}", paper.author, prose::civil(paper.modified).date()),
    }
}

fn settings(dice: &mut Dice, rsids: &Rsids) -> String {
    let list: String = rsids
        .0
        .iter()
        .map(|rsid| format!("<w:rsid w:val=\"{rsid}\"/>"))
        .collect();
    let root = rsids.0.first().cloned().unwrap_or_default();
    format!(
        "{HEAD}<w:settings xmlns:w=\"{W}\"><w:zoom w:percent=\"{}\"/><w:defaultTabStop w:val=\"{}\"/>\
         <w:characterSpacingControl w:val=\"doNotCompress\"/>\
         <w:compat><w:compatSetting w:name=\"compatibilityMode\" w:uri=\"http://schemas.microsoft.com/office/word\" w:val=\"15\"/></w:compat>\
         <w:rsids><w:rsidRoot w:val=\"{root}\"/>{list}</w:rsids>\
         <w:themeFontLang w:val=\"{lang}\"/><w:decimalSymbol w:val=\".\"/><w:listSeparator w:val=\",\"/></w:settings>",
        dice.pick(&[90_u32, 100, 100, 110, 120, 140]),
        dice.pick(&[708_u32, 720]),
        lang = dice.pick(&["en-US", "en-GB"]),
    )
}

fn styles(dice: &mut Dice, font: &str) -> String {
    let size = dice.pick(&[20_u32, 22, 22, 24]);
    let after = dice.pick(&[120_u32, 160, 200]);
    let colour = dice.pick(&["2F5496", "1F3864", "0F4761", "365F91"]);
    let style = |id: &str, name: &str, more: &str| {
        format!(
            "<w:style w:type=\"paragraph\" w:styleId=\"{id}\"><w:name w:val=\"{name}\"/><w:basedOn w:val=\"Normal\"/>\
             <w:qFormat/>{more}</w:style>"
        )
    };
    let extra = [
        ("Heading2", "heading 2", 26),
        ("Heading3", "heading 3", 24),
        ("Quote", "Quote", 22),
        ("ListParagraph", "List Paragraph", 22),
    ];
    let extra: String = extra
        .iter()
        .filter(|_| dice.chance(60))
        .map(|(id, name, size)| {
            style(
                id,
                name,
                &format!("<w:rPr><w:sz w:val=\"{size}\"/></w:rPr>"),
            )
        })
        .collect();
    format!(
        "{HEAD}<w:styles xmlns:w=\"{W}\"><w:docDefaults><w:rPrDefault><w:rPr>\
         <w:rFonts w:ascii=\"{font}\" w:hAnsi=\"{font}\" w:eastAsia=\"{font}\" w:cs=\"Times New Roman\"/>\
         <w:sz w:val=\"{size}\"/><w:szCs w:val=\"{size}\"/><w:lang w:val=\"en-US\" w:eastAsia=\"en-US\" w:bidi=\"ar-SA\"/></w:rPr></w:rPrDefault>\
         <w:pPrDefault><w:pPr><w:spacing w:after=\"{after}\" w:line=\"259\" w:lineRule=\"auto\"/></w:pPr></w:pPrDefault></w:docDefaults>\
         <w:style w:type=\"paragraph\" w:default=\"1\" w:styleId=\"Normal\"><w:name w:val=\"Normal\"/><w:qFormat/></w:style>\
         <w:style w:type=\"character\" w:default=\"1\" w:styleId=\"DefaultParagraphFont\"><w:name w:val=\"Default Paragraph Font\"/><w:uiPriority w:val=\"1\"/><w:semiHidden/></w:style>\
         <w:style w:type=\"table\" w:default=\"1\" w:styleId=\"TableNormal\"><w:name w:val=\"Normal Table\"/><w:uiPriority w:val=\"99\"/><w:semiHidden/>\
         <w:tblPr><w:tblInd w:w=\"0\" w:type=\"dxa\"/></w:tblPr></w:style>\
         <w:style w:type=\"numbering\" w:default=\"1\" w:styleId=\"NoList\"><w:name w:val=\"No List\"/><w:semiHidden/></w:style>\
         {}{}{}{extra}{}</w:styles>",
        style(
            "Title",
            "Title",
            &format!(
                "<w:rPr><w:sz w:val=\"{}\"/></w:rPr>",
                dice.pick(&[48_u32, 52, 56])
            )
        ),
        style(
            "Subtitle",
            "Subtitle",
            "<w:rPr><w:color w:val=\"5A5A5A\"/></w:rPr>"
        ),
        style(
            "Heading1",
            "heading 1",
            &format!(
                "<w:pPr><w:keepNext/><w:spacing w:before=\"240\" w:after=\"0\"/></w:pPr><w:rPr><w:color w:val=\"{colour}\"/><w:sz w:val=\"32\"/></w:rPr>"
            )
        ),
        style(
            "Footer",
            "footer",
            "<w:pPr><w:tabs><w:tab w:val=\"center\" w:pos=\"4536\"/><w:tab w:val=\"right\" w:pos=\"9072\"/></w:tabs><w:spacing w:after=\"0\"/></w:pPr>"
        ),
    )
}

fn font_table(font: &str) -> String {
    let faces = [font, "Times New Roman"];
    let faces: String = faces
        .iter()
        .map(|face| {
            format!("<w:font w:name=\"{face}\"><w:charset w:val=\"00\"/><w:pitch w:val=\"variable\"/></w:font>")
        })
        .collect();
    format!("{HEAD}<w:fonts xmlns:w=\"{W}\">{faces}</w:fonts>")
}

fn application(dice: &mut Dice, paper: &Paper, count: Count) -> String {
    let version = dice.pick(&["16.0000", "16.0000", "15.0000"]);
    format!(
        "{HEAD}<Properties xmlns=\"http://schemas.openxmlformats.org/officeDocument/2006/extended-properties\" \
         xmlns:vt=\"http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes\">\
         <Template>{}</Template><TotalTime>{}</TotalTime><Pages>{}</Pages><Words>{}</Words><Characters>{}</Characters>\
         <Application>Microsoft Office Word</Application><DocSecurity>0</DocSecurity><Lines>{}</Lines><Paragraphs>{}</Paragraphs>\
         <ScaleCrop>false</ScaleCrop><Company>{}</Company><LinksUpToDate>false</LinksUpToDate>\
         <CharactersWithSpaces>{}</CharactersWithSpaces><SharedDoc>false</SharedDoc>\
         <HyperlinksChanged>false</HyperlinksChanged><AppVersion>{version}</AppVersion></Properties>",
        dice.pick(&["Normal.dotm", "Normal.dotm", "Normal", "Report.dotx"]),
        paper.minutes,
        count.words / 420 + 1,
        count.words,
        count.characters,
        count.characters / 70 + 1,
        count.paragraphs,
        xml::escape(&paper.company),
        count.characters.saturating_add(count.words),
    )
}

/// The relationships of a package whose main part is `main`.
pub fn root_relationships(main: &str) -> String {
    ooxml::relationships(&[
        Relationship::to_part("rId1", "officeDocument", main),
        Relationship::to_part("rId2", "core-properties", "docProps/core.xml"),
        Relationship::to_part("rId3", "extended-properties", "docProps/app.xml"),
    ])
}
