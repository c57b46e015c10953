//! PDF files (ISO 32000-1): a written page, and scanned ones until the size is reached.

use super::picture::Scan;
use super::story::{Cell, aligned, iso, wrapped};
use super::{Part, Story, Wanted, length};

/// Bytes of a scanned page where there is room for several.
const PAGE: u64 = 900_000;
/// Scanned pages.
const MAX_PAGES: u64 = 400;
/// What a file must lack of its size for a page to be scanned, in bytes.
const MIN_SCAN: u64 = 6_000;

/// A PDF file of exactly the wanted size.
pub fn pdf(wanted: &Wanted<'_>) -> Vec<Part> {
    let story = Story::new(wanted.name, wanted.number, wanted.company);
    let empty = File::new(&story, wanted, &[]).parts(0);
    let missing = wanted.size.saturating_sub(length(&empty));
    let pages = if missing < MIN_SCAN {
        0
    } else {
        (missing / PAGE).clamp(1, MAX_PAGES)
    };
    // Objects of a page: two dictionaries, a content stream, three entries in the table.
    let room = missing.saturating_sub(pages.saturating_mul(800));
    let scans: Vec<Scan> = (0..pages)
        .map(|page| {
            let each = room.checked_div(pages).unwrap_or(0);
            Scan::new(wanted.number.wrapping_add(page), each)
        })
        .collect();
    let file = File::new(&story, wanted, &scans);
    // The padding moves the table, whose place is written as a number of any length.
    let mut padding = wanted.size.saturating_sub(length(&file.parts(0)));
    for _ in 0..3 {
        let size = length(&file.parts(padding));
        padding = padding.saturating_add(wanted.size).saturating_sub(size);
    }
    let mut parts = file.parts(padding);
    let short = wanted.size.saturating_sub(length(&parts));
    if short > 0 {
        parts.push(Part::Bytes(vec![
            b'\n';
            usize::try_from(short).unwrap_or(0)
        ]));
    }
    debug_assert_eq!(length(&parts), wanted.size, "{}", wanted.name);
    parts
}

/// A file's objects, the first of which is number 1.
struct File {
    objects: Vec<Vec<Part>>,
    /// Makes file identifiers.
    number: u64,
    at: String,
}

impl File {
    /// Numbers: catalogue, pages, metadata, information, two fonts, then the pages' own.
    fn new(story: &Story, wanted: &Wanted<'_>, scans: &[Scan]) -> Self {
        let at = wanted.modified.format("D:%Y%m%d%H%M%SZ");
        let mut objects = Vec::new();
        let mut pages = vec![7];
        let first = 9_usize;
        pages.extend((0..scans.len()).map(|page| first.saturating_add(page.saturating_mul(3))));
        let kids: Vec<String> = pages.iter().map(|page| format!("{page} 0 R")).collect();
        let mut object = |text: String| objects.push(vec![Part::Bytes(text.into_bytes())]);
        object("<</Type/Catalog/Pages 2 0 R/Metadata 3 0 R>>".to_owned());
        object(format!(
            "<</Type/Pages/Kids[{}]/Count {}>>",
            kids.join(" "),
            kids.len()
        ));
        object(String::new());
        object(format!(
            "<</Title({})/Author({})/CreationDate({at})/ModDate({at})>>",
            escaped(&story.title),
            escaped(&story.author)
        ));
        object(
            "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".to_owned(),
        );
        object("<</Type/Font/Subtype/Type1/BaseFont/Courier/Encoding/WinAnsiEncoding>>".to_owned());
        object(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 5 0 R/F2 6 0 R>>>>/Contents 8 0 R>>"
                .to_owned(),
        );
        let content = written(story);
        object(format!(
            "<</Length {}>>\nstream\n{content}\nendstream",
            content.len()
        ));
        for (scan, page) in scans.iter().zip(pages.iter().skip(1)) {
            let (content, image) = (page.saturating_add(1), page.saturating_add(2));
            let draw = "q 595 0 0 842 0 0 cm /Im1 Do Q";
            let texts = [
                format!(
                    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</XObject<</Im1 {image} 0 R>>>>/Contents {content} 0 R>>"
                ),
                format!("<</Length {}>>\nstream\n{draw}\nendstream", draw.len()),
            ];
            for text in texts {
                objects.push(vec![Part::Bytes(text.into_bytes())]);
            }
            let head = format!(
                "<</Type/XObject/Subtype/Image/Width {}/Height {}/ColorSpace/DeviceGray/BitsPerComponent 8/Length {}>>\nstream\n",
                scan.width(),
                scan.height(),
                scan.len()
            );
            objects.push(vec![
                Part::Bytes(head.into_bytes()),
                Part::Scan(scan.clone()),
                Part::Bytes(b"\nendstream".to_vec()),
            ]);
        }
        Self {
            objects,
            number: wanted.number,
            at: iso(wanted.modified),
        }
    }

