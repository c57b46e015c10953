//! Little-endian numbers and texts at offsets that the peer chose.

use crate::Malformed;

/// `N` bytes at `offset`.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Malformed> {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(Malformed)
}

/// The 16-bit number at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Malformed> {
    array(bytes, offset).map(u16::from_le_bytes)
}

/// The 32-bit number at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Malformed> {
    array(bytes, offset).map(u32::from_le_bytes)
}

/// UTF-16LE as text. Half a pair and an odd byte at the end are shown as escapes, so that nothing is
/// lost.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let units = pairs.iter().copied().map(u16::from_le_bytes);
    let mut text = String::new();
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(char) => text.push(char),
            Err(half) => text.push_str(&format!("\\u{{{:x}}}", half.unpaired_surrogate())),
        }
    }
    text.push_str(&escaped(odd));
    text
}

/// Eight-bit text. UTF-8 stays, every other byte is shown as `\xNN`.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// `text` as UTF-16LE.
pub(crate) fn to_utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_a_text_is_lost() {
        assert_eq!(utf16(b"a\0\xac\x20"), "a\u{20ac}");
        assert_eq!(utf16(b"\x00\xd8a\0\xff"), "\\u{d800}a\\xff");
        assert_eq!(escaped(b"caf\xc3\xa9\xe9"), "caf\u{e9}\\xe9");
        assert_eq!(to_utf16("a\u{20ac}"), b"a\0\xac\x20");
    }

    #[test]
    fn numbers_beyond_the_end_are_malformed() {
        assert_eq!(u16_at(&[1, 2, 3], 1), Ok(0x0302));
        assert_eq!(u32_at(&[1, 2, 3], 0), Err(Malformed));
        assert_eq!(u16_at(&[1, 2, 3], usize::MAX), Err(Malformed));
    }
}
