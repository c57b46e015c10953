//! ASN.1 BER as SNMP uses it, read as tolerantly as net-snmp reads it.
//!
//! A container is entered, not cut out: what follows its header is read on from there, and only the
//! lengths that net-snmp compares are compared. Recorded from snmpd 5.9.3, conversation by
//! conversation (`testdata/snmpd-5.9.3.jsonl`).

/// Most components of an object identifier, the first two counted as the one that they share.
const MAX_COMPONENTS: usize = 127;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const ADDRESS: u8 = 0x40;
pub(super) const COUNTER: u8 = 0x41;
pub(super) const GAUGE: u8 = 0x42;
pub(super) const TICKS: u8 = 0x43;
pub(super) const OPAQUE: u8 = 0x44;
pub(super) const COUNTER64: u8 = 0x46;
pub(super) const UNSIGNED: u8 = 0x47;

/// An object identifier; its first component is 40 times the first number plus the second, as it
/// stands on the wire (X.690 section 8.19).
pub(super) type Oid = Vec<u32>;

/// Bytes not read yet.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element's tag and contents; reads past both.
    pub(super) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, length, after) = header(self.0)?;
        let (contents, rest) = after.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }

    /// Reads past the header of a container of this tag; gives how many bytes it holds, which are
    /// all there.
    pub(super) fn enter(&mut self, tag: u8) -> Option<usize> {
        let (found, length, after) = header(self.0)?;
        (found == tag && length <= after.len()).then(|| {
            self.0 = after;
            length
        })
    }

    /// The contents of the next element, of this tag.
    pub(super) fn contents(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = *self;
        match self.element() {
            Some((found, contents)) if found == tag => Some(contents),
            _ => {
                *self = before;
                None
            }
        }
    }

    /// A whole number.
    pub(super) fn integer(&mut self) -> Option<i64> {
        integer(self.contents(INTEGER)?)
    }
}

/// Tag, length and what follows. Lengths of any form but the indefinite one, of up to eight bytes.
fn header(input: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    match *first {
        0x80 => None,
        short @ ..0x80 => Some((*tag, usize::from(short), rest)),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if bytes.len() > 8 {
                return None;
            }
            let length = bytes.iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
            Some((*tag, usize::try_from(length).ok()?, rest))
        }
    }
}

/// A number of one to eight bytes. One that doesn't fit 32 bits loses its upper half and thereby
/// its sign, as in net-snmp.
fn integer(contents: &[u8]) -> Option<i64> {
    let negative = contents.first()? & 0x80 != 0;
    if contents.len() > 8 {
        return None;
    }
    let start = if negative { -1 } else { 0 };
    let value = contents
        .iter()
        .fold(start, |sum: i64, b| sum << 8 | i64::from(*b));
    Some(if value > i64::from(i32::MAX) {
        value & 0xffff_ffff
    } else if value < i64::from(i32::MIN) {
        (value & 0xffff_ffff).saturating_neg()
    } else {
        value
    })
}

/// An object identifier; no contents at all mean `0.0`.
pub(super) fn oid(contents: &[u8]) -> Option<Oid> {
    let mut oid = Oid::new();
    let mut component: u64 = 0;
    let mut open = false;
    for byte in contents {
        component = component << 7 | u64::from(byte & 0x7f);
        if component > u64::from(u32::MAX) {
            return None;
        }
        open = byte & 0x80 != 0;
        if !open {
            oid.push(u32::try_from(component).ok()?);
            component = 0;
        }
    }
    if oid.is_empty() && !open {
        oid.push(0);
    }
    (!open && oid.len() <= MAX_COMPONENTS).then_some(oid)
}

/// `1.3.6.1` and so on.
pub(super) fn dotted(oid: &[u32]) -> String {
    let (first, rest) = oid.split_first().unwrap_or((&0, &[]));
    let top = (first / 40).min(2);
    let mut text = format!("{top}.{}", first.saturating_sub(top.saturating_mul(40)));
    for component in rest {
        text.push('.');
        text.push_str(&component.to_string());
    }
    text
}

/// Writes an element.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    out.push(tag);
    let [.., high, low] = contents.len().to_be_bytes();
    match (high, low) {
        (0, ..0x80) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(contents);
}

/// Writes a number in as few bytes as its sign allows.
pub(super) fn put_integer(out: &mut Vec<u8>, tag: u8, value: i64) {
    let bytes = value.to_be_bytes();
    put(out, tag, shortest(&bytes));
}

/// Writes an unsigned number, with a zero before it where its first bit is set.
pub(super) fn put_unsigned(out: &mut Vec<u8>, tag: u8, value: u64) {
    let mut bytes = [0; 9];
    if let Some(tail) = bytes.last_chunk_mut::<8>() {
        *tail = value.to_be_bytes();
    }
    put(out, tag, shortest(&bytes));
}

/// Without the leading bytes that only repeat the sign.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    while matches!(bytes, [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..]) {
        bytes = bytes.get(1..).unwrap_or_default();
    }
    bytes
}

/// Writes an object identifier.
pub(super) fn put_oid(out: &mut Vec<u8>, oid: &[u32]) {
    let mut contents = Vec::with_capacity(oid.len().saturating_add(8));
    for component in oid {
        for shift in [28, 21, 14, 7] {
            if component >> shift != 0 {
                contents.push(0x80 | u8::try_from(component >> shift & 0x7f).unwrap_or(0));
            }
        }
        contents.push(u8::try_from(component & 0x7f).unwrap_or(0));
    }
    put(out, OBJECT, &contents);
}
