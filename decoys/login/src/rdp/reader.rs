//! Numbers and texts one after another.

use coalmine_core::decoy::Broken;

/// Reads from the front of a message; its end is the peer's fault.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Broken> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Broken> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u16_be(&mut self) -> Result<u16, Broken> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Broken> {
        self.array().map(u32::from_le_bytes)
    }

    /// A PER length determinant (X.691 section 10.9); longer ones than 16383 aren't sent.
    pub(super) fn per_length(&mut self) -> Result<usize, Broken> {
        let first = self.u8()?;
        match first >> 6 {
            0 | 1 => Ok(usize::from(first)),
            2 => {
                let low = self.u8()?;
                Ok(usize::from(u16::from_be_bytes([first & 0x3f, low])))
            }
            _ => Err(Broken),
        }
    }
}

/// UTF-16 up to its end or its zero. What is no character is shown as an escape.
pub(super) fn text16(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    let mut text = String::new();
    for unit in char::decode_utf16(units.take_while(|unit| *unit != 0)) {
        match unit {
            Ok(letter) => text.push(letter),
            Err(half) => text.push_str(&format!("\\u{{{:x}}}", half.unpaired_surrogate())),
        }
    }
    text
}
