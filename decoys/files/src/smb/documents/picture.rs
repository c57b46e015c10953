//! Scanned pages: paper with lines of something that was writing before it was made small.

use std::sync::Arc;

use super::super::dice::Dice;
use super::{Part, each_piece, length};

/// Pixels from the top of one line of writing to the next.
const LINE: u32 = 14;
/// Longest payload of a stored block of deflate (RFC 1951 section 3.2.4).
const BLOCK: u64 = 65_535;
/// The same with its header.
const BLOCK_AND_HEADER: u64 = BLOCK + 5;
/// Pixels of paper and of ink that rows are cut from.
const TILE: usize = 8192;
/// Widest page, in pixels: less than [`TILE`].
const MAX_WIDTH: u32 = 5_000;

/// A page as pixels of one byte, dark to bright.
#[derive(Clone, Debug)]
pub struct Scan {
    number: u64,
    width: u32,
    height: u32,
    /// As PNG wants it: a filter byte before each row, all in stored blocks of deflate.
    blocks: bool,
    paper: Arc<[u8]>,
    ink: Arc<[u8]>,
}

impl Scan {
    /// The largest page of about A4's shape that has at most `most` pixels.
    pub fn new(number: u64, most: u64) -> Self {
        let width = most.saturating_mul(70).div_euclid(99).isqrt();
        let width = u32::try_from(width)
            .unwrap_or(MAX_WIDTH)
            .clamp(8, MAX_WIDTH);
        let height = most.checked_div(u64::from(width)).unwrap_or(0);
        let mut dice = Dice::at(number, 2);
        let white = dice.between(228, 244);
        let mut shade = |from: u64, by: u64| {
            let byte = |_| u8::try_from(from.saturating_add(dice.below(by))).unwrap_or(0);
            (0..TILE).map(byte).collect()
        };
        Self {
            number,
            width,
            height: u32::try_from(height).unwrap_or(u32::MAX).max(8),
            blocks: false,
            paper: shade(white, 11),
            ink: shade(40, 120),
        }
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes of all rows without the headers of blocks.
    fn raw(&self) -> u64 {
        self.stride().saturating_mul(u64::from(self.height))
    }

    fn stride(&self) -> u64 {
        u64::from(self.width).saturating_add(u64::from(self.blocks))
    }

    pub fn len(&self) -> u64 {
        let raw = self.raw();
        if self.blocks {
            raw.saturating_add(raw.div_ceil(BLOCK).saturating_mul(5))
        } else {
            raw
        }
    }

    pub fn read(&self, offset: u64, count: usize, out: &mut Vec<u8>) {
        if !self.blocks {
            self.rows(offset, count, out);
            return;
        }
        let (mut offset, goal) = (offset, out.len().saturating_add(count));
        while out.len() < goal {
            let wanted = goal.saturating_sub(out.len());
            let (block, within) = (offset / BLOCK_AND_HEADER, offset % BLOCK_AND_HEADER);
            let start = block.saturating_mul(BLOCK);
            let payload = self.raw().saturating_sub(start).min(BLOCK);
            if payload == 0 {
                return;
            }
            let before = out.len();
            if within < 5 {
                let size = u16::try_from(payload).unwrap_or(u16::MAX);
                let [a, b] = size.to_le_bytes();
                let last = start.saturating_add(payload) >= self.raw();
                let header = [u8::from(last), a, b, !a, !b];
                let skip = usize::try_from(within).unwrap_or(5);
                out.extend(header.iter().skip(skip).take(wanted));
            } else {
                let within = within.saturating_sub(5);
                let rest = payload.saturating_sub(within);
                let here = usize::try_from(rest).unwrap_or(wanted).min(wanted);
                self.rows(start.saturating_add(within), here, out);
            }
            let gained = out.len().saturating_sub(before) as u64;
            offset = offset.saturating_add(gained);
        }
    }

    /// Appends `count` bytes of rows.
    fn rows(&self, offset: u64, count: usize, out: &mut Vec<u8>) {
        let goal = out.len().saturating_add(count);
        let mut y = offset / self.stride();
        let mut skip = usize::try_from(offset % self.stride()).unwrap_or(0);
        let mut row = Vec::with_capacity(usize::try_from(self.stride()).unwrap_or(0));
        while out.len() < goal {
            row.clear();
            if self.blocks {
                row.push(0);
            }
            self.row(u32::try_from(y).unwrap_or(u32::MAX), &mut row);
            let wanted = goal.saturating_sub(out.len());
            let rest = row.get(skip..).unwrap_or_default();
            out.extend_from_slice(rest.get(..wanted).unwrap_or(rest));
            skip = 0;
            y = y.saturating_add(1);
        }
    }

    /// One row of pixels: paper, and in a line of writing words of ink.
    fn row(&self, y: u32, row: &mut Vec<u8>) {
        let width = usize::try_from(self.width).unwrap_or(0);
        let begin = row.len();
        let mut grain = Dice::at(self.number, u64::from(y));
        row.extend_from_slice(cut(&self.paper, &mut grain, width));
        let margin = self.width / 9;
        let (line, within) = (y / LINE, y % LINE);
        let top = self.height / 12;
        if !(4..=10).contains(&within) || y < top || y > self.height.saturating_sub(top) {
            return;
        }
        let mut words = Dice::at(self.number ^ 0x5ca1, u64::from(line));
        // A paragraph ends now and then.
        if words.chance(12) {
            return;
        }
        let end = if words.chance(20) {
            self.width / 2
        } else {
            self.width.saturating_sub(margin)
        };
        let mut x = margin;
        loop {
            let word = u32::try_from(words.between(9, 46)).unwrap_or(9);
            let stop = x.saturating_add(word);
            if stop > end {
                return;
            }
            let letters = cut(&self.ink, &mut grain, usize::try_from(word).unwrap_or(0));
            let from = begin.saturating_add(usize::try_from(x).unwrap_or(0));
            for (pixel, shade) in row.iter_mut().skip(from).zip(letters) {
                *pixel = *shade;
            }
            x = stop.saturating_add(6);
        }
    }
}

/// `length` bytes from anywhere in `tile`.
fn cut<'a>(tile: &'a [u8], dice: &mut Dice, length: usize) -> &'a [u8] {
    let room = tile.len().saturating_sub(length) as u64;
    let from = usize::try_from(dice.below(room)).unwrap_or(0);
    tile.get(from..from.saturating_add(length))
        .unwrap_or_default()
}

