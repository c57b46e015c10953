//! BER and DER with definite lengths (X.690), as SPNEGO, Kerberos, LDAP and CredSSP use them.
//!
//! A tag is one byte: class, form and number up to 30; none of those protocols has larger numbers.

use crate::Malformed;

/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// NULL.
pub const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// SEQUENCE and SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// SET and SET OF.
pub const SET: u8 = 0x31;

/// Bit of a tag that says that other values lie inside.
const CONSTRUCTED: u8 = 0x20;
/// Most arcs of an object identifier that are shown.
const MAX_ARCS: usize = 32;

/// `[number]`, constructed: an explicit tag of the context, e.g. `context(0)` is 0xa0.
pub const fn context(number: u8) -> u8 {
    0xa0 | (number & 0x1f)
}

/// Reads values one after another.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Tag of the next value.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next value: its tag and its contents.
    ///
    /// # Errors
    /// [`Malformed`] at the end, for tags of several bytes, for indefinite lengths, and where the
    /// contents go on beyond what there is.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (tag, rest) = self.rest.split_first().ok_or(Malformed)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (length, rest) = length(rest)?;
        let (contents, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok((*tag, contents))
    }

    /// Contents of the next value, which has this tag.
    ///
    /// # Errors
    /// As [`Reader::any`], and for another tag.
    pub fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.optional(tag)?.ok_or(Malformed)
    }

    /// Contents of the next value if it has this tag.
    ///
    /// # Errors
    /// As [`Reader::any`] for a value of this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.peek() != Some(tag) {
            return Ok(None);
        }
        self.any().map(|(_, contents)| Some(contents))
    }

    /// A reader over the contents of the next value, which has this tag.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn reader(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.take(tag).map(Self::new)
    }

    /// The next value as INTEGER.
    ///
    /// # Errors
    /// As [`Reader::take`], and as [`number`].
    pub fn integer(&mut self) -> Result<i64, Malformed> {
        number(self.take(INTEGER)?)
    }
}

