//! Documents that are made when somebody reads them: always the same, at any offset, of exactly
//! the size that the folder lists.
//!
//! A document is a short list of parts. What makes it big is a part that can begin anywhere (a
//! scanned page, rows of a table, ciphertext), so that no more than what's asked for is in memory.

mod office;
mod pdf;
mod picture;
mod plain;
mod story;

use coalmine_core::Timestamp;

use picture::Scan;
use plain::Rows;
pub use story::Company;
use story::Story;

/// Largest document whose checksums cover all of it, in bytes: they're made by reading it once.
pub const MAX_CHECKED: u64 = 32 * 1024 * 1024;
/// Largest file, in bytes.
pub const MAX_FILE: u64 = 2 * 1024 * 1024 * 1024 - 1;

/// What is known of a document from outside.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Its name with its extension, from which kind and subject follow.
    pub name: &'a str,
    /// Its size in bytes, as [`size`] gives it.
    pub size: u64,
    /// When it was last written.
    pub modified: Timestamp,
    /// What its content is chosen with.
    pub number: u64,
    /// Whose it is.
    pub company: &'a Company,
}

/// What a document of this name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Sheet,
    Pdf,
    Png,
    Csv,
    Text,
    /// An archive with a password (WinZip's AE-2, which has no checksum of the content).
    Zip,
    /// A KeePass database.
    KeePass,
    /// Anything else: bytes without meaning.
    Sealed,
}

impl Kind {
    fn of(name: &str) -> Self {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension.to_ascii_lowercase().as_str() {
            "docx" => Self::Word,
            "xlsx" => Self::Sheet,
            "pdf" => Self::Pdf,
            "png" => Self::Png,
            "csv" => Self::Csv,
            "zip" => Self::Zip,
            "kdbx" => Self::KeePass,
            "txt" | "log" | "md" | "ini" | "conf" | "cfg" | "config" | "ps1" | "bat" | "cmd"
            | "sh" | "sql" | "xml" | "json" | "yml" | "yaml" | "ovpn" | "rdp" | "eml" | "html" => {
                Self::Text
            }
            _ => Self::Sealed,
        }
    }

    /// The smallest and the largest one, in bytes.
    const fn bounds(self) -> (u64, u64) {
        match self {
            Self::Word | Self::Sheet => (16 * 1024, MAX_CHECKED),
            Self::Png => (1024, MAX_CHECKED),
            Self::Pdf => (8 * 1024, MAX_FILE),
            Self::Zip | Self::KeePass => (1024, MAX_FILE),
            Self::Csv | Self::Text | Self::Sealed => (0, MAX_FILE),
        }
    }
}

/// The size that a file of this name has when `size` is wished: the nearest possible one.
/// Without a wish, what suits its kind, chosen with `number`.
pub fn size(name: &str, number: u64, company: &Company, wish: Option<u64>) -> u64 {
    let kind = Kind::of(name);
    let (low, high) = kind.bounds();
    let mut dice = super::dice::Dice::at(number, 1);
    let wish = wish.unwrap_or_else(|| match kind {
        Kind::Word => dice.between(18_000, 420_000),
        Kind::Sheet => dice.between(17_000, 260_000),
        Kind::Pdf => dice.between(48_000, 2_600_000),
        Kind::Png => dice.between(30_000, 900_000),
        Kind::Csv => dice.between(10_000, 900_000),
        Kind::Text => plain::natural(name, number, company),
        Kind::Zip => dice.between(900_000, 9_000_000),
        Kind::KeePass => dice.between(2_000, 24_000),
        Kind::Sealed => dice.between(60_000, 4_000_000),
    });
    wish.clamp(low, high)
}

/// A document, ready to be read anywhere.
#[derive(Clone, Debug)]
pub struct Document(Vec<Part>);

impl Document {
    /// Makes the document; those with checksums are read once for that.
    pub fn new(wanted: &Wanted<'_>) -> Self {
        let parts = match Kind::of(wanted.name) {
            Kind::Word => office::word(wanted),
            Kind::Sheet => office::sheet(wanted),
            Kind::Pdf => pdf::pdf(wanted),
            Kind::Png => picture::png(wanted.number, wanted.size, true),
            Kind::Csv => plain::csv(wanted),
            Kind::Text => plain::text(wanted),
            Kind::Zip => plain::zip(wanted),
            Kind::KeePass => plain::keepass(wanted),
            Kind::Sealed => vec![Part::Noise {
                number: wanted.number,
                length: wanted.size,
            }],
        };
        Self(parts)
    }

    /// Its size in bytes.
    #[cfg(test)]
    pub fn size(&self) -> u64 {
        length(&self.0)
    }

    /// Appends at most `most` bytes from `offset` on to `out`; fewer only at the end.
    pub fn read(&self, offset: u64, most: usize, out: &mut Vec<u8>) {
        let goal = out.len().saturating_add(most);
        let mut skip = offset;
        for part in &self.0 {
            let wanted = goal.saturating_sub(out.len());
            if wanted == 0 {
                return;
            }
            let Some(rest) = part.len().checked_sub(skip) else {
                skip = skip.saturating_sub(part.len());
                continue;
            };
            let here = usize::try_from(rest).unwrap_or(usize::MAX).min(wanted);
            part.read(skip, here, out);
            skip = 0;
        }
    }
}

/// One part of a document.
#[derive(Clone, Debug)]
enum Part {
    Bytes(Vec<u8>),
    /// Bytes that look random.
    Noise {
        number: u64,
        length: u64,
    },
    Scan(Scan),
    Rows(Rows),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Noise { length, .. } => *length,
            Self::Scan(scan) => scan.len(),
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Appends exactly `count` bytes from `offset` on; the caller knows that they're there.
    fn read(&self, offset: u64, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.get(from..).unwrap_or_default();
                out.extend_from_slice(rest.get(..count).unwrap_or(rest));
            }
            Self::Noise { number, .. } => plain::noise(*number, offset, count, out),
            Self::Scan(scan) => scan.read(offset, count, out),
            Self::Rows(rows) => rows.read(offset, count, out),
        }
    }
}

fn length(parts: &[Part]) -> u64 {
    parts
        .iter()
        .fold(0, |sum: u64, part| sum.saturating_add(part.len()))
}

/// Gives all bytes of `parts` to `take`, a piece at a time.
fn each_piece(parts: &[Part], mut take: impl FnMut(&[u8])) {
    const PIECE: usize = 64 * 1024;
    let mut piece = Vec::with_capacity(PIECE);
    for part in parts {
        let mut at = 0;
        while at < part.len() {
            let rest = part.len().saturating_sub(at);
            let count = usize::try_from(rest).unwrap_or(usize::MAX).min(PIECE);
            piece.clear();
            part.read(at, count, &mut piece);
            take(&piece);
            at = at.saturating_add(count as u64);
        }
    }
}

#[cfg(test)]
mod tests;
