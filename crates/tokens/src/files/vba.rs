//! VBA projects from source text alone (MS-OVBA): Office compiles them when it opens them.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use super::Dice;

/// Longest stretch that is compressed at once (MS-OVBA section 2.4.1.1.12).
const CHUNK: usize = 4096;
/// Places that are tried for a stretch to copy.
const MAX_TRIED: usize = 32;
/// Windows-1252.
const CODE_PAGE: u16 = 1252;

/// One module of a project.
pub struct Module {
    /// Its name in ASCII, which is that of its stream too.
    pub name: &'static str,
    /// The whole source with its attributes, lines ending in CR LF.
    pub source: String,
}

/// The file `vbaProject.bin`: a project `name` of document modules.
pub fn project(dice: &mut Dice, name: &str, modules: &[Module]) -> Vec<u8> {
    let id = format!("{{{}}}", dice.guid());
    let mut streams = || -> std::io::Result<Vec<u8>> {
        let mut file =
            cfb::CompoundFile::create_with_version(cfb::Version::V3, Cursor::new(Vec::new()))?;
        file.create_storage("/VBA")?;
        let mut put = |path: &str, bytes: &[u8]| file.create_stream(path)?.write_all(bytes);
        put("/VBA/dir", &compress(&dir(dice, name, modules)))?;
        for module in modules {
            put(
                &format!("/VBA/{}", module.name),
                &compress(module.source.as_bytes()),
            )?;
        }
        // Section 2.3.4.1: no compiled code, of no known version.
        put("/VBA/_VBA_PROJECT", &[0xcc, 0x61, 0xff, 0xff, 0, 0, 0])?;
        put(
            "/PROJECT",
            project_text(dice, &id, name, modules).as_bytes(),
        )?;
        put("/PROJECTwm", &names(modules))?;
        file.flush()?;
        Ok(file.into_inner().into_inner())
    };
    // Only running out of memory would fail here.
    let mut bytes = streams().unwrap_or_default();
    undate(&mut bytes);
    bytes
}

/// The storage `VBA` bears the time at which it was made (MS-CFB section 2.6.1); a token made twice
/// must be the same, so it bears none.
fn undate(bytes: &mut [u8]) {
    const NAME: [u8; 8] = *b"V\0B\0A\0\0\0";
    for entry in bytes.chunks_exact_mut(128) {
        if entry.starts_with(&NAME)
            && entry.get(64..67) == Some(&[8, 0, 1])
            && let Some(times) = entry.get_mut(100..116)
        {
            times.fill(0);
        }
    }
}

/// The stream `dir`, not compressed (section 2.3.4.2).
fn dir(dice: &mut Dice, name: &str, modules: &[Module]) -> Vec<u8> {
    let mut out = Records(Vec::new());
    // System: 32 or 64 bits of Windows.
    out.long(0x0001, dice.pick(&[1, 3]));
    out.long(0x0002, 0x0409);
    out.long(0x0014, 0x0409);
    out.record(0x0003, &CODE_PAGE.to_le_bytes());
    out.record(0x0004, name.as_bytes());
    out.pair(0x0005, 0x0040, "");
    out.record(0x0006, b"");
    out.record(0x003d, b"");
    out.long(0x0007, 0);
    out.long(0x0008, 0);
    // Version: its length field doesn't count the minor number.
    out.long(0x0009, dice.number(0x5000_0000, 0x6fff_ffff));
    out.0
        .extend_from_slice(&u16::try_from(dice.number(2, 90)).unwrap_or(2).to_le_bytes());
    out.pair(0x000c, 0x003c, "");
    for (reference, library) in [
        (
            "stdole",
            "*\\G{00020430-0000-0000-C000-000000000046}#2.0#0#C:\\Windows\\System32\\stdole2.tlb#OLE Automation",
        ),
        (
            "Office",
            "*\\G{2DF8D04C-5BFA-101B-BDE5-00AA0044DE52}#2.0#0#C:\\Program Files\\Common Files\\Microsoft Shared\\OFFICE16\\MSO.DLL#Microsoft Office 16.0 Object Library",
        ),
    ] {
        out.pair(0x0016, 0x003e, reference);
        let mut registered = length(library.len()).to_vec();
        registered.extend_from_slice(library.as_bytes());
        registered.extend_from_slice(&[0; 6]);
        out.record(0x000d, &registered);
    }
    let count = u16::try_from(modules.len()).unwrap_or(u16::MAX);
    out.record(0x000f, &count.to_le_bytes());
    out.record(0x0013, &dice.bytes::<2>());
    for module in modules {
        out.pair(0x0019, 0x0047, module.name);
        out.pair(0x001a, 0x0032, module.name);
        out.pair(0x001c, 0x0048, "");
        out.long(0x0031, 0);
        out.long(0x001e, 0);
        out.record(0x002c, &dice.bytes::<2>());
        out.record(0x0022, b"");
        out.record(0x002b, b"");
    }
    out.record(0x0010, b"");
    out.0
}

/// Records of an id, a length and that many bytes.
struct Records(Vec<u8>);

