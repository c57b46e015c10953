//! Office Open XML packages: parts, relationships, content types (ECMA-376 part 2), and new parts in
//! packages that somebody uploaded.

use std::collections::BTreeMap;

use super::archive::{Archive, Writer};
use super::xml::{self, Kind};

/// Largest part that is read, unpacked, in bytes.
pub const MAX_PART: usize = 16 * 1024 * 1024;
/// Relationships of one part.
const MAX_RELATIONSHIPS: usize = 20_000;

/// What every part begins with.
pub const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n";
/// Namespace of relationship attributes.
pub const R: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const RELATIONSHIPS: &str = "http://schemas.openxmlformats.org/package/2006/relationships";
const CONTENT_TYPES: &str = "[Content_Types].xml";
const CFB: &[u8] = b"\xd0\xcf\x11\xe0";

/// One relationship of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relationship {
    /// E.g. `rId3`.
    pub id: String,
    /// The last word of its type, e.g. `footer`.
    pub kind: String,
    /// A part relative to the owner, or a URL.
    pub target: String,
    /// Whether it is a URL.
    pub external: bool,
}

impl Relationship {
    /// One to a part of the same package.
    pub fn to_part(id: &str, kind: &str, target: &str) -> Self {
        Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            target: target.to_owned(),
            external: false,
        }
    }

    /// One to a picture elsewhere.
    pub fn to_picture(id: &str, url: &str) -> Self {
        Self {
            id: id.to_owned(),
            kind: "image".to_owned(),
            target: url.to_owned(),
            external: true,
        }
    }

    fn xml(&self) -> String {
        // The type of the core properties is not the office document's but the package's.
        let kind = match self.kind.as_str() {
            "core-properties" => {
                "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties"
                    .to_owned()
            }
            "vbaProject" => {
                "http://schemas.microsoft.com/office/2006/relationships/vbaProject".to_owned()
            }
            other => format!("{R}/{other}"),
        };
        format!(
            "<Relationship Id=\"{}\" Type=\"{kind}\" Target=\"{}\"{}/>",
            self.id,
            xml::escape(&self.target),
            if self.external {
                " TargetMode=\"External\""
            } else {
                ""
            }
        )
    }
}

/// A part that holds these relationships.
pub fn relationships(list: &[Relationship]) -> String {
    let list: String = list.iter().map(Relationship::xml).collect();
    format!("{HEAD}<Relationships xmlns=\"{RELATIONSHIPS}\">{list}</Relationships>")
}

/// The list of content types: by extension, and by part.
pub fn content_types(defaults: &[(&str, &str)], overrides: &[(&str, &str)]) -> String {
    let defaults: String = defaults
        .iter()
        .map(|(e, t)| format!("<Default Extension=\"{e}\" ContentType=\"{t}\"/>"))
        .collect();
    let overrides: String = overrides.iter().map(|(p, t)| override_of(p, t)).collect();
    format!(
        "{HEAD}<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
         {defaults}{overrides}</Types>"
    )
}

fn override_of(part: &str, kind: &str) -> String {
    format!("<Override PartName=\"/{part}\" ContentType=\"{kind}\"/>")
}

/// The package of these parts, the list of content types first as Office writes it.
pub fn pack(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::office();
    let (types, others): (Vec<_>, Vec<_>) =
        parts.iter().partition(|(name, _)| *name == CONTENT_TYPES);
    for (name, bytes) in types.into_iter().chain(others) {
        writer.add(name, bytes, 0);
    }
    writer.finish()
}

/// An uploaded package and what is to change in it.
pub struct Package<'a> {
    archive: Archive<'a>,
    changes: BTreeMap<String, Vec<u8>>,
    /// The part that everything hangs on, e.g. `word/document.xml`.
    pub main: String,
}