/// A length and what follows it: short form, or long form with up to four bytes.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let (first, rest) = bytes.split_first().ok_or(Malformed)?;
    if *first < 0x80 {
        return Ok((usize::from(*first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(Malformed);
    }
    let (digits, rest) = rest.split_at_checked(count).ok_or(Malformed)?;
    let length = digits.iter().fold(0u32, |n, b| (n << 8) | u32::from(*b));
    Ok((usize::try_from(length).map_err(|_| Malformed)?, rest))
}

/// How many bytes the value at the front of `bytes` has, tag and length included; `None` while its
/// head isn't whole.
///
/// # Errors
/// [`Malformed`] where no value begins as these bytes do.
pub fn whole(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((tag, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if tag & 0x1f == 0x1f {
        return Err(Malformed);
    }
    match rest.first() {
        None => Ok(None),
        Some(0x80 | 0x85..) => Err(Malformed),
        Some(first) if *first > 0x80 && rest.len() <= usize::from(first & 0x7f) => Ok(None),
        Some(_) => {
            let (length, contents) = length(rest)?;
            let head = bytes.len().saturating_sub(contents.len());
            head.checked_add(length).map(Some).ok_or(Malformed)
        }
    }
}

/// Contents of an INTEGER or ENUMERATED: two's complement in 1 to 8 bytes.
///
/// # Errors
/// [`Malformed`] for none and for more bytes.
pub fn number(contents: &[u8]) -> Result<i64, Malformed> {
    let first = contents.first().ok_or(Malformed)?;
    if contents.len() > 8 {
        return Err(Malformed);
    }
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    Ok(contents.iter().fold(sign, |n, b| (n << 8) | i64::from(*b)))
}

/// Contents of an OBJECT IDENTIFIER as dotted numbers (X.690 section 8.19).
///
/// # Errors
/// [`Malformed`] where it ends inside a number, for more than 32 numbers, and for numbers beyond 64
/// bits.
pub fn dotted(contents: &[u8]) -> Result<String, Malformed> {
    let mut arcs = Vec::new();
    let mut arc = 0u64;
    let mut inside = false;
    for byte in contents {
        if arc > u64::MAX >> 7 {
            return Err(Malformed);
        }
        arc = (arc << 7) | u64::from(byte & 0x7f);
        inside = byte & 0x80 != 0;
        if !inside {
            if arcs.is_empty() {
                let top = (arc / 40).min(2);
                arcs.push(top.to_string());
                arc = arc.saturating_sub(top.saturating_mul(40));
            }
            arcs.push(arc.to_string());
            arc = 0;
        }
        if arcs.len() > MAX_ARCS {
            return Err(Malformed);
        }
    }
    if inside || arcs.is_empty() {
        return Err(Malformed);
    }
    Ok(arcs.join("."))
}

/// Dotted numbers as contents of an OBJECT IDENTIFIER; empty where it isn't one.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Result<Vec<u64>, _> = dotted.split('.').map(str::parse).collect();
    let Ok([top, second, rest @ ..]) = arcs.as_deref() else {
        return Vec::new();
    };
    let first = top.saturating_mul(40).saturating_add(*second);
    let mut contents = Vec::new();
    for arc in std::iter::once(&first).chain(rest) {
        let bits = u64::BITS.saturating_sub(arc.leading_zeros());
        let groups = bits.div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let more = if group == 0 { 0 } else { 0x80 };
            contents.push(
                more | u8::try_from((arc >> group.saturating_mul(7)) & 0x7f).unwrap_or_default(),
            );
        }
    }
    contents
}

/// Writes values one after another.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    long: bool,
}

impl Writer {
    /// Lengths as short as they go (DER).
    pub fn new() -> Self {
        Self::default()
    }

    /// Lengths of constructed values always in four bytes, `84 xx xx xx xx`, as Active Directory
    /// writes them.
    pub fn long() -> Self {
        Self {
            bytes: Vec::new(),
            long: true,
        }
    }

    /// Writes one value.
    pub fn put(&mut self, tag: u8, contents: &[u8]) -> &mut Self {
        let length = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        let [_, b2, b1, b0] = length.to_be_bytes();
        self.bytes.push(tag);
        if self.long && tag & CONSTRUCTED != 0 {
            self.bytes.push(0x84);
            self.bytes.extend(length.to_be_bytes());
        } else {
            match length {
                0..0x80 => self.bytes.push(b0),
                0x80..0x100 => self.bytes.extend([0x81, b0]),
                0x100..0x1_0000 => self.bytes.extend([0x82, b1, b0]),
                0x1_0000..0x100_0000 => self.bytes.extend([0x83, b2, b1, b0]),
                _ => {
                    self.bytes.push(0x84);
                    self.bytes.extend(length.to_be_bytes());
                }
            }
        }
        self.bytes.extend_from_slice(contents);
        self
    }

    /// Writes a value with others inside.
    pub fn nest(&mut self, tag: u8, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self {
            bytes: Vec::new(),
            long: self.long,
        };
        inside(&mut inner);
        self.put(tag, &inner.bytes)
    }

    /// Writes an INTEGER.
    pub fn integer(&mut self, value: i64) -> &mut Self {
        self.number(INTEGER, value)
    }

    /// Writes an INTEGER under another tag, e.g. [`ENUMERATED`].
    pub fn number(&mut self, tag: u8, value: i64) -> &mut Self {
        let bytes = value.to_be_bytes();
        let mut digits = &bytes[..];
        // A leading byte that only repeats the sign is left out.
        while let [first, second, ..] = digits
            && matches!((first, second & 0x80), (0, 0) | (0xff, 0x80))
        {
            digits = digits.get(1..).unwrap_or_default();
        }
        self.put(tag, digits)
    }

    /// Writes what is encoded already.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(encoded);
        self
    }

    /// What was written.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_one_after_another() {
        // X.690 section 8: BOOLEAN, SEQUENCE with INTEGER and OCTET STRING in long form.
        let bytes = hex::decode("0101ff300602012a048101610500").unwrap();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.peek(), Some(BOOLEAN));
        assert_eq!(reader.optional(SET), Ok(None));
        assert_eq!(reader.take(BOOLEAN), Ok(&b"\xff"[..]));
        let mut inside = reader.reader(SEQUENCE).unwrap();
        assert_eq!(inside.integer(), Ok(42));
        assert_eq!(inside.rest(), b"\x04\x81\x01");
        assert_eq!(inside.any(), Err(Malformed), "one byte short");
        assert_eq!(reader.rest(), b"a\x05\x00");
    }

    #[test]
    fn hostile_heads_are_malformed() {
        for bytes in [
            &b""[..],
            b"\x04",
            b"\x04\x02a",
            b"\x1f\x81\x01a",
            b"\x30\x80\x00\x00",
            b"\x04\x85\x00\x00\x00\x00\x01a",
            b"\x04\x84\xff\xff\xff\xffa",
            b"\x04\x82\x01",
        ] {
            assert_eq!(Reader::new(bytes).any(), Err(Malformed), "{bytes:02x?}");
        }
        assert_eq!(number(b""), Err(Malformed));
        assert_eq!(number(&[1; 9]), Err(Malformed));
    }

    #[test]
    fn the_size_of_a_value_shows_in_its_head() {
        for (bytes, size) in [
            (&b""[..], Ok(None)),
            (b"\x30", Ok(None)),
            (b"\x30\x05", Ok(Some(7))),
            (b"\x30\x84\x00\x00\x01", Ok(None)),
            (b"\x30\x84\x00\x00\x01\x00", Ok(Some(262))),
            (b"\x30\x80", Err(Malformed)),
            (b"\x30\x85", Err(Malformed)),
            (b"\x1f", Err(Malformed)),
        ] {
            assert_eq!(whole(bytes), size, "{bytes:02x?}");
        }
    }

    #[test]
    fn numbers_go_there_and_back_in_the_fewest_bytes() {
        for (value, encoded) in [
            (0, "020100"),
            (127, "02017f"),
            (128, "02020080"),
            (-128, "020180"),
            (-129, "0202ff7f"),
            (i64::MAX, "02087fffffffffffffff"),
            (i64::MIN, "02088000000000000000"),
        ] {
            let bytes = Writer::new().integer(value).finish();
            assert_eq!(hex::encode(&bytes), encoded);
            assert_eq!(Reader::new(&bytes).integer(), Ok(value));
        }
    }

    #[test]
    fn lengths_are_short_or_as_active_directory_writes_them() {
        let inside = |w: &mut Writer| {
            w.put(OCTET_STRING, b"a");
        };
        let short = Writer::new().nest(SEQUENCE, inside).finish();
        assert_eq!(hex::encode(short), "3003040161");
        let long = Writer::long().nest(SEQUENCE, inside).finish();
        assert_eq!(hex::encode(long), "308400000003040161");
        for (length, head) in [
            (0x7f, "047f"),
            (0x80, "048180"),
            (0x100, "04820100"),
            (0x1_0000, "0483010000"),
        ] {
            let bytes = Writer::new().put(OCTET_STRING, &vec![0; length]).finish();
            assert_eq!(hex::encode(&bytes[..head.len() / 2]), head);
            assert_eq!(
                Reader::new(&bytes).take(OCTET_STRING).unwrap().len(),
                length
            );
        }
    }

    #[test]
    fn object_identifiers_are_dotted_numbers() {
        for (dots, encoded) in [
            ("1.3.6.1.5.5.2", "2b0601050502"),
            ("1.2.840.113554.1.2.2", "2a864886f712010202"),
            ("1.3.6.1.4.1.311.2.2.10", "2b06010401823702020a"),
            ("2.999.3", "883703"),
        ] {
            assert_eq!(hex::encode(oid(dots)), encoded);
            assert_eq!(dotted(&hex::decode(encoded).unwrap()).as_deref(), Ok(dots));
        }
        for bytes in [&b""[..], b"\x2b\x86", &[0xff; 12], &[1; 40]] {
            assert_eq!(dotted(bytes), Err(Malformed));
        }
        assert!(oid("no").is_empty());
    }
}
