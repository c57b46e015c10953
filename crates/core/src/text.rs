//! Attacker's bytes as text that is safe to store and to show.

/// Longest text kept of one event field, in bytes. What is cut is counted in the text itself.
pub const MAX_FIELD: usize = 8 * 1024;

/// `bytes` as text: UTF-8 stays, every other byte becomes `\xNN`, so nothing is lost and nothing
/// can be mistaken. Cut at [`MAX_FIELD`].
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().min(MAX_FIELD));
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
        if text.len() > MAX_FIELD {
            break;
        }
    }
    bounded(text, bytes.len())
}

/// `text`, cut at [`MAX_FIELD`] bytes on a character boundary; `whole` is its true length.
fn bounded(mut text: String, whole: usize) -> String {
    if text.len() > MAX_FIELD {
        let end = text.floor_char_boundary(MAX_FIELD);
        text.truncate(end);
        text.push_str(&format!("… ({whole} bytes in all)"));
    }
    text
}

/// `text` cut as [`printable`] cuts.
pub fn cut(text: &str) -> String {
    bounded(text.to_owned(), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_shown_as_hex() {
        assert_eq!(printable(b"caf\xc3\xa9 \xff\x00!"), "café \\xff\u{0}!");
    }

    #[test]
    fn long_text_is_cut_on_a_character_and_says_so() {
        let text = printable("é".repeat(MAX_FIELD).as_bytes());
        assert!(text.len() < MAX_FIELD + 40);
        assert!(
            text.ends_with("(16384 bytes in all)"),
            "{}",
            &text[MAX_FIELD - 4..]
        );
    }
}