impl<'a> Package<'a> {
    /// Opens an upload whose main part has this content type. `what` names such a file, for people.
    pub fn open(bytes: &'a [u8], main_type: &str, what: &str) -> Result<Self, String> {
        if bytes.starts_with(CFB) {
            return Err(format!(
                "is in the old format of Office or protected by a password; save it as {what} \
                 without a password"
            ));
        }
        let mut package = Self {
            archive: Archive::open(bytes).map_err(|problem| {
                format!("{problem}; it must be {what}, saved by Word, Excel or LibreOffice")
            })?,
            changes: BTreeMap::new(),
            main: String::new(),
        };
        let wrong = || format!("is not {what}; save it as one");
        let types = package.text(CONTENT_TYPES)?.ok_or_else(wrong)?;
        let roots = package.relationships("")?;
        let main = roots
            .iter()
            .find(|r| r.kind == "officeDocument" && !r.external);
        package.main = resolve("", &main.ok_or_else(wrong)?.target);
        if type_of(&types, &package.main)?.as_deref() != Some(main_type) {
            return Err(wrong());
        }
        Ok(package)
    }

    /// A part as text, as changed so far.
    pub fn text(&self, part: &str) -> Result<Option<String>, String> {
        let bytes = match self.changes.get(part) {
            Some(bytes) => bytes.clone(),
            None => match self.archive.read(part, MAX_PART)? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| format!("holds {part} in another encoding than UTF-8; save it anew"))
    }

    /// A part that must be there.
    pub fn needed(&self, part: &str) -> Result<String, String> {
        self.text(part)?
            .ok_or_else(|| format!("lacks its part {part}; save it anew"))
    }

    /// Puts a part in place of the old one, or a new one.
    pub fn put(&mut self, part: &str, text: String) {
        self.changes.insert(part.to_owned(), text.into_bytes());
    }

    /// Adds a part of this content type under the first free name of `folder/stemN.xml`; its name.
    pub fn add(&mut self, stem: &str, content_type: &str, text: String) -> Result<String, String> {
        let free = (1_u32..)
            .map(|n| format!("{stem}{n}.xml"))
            .find(|name| {
                !self.changes.contains_key(name)
                    && !self.archive.names().any(|n| n.eq_ignore_ascii_case(name))
            })
            .ok_or("has no free name for a part")?;
        let types = self.needed(CONTENT_TYPES)?;
        let types = append(&types, "Types", &override_of(&free, content_type))?;
        self.put(CONTENT_TYPES, types);
        self.put(&free, text);
        Ok(free)
    }

    /// The relationships of `part`; of the package where that is empty.
    pub fn relationships(&self, part: &str) -> Result<Vec<Relationship>, String> {
        let Some(text) = self.text(&relationships_of(part))? else {
            return Ok(Vec::new());
        };
        let mut list = Vec::new();
        for tag in xml::tags(&text) {
            let tag = tag?;
            if !tag.begins("Relationship") {
                continue;
            }
            if list.len() == MAX_RELATIONSHIPS {
                return Err(format!("holds more than {MAX_RELATIONSHIPS} relationships"));
            }
            let kind = tag.attribute("Type").unwrap_or_default();
            list.push(Relationship {
                id: tag.attribute("Id").unwrap_or_default(),
                kind: kind.rsplit('/').next().unwrap_or_default().to_owned(),
                target: tag.attribute("Target").unwrap_or_default(),
                external: tag.attribute("TargetMode").as_deref() == Some("External"),
            });
        }
        Ok(list)
    }

    /// The part that `part` calls `id`.
    pub fn target(&self, part: &str, id: &str) -> Result<Option<String>, String> {
        let list = self.relationships(part)?;
        let found = list.iter().find(|r| r.id == id && !r.external);
        Ok(found.map(|r| resolve(part, &r.target)))
    }

    /// Adds a relationship to `part` under the first free id; the id.
    pub fn relate(
        &mut self,
        part: &str,
        make: impl FnOnce(&str) -> Relationship,
    ) -> Result<String, String> {
        let list = self.relationships(part)?;
        let taken = list
            .iter()
            .filter_map(|r| r.id.strip_prefix("rId")?.parse::<u32>().ok())
            .filter(|n| *n < 1_000_000)
            .max()
            .unwrap_or(0);
        let relationship = make(&format!("rId{}", taken.saturating_add(1)));
        let name = relationships_of(part);
        let text = match self.text(&name)? {
            Some(text) => append(&text, "Relationships", &relationship.xml())?,
            None => relationships(std::slice::from_ref(&relationship)),
        };
        self.put(&name, text);
        Ok(relationship.id)
    }

