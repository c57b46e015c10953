//! ZIP archives as Office and Windows write them, and changes to those that somebody uploaded: what
//! isn't changed stays byte for byte, packed as it was (APPNOTE.TXT 6.3, sections 4.3 and 4.4).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Range;

use coalmine_core::Timestamp;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::prose::civil;

/// Files in an uploaded archive.
pub const MAX_ENTRIES: usize = 4096;
/// Bytes that an uploaded archive says it holds, unpacked.
pub const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
/// Longest comment after the archive, by its format.
const MAX_COMMENT: usize = 0xffff;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: usize = 22;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Flag: the file is encrypted.
const ENCRYPTED: u16 = 1;
/// Flag: sizes follow the data.
const DESCRIPTOR: u16 = 8;
/// Flags and version of a packed file that Office writes.
const OFFICE_FLAGS: u16 = 6;
const VERSION: u16 = 20;

/// DOS attributes of a file or folder.
pub mod attribute {
    #![expect(missing_docs, reason = "their names say it")]
    pub const HIDDEN: u32 = 0x02;
    pub const SYSTEM: u32 = 0x04;
    pub const DIRECTORY: u32 = 0x10;
    pub const ARCHIVE: u32 = 0x20;
}

/// A date and time of MS-DOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DosTime {
    /// Year since 1980, month, day in 7, 4 and 5 bits.
    pub date: u16,
    /// Hour, minute, two seconds in 5, 6 and 5 bits.
    pub time: u16,
}

impl DosTime {
    /// This moment in UTC.
    pub fn of(at: Timestamp) -> Self {
        let at = civil(at);
        let number = |n: i8| u16::try_from(n).unwrap_or(0);
        let year = u16::try_from(at.year().saturating_sub(1980)).unwrap_or(0);
        Self {
            date: year << 9 | number(at.month()) << 5 | number(at.day()),
            time: number(at.hour()) << 11 | number(at.minute()) << 5 | (number(at.second()) / 2),
        }
    }
}

/// What Office writes for every part.
pub const OFFICE_TIME: DosTime = DosTime {
    date: 0x0021,
    time: 0,
};

/// Writes an archive from nothing.
pub struct Writer {
    out: Vec<u8>,
    central: Vec<u8>,
    count: u16,
    time: DosTime,
    flags: u16,
}

impl Writer {
    /// As Office packs its parts.
    pub fn office() -> Self {
        Self {
            out: Vec::new(),
            central: Vec::new(),
            count: 0,
            time: OFFICE_TIME,
            flags: OFFICE_FLAGS,
        }
    }

    /// As Explorer packs a folder, everything of this time.
    pub fn explorer(time: DosTime) -> Self {
        Self {
            time,
            flags: 0,
            ..Self::office()
        }
    }

    /// Adds a file, or a folder where `name` ends in a slash.
    pub fn add(&mut self, name: &str, bytes: &[u8], attributes: u32) {
        let (method, packed) = if bytes.is_empty() {
            (STORED, Vec::new())
        } else {
            (DEFLATED, deflate(bytes))
        };
        let flags = if method == STORED { 0 } else { self.flags };
        let common = Common {
            flags,
            method,
            time: self.time,
            crc: crc32fast::hash(bytes),
            packed: clamp(packed.len()),
            size: clamp(bytes.len()),
        };
        let offset = clamp(self.out.len());
        local(&mut self.out, name, &common);
        self.out.extend_from_slice(&packed);
        central(&mut self.central, name, &common, attributes, offset);
        self.count = self.count.saturating_add(1);
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        let (start, len) = (clamp(self.out.len()), clamp(self.central.len()));
        self.out.extend_from_slice(&self.central);
        end(&mut self.out, self.count, start, len, &[]);
        self.out
    }
}

/// An uploaded archive.
pub struct Archive<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry>,
    comment: &'a [u8],
}

struct Entry {
    name: String,
    /// Its record in the list at the end.
    central: Range<usize>,
    /// Header, data and what follows them.
    local: Range<usize>,
    data: Range<usize>,
    method: u16,
    crc: u32,
    size: u32,
}