/// A PNG file (RFC 2083): of exactly `size` bytes if it shall be `padded`, otherwise a little
/// smaller.
pub fn png(number: u64, size: u64, padded: bool) -> Vec<Part> {
    // Signature, IHDR, IDAT's frame, zlib's header and checksum, tEXt's frame and keyword, IEND.
    const FRAME: u64 = 8 + 25 + 12 + 6 + 20 + 12;
    let most = size.saturating_sub(FRAME);
    let most = most.saturating_sub(most.div_ceil(BLOCK_AND_HEADER).saturating_mul(5));
    let mut scan = Scan::new(number, most);
    scan.blocks = true;
    // The filter bytes take room too.
    let rows = u32::try_from(most / scan.stride())
        .unwrap_or(u32::MAX)
        .max(1);
    scan.height = rows.min(scan.height);
    let (width, height) = (scan.width, scan.height);
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 0, 0, 0, 0]);
    let mut front = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(b"IHDR", &header, &mut front);
    let spare = size.saturating_sub(scan.len()).saturating_sub(FRAME);
    if padded {
        let mut comment = b"Comment\0".to_vec();
        comment.resize(usize::try_from(spare).unwrap_or(0).saturating_add(8), b' ');
        chunk(b"tEXt", &comment, &mut front);
    }
    let data = scan.len().saturating_add(6);
    front.extend_from_slice(&u32::try_from(data).unwrap_or(u32::MAX).to_be_bytes());
    front.extend_from_slice(b"IDAT\x78\x01");
    let mut adler = Adler(1, 0);
    let mut raw = scan.clone();
    raw.blocks = true;
    each_row(&raw, |row| adler.update(row));
    let scan = Part::Scan(scan);
    let mut crc = crc32fast::Hasher::new();
    crc.update(b"IDAT\x78\x01");
    each_piece(std::slice::from_ref(&scan), |piece| crc.update(piece));
    let adler = adler.value().to_be_bytes();
    crc.update(&adler);
    let mut back = adler.to_vec();
    back.extend_from_slice(&crc.finalize().to_be_bytes());
    chunk(b"IEND", &[], &mut back);
    let parts = vec![Part::Bytes(front), scan, Part::Bytes(back)];
    debug_assert!(
        !padded || length(&parts) == size,
        "{} != {size}",
        length(&parts)
    );
    parts
}

fn chunk(kind: &[u8; 4], data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    let mut crc = crc32fast::Hasher::new();
    for piece in [kind.as_slice(), data] {
        crc.update(piece);
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&crc.finalize().to_be_bytes());
}

/// Gives rows with their filter bytes to `take`.
fn each_row(scan: &Scan, mut take: impl FnMut(&[u8])) {
    let mut row = Vec::new();
    for y in 0..scan.height {
        row.clear();
        row.push(0);
        scan.row(y, &mut row);
        take(&row);
    }
}

/// Adler-32 (RFC 1950 section 8.2).
struct Adler(u32, u32);

impl Adler {
    fn update(&mut self, bytes: &[u8]) {
        // At most 5552 bytes before the sums could overflow 32 bits.
        for piece in bytes.chunks(5_552) {
            for &byte in piece {
                self.0 = self.0.wrapping_add(u32::from(byte));
                self.1 = self.1.wrapping_add(self.0);
            }
            self.0 %= 65_521;
            self.1 %= 65_521;
        }
    }

    fn value(&self) -> u32 {
        (self.1 << 16) | self.0
    }
}