impl Records {
    fn record(&mut self, id: u16, bytes: &[u8]) {
        self.0.extend_from_slice(&id.to_le_bytes());
        self.0.extend_from_slice(&length(bytes.len()));
        self.0.extend_from_slice(bytes);
    }

    fn long(&mut self, id: u16, value: u32) {
        self.record(id, &value.to_le_bytes());
    }

    /// The same text in the code page and in UTF-16.
    fn pair(&mut self, id: u16, wide: u16, text: &str) {
        self.record(id, text.as_bytes());
        self.record(wide, &utf16(text));
    }
}

/// The stream `PROJECT` (section 2.3.1).
fn project_text(dice: &mut Dice, id: &str, name: &str, modules: &[Module]) -> String {
    let lines = |line: fn(&str) -> String| -> String {
        modules.iter().map(|module| line(module.name)).collect()
    };
    let documents = lines(|module| format!("Document={module}/&H00000000\r\n"));
    let windows = lines(|module| format!("{module}=0, 0, 0, 0, C\r\n"));
    format!(
        "ID=\"{id}\"\r\n{documents}Name=\"{name}\"\r\nHelpContextID=\"0\"\r\nVersionCompatible32=\"393222000\"\r\n\
         CMG=\"{}\"\r\nDPB=\"{}\"\r\nGC=\"{}\"\r\n\r\n[Host Extender Info]\r\n\
         &H00000001={{3832D640-CF90-11CF-8E43-00A0C911005A}};VBE;&H00000000\r\n\r\n[Workspace]\r\n{windows}",
        // Not protected, no password, visible.
        encrypt(dice, id, &[0; 4]),
        encrypt(dice, id, &[0]),
        encrypt(dice, id, &[0xff]),
    )
}

/// The stream `PROJECTwm`: every module's name in the code page and in UTF-16 (section 2.3.3).
fn names(modules: &[Module]) -> Vec<u8> {
    let mut out = Vec::new();
    for module in modules {
        out.extend_from_slice(module.name.as_bytes());
        out.push(0);
        out.extend_from_slice(&utf16(module.name));
        out.extend_from_slice(&[0; 2]);
    }
    out.extend_from_slice(&[0; 2]);
    out
}

/// Data encryption (section 2.4.3.2), in hexadecimal.
fn encrypt(dice: &mut Dice, id: &str, data: &[u8]) -> String {
    const VERSION: u8 = 2;
    let [seed] = dice.bytes::<1>();
    let key = id.bytes().fold(0_u8, u8::wrapping_add);
    let mut out = vec![seed, seed ^ VERSION, seed ^ key];
    let (mut plain, mut last, mut before) = (key, seed ^ key, seed ^ VERSION);
    let ignored: Vec<u8> = (0..(seed & 6) / 2).map(|_| dice.bytes::<1>()[0]).collect();
    for byte in ignored
        .into_iter()
        .chain(length(data.len()))
        .chain(data.iter().copied())
    {
        let hidden = byte ^ before.wrapping_add(plain);
        out.push(hidden);
        (before, last, plain) = (last, hidden, byte);
    }
    data_encoding::HEXUPPER.encode(&out)
}

/// Compression (section 2.4.1).
fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    for chunk in bytes.chunks(CHUNK) {
        let tokens = tokens(chunk);
        // Signature 3 in bits 12-14, bit 15 for a compressed chunk, size less 3 below.
        let (flag, mut body) = if tokens.len() < CHUNK {
            (0xb000_u16, tokens)
        } else {
            (0x3000, chunk.to_vec())
        };
        if flag == 0x3000 {
            body.resize(CHUNK, 0);
        }
        let size = u16::try_from(body.len().saturating_sub(1)).unwrap_or(0x0fff) & 0x0fff;
        out.extend_from_slice(&(flag | size).to_le_bytes());
        out.extend_from_slice(&body);
    }
    out
}

/// The token sequences of one chunk: a byte of flags, then eight literals or copies.
fn tokens(chunk: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seen = Seen::default();
    let mut at = 0;
    while at < chunk.len() {
        let flags_at = out.len();
        out.push(0);
        let mut flags = 0_u8;
        for bit in 0..8 {
            if at >= chunk.len() {
                break;
            }
            // Section 2.4.1.3.19.1: more bits for the offset, the further the chunk is.
            let offset_bits = (usize::BITS - at.saturating_sub(1).leading_zeros()).max(4);
            let longest = (0xffff_usize >> offset_bits) + 3;
            let step = match seen.longest(chunk, at, longest) {
                Some((offset, len)) => {
                    let token = (offset - 1) << (16 - offset_bits) | (len - 3);
                    out.extend_from_slice(&u16::try_from(token).unwrap_or(0).to_le_bytes());
                    flags |= 1 << bit;
                    len
                }
                None => {
                    out.extend(chunk.get(at));
                    1
                }
            };
            for passed in at..at + step {
                seen.add(chunk, passed);
            }
            at += step;
        }
        if let Some(place) = out.get_mut(flags_at) {
            *place = flags;
        }
    }
    out
}

/// Where three bytes stood before in a chunk.
#[derive(Default)]
struct Seen(BTreeMap<[u8; 3], Vec<usize>>);