impl<'a> Archive<'a> {
    /// Reads the list of files; an `Err` says what is wrong with them.
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        Self::read_list(bytes).ok_or_else(|| "is no ZIP archive that can be read".to_owned())?
    }

    fn read_list(bytes: &'a [u8]) -> Option<Result<Self, String>> {
        let tail = bytes.len().saturating_sub(END_LEN + MAX_COMMENT);
        let found = bytes
            .get(tail..)?
            .windows(END.len())
            .rposition(|w| w == END)?;
        let at = tail.checked_add(found)?;
        let record = bytes.get(at..at.checked_add(END_LEN)?)?;
        let count = usize::from(u16_at(record, 10)?);
        let start = usize::try_from(u32_at(record, 16)?).ok()?;
        let comment = bytes.get(at.checked_add(END_LEN)?..)?;
        if count > MAX_ENTRIES {
            return Some(Err(format!("holds more than {MAX_ENTRIES} files")));
        }
        let mut entries: Vec<Entry> = Vec::new();
        let (mut next, mut unpacked, mut packed) = (start, 0_u64, 0_usize);
        for _ in 0..count {
            let head = bytes.get(next..next.checked_add(CENTRAL_LEN)?)?;
            if !head.starts_with(CENTRAL) {
                return None;
            }
            let names: usize = [28, 30, 32].into_iter().try_fold(0_usize, |sum, field| {
                sum.checked_add(usize::from(u16_at(head, field)?))
            })?;
            let end = next.checked_add(CENTRAL_LEN)?.checked_add(names)?;
            if end > at {
                return None;
            }
            if u16_at(head, 8)? & ENCRYPTED != 0 {
                return Some(Err("holds encrypted files; remove the password".to_owned()));
            }
            let entry = entry(bytes, head, next..end)?;
            unpacked = unpacked.saturating_add(u64::from(entry.size));
            packed = packed.checked_add(entry.local.len())?;
            next = end;
            entries.push(entry);
        }
        if unpacked > MAX_UNPACKED {
            return Some(Err(format!(
                "unpacks to more than {} MiB",
                MAX_UNPACKED / 1024 / 1024
            )));
        }
        // Files that share their data would make an archive many times its size.
        if packed > bytes.len() {
            return Some(Err("holds files that lie over each other".to_owned()));
        }
        let mut names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Some(Err("holds two files of the same name".to_owned()));
        }
        Some(Ok(Self {
            bytes,
            entries,
            comment,
        }))
    }

    /// The names of all files, in the order of the list.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The file `name` unpacked, if there is one; at most `max` bytes.
    pub fn read(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, String> {
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name) else {
            return Ok(None);
        };
        let packed = self.bytes.get(entry.data.clone()).unwrap_or_default();
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        let done = match entry.method {
            STORED => packed.take(limit).read_to_end(&mut bytes),
            DEFLATED => DeflateDecoder::new(packed)
                .take(limit)
                .read_to_end(&mut bytes),
            _ => return Err(format!("packs {name} in a way that can't be read")),
        };
        if bytes.len() > max {
            return Err(format!("holds {name} of more than {max} bytes"));
        }
        if done.is_err() || crc32fast::hash(&bytes) != entry.crc {
            return Err(format!("holds a damaged {name}"));
        }
        Ok(Some(bytes))
    }

    /// The archive with these files in place of those of the same name, new ones at the end.
    /// Everything else stays as it is.
    pub fn with(&self, changes: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len());
        let mut list = Vec::new();
        let mut count = 0_u16;
        let mut like: Option<(u16, DosTime)> = None;
        for entry in &self.entries {
            let offset = clamp(out.len());
            let mut record = self
                .bytes
                .get(entry.central.clone())
                .unwrap_or_default()
                .to_vec();
            let flags = u16_at(&record, 8).unwrap_or(0) & !DESCRIPTOR;
            let time = DosTime {
                time: u16_at(&record, 12).unwrap_or(0),
                date: u16_at(&record, 14).unwrap_or(0),
            };
            like.get_or_insert((flags & !0x0800, time));
            match changes.get(&entry.name) {
                Some(bytes) => {
                    let packed = deflate(bytes);
                    let common = Common {
                        flags,
                        method: DEFLATED,
                        time,
                        crc: crc32fast::hash(bytes),
                        packed: clamp(packed.len()),
                        size: clamp(bytes.len()),
                    };
                    local(&mut out, &entry.name, &common);
                    out.extend_from_slice(&packed);
                    put(&mut record, 8, &common.bytes());
                }
                None => {
                    out.extend_from_slice(self.bytes.get(entry.local.clone()).unwrap_or_default());
                }
            }
            put(&mut record, 42, &offset.to_le_bytes());
            list.extend_from_slice(&record);
            count = count.saturating_add(1);
        }
        let (flags, time) = like.unwrap_or((OFFICE_FLAGS, OFFICE_TIME));
        for (name, bytes) in changes {
            if self.names().any(|known| known == name) {
                continue;
            }
            let packed = deflate(bytes);
            let common = Common {
                flags,
                method: DEFLATED,
                time,
                crc: crc32fast::hash(bytes),
                packed: clamp(packed.len()),
                size: clamp(bytes.len()),
            };
            let offset = clamp(out.len());
            local(&mut out, name, &common);
            out.extend_from_slice(&packed);
            central(&mut list, name, &common, 0, offset);
            count = count.saturating_add(1);
        }
        let start = clamp(out.len());
        out.extend_from_slice(&list);
        end(&mut out, count, start, clamp(list.len()), self.comment);
        out
    }
}

