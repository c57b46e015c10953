//! Network data representation (C706 chapter 14), little-endian, as Windows' interfaces use it.

/// Longest string that is read, in UTF-16 units.
const MAX_UNITS: usize = 8 * 1024;
/// Most parts of a security identifier (MS-DTYP 2.4.2).
const MAX_PARTS: usize = 15;
/// What the first pointer is called, and how much more each next one.
const FIRST_POINTER: u32 = 0x0002_0000;
const POINTER_STEP: u32 = 4;

/// The stub isn't what the interface declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStub;

/// A number that names something open: type and UUID.
pub type Handle = [u8; 20];

/// Reads a request's stub.
#[derive(Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    /// Pointers seen that weren't null: the answer's are counted on from there.
    pointers: u32,
}

/// Head of a counted string, whose text comes later (MS-DTYP 2.3.10).
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    /// Used bytes.
    pub length: u16,
    /// Bytes that there is room for.
    pub size: u16,
    /// Whether there is a text.
    pub text: bool,
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            pointers: 0,
        }
    }

    pub fn pointers(&self) -> u32 {
        self.pointers
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], BadStub> {
        let end = self.at.checked_add(count).ok_or(BadStub)?;
        let bytes = self.data.get(self.at..end).ok_or(BadStub)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadStub> {
        self.bytes(N)?.try_into().map_err(|_| BadStub)
    }

    pub fn u16(&mut self) -> Result<u16, BadStub> {
        self.align(2);
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, BadStub> {
        self.align(4);
        self.array().map(u32::from_le_bytes)
    }

    /// A count that can't be more than the bytes that are left.
    pub fn count(&mut self) -> Result<usize, BadStub> {
        let count = usize::try_from(self.u32()?).map_err(|_| BadStub)?;
        let rest = self.data.len().saturating_sub(self.at);
        if count > rest {
            Err(BadStub)
        } else {
            Ok(count)
        }
    }

    pub fn handle(&mut self) -> Result<Handle, BadStub> {
        self.align(4);
        self.array()
    }

    /// Whether a pointer points at something.
    pub fn pointer(&mut self) -> Result<bool, BadStub> {
        let there = self.u32()? != 0;
        self.pointers = self.pointers.saturating_add(u32::from(there));
        Ok(there)
    }

    /// A conformant varying array of UTF-16 units.
    pub fn units(&mut self) -> Result<Vec<u16>, BadStub> {
        let (most, offset, count) = (self.u32()?, self.u32()?, self.count()?);
        let fits = usize::try_from(most).is_ok_and(|most| count <= most);
        if offset != 0 || !fits || count > MAX_UNITS {
            return Err(BadStub);
        }
        let bytes = self.bytes(count.saturating_mul(2))?;
        let pairs = bytes.chunks_exact(2);
        Ok(pairs
            .map(|pair| {
                u16::from_le_bytes([
                    pair.first().copied().unwrap_or(0),
                    pair.get(1).copied().unwrap_or(0),
                ])
            })
            .collect())
    }

    /// The same as text, up to its end.
    pub fn text(&mut self) -> Result<String, BadStub> {
        let units = self.units()?;
        let end = units.iter().position(|&unit| unit == 0);
        let units = units.get(..end.unwrap_or(units.len())).unwrap_or_default();
        Ok(String::from_utf16_lossy(units))
    }

    /// A pointer and the text that it points at, for arguments of a call.
    pub fn text_pointer(&mut self) -> Result<Option<String>, BadStub> {
        if self.pointer()? {
            self.text().map(Some)
        } else {
            Ok(None)
        }
    }

    pub fn head(&mut self) -> Result<Head, BadStub> {
        self.align(4);
        Ok(Head {
            length: self.u16()?,
            size: self.u16()?,
            text: self.pointer()?,
        })
    }

    /// The text of a head.
    pub fn body(&mut self, head: Head) -> Result<String, BadStub> {
        if head.text {
            self.text()
        } else {
            Ok(String::new())
        }
    }

    /// A security identifier with its conformance.
    pub fn sid(&mut self) -> Result<Sid, BadStub> {
        let parts = self.count()?;
        let [revision, count, authority @ ..] = self.array::<8>()?;
        if revision != 1 || usize::from(count) != parts || parts > MAX_PARTS {
            return Err(BadStub);
        }
        let parts = (0..parts).map(|_| self.u32()).collect::<Result<_, _>>()?;
        Ok(Sid { authority, parts })
    }
}

/// A security identifier (MS-DTYP 2.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sid {
    pub authority: [u8; 6],
    pub parts: Vec<u32>,
}