    /// The file, its metadata padded with blanks as XMP has it.
    fn parts(&self, padding: u64) -> Vec<Part> {
        let mut parts = vec![Part::Bytes(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n".to_vec())];
        let mut at = length(&parts);
        let mut table = format!(
            "xref\n0 {}\n0000000000 65535 f \n",
            self.objects.len().saturating_add(1)
        );
        for (index, object) in self.objects.iter().enumerate() {
            let number = index.saturating_add(1);
            let head = format!("{number} 0 obj\n");
            table.push_str(&format!("{at:010} 00000 n \n"));
            let begin = parts.len();
            parts.push(Part::Bytes(head.into_bytes()));
            if number == 3 {
                parts.push(Part::Bytes(self.metadata(padding)));
            } else {
                parts.extend(object.iter().cloned());
            }
            parts.push(Part::Bytes(b"\nendobj\n".to_vec()));
            at = at.saturating_add(length(parts.get(begin..).unwrap_or_default()));
        }
        let id = format!("{:016x}{:016x}", self.number, self.number.rotate_left(29));
        table.push_str(&format!(
            "trailer\n<</Size {}/Root 1 0 R/Info 4 0 R/ID[<{id}><{id}>]>>\nstartxref\n{at}\n%%EOF\n",
            self.objects.len().saturating_add(1)
        ));
        parts.push(Part::Bytes(table.into_bytes()));
        parts
    }

    fn metadata(&self, padding: u64) -> Vec<u8> {
        let packet = format!(
            "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
             <x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
             <rdf:Description rdf:about=\"\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\">\
             <xmp:ModifyDate>{at}</xmp:ModifyDate></rdf:Description></rdf:RDF></x:xmpmeta>\n",
            at = self.at
        );
        let end = "<?xpacket end=\"w\"?>";
        let padding = usize::try_from(padding).unwrap_or(0);
        let length = packet
            .len()
            .saturating_add(padding)
            .saturating_add(end.len());
        let mut bytes = format!("<</Type/Metadata/Subtype/XML/Length {length}>>\nstream\n{packet}")
            .into_bytes();
        bytes.resize(bytes.len().saturating_add(padding), b' ');
        bytes.extend_from_slice(end.as_bytes());
        bytes.extend_from_slice(b"\nendstream");
        bytes
    }
}

/// The content of the written page.
fn written(story: &Story) -> String {
    let mut content = format!(
        "BT\n/F1 16 Tf\n60 780 Td\n({}) Tj\n/F1 10 Tf\n0 -28 Td\n14 TL\n",
        escaped(&story.title)
    );
    for paragraph in &story.paragraphs {
        for line in wrapped(paragraph, 95) {
            content.push_str(&format!("({}) Tj T*\n", escaped(&line)));
        }
        content.push_str("T*\n");
    }
    content.push_str("/F2 8 Tf\n11 TL\n");
    let header = aligned(story.columns().iter().map(|c| (*c).to_owned()));
    content.push_str(&format!("({}) Tj T*\n", escaped(&header)));
    for index in 0..story.rows() {
        let line = aligned(story.row(index).iter().map(Cell::to_string));
        content.push_str(&format!("({}) Tj T*\n", escaped(&line)));
    }
    content.push_str("ET");
    content
}

/// Text of a literal string (section 7.3.4.2); what isn't ASCII becomes a question mark.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '(' => "\\(".to_owned(),
            ')' => "\\)".to_owned(),
            '\\' => "\\\\".to_owned(),
            ' '..='~' => c.to_string(),
            _ => "?".to_owned(),
        })
        .collect()
}