/// One record of the list; `None` where it points outside.
fn entry(bytes: &[u8], head: &[u8], central: Range<usize>) -> Option<Entry> {
    let name_len = usize::from(u16_at(head, 28)?);
    let name_at = central.start.checked_add(CENTRAL_LEN)?;
    let name = bytes.get(name_at..name_at.checked_add(name_len)?)?;
    let packed = usize::try_from(u32_at(head, 20)?).ok()?;
    let start = usize::try_from(u32_at(head, 42)?).ok()?;
    let local = bytes.get(start..start.checked_add(LOCAL_LEN)?)?;
    if !local.starts_with(LOCAL) {
        return None;
    }
    let names = usize::from(u16_at(local, 26)?).checked_add(usize::from(u16_at(local, 28)?))?;
    let data = start.checked_add(LOCAL_LEN)?.checked_add(names)?;
    let data_end = data.checked_add(packed)?;
    let mut end = data_end;
    if u16_at(local, 6)? & DESCRIPTOR != 0 {
        let signed = bytes.get(end..)?.starts_with(b"PK\x07\x08");
        end = end.checked_add(if signed { 16 } else { 12 })?;
    }
    bytes.get(start..end)?;
    Some(Entry {
        name: String::from_utf8(name.to_vec()).ok()?,
        central,
        local: start..end,
        data: data..data_end,
        method: u16_at(head, 10)?,
        crc: u32_at(head, 16)?,
        size: u32_at(head, 24)?,
    })
}

/// What both headers of a file say.
struct Common {
    flags: u16,
    method: u16,
    time: DosTime,
    crc: u32,
    packed: u32,
    size: u32,
}

impl Common {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        for short in [self.flags, self.method, self.time.time, self.time.date] {
            out.extend_from_slice(&short.to_le_bytes());
        }
        for long in [self.crc, self.packed, self.size] {
            out.extend_from_slice(&long.to_le_bytes());
        }
        out
    }
}

fn local(out: &mut Vec<u8>, name: &str, common: &Common) {
    out.extend_from_slice(LOCAL);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&common.bytes());
    out.extend_from_slice(&short(name.len()).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(name.as_bytes());
}

fn central(out: &mut Vec<u8>, name: &str, common: &Common, attributes: u32, offset: u32) {
    out.extend_from_slice(CENTRAL);
    // Made on MS-DOS (0): Windows ignores the attributes of files that were made elsewhere.
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&common.bytes());
    out.extend_from_slice(&short(name.len()).to_le_bytes());
    // No extra field, no comment, the first disk, no inner attributes.
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&attributes.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(name.as_bytes());
}