impl Seen {
    /// Remembers what stands at `at`.
    fn add(&mut self, chunk: &[u8], at: usize) {
        if let Some(three) = chunk.get(at..).and_then(<[u8]>::first_chunk) {
            self.0.entry(*three).or_default().push(at);
        }
    }

    /// Distance and length of the longest stretch before `at` that goes on like this, if there are
    /// three bytes of it.
    fn longest(&self, chunk: &[u8], at: usize, longest: usize) -> Option<(usize, usize)> {
        let here = chunk.get(at..)?;
        let places = self.0.get(here.first_chunk::<3>()?)?;
        places
            .iter()
            .rev()
            .take(MAX_TRIED)
            .map(|start| {
                let there = chunk.get(*start..).unwrap_or_default();
                let same = here.iter().zip(there).take(longest);
                (at - start, same.take_while(|(a, b)| a == b).count())
            })
            .max_by_key(|(distance, len)| (*len, usize::MAX - distance))
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::Seed;
    use std::io::Read;

    /// Section 2.4.1.3.1.
    fn decompress(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = bytes.strip_prefix(&[1]).unwrap();
        while let Some((head, after)) = rest.split_first_chunk::<2>() {
            let head = u16::from_le_bytes(*head);
            let (mut chunk, next) = after.split_at(usize::from(head & 0x0fff) + 1);
            rest = next;
            if head & 0x8000 == 0 {
                out.extend_from_slice(chunk);
                continue;
            }
            let start = out.len();
            while let Some((flags, after)) = chunk.split_first() {
                chunk = after;
                for bit in 0..8 {
                    if chunk.is_empty() {
                        break;
                    }
                    if flags & (1 << bit) == 0 {
                        out.push(chunk[0]);
                        chunk = &chunk[1..];
                        continue;
                    }
                    let token = usize::from(u16::from_le_bytes([chunk[0], chunk[1]]));
                    chunk = &chunk[2..];
                    let done = out.len() - start;
                    let bits = (4..=12).find(|b| 1_usize << b >= done).unwrap();
                    let len = (token & (0xffff >> bits)) + 3;
                    let offset = (token >> (16 - bits)) + 1;
                    for _ in 0..len {
                        out.push(out[out.len() - offset]);
                    }
                }
            }
        }
        out
    }

    #[test]
    fn what_is_compressed_comes_back() {
        // Example of section 3.2.2 of MS-OVBA.
        let text = b"#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa";
        assert_eq!(decompress(&compress(text)), text);
        assert!(compress(text).len() < text.len());
        let long: Vec<u8> = (0..20_000_u32)
            .flat_map(|n| (n / 7 % 90).to_le_bytes())
            .collect();
        assert_eq!(decompress(&compress(&long)), long);
        let mut dice = Dice::new(&Seed::new([1; 32]), "noise");
        let noise = dice.bytes::<8192>();
        assert_eq!(decompress(&compress(&noise)), noise);
        assert_eq!(compress(b""), [1]);
    }

    /// The reading side of section 2.4.3.3.
    fn decrypt(text: &str) -> Vec<u8> {
        let bytes = data_encoding::HEXUPPER.decode(text.as_bytes()).unwrap();
        let (seed, version, key) = (bytes[0], bytes[0] ^ bytes[1], bytes[0] ^ bytes[2]);
        assert_eq!(version, 2);
        let (mut plain, mut one, mut two) = (key, bytes[2], bytes[1]);
        let mut out = Vec::new();
        for byte in &bytes[3..] {
            plain = byte ^ two.wrapping_add(plain);
            (two, one) = (one, *byte);
            out.push(plain);
        }
        out.split_off(usize::from(seed & 6) / 2)
    }

    #[test]
    fn another_program_reads_the_project() {
        let modules = [Module {
            name: "ThisDocument",
            source: "Attribute VB_Name = \"ThisDocument\"\r\n".repeat(200),
        }];
        let make = || {
            project(
                &mut Dice::new(&Seed::new([1; 32]), "vba"),
                "Project",
                &modules,
            )
        };
        let bytes = make();
        assert_eq!(bytes, make(), "made twice it is the same");
        let mut file = cfb::CompoundFile::open_strict(Cursor::new(bytes)).unwrap();
        let mut read = |path: &str| {
            let mut bytes = Vec::new();
            file.open_stream(path)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        };
        assert_eq!(
            decompress(&read("/VBA/ThisDocument")),
            modules[0].source.as_bytes()
        );
        let text = String::from_utf8(read("/PROJECT")).unwrap();
        assert!(
            text.contains("Document=ThisDocument/&H00000000\r\n"),
            "{text}"
        );
        let value = |key: &str| {
            let line = text.lines().find(|l| l.starts_with(key)).unwrap();
            decrypt(line.split('"').nth(1).unwrap())
        };
        assert_eq!(value("CMG"), [4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(value("DPB"), [1, 0, 0, 0, 0]);
        assert_eq!(value("GC"), [1, 0, 0, 0, 0xff]);
        assert!(
            decompress(&read("/VBA/dir"))
                .windows(7)
                .any(|w| w == b"Project")
        );
    }
}