    /// The changed package.
    pub fn finish(self) -> Vec<u8> {
        self.archive.with(&self.changes)
    }
}

/// `text` with `more` as the last thing in its outermost element, which is called `root`.
pub fn append(text: &str, root: &str, more: &str) -> Result<String, String> {
    for tag in xml::tags(text) {
        let tag = tag?;
        if tag.depth != 0 || tag.local() != root {
            continue;
        }
        match tag.kind {
            Kind::Close => return Ok(xml::insert(text, tag.start, more)),
            Kind::Empty => return Ok(widen(text, &tag, more)),
            Kind::Open => {}
        }
    }
    Err(format!("holds a part without {root}; save it anew"))
}

/// `text` with `more` inside the empty element `tag`.
pub fn widen(text: &str, tag: &xml::Tag<'_>, more: &str) -> String {
    let before = text.get(..tag.end.saturating_sub(2)).unwrap_or_default();
    let after = text.get(tag.end..).unwrap_or_default();
    format!("{before}>{more}</{}>{after}", tag.name)
}

/// The name of the part that holds the relationships of `part`.
fn relationships_of(part: &str) -> String {
    match part.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/_rels/{name}.rels"),
        None => format!("_rels/{part}.rels"),
    }
}

/// The part that `target` means to `owner`.
pub fn resolve(owner: &str, target: &str) -> String {
    let folder = owner.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut path: Vec<&str> = Vec::new();
    let from = if target.starts_with('/') { "" } else { folder };
    for step in from.split('/').chain(target.split('/')) {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

/// The content type of `part`.
fn type_of(types: &str, part: &str) -> Result<Option<String>, String> {
    let extension = part.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut by_extension = None;
    for tag in xml::tags(types) {
        let tag = tag?;
        let content_type = || tag.attribute("ContentType");
        if tag.begins("Override") {
            let name = tag.attribute("PartName").unwrap_or_default();
            if name.trim_start_matches('/').eq_ignore_ascii_case(part) {
                return Ok(content_type());
            }
        } else if tag.begins("Default")
            && tag
                .attribute("Extension")
                .is_some_and(|e| e.eq_ignore_ascii_case(extension))
        {
            by_extension = content_type();
        }
    }
    Ok(by_extension)
}

/// A colour theme (ECMA-376 part 1 section 20.1.6.9) with colours and fonts of `dice`'s choice.
pub fn theme(dice: &mut super::Dice) -> String {
    let (name, colours) = dice.pick(THEMES);
    let (major, minor) = dice.pick(FONTS);
    let colour = |tag: &str, rgb: &str| format!("<a:{tag}><a:srgbClr val=\"{rgb}\"/></a:{tag}>");
    let tags = [
        "dk2", "lt2", "accent1", "accent2", "accent3", "accent4", "accent5", "accent6", "hlink",
        "folHlink",
    ];
    let colours: String = tags
        .iter()
        .zip(colours.split(' '))
        .map(|(tag, rgb)| colour(tag, rgb))
        .collect();
    let font = |tag: &str, face: &str| {
        format!(
            "<a:{tag}><a:latin typeface=\"{face}\"/><a:ea typeface=\"\"/><a:cs typeface=\"\"/></a:{tag}>"
        )
    };
    let solid = "<a:solidFill><a:schemeClr val=\"phClr\"/></a:solidFill>";
    let line = |w: u32| {
        format!(
            "<a:ln w=\"{w}\" cap=\"flat\" cmpd=\"sng\" algn=\"ctr\">{solid}<a:prstDash val=\"solid\"/></a:ln>"
        )
    };
    let lines = [line(6350), line(12700), line(19050)].concat();
    let effect = "<a:effectStyle><a:effectLst/></a:effectStyle>";
    format!(
        "{HEAD}<a:theme xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\" name=\"{name} Theme\">\
         <a:themeElements><a:clrScheme name=\"{name}\"><a:dk1><a:sysClr val=\"windowText\" lastClr=\"000000\"/></a:dk1>\
         <a:lt1><a:sysClr val=\"window\" lastClr=\"FFFFFF\"/></a:lt1>{colours}</a:clrScheme>\
         <a:fontScheme name=\"{name}\">{}{}</a:fontScheme><a:fmtScheme name=\"{name}\">\
         <a:fillStyleLst>{solid}{solid}{solid}</a:fillStyleLst><a:lnStyleLst>{lines}</a:lnStyleLst>\
         <a:effectStyleLst>{effect}{effect}{effect}</a:effectStyleLst>\
         <a:bgFillStyleLst>{solid}{solid}{solid}</a:bgFillStyleLst></a:fmtScheme></a:themeElements>\
         <a:objectDefaults/><a:extraClrSchemeLst/></a:theme>",
        font("majorFont", major),
        font("minorFont", minor),
    )
}

/// Colours of Office's own themes, by name.
const THEMES: &[(&str, &str)] = &[
    (
        "Office",
        "44546A E7E6E6 4472C4 ED7D31 A5A5A5 FFC000 5B9BD5 70AD47 0563C1 954F72",
    ),
    (
        "Office",
        "0E2841 E8E8E8 156082 E97132 196B24 0F9ED5 A02B93 4EA72E 467886 96607D",
    ),
    (
        "Office",
        "1F497D EEECE1 4F81BD C0504D 9BBB59 8064A2 4BACC6 F79646 0000FF 800080",
    ),
    (
        "Office",
        "44546A E7E6E6 5B9BD5 ED7D31 A5A5A5 FFC000 4472C4 70AD47 0563C1 954F72",
    ),
];
const FONTS: &[(&str, &str)] = &[
    ("Calibri Light", "Calibri"),
    ("Aptos Display", "Aptos"),
    ("Cambria", "Calibri"),
    ("Arial", "Arial"),
];

/// The part `docProps/core.xml`.
pub fn core_properties(paper: &super::prose::Paper) -> String {
    use super::prose::w3c;
    let e = |text: &str| xml::escape(text);
    format!(
        "{HEAD}<cp:coreProperties xmlns:cp=\"http://schemas.openxmlformats.org/package/2006/metadata/core-properties\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:dcterms=\"http://purl.org/dc/terms/\" \
         xmlns:dcmitype=\"http://purl.org/dc/dcmitype/\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
         <dc:title>{}</dc:title><dc:creator>{}</dc:creator><cp:lastModifiedBy>{}</cp:lastModifiedBy>\
         <cp:revision>{}</cp:revision>\
         <dcterms:created xsi:type=\"dcterms:W3CDTF\">{}</dcterms:created>\
         <dcterms:modified xsi:type=\"dcterms:W3CDTF\">{}</dcterms:modified></cp:coreProperties>",
        e(&paper.title),
        e(&paper.author),
        e(&paper.editor),
        paper.revision,
        w3c(paper.created),
        w3c(paper.modified),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_relative_to_their_owner() {
        assert_eq!(
            resolve("word/document.xml", "footer1.xml"),
            "word/footer1.xml"
        );
        assert_eq!(
            resolve("xl/worksheets/sheet1.xml", "../drawings/d.xml"),
            "xl/drawings/d.xml"
        );
        assert_eq!(resolve("word/document.xml", "/word/a.xml"), "word/a.xml");
        assert_eq!(resolve("", "../../word/document.xml"), "word/document.xml");
        assert_eq!(
            relationships_of("word/document.xml"),
            "word/_rels/document.xml.rels"
        );
        assert_eq!(relationships_of(""), "_rels/.rels");
    }

    #[test]
    fn something_is_appended_to_full_and_empty_elements() {
        assert_eq!(
            append("<a><b/></a>", "a", "<c/>").unwrap(),
            "<a><b/><c/></a>"
        );
        assert_eq!(
            append("<x:a y='1'/>", "a", "<c/>").unwrap(),
            "<x:a y='1'><c/></x:a>"
        );
        assert!(append("<b/>", "a", "").is_err());
    }
}