fn end(out: &mut Vec<u8>, count: u16, start: u32, len: u32, comment: &[u8]) {
    out.extend_from_slice(END);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&short(comment.len()).to_le_bytes());
    out.extend_from_slice(comment);
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // A Vec takes everything.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if let Some(place) = record.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn short(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn three() -> Vec<u8> {
        let mut writer = Writer::office();
        writer.add("a.xml", b"<a>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</a>", 0);
        writer.add("folder/b.xml", b"<b/>", 0);
        writer.add("empty", b"", 0);
        writer.finish()
    }

    #[test]
    fn another_program_reads_what_is_written() {
        let mut zip = zip::ZipArchive::new(Cursor::new(three())).unwrap();
        assert_eq!(zip.len(), 3);
        let mut text = String::new();
        zip.by_name("folder/b.xml")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "<b/>");
    }

    #[test]
    fn what_is_not_changed_stays_byte_for_byte() {
        let before = three();
        let archive = Archive::open(&before).unwrap();
        assert_eq!(archive.with(&BTreeMap::new()), before);
        let after = archive.with(&BTreeMap::from([
            ("folder/b.xml".to_owned(), b"<b>more</b>".to_vec()),
            ("new".to_owned(), b"news".to_vec()),
        ]));
        let mut zip = zip::ZipArchive::new(Cursor::new(after.clone())).unwrap();
        let names: Vec<_> = zip.file_names().map(|n| n.unwrap().into_owned()).collect();
        assert_eq!(names, ["a.xml", "folder/b.xml", "empty", "new"]);
        for i in 0..zip.len() {
            let mut sink = Vec::new();
            zip.by_index(i).unwrap().read_to_end(&mut sink).unwrap();
        }
        let after = Archive::open(&after).unwrap();
        let raw = |a: &Archive<'_>| a.bytes[a.entries[0].local.clone()].to_vec();
        assert_eq!(raw(&archive), raw(&after));
        assert_eq!(after.read("new", 10), Ok(Some(b"news".to_vec())));
        assert_eq!(after.read("missing", 10), Ok(None));
    }

    #[test]
    fn bombs_and_rubbish_are_refused() {
        assert!(Archive::open(b"").is_err());
        assert!(Archive::open(b"hello").is_err());
        let mut writer = Writer::office();
        writer.add("bomb", &vec![0; 1 << 20], 0);
        let bomb = writer.finish();
        let archive = Archive::open(&bomb).unwrap();
        assert_eq!(
            archive.read("bomb", 1000).unwrap_err(),
            "holds bomb of more than 1000 bytes"
        );
        // A thousand names for the same megabyte.
        let mut many = bomb.clone();
        let at = many.len() - END_LEN;
        let record = many[at - CENTRAL_LEN - 4..at].to_vec();
        many.truncate(at - record.len());
        let start = many.len();
        for i in 0..1000_u16 {
            let mut record = record.clone();
            record[CENTRAL_LEN..].copy_from_slice(format!("{i:04}").as_bytes());
            many.extend_from_slice(&record);
        }
        end(&mut many, 1000, clamp(start), 50_000, &[]);
        assert_eq!(
            Archive::open(&many).err().unwrap(),
            "unpacks to more than 256 MiB"
        );
        let mut torn = three();
        torn[40] ^= 0xff;
        let torn = Archive::open(&torn).unwrap().read("a.xml", 100);
        assert_eq!(torn.unwrap_err(), "holds a damaged a.xml");
    }

    #[test]
    fn files_that_lie_over_each_other_are_refused() {
        let mut writer = Writer::office();
        writer.add("data", &Dice::noise(1000), 0);
        let one = writer.finish();
        let at = one.len() - END_LEN;
        let record = one[at - CENTRAL_LEN - 4..at].to_vec();
        let mut many = one[..at - record.len()].to_vec();
        let start = many.len();
        for i in 0..9 {
            let mut record = record.clone();
            record[CENTRAL_LEN] = b'0' + i;
            many.extend_from_slice(&record);
        }
        end(&mut many, 9, clamp(start), 450, &[]);
        assert_eq!(
            Archive::open(&many).err().unwrap(),
            "holds files that lie over each other"
        );
    }

    struct Dice;
    impl Dice {
        fn noise(len: usize) -> Vec<u8> {
            let seed = coalmine_core::Seed::new([9; 32]);
            let mut dice = super::super::Dice::new(&seed, "noise");
            (0..len).map(|_| dice.bytes::<1>()[0]).collect()
        }
    }
}