impl Sid {
    /// One of a small authority.
    pub fn new(authority: u8, parts: &[u32]) -> Self {
        Self {
            authority: [0, 0, 0, 0, 0, authority],
            parts: parts.to_vec(),
        }
    }

    /// The one of `rid` in this domain.
    pub fn with(&self, rid: u32) -> Self {
        let mut sid = self.clone();
        sid.parts.push(rid);
        sid
    }

    /// The domain and the last part.
    pub fn split(&self) -> Option<(Self, u32)> {
        let (rid, parts) = self.parts.split_last()?;
        let domain = Self {
            authority: self.authority,
            parts: parts.to_vec(),
        };
        Some((domain, *rid))
    }
}

impl std::fmt::Display for Sid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = self
            .authority
            .iter()
            .fold(0_u64, |all, &b| (all << 8) | u64::from(b));
        write!(f, "S-1-{authority}")?;
        self.parts.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

/// Writes an answer's stub.
#[derive(Debug)]
pub struct Writer {
    pub bytes: Vec<u8>,
    pointers: u32,
}

impl Writer {
    /// An empty one; pointers are counted from `pointers` on.
    pub fn new(pointers: u32) -> Self {
        Self {
            bytes: Vec::new(),
            pointers,
        }
    }

    pub fn align(&mut self, to: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
        self
    }

    pub fn u8(&mut self, number: u8) -> &mut Self {
        self.bytes.push(number);
        self
    }

    pub fn u16(&mut self, number: u16) -> &mut Self {
        self.align(2).raw(&number.to_le_bytes())
    }

    pub fn u32(&mut self, number: u32) -> &mut Self {
        self.align(4).raw(&number.to_le_bytes())
    }

    /// A length as 32 bits.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// 64 bits that lie as two halves, as times do.
    pub fn time(&mut self, number: u64) -> &mut Self {
        self.align(4).raw(&number.to_le_bytes())
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A pointer, null or not.
    pub fn pointer_if(&mut self, there: bool) -> &mut Self {
        if there { self.pointer() } else { self.u32(0) }
    }

    pub fn pointer(&mut self) -> &mut Self {
        let pointer = FIRST_POINTER.wrapping_add(self.pointers.wrapping_mul(POINTER_STEP));
        self.pointers = self.pointers.wrapping_add(1);
        self.u32(pointer)
    }

    /// A text with its zero, as a conformant varying array.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        self.units(&units, units.len())
    }

    /// Units of an array that has room for `most`.
    pub fn units(&mut self, units: &[u16], most: usize) -> &mut Self {
        self.count(most).u32(0).count(units.len());
        for unit in units {
            self.raw(&unit.to_le_bytes());
        }
        self
    }

    /// Head of a counted string; its text goes out later with [`Self::body`].
    pub fn head(&mut self, text: &str) -> &mut Self {
        let length = bytes_of(text);
        self.align(4).u16(length).u16(length).pointer()
    }

    pub fn body(&mut self, text: &str) -> &mut Self {
        let units: Vec<u16> = text.encode_utf16().collect();
        self.units(&units, units.len())
    }

    /// The same with room for a zero, as `lsarpc` has names of domains.
    pub fn long_head(&mut self, text: &str) -> &mut Self {
        let length = bytes_of(text);
        self.align(4)
            .u16(length)
            .u16(length.saturating_add(2))
            .pointer()
    }

    pub fn long_body(&mut self, text: &str) -> &mut Self {
        let units: Vec<u16> = text.encode_utf16().collect();
        self.units(&units, units.len().saturating_add(1))
    }

    /// A security identifier with its conformance.
    pub fn sid(&mut self, sid: &Sid) -> &mut Self {
        self.count(sid.parts.len());
        self.u8(1)
            .u8(u8::try_from(sid.parts.len()).unwrap_or(0))
            .raw(&sid.authority);
        for part in &sid.parts {
            self.u32(*part);
        }
        self
    }
}

fn bytes_of(text: &str) -> u16 {
    u16::try_from(text.encode_utf16().count().saturating_mul(2)).unwrap_or(u16::MAX)
}
